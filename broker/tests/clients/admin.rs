//! Topics, groups, statistics and connections as administrators see them.

use std::collections::BTreeMap;

use remoting::protocol::body::{
    Body, ConsumeStats, ConsumeStatsList, ConsumerConnection, CreateTopicListRequestBody,
    GroupForbidden, GroupList, ProducerConnection, ProducerTableInfo, QueryConsumeTimeSpanBody,
    QuerySubscriptionResponseBody, SubscriptionGroupConfig, SubscriptionGroupList,
    SubscriptionGroupWrapper, TopicConfig, TopicConfigSerializeWrapper, TopicList, TopicStatsTable,
};
use remoting::protocol::code::{LanguageCode, RequestCode, ResponseCode};
use remoting::protocol::header::{
    CloneGroupOffsetRequestHeader, ConsumeMessageDirectlyResultRequestHeader,
    CreateTopicRequestHeader, DeleteSubscriptionGroupRequestHeader, DeleteTopicRequestHeader,
    GetAllTopicConfigRequestHeader, GetConsumeStatsInBrokerHeader, GetConsumeStatsRequestHeader,
    GetConsumerConnectionListRequestHeader, GetConsumerRunningInfoRequestHeader,
    GetProducerConnectionListRequestHeader, GetSubscriptionGroupConfigRequestHeader,
    GetTopicConfigRequestHeader, GetTopicStatsInfoRequestHeader, NoHeader,
    QueryConsumeTimeSpanRequestHeader, QuerySubscriptionByConsumerRequestHeader,
    QueryTopicConsumeByWhoRequestHeader, QueryTopicsByConsumerRequestHeader,
    UpdateConsumerOffsetRequestHeader, UpdateGroupForbiddenRequestHeader,
};

use remoting::protocol::message::id::OffsetMessageId;
use remoting::protocol::message::record::Record;

use crate::kit::{Kit, Message, TestClient, consumer, producer};

fn create(topic: &str, attributes: &str) -> CreateTopicRequestHeader {
    CreateTopicRequestHeader {
        topic: topic.to_owned(),
        default_topic: "TBW102".to_owned(),
        read_queue_nums: 4,
        write_queue_nums: 4,
        perm: 6,
        topic_filter_type: "SINGLE_TAG".to_owned(),
        topic_sys_flag: None,
        order: false,
        attributes: (!attributes.is_empty()).then(|| attributes.to_owned()),
        force: false,
    }
}

async fn config_of(client: &TestClient, topic: &str) -> TopicConfig {
    let header = GetTopicConfigRequestHeader { topic: topic.to_owned() };
    let answer = client.ok(RequestCode::GetTopicConfig, &header, &[]).await;
    TopicConfig::decode(answer.body()).unwrap()
}

async fn commit(client: &TestClient, group: &str, topic: &str, offset: i64) {
    let header = UpdateConsumerOffsetRequestHeader {
        consumer_group: group,
        topic,
        queue_id: Some(0),
        commit_offset: Some(offset),
    };
    client.ok(RequestCode::UpdateConsumerOffset, &header, &[]).await;
}

async fn groups_of(client: &TestClient, topic: &str) -> Vec<String> {
    let header = QueryTopicConsumeByWhoRequestHeader { topic: topic.to_owned() };
    let answer = client.ok(RequestCode::QueryTopicConsumeByWho, &header, &[]).await;
    GroupList::decode(answer.body()).unwrap().group_list
}

#[tokio::test]
async fn topics_are_made_changed_listed_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let a = kit.client();
    let code = RequestCode::UpdateAndCreateTopic;
    let answer = a.ok(code, &create("T", "+message.type=FIFO"), &[]).await;
    assert_eq!(answer.remark(), Some("not set any response code"));
    let config = config_of(&a, "T").await;
    assert_eq!((config.read_queue_nums, config.perm), (4, 6));
    assert_eq!(config.attributes, BTreeMap::from([("message.type".into(), "FIFO".into())]));
    a.ok(code, &create("T", "-message.type"), &[]).await;
    assert!(config_of(&a, "T").await.attributes.is_empty());

    let all = async |header: &GetAllTopicConfigRequestHeader| {
        let answer = a.ok(RequestCode::GetAllTopicConfig, header, &[]).await;
        let total: usize = answer.field("totalTopicNum").unwrap().parse().unwrap();
        (total, TopicConfigSerializeWrapper::decode(answer.body()).unwrap())
    };
    let (total, topics) = all(&GetAllTopicConfigRequestHeader::default()).await;
    assert_eq!(topics.topic_config_table.len(), total);
    assert!(topics.topic_config_table.contains_key("T"));
    let page = GetAllTopicConfigRequestHeader {
        topic_seq: Some(0),
        data_version: None,
        max_topic_num: Some(3),
    };
    assert_eq!(all(&page).await.1.topic_config_table.len(), 3);

    a.send("T", 0, "x", "").await;
    a.heartbeat(&consumer("a", "g", &["T"])).await;
    commit(&a, "g", "T", 1).await;
    let delete = DeleteTopicRequestHeader { topic: "T".to_owned() };
    a.ok(RequestCode::DeleteTopicInBroker, &delete, &[]).await;
    a.ok(RequestCode::DeleteTopicInBroker, &delete, &[]).await;
    let header = GetTopicConfigRequestHeader { topic: "T".to_owned() };
    a.refused(ResponseCode::TopicNotExist, RequestCode::GetTopicConfig, &header, &[]).await;
    assert_eq!(groups_of(&a, "T").await, ["T"], "no offsets left, but the name that was seen");
    // The name can be used again, from the start.
    assert_eq!(a.send("T", 0, "y", "").await, 0);
    kit.stop().await;
}

#[tokio::test]
async fn topics_that_cannot_be_are_refused() {
    use ResponseCode as Code;
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let a = kit.client();
    let code = RequestCode::UpdateAndCreateTopic;
    for name in ["", "../x", "TBW102", "rmq_sys_x", "DefaultCluster", &"x".repeat(128)] {
        a.refused(Code::InvalidParameter, code, &create(name, ""), &[]).await;
    }
    let mixed = create("T", "+message.type=MIXED");
    a.refused(Code::InvalidParameter, code, &mixed, &[]).await;
    a.refused(Code::SystemError, code, &create("T", "+colour=red"), &[]).await;
    let filter =
        CreateTopicRequestHeader { topic_filter_type: "ANY".to_owned(), ..create("T", "") };
    a.refused(Code::SystemError, code, &filter, &[]).await;
    for name in [" ", "TBW102"] {
        let delete = DeleteTopicRequestHeader { topic: name.to_owned() };
        a.refused(Code::InvalidParameter, RequestCode::DeleteTopicInBroker, &delete, &[]).await;
    }
    kit.stop().await;
}

#[tokio::test]
async fn a_list_of_topics_is_made_at_once_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let a = kit.client();
    let list = |names: &[&str]| {
        let topics = names.iter().map(|name| TopicConfig::new(name, 3, 6)).collect();
        CreateTopicListRequestBody { topic_config_list: topics }.encode()
    };
    let code = RequestCode::UpdateAndCreateTopicList;
    a.ok(code, &NoHeader, &list(&["T", "U"])).await;
    assert_eq!(config_of(&a, "U").await.read_queue_nums, 3);
    // One that is already so: success, nothing done.
    a.ok(code, &NoHeader, &list(&["V", "T"])).await;
    let header = GetTopicConfigRequestHeader { topic: "V".to_owned() };
    a.refused(ResponseCode::TopicNotExist, RequestCode::GetTopicConfig, &header, &[]).await;
    a.refused(ResponseCode::InvalidParameter, code, &NoHeader, &list(&["V", "TBW102"])).await;
    let answer = a.ok(RequestCode::GetSystemTopicListFromBroker, &NoHeader, &[]).await;
    let system = TopicList::decode(answer.body()).unwrap().topic_list;
    assert!(system.contains(&"TBW102".to_owned()) && system.contains(&"b".to_owned()));
    kit.stop().await;
}

#[tokio::test]
async fn groups_are_made_changed_listed_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let a = kit.client();
    let config =
        SubscriptionGroupConfig { retry_max_times: 3, ..SubscriptionGroupConfig::new("g") };
    a.ok(RequestCode::UpdateAndCreateSubscriptiongroup, &NoHeader, &config.encode()).await;
    let list = SubscriptionGroupList {
        group_config_list: vec![
            SubscriptionGroupConfig::new("h"),
            SubscriptionGroupConfig::new("i"),
        ],
    };
    a.ok(RequestCode::UpdateAndCreateSubscriptiongroupList, &NoHeader, &list.encode()).await;
    let half = SubscriptionGroupList {
        group_config_list: vec![
            SubscriptionGroupConfig::new("j"),
            SubscriptionGroupConfig::new(" "),
        ],
    };
    let code = RequestCode::UpdateAndCreateSubscriptiongroupList;
    a.refused(ResponseCode::InvalidParameter, code, &NoHeader, &half.encode()).await;
    let ask = |group: &str| GetSubscriptionGroupConfigRequestHeader { group: group.to_owned() };
    let get = RequestCode::GetSubscriptiongroupConfig;
    let answer = a.ok(get, &ask("g"), &[]).await;
    assert_eq!(SubscriptionGroupConfig::decode(answer.body()).unwrap(), config);
    // Asking makes a group, unless its name is illegal.
    a.ok(get, &ask("asked"), &[]).await;
    a.refused(ResponseCode::SubscriptionGroupNotExist, get, &ask("no name"), &[]).await;
    let all = async || {
        let answer = a.ok(RequestCode::GetAllSubscriptiongroupConfig, &NoHeader, &[]).await;
        SubscriptionGroupWrapper::decode(answer.body()).unwrap()
    };
    let groups = all().await.subscription_group_table;
    for name in ["g", "h", "i", "asked", "TOOLS_CONSUMER"] {
        assert!(groups.contains_key(name), "{name}");
    }
    for name in ["j", " "] {
        assert!(!groups.contains_key(name), "{name}");
    }

    let ban = |readable| UpdateGroupForbiddenRequestHeader {
        group: "g".to_owned(),
        topic: "T".to_owned(),
        readable,
    };
    let forbidden = RequestCode::UpdateAndGetGroupForbidden;
    for (asked, holds) in [(None, true), (Some(false), false), (None, false), (Some(true), true)] {
        let answer = a.ok(forbidden, &ban(asked), &[]).await;
        let body = GroupForbidden::decode(answer.body()).unwrap();
        assert_eq!(body.readable, Some(holds), "{asked:?}");
    }

    a.send("T", 0, "x", "").await;
    commit(&a, "g", "T", 1).await;
    let delete = |clean_offset| DeleteSubscriptionGroupRequestHeader {
        group_name: "g".to_owned(),
        clean_offset,
    };
    a.ok(RequestCode::DeleteSubscriptiongroup, &delete(false), &[]).await;
    assert!(!all().await.subscription_group_table.contains_key("g"));
    assert_eq!(groups_of(&a, "T").await, ["g"]);
    a.ok(RequestCode::DeleteSubscriptiongroup, &delete(true), &[]).await;
    assert!(groups_of(&a, "T").await.is_empty());
    kit.stop().await;
}

#[tokio::test]
async fn statistics_show_how_far_a_group_is() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let a = kit.client();
    for body in ["0", "1", "2"] {
        a.send("T", 0, body, "").await;
    }
    let stored = a.pull_all("T", 0, 3).await;
    a.heartbeat(&consumer("a", "g", &["T"])).await;
    commit(&a, "g", "T", 2).await;

    let header = GetTopicStatsInfoRequestHeader { topic: "T".to_owned() };
    let answer = a.ok(RequestCode::GetTopicStatsInfo, &header, &[]).await;
    let topic = TopicStatsTable::decode(answer.body()).unwrap().offset_table;
    assert_eq!(topic.len(), 4);
    let (queue, first) = topic.first_key_value().unwrap();
    assert_eq!((queue.topic.as_str(), queue.broker_name.as_str(), queue.queue_id), ("T", "b", 0));
    assert_eq!((first.min_offset, first.max_offset), (0, 3));
    assert_eq!(first.last_update_timestamp, stored[2].store_timestamp);
    let header = GetTopicStatsInfoRequestHeader { topic: "U".to_owned() };
    a.refused(ResponseCode::TopicNotExist, RequestCode::GetTopicStatsInfo, &header, &[]).await;

    let stats = async |topic: Option<&str>, list: Option<&str>| {
        let header = GetConsumeStatsRequestHeader {
            consumer_group: "g".to_owned(),
            topic: topic.map(str::to_owned),
            topic_list: list.map(str::to_owned),
        };
        let answer = a.ok(RequestCode::GetConsumeStats, &header, &[]).await;
        ConsumeStats::decode(answer.body()).unwrap().offset_table
    };
    let table = stats(None, None).await;
    assert_eq!(table.len(), 4);
    let first = &table[queue];
    assert_eq!((first.broker_offset, first.consumer_offset, first.pull_offset), (3, 2, 2));
    assert_eq!(first.last_timestamp, stored[1].store_timestamp);
    a.send("U", 0, "x", "").await;
    assert!(stats(Some("U"), None).await.is_empty(), "not subscribed");
    assert_eq!(stats(Some("T"), Some("U")).await.len(), 4, "the list is not checked");

    let all = GetConsumeStatsInBrokerHeader { is_order: false };
    let answer = a.ok(RequestCode::GetBrokerConsumeStats, &all, &[]).await;
    let all = ConsumeStatsList::decode(answer.body()).unwrap();
    assert_eq!(all.total_diff, 1);
    let of_group = all.consume_stats_list.iter().find_map(|groups| groups.get("g")).unwrap();
    assert_eq!(of_group[0].offset_table[queue].consumer_offset, 2);

    let header = QueryConsumeTimeSpanRequestHeader { topic: "T".to_owned(), group: "g".to_owned() };
    let answer = a.ok(RequestCode::QueryConsumeTimeSpan, &header, &[]).await;
    let span = &QueryConsumeTimeSpanBody::decode(answer.body()).unwrap().consume_time_span_set[0];
    assert_eq!(span.min_time_stamp, stored[0].store_timestamp);
    assert_eq!(span.consume_time_stamp, stored[1].store_timestamp);
    assert_eq!(span.max_time_stamp, stored[2].store_timestamp);
    assert!(span.delay_time >= 0);

    let header = QueryTopicsByConsumerRequestHeader { group: "g".to_owned() };
    let answer = a.ok(RequestCode::QueryTopicsByConsumer, &header, &[]).await;
    let topics = TopicList::decode(answer.body()).unwrap();
    assert_eq!(topics.topic_list, ["T"]);
    assert_eq!(topics.broker_addr.as_deref(), Some(kit.address.as_str()));

    let clone = CloneGroupOffsetRequestHeader {
        src_group: "g".to_owned(),
        dest_group: "copy".to_owned(),
        topic: Some("T".to_owned()),
        offline: false,
    };
    a.ok(RequestCode::CloneGroupOffset, &clone, &[]).await;
    assert_eq!(groups_of(&a, "T").await, ["T", "copy", "g"]);
    let answer = a.ok(RequestCode::GetAllConsumerOffset, &NoHeader, &[]).await;
    let text = std::str::from_utf8(answer.body()).unwrap();
    assert!(text.contains(r#""offsetTable":{"T@copy":{0:2},"T@g":{0:2}}"#), "{text}");
    kit.stop().await;
}

#[tokio::test]
async fn connections_are_shown() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let a = kit.client();
    a.heartbeat(&consumer("a", "g", &["T"])).await;
    a.heartbeat(&producer("a", "p")).await;
    let header = GetConsumerConnectionListRequestHeader { consumer_group: "g".to_owned() };
    let code = RequestCode::GetConsumerConnectionList;
    let answer = a.ok(code, &header, &[]).await;
    let body = ConsumerConnection::decode(answer.body()).unwrap();
    assert_eq!(body.connection_set.len(), 1);
    let connection = &body.connection_set[0];
    assert_eq!((connection.client_id.as_str(), connection.version), ("a", 479));
    assert_eq!(connection.language, Some(LanguageCode::Java));
    assert!(connection.client_addr.starts_with("127.0.0.1:"));
    assert!(body.subscription_table.contains_key("T"));
    let header = GetConsumerConnectionListRequestHeader { consumer_group: "h".to_owned() };
    a.refused(ResponseCode::ConsumerNotOnline, code, &header, &[]).await;

    let header = GetProducerConnectionListRequestHeader { producer_group: "p".to_owned() };
    let code = RequestCode::GetProducerConnectionList;
    let answer = a.ok(code, &header, &[]).await;
    assert_eq!(ProducerConnection::decode(answer.body()).unwrap().connection_set.len(), 1);
    let header = GetProducerConnectionListRequestHeader { producer_group: "q".to_owned() };
    a.refused(ResponseCode::SystemError, code, &header, &[]).await;
    let answer = a.ok(RequestCode::GetAllProducerInfo, &NoHeader, &[]).await;
    let all = ProducerTableInfo::decode(answer.body()).unwrap().data;
    assert!(all["p"][0].remote_ip.starts_with("/127.0.0.1:"));

    let ask = |topic: &str| QuerySubscriptionByConsumerRequestHeader {
        group: "g".to_owned(),
        topic: Some(topic.to_owned()),
    };
    for (topic, there) in [("T", true), ("U", false)] {
        let answer = a.ok(RequestCode::QuerySubscriptionByConsumer, &ask(topic), &[]).await;
        let body = QuerySubscriptionResponseBody::decode(answer.body()).unwrap();
        assert_eq!((body.topic.as_str(), body.subscription_data.is_some()), (topic, there));
    }
    kit.stop().await;
}

#[tokio::test]
async fn questions_are_handed_on_to_consumers() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let (a, tool) = (kit.client(), kit.client());
    a.send("T", 0, "x", "").await;
    let message = a.pull_all("T", 0, 1).await.remove(0);
    let ask = |client_id: &str| GetConsumerRunningInfoRequestHeader {
        consumer_group: "g".to_owned(),
        client_id: client_id.to_owned(),
        jstack_enable: true,
    };
    let code = RequestCode::GetConsumerRunningInfo;
    let answer = tool.refused(ResponseCode::SystemError, code, &ask("a"), &[]).await;
    assert_eq!(answer.remark(), Some("The Consumer <g> <a> not online"));
    a.heartbeat(&consumer("a", "g", &["T"])).await;
    let answer = tool.ok(code, &ask("a"), &[]).await;
    assert_eq!(answer.remark(), Some("heard"));
    assert_eq!(answer.field("jstackEnable"), Some("true"));

    let store_host = kit.address.parse().unwrap();
    let id = OffsetMessageId { store_host, physical_offset: message.physical_offset };
    let header = ConsumeMessageDirectlyResultRequestHeader {
        consumer_group: "g".to_owned(),
        client_id: Some("a".to_owned()),
        msg_id: Some(id.to_string()),
        topic: Some("T".to_owned()),
        ..ConsumeMessageDirectlyResultRequestHeader::default()
    };
    let answer = tool.ok(RequestCode::ConsumeMessageDirectly, &header, &[]).await;
    assert_eq!(answer.field("brokerName"), Some("b"));
    assert_eq!(answer.field("groupSysFlag"), Some("0"));
    assert_eq!(Message::of(&Record::decode(answer.body()).unwrap()), message);
    kit.stop().await;
}

#[tokio::test]
async fn clean_up_spares_what_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let kit = Kit::start(dir.path()).await;
    let a = kit.client();
    a.send("T", 0, "x", "").await;
    for code in [
        RequestCode::CleanUnusedTopic,
        RequestCode::CleanExpiredConsumequeue,
        RequestCode::DeleteExpiredCommitlog,
    ] {
        a.ok(code, &NoHeader, &[]).await;
    }
    assert_eq!(a.pull_all("T", 0, 1).await[0].body, "x");
    kit.stop().await;
}
