//! What administrators have the broker ask and tell connected consumers.

use std::collections::BTreeMap;

use remoting::protocol::body::{Body, GetConsumerStatusBody, MessageQueue};
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::header::{
    ConsumeMessageDirectlyResultRequestHeader, GetConsumerRunningInfoRequestHeader,
    GetConsumerStatusRequestHeader, ResetOffsetRequestHeader, UpdateConsumerOffsetRequestHeader,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::kit::{Kit, PATIENCE, TestClient, consumer};

fn queue(queue_id: i32) -> MessageQueue {
    MessageQueue { topic: "T".to_owned(), broker_name: "b".to_owned(), queue_id }
}

/// What a member at an offset of queue 0 answers.
fn at(offset: i64) -> Vec<u8> {
    let message_queue_table = BTreeMap::from([(queue(0), offset)]);
    GetConsumerStatusBody { message_queue_table, ..GetConsumerStatusBody::default() }.encode()
}

#[tokio::test]
async fn members_are_asked_where_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let status = |client_addr: Option<&str>| GetConsumerStatusRequestHeader {
        topic: "T".to_owned(),
        group: "g".to_owned(),
        client_addr: client_addr.map(str::to_owned),
    };
    let tool = kit.client();
    let code = RequestCode::InvokeBrokerToGetConsumerStatus;
    tool.refused(ResponseCode::SystemError, code, &status(None), &[]).await;
    // One refuses to tell, one does not know how to.
    let members = [
        ("a", Some((0, at(5)))),
        ("b", Some((0, at(9)))),
        ("c", Some((1, at(1)))),
        ("d", Some((0, b"?".to_vec()))),
    ];
    let mut connected = Vec::new();
    for (id, answer) in members {
        let client = kit.client_answering(answer);
        client.heartbeat(&consumer(id, "g", &["T"])).await;
        connected.push(client);
    }
    let told = async |client_addr: Option<&str>| {
        let answer = tool.ok(code, &status(client_addr), &[]).await;
        let table = GetConsumerStatusBody::decode(answer.body()).unwrap().consumer_table;
        table.into_iter().map(|(id, queues)| (id, queues[&queue(0)])).collect::<Vec<_>>()
    };
    assert_eq!(told(None).await, [("a".to_owned(), 5), ("b".to_owned(), 9)]);
    assert_eq!(told(Some("b")).await, [("b".to_owned(), 9)]);
    assert_eq!(told(Some("nobody")).await, []);
    kit.stop().await;
}

#[tokio::test]
async fn a_clients_own_refusal_is_handed_back() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let (a, tool) = (kit.client_answering(Some((1, b"why".to_vec()))), kit.client());
    a.heartbeat(&consumer("a", "g", &["T"])).await;
    let ask = GetConsumerRunningInfoRequestHeader {
        consumer_group: "g".to_owned(),
        client_id: "a".to_owned(),
        jstack_enable: false,
    };
    let code = RequestCode::GetConsumerRunningInfo;
    let answer = tool.refused(ResponseCode::SystemError, code, &ask, &[]).await;
    assert_eq!((answer.remark(), answer.body()), (Some("heard"), b"why".as_slice()));
    a.close();
    // It leaves as soon as its connection is seen to close.
    let gone = async {
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(5));
        while tool.call(code, &ask, &[]).await.remark() != Some("The Consumer <g> <a> not online") {
            tick.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
    kit.stop().await;
}

#[tokio::test]
async fn only_stored_messages_are_consumed_directly() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let a = kit.client();
    a.heartbeat(&consumer("a", "g", &["T"])).await;
    let header = |msg_id: Option<&str>| ConsumeMessageDirectlyResultRequestHeader {
        consumer_group: "g".to_owned(),
        client_id: Some("a".to_owned()),
        msg_id: msg_id.map(str::to_owned),
        topic: Some("T".to_owned()),
        ..ConsumeMessageDirectlyResultRequestHeader::default()
    };
    let code = RequestCode::ConsumeMessageDirectly;
    for id in [None, Some(""), Some("zz"), Some("7F00000100002A9F00000000000F4240")] {
        let answer = a.refused(ResponseCode::SystemError, code, &header(id), &[]).await;
        assert!(answer.body().is_empty(), "{id:?}");
    }
    kit.stop().await;
}

/// Asks for a reset as a tool written in some language does.
async fn reset_from(kit: &Kit, language: &str, is_force: bool) -> String {
    let header = format!(
        "{{\"code\":222,\"language\":\"{language}\",\"version\":479,\"opaque\":7,\"flag\":0,\
         \"extFields\":{{\"topic\":\"T\",\"group\":\"g\",\"timestamp\":\"-1\",\
         \"isForce\":\"{is_force}\"}}}}"
    );
    let mut frame = Vec::new();
    frame.extend_from_slice(&u32::try_from(header.len() + 4).unwrap().to_be_bytes());
    frame.extend_from_slice(&u32::try_from(header.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(header.as_bytes());
    let mut stream = TcpStream::connect(&kit.address).await.unwrap();
    stream.write_all(&frame).await.unwrap();
    let length = stream.read_u32().await.unwrap();
    let mut answer = vec![0; usize::try_from(length).unwrap()];
    stream.read_exact(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[4..]).into_owned()
}

async fn commit(client: &TestClient, offset: i64) {
    for queue_id in 0..4 {
        let header = UpdateConsumerOffsetRequestHeader {
            consumer_group: "g",
            topic: "T",
            queue_id: Some(queue_id),
            commit_offset: Some(offset),
        };
        client.ok(RequestCode::UpdateConsumerOffset, &header, &[]).await;
    }
}

#[tokio::test]
async fn live_clients_are_told_of_resets_where_they_do_them() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start_with(dir.path(), |settings| {
        settings.live.use_server_side_reset_offset = false;
    })
    .await;
    let (mut a, tool) = (kit.client(), kit.client());
    let mut reset = ResetOffsetRequestHeader {
        topic: "T".to_owned(),
        group: "g".to_owned(),
        timestamp: 0,
        is_force: true,
        queue_id: -1,
        offset: None,
    };
    let code = RequestCode::InvokeBrokerToResetOffset;
    tool.refused(ResponseCode::TopicNotExist, code, &reset, &[]).await;
    for body in ["0", "1", "2"] {
        a.send("T", 0, body, "").await;
    }
    tool.refused(ResponseCode::SystemError, code, &reset, &[]).await;
    a.heartbeat(&consumer("a", "g", &["T"])).await;
    assert_eq!(a.hear().await.0, i32::from(RequestCode::NotifyConsumerIdsChanged));
    commit(&a, 1).await;
    let offsets = |first: i64, others: i64| {
        let entry = |id: i32, offset| {
            format!("{{\"brokerName\":\"b\",\"queueId\":{id},\"topic\":\"T\"}}:{offset}")
        };
        let all = (0..4).map(|id| entry(id, if id == 0 { first } else { others }));
        format!("{{\"offsetTable\":{{{}}}}}", all.collect::<Vec<_>>().join(","))
    };
    let answer = tool.ok(code, &reset, &[]).await;
    assert_eq!(std::str::from_utf8(answer.body()), Ok(offsets(0, 0).as_str()));
    let told = a.hear_whole().await;
    assert_eq!(told.code(), i32::from(RequestCode::ResetConsumerClientOffset));
    assert_eq!((told.field("topic"), told.field("group")), (Some("T"), Some("g")));
    assert_eq!(told.body(), answer.body());
    // Without force nobody goes ahead: the queue's end is 3, the others' 0.
    reset.timestamp = -1;
    reset.is_force = false;
    let answer = tool.ok(code, &reset, &[]).await;
    assert_eq!(std::str::from_utf8(answer.body()), Ok(offsets(1, 0).as_str()));
    assert_eq!(a.hear_whole().await.body(), answer.body());
    // A tool written in C++ has the consumers told in the form of C++ consumers.
    let answer = reset_from(&kit, "CPP", true).await;
    assert!(answer.contains(&offsets(3, 0)), "{answer}");
    let told = a.hear_whole().await;
    let first = "{\"offsetTable\":[{\"brokerName\":\"b\",\"offset\":3,\"queueId\":0,\
                 \"topic\":\"T\"},";
    let body = std::str::from_utf8(told.body()).unwrap();
    assert!(body.starts_with(first), "{body}");
    reset_from(&kit, "GO", true).await;
    assert!(a.hear_whole().await.body().starts_with(b"{\"offsetTable\":{{"));
    a.close();
    kit.stop().await;
}

#[tokio::test]
async fn consumers_that_left_cannot_be_reset_by_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start_with(dir.path(), |settings| {
        settings.live.use_server_side_reset_offset = false;
    })
    .await;
    let a = kit.client();
    a.send("T", 0, "x", "").await;
    a.pull("g", "T", 0, 0).await;
    commit(&a, 1).await;
    let reset = ResetOffsetRequestHeader {
        topic: "T".to_owned(),
        group: "g".to_owned(),
        timestamp: 0,
        is_force: true,
        queue_id: -1,
        offset: None,
    };
    let code = RequestCode::InvokeBrokerToResetOffset;
    a.refused(ResponseCode::ConsumerNotOnline, code, &reset, &[]).await;
    kit.stop().await;
}
