//! Replies: over the requester's connection, with every outcome.

use std::sync::Arc;

use remoting::net::{Client, ClientOptions, Outcome, Peer, Service};
use remoting::protocol::body::Body;
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::command::{Frame, Responder};
use remoting::protocol::header::{
    NoHeader, ReplyMessageRequestHeader, SendMessageRequestHeader, Short,
};
use remoting::protocol::message::Properties;
use remoting::protocol::message::record::Record;
use tokio::sync::mpsc;

use crate::kit::{Kit, PATIENCE, TestClient, producer};

const TOPIC: &str = "DefaultCluster_REPLY_TOPIC";

/// A client that takes replies and answers them with a code of its own.
struct Requester {
    client: Client,
    address: String,
    replies: mpsc::UnboundedReceiver<Frame>,
}

struct Mailbox {
    answer: i32,
    replies: mpsc::UnboundedSender<Frame>,
}

impl Service for Mailbox {
    fn call(&self, _peer: &Arc<Peer>, frame: Frame, out: &mut Responder<'_>) -> Outcome {
        out.respond(self.answer, None, &NoHeader, &[], &[]);
        // The test may have ended.
        let _ = self.replies.send(frame);
        Outcome::Done
    }
}

impl Requester {
    async fn connect(kit: &Kit, client_id: &str, answer: i32) -> Requester {
        let (sender, replies) = mpsc::unbounded_channel();
        let mailbox = Arc::new(Mailbox { answer, replies: sender });
        let client = Client::with_service(ClientOptions::default(), mailbox);
        let requester = Requester { client, address: kit.address.clone(), replies };
        let hello = producer(client_id, "requesters").encode();
        let code = RequestCode::HeartBeat;
        let call =
            requester.client.call(&requester.address, code, &NoHeader, &[], &hello, PATIENCE);
        assert_eq!(call.await.unwrap().code(), 0);
        requester
    }

    async fn next(&mut self) -> Frame {
        tokio::time::timeout(PATIENCE, self.replies.recv()).await.unwrap().unwrap()
    }
}

fn reply<'a>(properties: &'a str) -> SendMessageRequestHeader<'a> {
    SendMessageRequestHeader {
        producer_group: "repliers",
        topic: TOPIC,
        default_topic: "TBW102",
        default_topic_queue_nums: 4,
        sys_flag: 1,
        born_timestamp: 77,
        flag: 7,
        properties: Some(properties),
        ..SendMessageRequestHeader::default()
    }
}

fn to(client_id: &str) -> String {
    format!(
        "CORRELATION_ID\u{1}c-1\u{2}REPLY_TO_CLIENT\u{1}{client_id}\u{2}\
         TTL\u{1}3000\u{2}MSG_TYPE\u{1}reply\u{2}PUSH_REPLY_TIME\u{1}forged\u{2}"
    )
}

async fn send(client: &TestClient, properties: &str, body: &[u8]) -> Frame {
    client.call(RequestCode::SendReplyMessageV2, &Short(reply(properties)), body).await
}

#[tokio::test]
async fn a_reply_reaches_its_requester_and_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let mut requester = Requester::connect(&kit, "asks", 0).await;
    let replier = kit.client();
    let answer = send(&replier, &to("asks"), b"yes").await;
    assert_eq!((answer.code(), answer.remark()), (0, None));
    assert_eq!(answer.field("MSG_REGION"), Some("DefaultRegion"));
    assert_eq!(answer.field("TRACE_ON"), Some("true"));
    assert_eq!(answer.field("msgId").map(str::len), Some(32));
    assert_eq!(answer.field("queueOffset"), Some("0"));

    let pushed = requester.next().await;
    assert_eq!(pushed.code(), i32::from(RequestCode::PushReplyMessageToClient));
    assert_eq!(pushed.body(), b"yes");
    let header: ReplyMessageRequestHeader = pushed.header().unwrap();
    assert_eq!((header.producer_group.as_str(), header.topic.as_str()), ("repliers", TOPIC));
    assert_eq!((header.sys_flag, header.flag, header.born_timestamp), (1, 7, 77));
    assert!(header.store_timestamp > 0);
    assert_eq!(header.store_host, kit.address);
    assert!(header.born_host.starts_with("127.0.0.1:"));
    let properties = header.properties.unwrap();
    let properties = Properties::new(&properties);
    assert_eq!(properties.get("CORRELATION_ID"), Some("c-1"));
    assert_eq!(properties.get("PUSH_REPLY_TIME"), Some(&*header.store_timestamp.to_string()));

    let pulled = replier.pull("g", TOPIC, 0, 0).await;
    let copy = Record::decode(pulled.0.body()).unwrap();
    assert_eq!((copy.body, copy.flag, copy.sys_flag), (&b"yes"[..], 7, 0));
    let properties = copy.properties();
    assert_eq!(properties.get("REPLY_TO_CLIENT"), Some("asks"));
    assert_eq!(properties.get("MSG_REGION"), Some("DefaultRegion"));
    assert_eq!(properties.get("CLUSTER"), None);

    // By long names, too; and a reply to oneself comes over the connection that is replying.
    let properties = to("asks");
    let header = reply(&properties);
    let code = RequestCode::SendReplyMessage;
    let call = requester.client.call(&requester.address, code, &header, &[], b"self", PATIENCE);
    assert_eq!(call.await.unwrap().field("queueOffset"), Some("1"));
    assert_eq!(requester.next().await.body(), b"self");
    kit.stop().await;
}

#[tokio::test]
async fn every_failure_says_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let refuses = Requester::connect(&kit, "refuses", 1).await;
    let gone = Requester::connect(&kit, "gone", 0).await;
    gone.client.close();
    let replier = kit.client();

    let answer = send(&replier, "TTL\u{1}1\u{2}", b"x").await;
    assert_eq!(answer.code(), 1);
    let missing = "reply message properties[REPLY_TO_CLIENT] is null";
    assert_eq!(answer.remark(), Some(missing));
    assert_eq!(answer.field("queueOffset"), Some("0"), "stored all the same");
    let answer = send(&replier, &to("nobody"), b"x").await;
    let remark = "push reply message fail, channel of <nobody> not found.";
    assert_eq!((answer.code(), answer.remark()), (1, Some(remark)));
    let answer = send(&replier, &to("refuses"), b"x").await;
    let remark = "push reply message to refusesfail.";
    assert_eq!((answer.code(), answer.remark()), (1, Some(remark)));
    // Found closed, or closed under the question.
    let answer = send(&replier, &to("gone"), b"x").await;
    assert_eq!(answer.code(), 1);
    assert!(answer.remark().unwrap().starts_with("push reply message"));
    drop(refuses);

    let answer = send(&replier, &to("refuses"), b"").await;
    assert_eq!((answer.code(), answer.fields().count()), (1, 0));
    let illegal = SendMessageRequestHeader { topic: "../x", ..reply("") };
    let code = RequestCode::SendReplyMessage;
    let answer = replier.refused(ResponseCode::InvalidParameter, code, &illegal, b"x").await;
    assert_eq!(answer.field("TRACE_ON"), Some("true"));
    let beyond = SendMessageRequestHeader { queue_id: 1, ..reply("") };
    replier.refused(ResponseCode::InvalidParameter, code, &beyond, b"x").await;
    kit.stop().await;
}

#[tokio::test]
async fn a_reply_that_cannot_be_stored_is_handed_over() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start_with(dir.path(), |settings| {
        settings.live.store_reply_message_enable = false;
    });
    let kit = kit.await;
    let mut requester = Requester::connect(&kit, "asks", 0).await;
    let replier = kit.client();
    let answer = send(&replier, &to("asks"), b"yes").await;
    assert_eq!((answer.code(), answer.field("msgId")), (0, Some("0")));
    assert_eq!((answer.field("queueId"), answer.field("queueOffset")), (Some("0"), Some("0")));
    assert_eq!(requester.next().await.body(), b"yes");
    let answer = send(&replier, &to("nobody"), b"yes").await;
    assert_eq!((answer.code(), answer.field("msgId")), (1, None));
    kit.stop().await;

    let kit = Kit::start(dir.path()).await;
    let mut requester = Requester::connect(&kit, "asks", 0).await;
    let replier = kit.client();
    let wide = format!("{}wide\u{1}{}\u{2}", to("asks"), "v".repeat(33_000));
    let answer = send(&replier, &wide, b"yes").await;
    assert_eq!((answer.code(), answer.field("msgId")), (0, Some("0")));
    assert_eq!(requester.next().await.body(), b"yes");
    kit.stop().await;
}
