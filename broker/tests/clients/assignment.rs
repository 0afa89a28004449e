//! Queues shared out by the broker, and the modes of consuming them.

use std::path::Path;

use remoting::protocol::body::{
    Body, MessageModel, MessageRequestMode, MessageRequestModeSerializeWrapper,
    QueryAssignmentRequestBody, QueryAssignmentResponseBody, RegisterBrokerBody,
    SetMessageRequestModeRequestBody, SubscriptionGroupConfig, TopicConfig,
};
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::header::{NoHeader, RegisterBrokerRequestHeader};

use crate::kit::{Kit, PATIENCE, TestClient, consumer};
use crate::name_server;

/// A question of client `c0` of group `g` about topic `T`.
fn question() -> QueryAssignmentRequestBody {
    QueryAssignmentRequestBody {
        client_id: "c0".to_owned(),
        consumer_group: "g".to_owned(),
        message_model: Some(MessageModel::Clustering),
        strategy_name: "AVG".to_owned(),
        topic: "T".to_owned(),
    }
}

fn wish(topic: &str, group: &str, pop_share_queue_num: i32) -> SetMessageRequestModeRequestBody {
    SetMessageRequestModeRequestBody {
        consumer_group: group.to_owned(),
        mode: Some(MessageRequestMode::Pop),
        pop_share_queue_num,
        topic: topic.to_owned(),
    }
}

/// The assigned queues as broker, number and mode; `None` when the member is left out.
async fn assigned(
    client: &TestClient,
    question: &QueryAssignmentRequestBody,
) -> Option<Vec<(String, i32, MessageRequestMode)>> {
    let answer = client.ok(RequestCode::QueryAssignment, &NoHeader, &question.encode()).await;
    let body = QueryAssignmentResponseBody::decode(answer.body()).unwrap();
    let queue = |assignment: remoting::protocol::body::MessageQueueAssignment| {
        let queue = assignment.message_queue.unwrap();
        assert_eq!(queue.topic, question.topic);
        (queue.broker_name, queue.queue_id, assignment.mode.unwrap())
    };
    body.message_queue_assignments.map(|all| all.into_iter().map(queue).collect())
}

async fn queue_ids(client: &TestClient, question: &QueryAssignmentRequestBody) -> Vec<i32> {
    let assigned = assigned(client, question).await.unwrap();
    assigned.into_iter().map(|(_, queue_id, _)| queue_id).collect()
}

/// Registers a second broker `b2` that holds the topic, too.
async fn register_other(client: &TestClient, name_server: &str, topic: &str, queues: i32) {
    let mut body = RegisterBrokerBody::default();
    let config = TopicConfig {
        topic_name: topic.to_owned(),
        read_queue_nums: queues,
        write_queue_nums: queues,
        perm: 6,
        ..TopicConfig::default()
    };
    for name in [topic, "another"] {
        let table = &mut body.topic_config_serialize_wrapper.topic_config_table;
        table
            .insert(name.to_owned(), TopicConfig { topic_name: name.to_owned(), ..config.clone() });
    }
    let header = RegisterBrokerRequestHeader {
        broker_name: "b2".to_owned(),
        broker_addr: "127.0.0.1:1".to_owned(),
        cluster_name: "DefaultCluster".to_owned(),
        ha_server_addr: "127.0.0.1:2".to_owned(),
        broker_id: 0,
        ..RegisterBrokerRequestHeader::default()
    };
    let (code, body) = (RequestCode::RegisterBroker, body.encode());
    let answer = client.call_at(name_server, code, &header, &body).await;
    assert_eq!(answer.code(), 0, "{:?}", answer.remark());
}

#[tokio::test]
async fn queues_of_all_brokers_are_shared_among_the_members() {
    let roots = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (address, services) = name_server::start(roots[0].path(), 0);
    let kit = Kit::start_with(roots[1].path(), |settings| {
        settings.broker.namesrv_addr = Some(address.to_string());
    })
    .await;
    let (a, b) = (kit.client(), kit.client());
    assert_eq!(assigned(&a, &question()).await, None, "nobody knows the topic");
    a.send("T", 0, "x", "").await;
    kit.registered().await;
    register_other(&a, &address.to_string(), "T", 2).await;
    assert_eq!(assigned(&a, &question()).await, None, "the group has no member");
    a.heartbeat(&consumer("c0", "g", &["T"])).await;
    b.heartbeat(&consumer("c1", "g", &["T"])).await;
    let pull = MessageRequestMode::Pull;
    let expected = [0, 1, 2].map(|id| ("b".to_owned(), id, pull));
    assert_eq!(assigned(&a, &question()).await.unwrap(), expected);
    let other = QueryAssignmentRequestBody { client_id: "c1".to_owned(), ..question() };
    let expected = [("b", 3), ("b2", 0), ("b2", 1)].map(|(b, id)| (b.to_owned(), id, pull));
    assert_eq!(assigned(&a, &other).await.unwrap(), expected);
    let circle = "AVG_BY_CIRCLE".to_owned();
    let circle = QueryAssignmentRequestBody { strategy_name: circle, ..question() };
    assert_eq!(queue_ids(&a, &circle).await, [0, 2, 0]);
    let stranger = QueryAssignmentRequestBody { client_id: "c9".to_owned(), ..question() };
    assert_eq!(assigned(&a, &stranger).await, Some(Vec::new()));
    let unknown = QueryAssignmentRequestBody { strategy_name: "RANDOM".to_owned(), ..question() };
    assert_eq!(assigned(&a, &unknown).await, None);
    let model = Some(MessageModel::Broadcasting);
    let everything = QueryAssignmentRequestBody { message_model: model, ..unknown };
    assert_eq!(queue_ids(&a, &everything).await, [0, 1, 2, 3, 0, 1]);

    // A light queue is on the broker that is asked; no name server knows it.
    let light = QueryAssignmentRequestBody { topic: "%LMQ%x".to_owned(), ..question() };
    assert_eq!(assigned(&a, &light).await.unwrap(), [("b".to_owned(), 0, pull)]);

    // Popping: of every broker any queue, or shared with those behind.
    a.ok(RequestCode::SetMessageRequestMode, &NoHeader, &wish("T", "g", -1).encode()).await;
    let pop = MessageRequestMode::Pop;
    let expected = [("b", -1), ("b2", -1)].map(|(b, id)| (b.to_owned(), id, pop));
    assert_eq!(assigned(&a, &question()).await.unwrap(), expected);
    let c = kit.client();
    c.heartbeat(&consumer("c2", "g", &["T"])).await;
    a.ok(RequestCode::SetMessageRequestMode, &NoHeader, &wish("T", "g", 1).encode()).await;
    assert_eq!(queue_ids(&a, &question()).await, [0, 1, 2, 3]);
    kit.stop().await;
    services.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_topic_that_grows_is_noticed_at_the_next_look() {
    let roots = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (address, services) = name_server::start(roots[0].path(), 0);
    let kit = Kit::start_with(roots[1].path(), |settings| {
        settings.broker.namesrv_addr = Some(address.to_string());
        settings.live.load_balance_poll_name_server_interval = 20;
        settings.live.server_load_balancer_enable = false;
    })
    .await;
    let a = kit.client();
    a.send("T", 0, "x", "").await;
    kit.registered().await;
    assert_eq!(queue_ids(&a, &question()).await, [0, 1, 2, 3]);
    register_other(&a, &address.to_string(), "T", 1).await;
    let noticed = async {
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(10));
        while queue_ids(&a, &question()).await.len() < 5 {
            tick.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, noticed).await.unwrap();
    // A name server that is gone takes nothing away.
    services.stop(PATIENCE).await;
    assert_eq!(queue_ids(&a, &question()).await.len(), 5);
    kit.stop().await;
}

fn stored(root: &Path) -> Option<serde_json::Value> {
    let text = std::fs::read(root.join("config/messageRequestMode.json")).ok()?;
    Some(serde_json::from_slice(&text).unwrap())
}

#[tokio::test]
async fn modes_are_checked_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start_with(dir.path(), |settings| {
        settings.live.auto_create_subscription_group = false;
    })
    .await;
    let a = kit.client();
    a.send("T", 0, "x", "").await;
    let group = SubscriptionGroupConfig::new("g");
    a.ok(RequestCode::UpdateAndCreateSubscriptiongroup, &NoHeader, &group.encode()).await;
    let code = RequestCode::SetMessageRequestMode;
    for (topic, group, refusal) in [
        ("%RETRY%g", "g", ResponseCode::NoPermission),
        ("U", "g", ResponseCode::TopicNotExist),
        ("T", "h", ResponseCode::SubscriptionGroupNotExist),
        ("", "g", ResponseCode::SystemError),
    ] {
        a.refused(refusal, code, &NoHeader, &wish(topic, group, 0).encode()).await;
    }
    for body in ["", "{", "[1]", "{}"] {
        a.refused(ResponseCode::SystemError, code, &NoHeader, body.as_bytes()).await;
        let code = RequestCode::QueryAssignment;
        a.refused(ResponseCode::SystemError, code, &NoHeader, body.as_bytes()).await;
    }
    assert_eq!(stored(dir.path()), None, "a refusal changes nothing");
    a.ok(code, &NoHeader, &wish("T", "g", 2).encode()).await;
    let json = stored(dir.path()).unwrap();
    assert_eq!(json["messageRequestModeMap"]["T"]["g"]["mode"], "POP");
    kit.stop().await;

    let kit = Kit::start(dir.path()).await;
    let a = kit.client();
    let answer = a.ok(RequestCode::GetAllMessageRequestMode, &NoHeader, &[]).await;
    let modes = MessageRequestModeSerializeWrapper::decode(answer.body()).unwrap();
    assert_eq!(modes.message_request_mode_map["T"]["g"], wish("T", "g", 2));
    kit.stop().await;
}
