//! Groups whose members do not subscribe to the same.

use std::collections::BTreeMap;

use remoting::protocol::body::{Body, KVTable};
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::NoHeader;

use crate::kit::{Kit, TestClient, consumer};

/// What request 28 says of them, by key.
async fn conflicts(client: &TestClient) -> BTreeMap<String, String> {
    let answer = client.ok(RequestCode::GetBrokerRuntimeInfo, &NoHeader, &[]).await;
    let mut table = KVTable::decode(answer.body()).unwrap().table;
    table.retain(|key, _| key.starts_with("subscriptionConflict"));
    table
}

#[tokio::test]
async fn members_that_want_different_things_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let (a, b, tool) = (kit.client(), kit.client(), kit.client());
    a.heartbeat(&consumer("a", "g", &["T"])).await;
    a.heartbeat(&consumer("a", "h", &["T"])).await;
    b.heartbeat(&consumer("b", "h", &["T"])).await;
    assert!(conflicts(&tool).await.is_empty());

    let mut other = consumer("b", "g", &["T"]);
    other.consumer_data_set[0].subscription_data_set[0].sub_string = "red".to_owned();
    for _ in 0..3 {
        b.heartbeat(&other).await;
        a.heartbeat(&consumer("a", "g", &["T"])).await;
    }
    let found = conflicts(&tool).await;
    assert_eq!(found["subscriptionConflictsTotal"], "1");
    let said = &found["subscriptionConflict_g"];
    assert!(said.starts_with("T: a wants TAG \"*\", b wants TAG \"red\""), "{said}");
    assert_eq!(found.len(), 2, "{found:?}");

    // A topic that only one of them wants is a conflict, too.
    b.heartbeat(&consumer("b", "g", &["T", "U"])).await;
    let said = &conflicts(&tool).await["subscriptionConflict_g"];
    assert_eq!(said, "U: a wants nothing, b wants TAG \"*\"");

    // It ends when they agree, and when only one of them is left.
    b.heartbeat(&consumer("b", "g", &["T"])).await;
    assert!(!conflicts(&tool).await.contains_key("subscriptionConflict_g"));
    b.heartbeat(&other).await;
    assert_eq!(conflicts(&tool).await["subscriptionConflictsTotal"], "2");
    b.close();
    while conflicts(&tool).await.contains_key("subscriptionConflict_g") {
        tokio::task::yield_now().await;
    }
    kit.stop().await;
}
