//! How brokers come, stay and go.

#![allow(clippy::unwrap_used)]

mod harness;

use std::sync::Arc;

use harness::{Broker, Harness, TIMEOUT, exchange, refusal, text};
use remoting::net::{NoService, Outcome, Peer, Service};
use remoting::protocol::body::{Body, DataVersion};
use remoting::protocol::code::RequestCode as Code;
use remoting::protocol::command::{Frame, Responder};
use remoting::protocol::header::{
    BrokerHeartbeatRequestHeader, NoHeader, QueryDataVersionRequestHeader,
    QueryDataVersionResponseHeader, RegisterBrokerResponseHeader, UnRegisterBrokerRequestHeader,
};
use remoting::protocol::message::record::body_crc;
use tokio::sync::mpsc;

const MASTER: &str = "10.0.0.1:10911";
const SLAVE: &str = "10.0.0.2:10911";

/// Later than any expiry of a broker that has just registered.
fn after_ms(ms: i64) -> i64 {
    runtime::clock::now_ms() + ms
}

#[tokio::test]
async fn all_forms_of_a_registration_are_read() {
    let harness = Harness::start();
    let mut broker = Broker::new("b", 0, MASTER, &["T", "U"]);
    broker.header.body_crc32 = body_crc(&broker.body()).cast_signed();
    assert_eq!(harness.register(&broker).await.code(), 0);
    assert!(harness.route("T").await.is_some());

    let compressed = broker.registration().encode_compressed().unwrap();
    for (name, flag) in [("said", true), ("not-said", false)] {
        let mut other = Broker::new(name, 0, name, &[]);
        other.header.compressed = flag;
        let frame = harness.call(Code::RegisterBroker, &other.header, &[], &compressed).await;
        assert_eq!(frame.code(), 0, "{:?}", frame.remark());
    }
    let route = harness.route("U").await.unwrap();
    let names: Vec<_> =
        route.queue_datas.iter().map(|queues| queues.broker_name.as_str()).collect();
    assert_eq!(names, ["b", "not-said", "said"]);
    assert_eq!((route.queue_datas[1].perm, route.queue_datas[1].read_queue_nums), (6, 8));
    harness.stop().await;
}

#[tokio::test]
async fn a_damaged_registration_changes_nothing() {
    let harness = Harness::start();
    let mut broker = Broker::new("b", 0, MASTER, &["T", "U"]);
    let frame = harness.call(Code::RegisterBroker, &broker.header, &[], b"{\"topic").await;
    assert_eq!(frame.code(), 1);
    let frame = harness.call(Code::RegisterBroker, &broker.header, &[], b"\x78\x9cxx").await;
    assert_eq!(frame.code(), 1);
    broker.header.body_crc32 = 7;
    assert_eq!(refusal(&harness.register(&broker).await), (1, "crc32 not match".to_owned()));
    let frame = exchange(harness.address, 103, 479, &[("brokerName", "b")], &[]).await;
    assert_eq!(frame.code(), 1);
    assert!(frame.remark().unwrap().contains("the custom field <brokerAddr> is null"));
    assert_eq!(harness.route("T").await, None);
    harness.stop().await;
}

#[tokio::test]
async fn a_single_topic_comes_after_a_whole_registration_only() {
    let harness = Harness::start();
    let mut broker = Broker::new("b", 0, MASTER, &["New"]);
    let refused = (1, "register broker failed".to_owned());
    assert_eq!(refusal(&harness.register(&broker).await), refused);
    let info = harness.ask(Code::GetBrokerClusterInfo, &NoHeader).await;
    assert_eq!(info, r#"{"brokerAddrTable":{},"clusterAddrTable":{}}"#);

    broker.topics = Broker::new("b", 0, MASTER, &["T", "U"]).topics;
    assert_eq!(harness.register(&broker).await.code(), 0);
    broker.topics = Broker::new("b", 0, MASTER, &["New"]).topics;
    broker.version.counter = 2;
    assert_eq!(harness.register(&broker).await.code(), 0);
    assert!(harness.route("New").await.is_some() && harness.route("T").await.is_some());
    harness.stop().await;
}

#[tokio::test]
async fn topics_are_renewed_when_their_version_changes() {
    let harness = Harness::start();
    let mut broker = Broker::new("b", 0, MASTER, &["T", "U"]);
    harness.register(&broker).await;
    broker.topics[0].read_queue_nums = 3;
    harness.register(&broker).await;
    assert_eq!(harness.route("T").await.unwrap().queue_datas[0].read_queue_nums, 8);
    broker.version.counter = 2;
    harness.register(&broker).await;
    assert_eq!(harness.route("T").await.unwrap().queue_datas[0].read_queue_nums, 3);
    harness.stop().await;
}

#[tokio::test]
async fn topics_left_out_stay_unless_they_should_go() {
    for delete in [false, true] {
        let harness =
            Harness::start_with(|config| config.delete_topic_with_broker_registration = delete);
        harness.register(&Broker::new("b", 0, MASTER, &["T", "U"])).await;
        harness.register(&Broker::new("b", 0, MASTER, &["T", "V"])).await;
        assert_eq!(harness.route("U").await.is_none(), delete);
        assert!(harness.route("V").await.is_some());
        harness.stop().await;
    }
}

#[tokio::test]
async fn versions_are_compared_on_request() {
    let harness = Harness::start();
    let header = QueryDataVersionRequestHeader {
        broker_name: "b".to_owned(),
        broker_addr: MASTER.to_owned(),
        cluster_name: "c".to_owned(),
        broker_id: 0,
    };
    let broker = Broker::new("b", 0, MASTER, &["T", "U"]);
    let asked = broker.version.encode();
    let changed = |frame: &Frame| {
        let header: QueryDataVersionResponseHeader = frame.header().unwrap();
        (header.changed, String::from_utf8(frame.body().to_vec()).unwrap())
    };
    let frame = harness.call(Code::QueryDataVersion, &header, &[], &asked).await;
    assert_eq!(changed(&frame), (true, String::new()));
    harness.register(&broker).await;
    let frame = harness.call(Code::QueryDataVersion, &header, &[], &asked).await;
    let known = r#"{"counter":1,"stateVersion":0,"timestamp":1}"#;
    assert_eq!(changed(&frame), (false, known.to_owned()));
    let other = DataVersion { counter: 2, ..broker.version }.encode();
    let frame = harness.call(Code::QueryDataVersion, &header, &[], &other).await;
    assert_eq!(changed(&frame), (true, known.to_owned()));
    harness.stop().await;
}

#[tokio::test]
async fn a_silent_broker_expires_and_loses_its_connection() {
    let harness = Harness::start();
    let client = harness.other_client(Arc::new(NoService));
    let address = harness.address.to_string();
    let broker = Broker::new("b", 0, MASTER, &["T", "U"]);
    let (header, body) = (&broker.header, broker.body());
    client.call(&address, Code::RegisterBroker, header, &[], &body, TIMEOUT).await.unwrap();
    let peer = client.peer(&address).await.unwrap();

    harness.name_server.expire(after_ms(60_000));
    assert!(harness.route("T").await.is_some() && peer.is_open());
    harness.name_server.expire(after_ms(125_000));
    assert_eq!(harness.route("T").await, None);
    let closed = async {
        while peer.is_open() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TIMEOUT, closed).await.unwrap();
    harness.stop().await;
}

#[tokio::test]
async fn heartbeats_of_unknown_brokers_change_nothing() {
    let harness = Harness::start();
    let heartbeat = BrokerHeartbeatRequestHeader {
        cluster_name: "c".to_owned(),
        broker_addr: MASTER.to_owned(),
        broker_name: "b".to_owned(),
        ..Default::default()
    };
    assert_eq!(harness.call(Code::BrokerHeartbeat, &heartbeat, &[], &[]).await.code(), 0);
    let info = harness.ask(Code::GetBrokerClusterInfo, &NoHeader).await;
    assert_eq!(info, r#"{"brokerAddrTable":{},"clusterAddrTable":{}}"#);
    harness.register(&Broker::new("b", 0, MASTER, &["T", "U"])).await;
    assert_eq!(harness.call(Code::BrokerHeartbeat, &heartbeat, &[], &[]).await.code(), 0);
    harness.stop().await;
}

#[tokio::test]
async fn a_closed_connection_takes_its_brokers_along() {
    let harness = Harness::start();
    let address = harness.address.to_string();
    let client = harness.other_client(Arc::new(NoService));
    let broker = Broker::new("gone", 0, MASTER, &["T", "U"]);
    let (header, body) = (&broker.header, broker.body());
    client.call(&address, Code::RegisterBroker, header, &[], &body, TIMEOUT).await.unwrap();
    harness.register(&Broker::new("stays", 0, SLAVE, &["T", "V"])).await;
    assert_eq!(harness.route("T").await.unwrap().queue_datas.len(), 2);
    client.close();
    harness.until_no_route("U").await;
    assert_eq!(harness.route("T").await.unwrap().queue_datas[0].broker_name, "stays");
    harness.stop().await;
}

#[tokio::test]
async fn a_connection_closed_late_does_not_take_a_renewed_broker_along() {
    let harness = Harness::start();
    let address = harness.address.to_string();
    let client = harness.other_client(Arc::new(NoService));
    let broker = Broker::new("b", 0, MASTER, &["T", "U"]);
    let other = Broker::new("other", 0, SLAVE, &["V", "W"]);
    for broker in [&broker, &other] {
        let (header, body) = (&broker.header, broker.body());
        client.call(&address, Code::RegisterBroker, header, &[], &body, TIMEOUT).await.unwrap();
    }
    harness.register(&broker).await;
    client.close();
    harness.until_no_route("V").await;
    assert!(harness.route("T").await.is_some());
    harness.stop().await;
}

#[tokio::test]
async fn slaves_learn_their_master_and_bring_no_topics() {
    let harness = Harness::start();
    let slave = Broker::new("b", 1, SLAVE, &["S", "T"]);
    let master_of = |frame: &Frame| {
        assert_eq!(frame.code(), 0);
        let header: RegisterBrokerResponseHeader = frame.header().unwrap();
        (header.master_addr, header.ha_server_addr)
    };
    assert_eq!(master_of(&harness.register(&slave).await), (None, None));
    let master = Broker::new("b", 0, MASTER, &["T", "U"]);
    assert_eq!(master_of(&harness.register(&master).await), (None, None));
    let told = (Some(MASTER.to_owned()), Some(format!("{MASTER}-ha")));
    assert_eq!(master_of(&harness.register(&slave).await), told);
    assert_eq!(harness.route("S").await, None);
    let addrs = &harness.route("T").await.unwrap().broker_datas[0].broker_addrs;
    assert_eq!(
        addrs.clone().into_iter().collect::<Vec<_>>(),
        [(0, MASTER.into()), (1, SLAVE.into())]
    );
    harness.stop().await;
}

#[tokio::test]
async fn an_address_that_changes_its_id_moves() {
    let harness = Harness::start();
    harness.register(&Broker::new("b", 0, MASTER, &["T", "U"])).await;
    harness.register(&Broker::new("b", 1, SLAVE, &["T", "U"])).await;
    harness.register(&Broker::new("b", 0, SLAVE, &["T", "U"])).await;
    let addrs = &harness.route("T").await.unwrap().broker_datas[0].broker_addrs;
    assert_eq!(addrs.clone().into_iter().collect::<Vec<_>>(), [(0, SLAVE.into())]);
    harness.stop().await;
}

#[tokio::test]
async fn an_older_rival_for_an_id_is_ignored() {
    let harness = Harness::start();
    let mut broker = Broker::new("b", 0, MASTER, &["T", "U"]);
    broker.version.state_version = 5;
    harness.register(&broker).await;
    let rival = Broker::new("b", 0, SLAVE, &["T", "Rival"]);
    let frame = harness.register(&rival).await;
    assert_eq!(text(&frame), "");
    assert_eq!(harness.route("Rival").await, None);
    assert_eq!(harness.route("T").await.unwrap().broker_datas[0].broker_addrs[&0], MASTER);
    harness.stop().await;
}

#[tokio::test]
async fn the_last_broker_of_a_name_takes_its_topics_along() {
    let harness = Harness::start();
    harness.register(&Broker::new("b", 0, MASTER, &["T", "U"])).await;
    harness.register(&Broker::new("b", 1, SLAVE, &["T", "U"])).await;
    let leave = |addr: &str, broker_id| UnRegisterBrokerRequestHeader {
        broker_name: "b".to_owned(),
        broker_addr: addr.to_owned(),
        cluster_name: "c".to_owned(),
        broker_id,
    };
    let frame = harness.call(Code::UnregisterBroker, &leave(MASTER, 0), &[], &[]).await;
    assert_eq!(frame.code(), 0);
    let route = harness.route("T").await.unwrap();
    assert_eq!(route.broker_datas[0].broker_addrs.len(), 1);
    assert_eq!(route.queue_datas[0].perm, 6);
    harness.call(Code::UnregisterBroker, &leave(SLAVE, 1), &[], &[]).await;
    assert_eq!(harness.route("T").await, None);
    let info = harness.ask(Code::GetBrokerClusterInfo, &NoHeader).await;
    assert_eq!(info, r#"{"brokerAddrTable":{},"clusterAddrTable":{}}"#);
    harness.stop().await;
}

#[tokio::test]
async fn a_slave_acts_as_master_for_reading() {
    for acting in [false, true] {
        let harness = Harness::start_with(|config| config.support_acting_master = acting);
        for (id, addr) in [(0, MASTER), (1, SLAVE)] {
            let mut broker = Broker::new("b", id, addr, &["T", "rmq_sys_SYNC_BROKER_MEMBER_b"]);
            broker.header.enable_acting_master = Some(true);
            harness.register(&broker).await;
        }
        assert_eq!(harness.route("T").await.unwrap().queue_datas[0].perm, 6);
        let leave = UnRegisterBrokerRequestHeader {
            broker_name: "b".to_owned(),
            broker_addr: MASTER.to_owned(),
            cluster_name: "c".to_owned(),
            broker_id: 0,
        };
        harness.call(Code::UnregisterBroker, &leave, &[], &[]).await;
        let route = harness.route("T").await.unwrap();
        assert_eq!(route.queue_datas[0].perm, 4);
        let shown = if acting { 0 } else { 1 };
        assert_eq!(route.broker_datas[0].broker_addrs.keys().collect::<Vec<_>>(), [&shown]);
        let sync = harness.route("rmq_sys_SYNC_BROKER_MEMBER_b").await.unwrap();
        assert_eq!(sync.broker_datas[0].broker_addrs.keys().collect::<Vec<_>>(), [&1]);
        harness.stop().await;
    }
}

/// Passes on the requests that a name server sends to a broker.
struct Told(mpsc::UnboundedSender<(i32, Vec<(String, String)>)>);

impl Service for Told {
    fn call(&self, _peer: &Arc<Peer>, frame: Frame, _out: &mut Responder<'_>) -> Outcome {
        let fields = frame.fields().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let _ = self.0.send((frame.code(), fields.collect()));
        Outcome::Done
    }
}

#[tokio::test]
async fn brokers_hear_of_the_smallest_id_when_that_is_wanted() {
    let harness = Harness::start_with(|config| config.notify_min_broker_id_changed = true);
    let address = harness.address.to_string();
    let (sender, mut told) = mpsc::unbounded_channel();
    let slave = harness.other_client(Arc::new(Told(sender)));
    let broker = Broker::new("b", 1, SLAVE, &["T", "U"]);
    let (header, body) = (&broker.header, broker.body());
    slave.call(&address, Code::RegisterBroker, header, &[], &body, TIMEOUT).await.unwrap();

    harness.register(&Broker::new("b", 0, MASTER, &["T", "U"])).await;
    let (code, fields) = tokio::time::timeout(TIMEOUT, told.recv()).await.unwrap().unwrap();
    assert_eq!(code, 905);
    let field = |fields: &[(String, String)], name: &str| {
        fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.clone())
    };
    assert_eq!(field(&fields, "minBrokerId").as_deref(), Some("0"));
    assert_eq!(field(&fields, "minBrokerAddr").as_deref(), Some(MASTER));
    assert_eq!(field(&fields, "haBrokerAddr"), Some(format!("{MASTER}-ha")));

    let leave = UnRegisterBrokerRequestHeader {
        broker_name: "b".to_owned(),
        broker_addr: MASTER.to_owned(),
        cluster_name: "c".to_owned(),
        broker_id: 0,
    };
    harness.call(Code::UnregisterBroker, &leave, &[], &[]).await;
    let (_, fields) = tokio::time::timeout(TIMEOUT, told.recv()).await.unwrap().unwrap();
    assert_eq!(field(&fields, "minBrokerAddr").as_deref(), Some(SLAVE));
    assert_eq!(field(&fields, "offlineBrokerAddr").as_deref(), Some(MASTER));
    harness.stop().await;
}
