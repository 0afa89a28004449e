//! What a broker keeps of consumers: the expressions of their subscriptions and the wish to pop.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use remoting::protocol::body::{
    Body, ConsumeFromWhere, ConsumeType, ConsumerData, HeartbeatData, MessageModel,
    MessageRequestMode, MessageRequestModeSerializeWrapper, SetMessageRequestModeRequestBody,
    SubscriptionData,
};
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::NoHeader;
use remoting::protocol::lenient_json::to_standard;
use serde_json::Value;

use super::link::Link;

const TOPIC: &str = "TakeoverPlain";
const GROUP: &str = "takeover-filter";
const EXPRESSION: &str = "a > 5 AND b IS NOT NULL";

/// Subscribes with SQL92.
pub async fn subscribe(link: &Link) -> Result<()> {
    let subscription = SubscriptionData {
        topic: TOPIC.to_owned(),
        sub_string: EXPRESSION.to_owned(),
        expression_type: "SQL92".to_owned(),
        sub_version: 1_700_000_000_000,
        ..SubscriptionData::default()
    };
    let consumer = ConsumerData {
        group_name: GROUP.to_owned(),
        consume_type: Some(ConsumeType::Passively),
        consume_from_where: Some(ConsumeFromWhere::FirstOffset),
        message_model: Some(MessageModel::Clustering),
        subscription_data_set: vec![subscription],
        ..ConsumerData::default()
    };
    let beat = HeartbeatData {
        client_id: "takeover".to_owned(),
        consumer_data_set: vec![consumer],
        ..HeartbeatData::default()
    };
    link.ok(RequestCode::HeartBeat, &NoHeader, &beat.encode()).await.map(|_| ())
}

/// Whether the file of subscriptions holds that one.
pub fn is_kept(bytes: &[u8]) -> bool {
    let kept: Option<Value> = serde_json::from_slice(&to_standard(bytes)).ok();
    let kept =
        kept.as_ref().map(|kept| &kept["filterDataByTopic"][TOPIC]["groupFilterData"][GROUP]);
    kept.is_some_and(|kept| kept["expression"] == EXPRESSION && kept["expressionType"] == "SQL92")
}

/// Fails unless the file of subscriptions holds that one.
pub fn check_kept(store: &Path) -> Result<()> {
    let file = store.join("config/consumerFilter.json");
    let bytes = fs::read(&file).with_context(|| file.display().to_string())?;
    ensure!(is_kept(&bytes), "{}: {}", file.display(), String::from_utf8_lossy(&bytes));
    Ok(())
}

/// Has a group pop a topic.
pub async fn wish_to_pop(link: &Link) -> Result<()> {
    let body = SetMessageRequestModeRequestBody {
        topic: TOPIC.to_owned(),
        consumer_group: GROUP.to_owned(),
        mode: Some(MessageRequestMode::Pop),
        pop_share_queue_num: 3,
    };
    link.ok(RequestCode::SetMessageRequestMode, &NoHeader, &body.encode()).await.map(|_| ())
}

/// Fails unless the broker knows that wish.
pub async fn check_wish(link: &Link) -> Result<()> {
    let answer = link.ok(RequestCode::GetAllMessageRequestMode, &NoHeader, &[]).await?;
    let all = MessageRequestModeSerializeWrapper::decode(answer.body())?;
    let wish = all.message_request_mode_map.get(TOPIC).and_then(|wishes| wishes.get(GROUP));
    let wish = wish.context("the request mode is lost")?;
    let is_same = wish.mode == Some(MessageRequestMode::Pop) && wish.pop_share_queue_num == 3;
    ensure!(is_same, "another request mode: {wish:?}");
    Ok(())
}
