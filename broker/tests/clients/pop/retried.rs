//! What comes back: retry topics of both names, and how their messages look.

use remoting::protocol::code::RequestCode;
use remoting::protocol::header::PopMessageRequestHeader;

use super::{ack, any, bodies, messages, pop};
use crate::kit::Kit;

#[tokio::test]
async fn a_retried_message_shows_the_topic_and_brings_its_receipt() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let client = kit.client();
    client.send("T", 0, "new", "").await;
    client.send("%RETRY%g_T", 0, "again", "TAGS\u{1}x\u{2}").await;
    let answer = client.ok(RequestCode::PopMessage, &any("T"), &[]).await;
    let mut popped = messages(&answer);
    popped.sort_by(|a, b| a.body.cmp(&b.body));
    assert_eq!(bodies(&popped), ["again", "new"]);
    let field = |name| answer.field(name).unwrap().to_owned();
    let handle = format!("0 {} 60000 {} 1 b 0 0", field("popTime"), field("reviveQid"));
    assert_eq!((popped[0].topic.as_str(), popped[0].receipt.as_str()), ("T", handle.as_str()));
    let mut places: Vec<String> = field("startOffsetInfo").split(';').map(str::to_owned).collect();
    places.sort();
    assert_eq!(places, ["0 0 0", "1 0 0"]);
    assert_eq!(ack(&client, &popped[0]).await.code(), 0);
    // By its own name the retry topic is a topic like any other.
    let by_name = PopMessageRequestHeader { consumer_group: "h", ..any("%RETRY%g_T") };
    let answer = client.ok(RequestCode::PopMessage, &by_name, &[]).await;
    assert_eq!(answer.field("startOffsetInfo"), Some("1 0 0"));
    assert_eq!(answer.field("msgOffsetInfo"), Some("1 0 0"));
    kit.stop().await;
}

#[tokio::test]
async fn retried_messages_can_show_where_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start_with(dir.path(), |settings| {
        settings.live.pop_response_return_actual_retry_topic = true;
    })
    .await;
    let client = kit.client();
    client.send("T", 0, "new", "").await;
    assert_eq!(pop(&client, &any("T")).await.len(), 1);
    client.send("%RETRY%g_T", 0, "again", "").await;
    let answer = client.ok(RequestCode::PopMessage, &any("T"), &[]).await;
    let record = remoting::protocol::message::record::records(answer.body()).next();
    let record = record.unwrap().unwrap();
    assert_eq!(record.topic, "%RETRY%g_T");
    assert!(!record.properties().contains("POP_CK"));
    kit.stop().await;
}

#[tokio::test]
async fn both_names_are_popped_while_the_second_is_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start_with(dir.path(), |settings| {
        settings.broker.enable_retry_topic_v2 = true;
    })
    .await;
    let client = kit.client();
    client.send("T", 0, "new", "").await;
    assert_eq!(pop(&client, &any("T")).await.len(), 1);
    client.send("%RETRY%g_T", 0, "of the first name", "").await;
    assert_eq!(bodies(&pop(&client, &any("T")).await), ["of the first name"]);
    kit.stop().await;
}
