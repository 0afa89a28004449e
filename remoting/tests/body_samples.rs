//! Every sample of a body that Java wrote is read and written again to an equal value.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use remoting::protocol::body::*;
use remoting::protocol::lenient_json::to_standard;
use serde_json::Value;

const SAMPLES: &str = include_str!("../../compat-tests/facts/body-samples.tsv");

/// Reads a sample as a body, and what the body writes as JSON.
fn rewritten<B: Body>(sample: &str) -> Value {
    let body = B::decode(sample.as_bytes()).unwrap_or_else(|error| panic!("{error}: {sample}"));
    for dialect in [Dialect::Standard, Dialect::BareNumbers, Dialect::BareBeans] {
        let encoded = body.encode_as(dialect);
        assert_eq!(B::decode(&encoded).unwrap().encode(), body.encode(), "{sample}");
    }
    value(&body.encode())
}

fn value(json: &[u8]) -> Value {
    serde_json::from_slice(&to_standard(json)).unwrap()
}

/// What a rewritten sample may have more than the original: nothing, or members of later
/// versions, and empty collections where a fresh Java instance has nulls.
fn assert_contains(ours: &Value, java: &Value, exact: bool, class: &str) {
    match (ours, java) {
        (Value::Object(ours), Value::Object(java)) => {
            for (name, java) in java {
                let ours = ours.get(name).unwrap_or_else(|| panic!("{class} lost {name}"));
                assert_contains(ours, java, exact, class);
            }
            for (name, ours) in ours.iter().filter(|(name, _)| !java.contains_key(*name)) {
                let empty = *ours == serde_json::json!([]) || *ours == serde_json::json!({});
                assert!(!exact || empty, "{class} has {name} = {ours}");
            }
        }
        (Value::Array(ours), Value::Array(java)) => {
            assert_eq!(ours.len(), java.len(), "{class}");
            for (ours, java) in ours.iter().zip(java) {
                assert_contains(ours, java, exact, class);
            }
        }
        _ => assert_eq!(ours, java, "{class}"),
    }
}

fn check<B: Body>(class: &str) {
    let mut samples = 0;
    for line in SAMPLES.lines().skip(1) {
        let cells: Vec<_> = line.split('\t').collect();
        if cells[0] != class {
            continue;
        }
        let newest = cells[1].ends_with("5.5.0");
        for sample in cells[2..4].iter().filter(|sample| **sample != "-") {
            let java = without_derived(value(sample.as_bytes()));
            assert_contains(&rewritten::<B>(sample), &java, newest, class);
            samples += 1;
        }
    }
    assert!(samples > 0, "no sample of {class}");
}

/// Removes the members that Java writes but never reads, and we do not write.
fn without_derived(mut json: Value) -> Value {
    match &mut json {
        Value::Object(members) => {
            members.retain(|name, _| !name.ends_with("TimeStampStr"));
            members.values_mut().for_each(|value| *value = without_derived(value.take()));
        }
        Value::Array(items) => {
            items.iter_mut().for_each(|value| *value = without_derived(value.take()));
        }
        _ => {}
    }
    json
}

macro_rules! samples {
    ($($test:ident: $($class:literal $body:ty,)*;)*) => {$(
        #[test]
        fn $test() {
            $(check::<$body>($class);)*
        }
    )*};
}

samples! {
    clients:
        "body.CheckClientRequestBody" CheckClientRequestBody,
        "body.Connection" Connection,
        "body.ConsumeMessageDirectlyResult" ConsumeMessageDirectlyResult,
        "body.ConsumerConnection" ConsumerConnection,
        "body.ProducerConnection" ProducerConnection,
        "body.ProducerInfo" ProducerInfo,
        "body.ProducerTableInfo" ProducerTableInfo,
        "body.QuerySubscriptionResponseBody" QuerySubscriptionResponseBody,
        "header.GetConsumerListByGroupResponseBody" GetConsumerListByGroupResponseBody,
        "heartbeat.ConsumerData" ConsumerData,
        "heartbeat.HeartbeatData" HeartbeatData,
        "heartbeat.ProducerData" ProducerData,
        "heartbeat.SubscriptionData" SubscriptionData,
    ;
    queues_of_clients:
        "body.BatchAck" BatchAck,
        "body.BatchAckMessageRequestBody" BatchAckMessageRequestBody,
        "body.LockBatchRequestBody" LockBatchRequestBody,
        "body.LockBatchResponseBody" LockBatchResponseBody,
        "body.UnlockBatchRequestBody" UnlockBatchRequestBody,
        "body.MessageRequestModeSerializeWrapper" MessageRequestModeSerializeWrapper,
        "body.QueryAssignmentRequestBody" QueryAssignmentRequestBody,
        "body.QueryAssignmentResponseBody" QueryAssignmentResponseBody,
        "body.SetMessageRequestModeRequestBody" SetMessageRequestModeRequestBody,
        "message.MessageQueue" MessageQueue,
        "message.MessageQueueAssignment" MessageQueueAssignment,
    ;
    topics:
        "DataVersion" DataVersion,
        "TopicConfig" TopicConfig,
        "body.CreateTopicListRequestBody" CreateTopicListRequestBody,
        "body.GroupList" GroupList,
        "body.KVTable" KVTable,
        "body.TopicConfigAndMappingSerializeWrapper" TopicConfigAndMappingSerializeWrapper,
        "body.TopicConfigSerializeWrapper" TopicConfigSerializeWrapper,
        "body.TopicList" TopicList,
        "statictopic.LogicQueueMappingItem" LogicQueueMappingItem,
        "statictopic.TopicConfigAndQueueMapping" TopicConfigAndQueueMapping,
        "statictopic.TopicQueueMappingDetail" TopicQueueMappingDetail,
        "statictopic.TopicQueueMappingInfo" TopicQueueMappingInfo,
    ;
    groups:
        "body.SubscriptionGroupList" SubscriptionGroupList,
        "body.SubscriptionGroupWrapper" SubscriptionGroupWrapper,
        "subscription.CustomizedRetryPolicy" CustomizedRetryPolicy,
        "subscription.ExponentialRetryPolicy" ExponentialRetryPolicy,
        "subscription.GroupForbidden" GroupForbidden,
        "subscription.GroupRetryPolicy" GroupRetryPolicy,
        "subscription.SimpleSubscriptionData" SimpleSubscriptionData,
        "subscription.SubscriptionGroupConfig" SubscriptionGroupConfig,
    ;
    offsets:
        "admin.ConsumeStats" ConsumeStats,
        "admin.OffsetWrapper" OffsetWrapper,
        "admin.TopicOffset" TopicOffset,
        "admin.TopicStatsTable" TopicStatsTable,
        "body.ConsumeStatsList" ConsumeStatsList,
        "body.ConsumerOffsetSerializeWrapper" ConsumerOffsetSerializeWrapper,
        "body.GetConsumerStatusBody" GetConsumerStatusBody,
        "body.QueryConsumeTimeSpanBody" QueryConsumeTimeSpanBody,
        "body.QueryCorrectionOffsetBody" QueryCorrectionOffsetBody,
        "body.QueueTimeSpan" QueueTimeSpan,
        "body.ResetOffsetBody" ResetOffsetBody,
        "body.ResetOffsetBodyForC" ResetOffsetBodyForC,
        "broker.schedule.DelayOffsetSerializeWrapper" DelayOffsetSerializeWrapper,
        "message.MessageQueueForC" MessageQueueForC,
    ;
    figures:
        "body.BrokerStatsData" BrokerStatsData,
        "body.BrokerStatsItem" BrokerStatsItem,
        "body.HARuntimeInfo" HARuntimeInfo,
        "body.HARuntimeInfo.HAClientRuntimeInfo" HAClientRuntimeInfo,
        "body.HARuntimeInfo.HAConnectionRuntimeInfo" HAConnectionRuntimeInfo,
        "body.ConsumeQueueData" ConsumeQueueData,
        "body.ConsumeStatus" ConsumeStatus,
        "body.ConsumerRunningInfo" ConsumerRunningInfo,
        "body.PopProcessQueueInfo" PopProcessQueueInfo,
        "body.ProcessQueueInfo" ProcessQueueInfo,
        "body.QueryConsumeQueueResponseBody" QueryConsumeQueueResponseBody,
    ;
    routes:
        "body.BrokerMemberGroup" BrokerMemberGroup,
        "body.ClusterInfo" ClusterInfo,
        "body.GetBrokerMemberGroupResponseBody" GetBrokerMemberGroupResponseBody,
        "body.RegisterBrokerBody" RegisterBrokerBody,
        "namesrv.kvconfig.KVConfigSerializeWrapper" KVConfigSerializeWrapper,
        "route.BrokerData" BrokerData,
        "route.QueueData" QueueData,
        "route.TopicRouteData" TopicRouteData,
    ;
}

/// Samples with one entry per collection are written byte for byte, as the order of members is
/// Java's too.
#[test]
fn bodies_without_standard_form_are_written_byte_for_byte() {
    fn same<B: Body>(class: &str) {
        let newest = |cells: &Vec<&str>| cells[0] == class && cells[1].ends_with("5.5.0");
        let rows = SAMPLES.lines().map(|line| line.split('\t').collect::<Vec<_>>()).filter(newest);
        let samples: Vec<_> = rows.map(|cells| cells[3]).collect();
        assert_eq!(samples.len(), 1, "{class}");
        let encoded = B::decode(samples[0].as_bytes()).unwrap().encode();
        assert_eq!(std::str::from_utf8(&encoded).unwrap(), samples[0]);
    }
    same::<TopicStatsTable>("admin.TopicStatsTable");
    same::<ConsumeStats>("admin.ConsumeStats");
    same::<ConsumeStatsList>("body.ConsumeStatsList");
    same::<ResetOffsetBody>("body.ResetOffsetBody");
    same::<GetConsumerStatusBody>("body.GetConsumerStatusBody");
    same::<ConsumerRunningInfo>("body.ConsumerRunningInfo");
    same::<QueryCorrectionOffsetBody>("body.QueryCorrectionOffsetBody");
    same::<ConsumerOffsetSerializeWrapper>("body.ConsumerOffsetSerializeWrapper");
    same::<ClusterInfo>("body.ClusterInfo");
    same::<TopicRouteData>("route.TopicRouteData");
    same::<RegisterBrokerBody>("body.RegisterBrokerBody");
    same::<TopicConfig>("TopicConfig");
    same::<SubscriptionGroupConfig>("subscription.SubscriptionGroupConfig");
    same::<HeartbeatData>("heartbeat.HeartbeatData");
    same::<LockBatchRequestBody>("body.LockBatchRequestBody");
    same::<ConsumerConnection>("body.ConsumerConnection");
}

proptest! {
    #[test]
    fn damaged_bodies_are_refused_or_read(row in 1usize..140, at in 0usize..2_000, byte: u8) {
        let line = SAMPLES.lines().nth(row).unwrap();
        let mut json = line.split('\t').nth(3).unwrap().as_bytes().to_vec();
        let at = at % json.len();
        json[at] = byte;
        for json in [&json[..], &json[..at]] {
            let _ = HeartbeatData::decode(json);
            let _ = TopicRouteData::decode(json);
            let _ = ConsumerRunningInfo::decode(json);
            let _ = SubscriptionGroupWrapper::decode(json);
            let _ = GetConsumerStatusBody::decode(json);
            let _ = RegisterBrokerBody::read(json, false, 479);
        }
    }

    #[test]
    fn any_bytes_are_no_registration(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        prop_assert!(RegisterBrokerBody::read(&bytes, true, 479).is_err());
        prop_assert!(RegisterBrokerBody::read(&bytes, false, 479).is_err());
    }
}

#[test]
fn nesting_without_end_is_refused() {
    for open in ["[", "{\"a\":", "{{\"a\":1}:", "{{"] {
        assert!(HeartbeatData::decode(open.repeat(100_000).as_bytes()).is_err(), "{open}");
    }
}

#[test]
fn a_go_heartbeat_is_read() {
    let json = br#"{"clientID":"10.0.0.1@7","producerDataSet":[{"groupName":"pg"}],
        "consumerDataSet":[{"groupName":"cg","consumeType":"CONSUME_PASSIVELY",
        "messageModel":"Clustering","consumeFromWhere":"UNKNOWN","subscriptionDataSet":[
        {"ClassFilterMode":false,"topic":"T","subString":"a","tagsSet":["a"],"codeSet":["97"],
        "subVersion":1700000000000000000,"expressionType":"TAG"}],"unitMode":false}],"x":null}"#;
    let heartbeat = HeartbeatData::decode(json).unwrap();
    let consumer = &heartbeat.consumer_data_set[0];
    assert_eq!(consumer.consume_type, Some(ConsumeType::Passively));
    assert_eq!((consumer.message_model, consumer.consume_from_where), (None, None));
    let subscription = &consumer.subscription_data_set[0];
    assert_eq!(subscription.code_set, [97]);
    assert_eq!(subscription.sub_version, 1_700_000_000_000_000_000);
}

#[test]
fn an_attributes_map_written_as_a_path_counts_as_empty() {
    let json = br#"{"dataVersion":{"counter":1},"topicConfigTable":{"A":{"topicName":"A",
        "attributes":{"k":"v"}},"B":{"topicName":"B","attributes":{"$ref":"$.x"}}}}"#;
    let topics = TopicConfigSerializeWrapper::decode(json).unwrap().topic_config_table;
    assert_eq!(topics["A"].attributes.len(), 1);
    assert!(topics["B"].attributes.is_empty());
}
