//! Request 28: every key that tools read, with values that make sense.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod common;

use common::{Bench, code, from};
use remoting::protocol::body::{Body, KVTable};
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::header::NoHeader;

/// The keys of Java's broker with the default settings.
const KEYS: [&str; 60] = [
    "EndTransactionQueueSize",
    "EndTransactionThreadPoolQueueCapacity",
    "ackThreadPoolQueueCapacity",
    "ackThreadPoolQueueHeadWaitTimeMills",
    "ackThreadPoolQueueSize",
    "bootTimestamp",
    "brokerActive",
    "brokerVersion",
    "brokerVersionDesc",
    "commitLogDirCapacity",
    "commitLogDiskRatio",
    "commitLogMaxOffset",
    "commitLogMinOffset",
    "consumeQueueDiskRatio",
    "dispatchBehindBytes",
    "dispatchMaxBuffer",
    "earliestMessageTimeStamp",
    "getFoundTps",
    "getMessageEntireTimeMax",
    "getMissTps",
    "getTotalTps",
    "getTransferedTps",
    "getTransferredTps",
    "litePullThreadPoolQueueCapacity",
    "litePullThreadPoolQueueHeadWaitTimeMills",
    "litePullThreadPoolQueueSize",
    "msgGetTotalTodayMorning",
    "msgGetTotalTodayNow",
    "msgGetTotalYesterdayMorning",
    "msgPutTotalTodayMorning",
    "msgPutTotalTodayNow",
    "msgPutTotalYesterdayMorning",
    "pageCacheLockTimeMills",
    "pullThreadPoolQueueCapacity",
    "pullThreadPoolQueueHeadWaitTimeMills",
    "pullThreadPoolQueueSize",
    "putLatency99",
    "putLatency999",
    "putMessageAverageSize",
    "putMessageDistributeTime",
    "putMessageEntireTimeMax",
    "putMessageFailedTimes",
    "putMessageSizeTotal",
    "putMessageTimesTotal",
    "putTps",
    "queryThreadPoolQueueCapacity",
    "queryThreadPoolQueueHeadWaitTimeMills",
    "queryThreadPoolQueueSize",
    "remainHowManyDataToFlush",
    "remainTransientStoreBufferNumbs",
    "runtime",
    "sendThreadPoolQueueCapacity",
    "sendThreadPoolQueueHeadWaitTimeMills",
    "sendThreadPoolQueueSize",
    "startAcceptSendRequestTimeStamp",
    "timerCongestNum",
    "timerDequeueTps",
    "timerEnqueueTps",
    "timerOffsetBehind",
    "timerReadBehind",
];

#[tokio::test]
async fn every_key_is_there() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::start(root.path()).await;
    bench.put("T", 0, "", b"1234").await;
    assert_eq!(code(&bench.pull(from("T", 0)).await), ResponseCode::Success);
    let answer = bench.call(RequestCode::GetBrokerRuntimeInfo, &NoHeader, &[]).await;
    assert_eq!(code(&answer), ResponseCode::Success);
    let table = KVTable::decode(answer.body()).unwrap().table;
    for key in KEYS {
        assert!(table.contains_key(key), "{key}");
    }
    let value = |key: &str| table[key].as_str();
    assert_eq!(value("brokerVersionDesc"), "V5_3_3");
    assert_eq!(value("brokerActive"), "true");
    assert_eq!(value("putMessageTimesTotal"), "1");
    assert_eq!(value("putMessageSizeTotal"), value("commitLogMaxOffset"), "the only record");
    assert_eq!(value("putMessageAverageSize"), format!("{}.0", value("putMessageSizeTotal")));
    assert_eq!(value("msgPutTotalTodayNow"), "1");
    assert_eq!(value("msgGetTotalTodayNow"), "1");
    assert_eq!(value("commitLogMinOffset"), "0");
    assert!(value("commitLogMaxOffset").parse::<i64>().unwrap() > 0);
    assert!(value("runtime").starts_with("[ 0 days, 0 hours, 0 minutes, "));
    assert!(value("remainHowManyDataToFlush").ends_with(" B"));
    bench.stop().await;
}
