//! Routes in their dialects, lists, key-value configuration and settings, over sockets.

#![allow(clippy::unwrap_used)]

mod harness;

use harness::{Broker, Harness, exchange, refusal, text};
use remoting::protocol::body::{Body, QueueData, TopicConfig, TopicRouteData};
use remoting::protocol::code::RequestCode as Code;
use remoting::protocol::header::{
    AddWritePermOfBrokerRequestHeader, AddWritePermOfBrokerResponseHeader,
    DeleteTopicFromNamesrvRequestHeader, GetBrokerMemberGroupRequestHeader,
    GetKVConfigRequestHeader, GetKVConfigResponseHeader, GetKVListByNamespaceRequestHeader,
    GetTopicsByClusterRequestHeader, NoHeader, PutKVConfigRequestHeader,
    RegisterTopicRequestHeader, WipeWritePermOfBrokerRequestHeader,
    WipeWritePermOfBrokerResponseHeader,
};

const ADDR: &str = "10.0.0.1:10911";

#[tokio::test]
async fn routes_are_standard_json_for_those_who_read_it() {
    let harness = Harness::start();
    let mut broker = Broker::new("b", 0, ADDR, &["T", "U"]);
    broker.filter_servers.push("10.0.0.9:1".to_owned());
    harness.register(&broker).await;
    let route = |key: &str| {
        format!(
            r#"{{"brokerDatas":[{{"brokerAddrs":{{{key}:"{ADDR}"}},"brokerName":"b","cluster":"c","enableActingMaster":false}}],"filterServerTable":{{"{ADDR}":["10.0.0.9:1"]}},"queueDatas":[{{"brokerName":"b","perm":6,"readQueueNums":8,"topicSysFlag":0,"writeQueueNums":8}}]}}"#
        )
    };
    let topic = ("topic", "T");
    let accept = ("acceptStandardJsonOnly", "true");
    let asked = [
        (401, vec![topic], "\"0\""),
        (400, vec![topic], "0"),
        (317, vec![topic], "0"),
        (317, vec![topic, accept], "\"0\""),
        (479, vec![topic, ("__ZONE_MODE", "true"), ("__ZONE_NAME", " ")], "\"0\""),
    ];
    for (version, fields, key) in asked {
        let frame = exchange(harness.address, 105, version, &fields, &[]).await;
        assert_eq!(text(&frame), route(key), "version {version} {fields:?}");
    }
    harness.stop().await;
}

#[tokio::test]
async fn a_topic_without_route_has_java_code_and_remark() {
    let harness = Harness::start();
    let (code, remark) = refusal(&harness.route_frame("none").await);
    assert_eq!(code, 17);
    assert!(remark.starts_with("No topic route info in name server for the topic: none\nSee "));
    harness.stop().await;
}

#[tokio::test]
async fn zones_keep_clients_at_brokers_nearby() {
    let harness = Harness::start();
    for (name, zone) in [("far", Some("z2")), ("near", Some("Z1")), ("nowhere", None)] {
        let mut broker = Broker::new(name, 0, name, &["T", "U"]);
        broker.zone = zone.map(str::to_owned);
        harness.register(&broker).await;
    }
    let fields = [("topic", "T"), ("__ZONE_MODE", "true"), ("__ZONE_NAME", "z1")];
    let frame = exchange(harness.address, 105, 479, &fields, &[]).await;
    assert!(text(&frame).contains(r#""brokerAddrs":{0:"near"}"#));
    let route = TopicRouteData::decode(frame.body()).unwrap();
    let names: Vec<_> =
        route.queue_datas.iter().map(|queues| queues.broker_name.as_str()).collect();
    assert_eq!((names, route.broker_datas.len()), (vec!["near"], 1));

    let fields = [("topic", "T"), ("__ZONE_MODE", "true"), ("__ZONE_NAME", "z3")];
    let frame = exchange(harness.address, 105, 479, &fields, &[]).await;
    assert_eq!(text(&frame), r#"{"brokerDatas":[],"filterServerTable":{},"queueDatas":[]}"#);
    harness.stop().await;
}

#[tokio::test]
async fn no_route_is_given_before_brokers_had_time() {
    let harness = Harness::start_with(|config| config.need_wait_for_service = true);
    harness.register(&Broker::new("b", 0, ADDR, &["T", "U"])).await;
    let refused = (1, "name server not ready".to_owned());
    assert_eq!(refusal(&harness.route_frame("T").await), refused);
    harness.stop().await;
}

async fn update(harness: &Harness, text: &str) -> (i32, String) {
    refusal(&harness.call(Code::UpdateNamesrvConfig, &NoHeader, &[], text.as_bytes()).await)
}

#[tokio::test]
async fn order_configuration_reaches_brokers_and_clients() {
    let harness = Harness::start();
    let broker = Broker::new("b", 0, ADDR, &["T", "U"]);
    assert_eq!(text(&harness.register(&broker).await), "");
    let order = PutKVConfigRequestHeader {
        namespace: "ORDER_TOPIC_CONFIG".to_owned(),
        key: "T".to_owned(),
        value: "b:8".to_owned(),
    };
    assert_eq!(harness.call(Code::PutKvConfig, &order, &[], &[]).await.code(), 0);
    assert_eq!(text(&harness.register(&broker).await), r#"{"table":{"T":"b:8"}}"#);
    assert_eq!(harness.route("T").await.unwrap().order_topic_conf, None);
    assert_eq!(update(&harness, "orderMessageEnable=true").await.0, 0);
    assert_eq!(harness.route("T").await.unwrap().order_topic_conf.as_deref(), Some("b:8"));
    assert_eq!(harness.route("U").await.unwrap().order_topic_conf, None);
    assert_eq!(update(&harness, "returnOrderTopicConfigToBroker=false").await.0, 0);
    assert_eq!(text(&harness.register(&broker).await), "");
    harness.stop().await;
}

#[tokio::test]
async fn key_value_configuration_is_kept() {
    let harness = Harness::start();
    let get = GetKVConfigRequestHeader { namespace: "N".to_owned(), key: "k".to_owned() };
    let list = GetKVListByNamespaceRequestHeader { namespace: "N".to_owned() };
    let missing = (22, "No config item, Namespace: N Key: k".to_owned());
    let unused = (22, "No config item, Namespace: N".to_owned());
    assert_eq!(refusal(&harness.call(Code::GetKvConfig, &get, &[], &[]).await), missing);
    let frame = harness.call(Code::GetKvlistByNamespace, &list, &[], &[]).await;
    assert_eq!(refusal(&frame), unused);

    let fields = [("namespace", "N"), ("key", "k"), ("value", "v")];
    assert_eq!(exchange(harness.address, 100, 479, &fields, &[]).await.code(), 0);
    let frame = harness.call(Code::GetKvConfig, &get, &[], &[]).await;
    let header: GetKVConfigResponseHeader = frame.header().unwrap();
    assert_eq!(header.value.as_deref(), Some("v"));
    let table = harness.ask(Code::GetKvlistByNamespace, &list).await;
    assert_eq!(table, r#"{"table":{"k":"v"}}"#);
    let file = std::fs::read_to_string(harness.directory.path().join("kvConfig.json")).unwrap();
    assert_eq!(file, r#"{"configTable":{"N":{"k":"v"}}}"#);

    assert_eq!(exchange(harness.address, 100, 479, &fields[..2], &[]).await.code(), 0);
    assert_eq!(refusal(&harness.call(Code::GetKvConfig, &get, &[], &[]).await), missing);
    let refused = refusal(&exchange(harness.address, 100, 479, &fields[..1], &[]).await);
    assert_eq!(refused, (1, "namespace or key is null".to_owned()));
    exchange(harness.address, 100, 479, &fields, &[]).await;
    assert_eq!(exchange(harness.address, 102, 479, &fields, &[]).await.code(), 0);
    let table = harness.ask(Code::GetKvlistByNamespace, &list).await;
    assert_eq!(table, r#"{"table":{}}"#);
    harness.stop().await;
}

#[tokio::test]
async fn lists_name_topics_clusters_and_brokers() {
    let harness = Harness::start();
    let mut broker = Broker::new("b", 0, ADDR, &["T", "Unit", "Sub", "Both"]);
    broker.topics[1].topic_sys_flag = 1;
    broker.topics[2].topic_sys_flag = 2;
    broker.topics[3].topic_sys_flag = 3;
    harness.register(&broker).await;
    let mut other = Broker::new("o", 0, "10.0.0.2:10911", &["T", "Other"]);
    other.header.cluster_name = "d".to_owned();
    harness.register(&other).await;

    let lists = [
        (Code::GetAllTopicListFromNameserver, r#"{"topicList":["Both","Other","Sub","T","Unit"]}"#),
        (Code::GetUnitTopicList, r#"{"topicList":["Both","Unit"]}"#),
        (Code::GetHasUnitSubTopicList, r#"{"topicList":["Both","Sub"]}"#),
        (Code::GetHasUnitSubUnunitTopicList, r#"{"topicList":["Sub"]}"#),
        (
            Code::GetSystemTopicListFromNs,
            r#"{"brokerAddr":"10.0.0.1:10911","topicList":["c","b","d","o"]}"#,
        ),
    ];
    for (code, expected) in lists {
        assert_eq!(harness.ask(code, &NoHeader).await, expected, "{code:?}");
    }
    for (cluster, expected) in
        [("d", r#"{"topicList":["Other","T"]}"#), ("x", r#"{"topicList":[]}"#)]
    {
        let header = GetTopicsByClusterRequestHeader { cluster: cluster.to_owned() };
        assert_eq!(harness.ask(Code::GetTopicsByCluster, &header).await, expected);
    }
    let info = r#"{"brokerAddrTable":{"b":{"brokerAddrs":{0:"10.0.0.1:10911"},"brokerName":"b","cluster":"c","enableActingMaster":false},"o":{"brokerAddrs":{0:"10.0.0.2:10911"},"brokerName":"o","cluster":"d","enableActingMaster":false}},"clusterAddrTable":{"c":["b"],"d":["o"]}}"#;
    assert_eq!(harness.ask(Code::GetBrokerClusterInfo, &NoHeader).await, info);

    update(&harness, "enableAllTopicList=false\nenableTopicList=false").await;
    let header = GetTopicsByClusterRequestHeader { cluster: "d".to_owned() };
    let frame = harness.call(Code::GetTopicsByCluster, &header, &[], &[]).await;
    assert_eq!(refusal(&frame), (1, "disable".to_owned()));
    for code in [Code::GetAllTopicListFromNameserver, Code::GetUnitTopicList] {
        let frame = harness.call(code, &NoHeader, &[], &[]).await;
        assert_eq!(refusal(&frame), (1, "disable".to_owned()), "{code:?}");
    }
    harness.stop().await;
}

#[tokio::test]
async fn a_broker_group_shows_its_members() {
    let harness = Harness::start();
    harness.register(&Broker::new("b", 0, ADDR, &["T", "U"])).await;
    let asked = |name: &str| GetBrokerMemberGroupRequestHeader {
        cluster_name: "c".to_owned(),
        broker_name: name.to_owned(),
    };
    let group = harness.ask(Code::GetBrokerMemberGroup, &asked("b")).await;
    let expected = r#"{"brokerMemberGroup":{"brokerAddrs":{0:"10.0.0.1:10911"},"brokerName":"b","cluster":"c"}}"#;
    assert_eq!(group, expected);
    let group = harness.ask(Code::GetBrokerMemberGroup, &asked("x")).await;
    assert_eq!(group, r#"{"brokerMemberGroup":{"brokerAddrs":{},"brokerName":"x","cluster":"c"}}"#);
    harness.stop().await;
}

#[tokio::test]
async fn write_permission_is_wiped_and_added() {
    let harness = Harness::start();
    let mut broker = Broker::new("b", 0, ADDR, &["T", "TBW102"]);
    broker.topics[1].perm = 7;
    harness.register(&broker).await;
    let wipe = WipeWritePermOfBrokerRequestHeader { broker_name: "b".to_owned() };
    let frame = harness.call(Code::WipeWritePermOfBroker, &wipe, &[], &[]).await;
    let header: WipeWritePermOfBrokerResponseHeader = frame.header().unwrap();
    assert_eq!(header.wipe_topic_count, 2);
    assert_eq!(harness.route("TBW102").await.unwrap().queue_datas[0].perm, 5);
    harness.register(&broker).await;
    assert_eq!(harness.route("T").await.unwrap().queue_datas[0].perm, 4);

    let add = AddWritePermOfBrokerRequestHeader { broker_name: "b".to_owned() };
    let frame = harness.call(Code::AddWritePermOfBroker, &add, &[], &[]).await;
    let header: AddWritePermOfBrokerResponseHeader = frame.header().unwrap();
    assert_eq!(header.add_topic_count, 2);
    assert_eq!(harness.route("TBW102").await.unwrap().queue_datas[0].perm, 6);
    harness.stop().await;
}

#[tokio::test]
async fn topics_are_announced_and_deleted_one_by_one() {
    let harness = Harness::start();
    harness.register(&Broker::new("b", 0, ADDR, &["T", "U"])).await;
    let mut other = Broker::new("o", 0, "10.0.0.2:10911", &["T", "U"]);
    other.header.cluster_name = "d".to_owned();
    harness.register(&other).await;

    let queues = |broker_name: &str| QueueData {
        broker_name: broker_name.to_owned(),
        perm: 6,
        read_queue_nums: 2,
        topic_sys_flag: 0,
        write_queue_nums: 2,
    };
    let header = RegisterTopicRequestHeader { topic: "New".to_owned() };
    for (queue_datas, known) in
        [(vec![], false), (vec![queues("b"), queues("unknown")], false), (vec![queues("b")], true)]
    {
        let body = TopicRouteData { queue_datas, ..Default::default() }.encode();
        assert_eq!(harness.call(Code::RegisterTopicInNamesrv, &header, &[], &body).await.code(), 0);
        assert_eq!(harness.route("New").await.is_some(), known);
    }

    let delete = |topic: &str, cluster: Option<&str>| DeleteTopicFromNamesrvRequestHeader {
        topic: topic.to_owned(),
        cluster_name: cluster.map(str::to_owned),
    };
    let header = delete("T", Some("d"));
    assert_eq!(harness.call(Code::DeleteTopicInNamesrv, &header, &[], &[]).await.code(), 0);
    let route = harness.route("T").await.unwrap();
    assert_eq!((route.queue_datas.len(), route.broker_datas.len()), (1, 1));
    harness.call(Code::DeleteTopicInNamesrv, &delete("T", Some("x")), &[], &[]).await;
    assert!(harness.route("T").await.is_some());
    harness.call(Code::DeleteTopicInNamesrv, &delete("U", None), &[], &[]).await;
    assert_eq!(harness.route("U").await, None);
    harness.call(Code::DeleteTopicInNamesrv, &delete("T", Some("c")), &[], &[]).await;
    assert_eq!(harness.route("T").await, None);
    harness.stop().await;
}

#[tokio::test]
async fn settings_change_only_where_that_is_safe() {
    let harness = Harness::start_with(|config| config.config_black_list = "enableTopicList".into());
    let fixed = "Can not update config in black list.";
    for key in
        ["configStorePath", "kvConfigPath", "rocketmqHome", "configBlackList", "enableTopicList"]
    {
        let refused = update(&harness, &format!("orderMessageEnable=true\n{key}=/x")).await;
        assert_eq!(refused, (16, fixed.to_owned()), "{key}");
    }
    let file = harness.directory.path().join("namesrv.conf");
    let before = std::fs::read_to_string(&file).unwrap();
    for (text, code, reason) in [
        ("listenPort=1", 16, fixed),
        ("needWaitForService=true\nserverSocketBacklog=1", 1, "serverSocketBacklog changes only"),
        ("needWaitForService=true\na=\\u12", 1, "string2Properties error"),
        ("needWaitForService=true\nnoSuchKey=1", 1, "unknown key noSuchKey"),
        ("needWaitForService=true\nwaitSecondsForService=x", 1, "must be of type int"),
        ("needWaitForService=true\nwaitSecondsForService=-1", 1, "must be from 0 to 86400"),
        ("enableControllerInNamesrv=true", 1, "the controller is not here"),
    ] {
        let (refused, remark) = update(&harness, text).await;
        assert!(refused == code && remark.contains(reason), "{text}: {refused} {remark}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), before, "{text}");
    }
    assert_eq!(before, "# settings\nlistenPort=0\n");
    assert_eq!(update(&harness, "").await.0, 0);
    // Without effect, and kept as Java keeps it.
    assert_eq!(update(&harness, "orderMessageEnable=true\nclusterTest=true").await.0, 0);
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text, format!("{before}orderMessageEnable=true\nclusterTest=true\n"));
    let former = harness.directory.path().join("namesrv.conf.bak");
    assert_eq!(std::fs::read_to_string(former).unwrap(), before);
    let settings = harness.ask(Code::GetNamesrvConfig, &NoHeader).await;
    assert!(settings.contains("orderMessageEnable=true\n"), "{settings}");
    assert!(settings.contains("clusterTest=true\n"), "{settings}");
    assert!(settings.contains("needWaitForService=false\n"), "{settings}");
    assert!(settings.contains("waitSecondsForService=45\n"), "{settings}");
    harness.stop().await;
}

#[tokio::test]
async fn settings_that_the_file_no_longer_has_are_as_without_it() {
    let harness = Harness::start();
    let file = harness.directory.path().join("namesrv.conf");
    let without = std::fs::read_to_string(&file).unwrap();
    let shows =
        async |text: &str| harness.ask(Code::GetNamesrvConfig, &NoHeader).await.contains(text);
    let own = "waitSecondsForService=7\nclusterTest=true\n";
    std::fs::write(&file, format!("{without}{own}")).unwrap();
    harness.name_server.reload();
    assert!(shows("waitSecondsForService=7\n").await && shows("clusterTest=true\n").await);
    // What a request wrote into the file can be taken out of it, too.
    assert_eq!(update(&harness, "orderMessageEnable=true").await.0, 0);
    std::fs::write(&file, format!("{own}serverSocketBacklog=1\nwaitSecondsForService=-1\n"))
        .unwrap();
    harness.name_server.reload();
    assert!(shows("orderMessageEnable=true\n").await, "a bad value changes nothing");
    std::fs::write(&file, &without).unwrap();
    harness.name_server.reload();
    for text in ["waitSecondsForService=45\n", "clusterTest=false\n", "orderMessageEnable=false\n"]
    {
        assert!(shows(text).await, "{text}");
    }
    harness.stop().await;
}

#[tokio::test]
async fn requests_of_other_servers_are_not_supported() {
    let harness = Harness::start();
    for code in [10, 11, 34, 9_999] {
        let frame = exchange(harness.address, code, 479, &[], &[]).await;
        assert_eq!(refusal(&frame), (3, format!(" request type {code} not supported")));
    }
    harness.stop().await;
}

#[tokio::test]
async fn many_topics_are_registered_at_once() {
    let harness = Harness::start();
    let mut broker = Broker::new("b", 0, ADDR, &[]);
    broker.topics = (0..5_000).map(|n| TopicConfig::new(&format!("topic-{n}"), 8, 6)).collect();
    assert_eq!(harness.register(&broker).await.code(), 0);
    assert!(harness.route("topic-4999").await.is_some());
    harness.stop().await;
}
