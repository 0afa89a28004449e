//! Any bytes as each JSON body that a server reads.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remoting::protocol::body::{
    Body, CheckClientRequestBody, CreateTopicListRequestBody, DataVersion, LockBatchRequestBody,
    ResetOffsetBody, SubscriptionGroupConfig, SubscriptionGroupList, TopicRouteData,
    UnlockBatchRequestBody,
};

/// What is read can be written in the body's dialect and read again; what cannot be kept, as a
/// constant of no meaning, is lost in the first writing only.
fn check<B: Body + PartialEq + std::fmt::Debug>(data: &[u8]) {
    if let Ok(body) = B::decode(data) {
        let kept = B::decode(&body.encode()).expect("what was written");
        assert_eq!(B::decode(&kept.encode()).ok(), Some(kept));
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else { return };
    match kind % 9 {
        0 => check::<CheckClientRequestBody>(data),
        1 => check::<CreateTopicListRequestBody>(data),
        2 => check::<DataVersion>(data),
        3 => check::<LockBatchRequestBody>(data),
        4 => check::<ResetOffsetBody>(data),
        5 => check::<SubscriptionGroupConfig>(data),
        6 => check::<SubscriptionGroupList>(data),
        7 => check::<TopicRouteData>(data),
        _ => check::<UnlockBatchRequestBody>(data),
    }
});
