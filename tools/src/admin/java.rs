//! Values as Java prints them.

use std::collections::BTreeMap;

use remoting::protocol::body::{
    CustomizedRetryPolicy, ExponentialRetryPolicy, GroupRetryPolicy, MessageQueue,
    SubscriptionGroupConfig, TopicConfig,
};
use remoting::protocol::message::hash::java_string_hash;
use runtime::clock;
use time::{OffsetDateTime, UtcOffset};

fn local(ms: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
        .to_offset(clock::zone())
}

/// `yyyy-MM-dd HH:mm:ss` in the zone of this machine.
pub fn date(ms: i64) -> String {
    text(local(ms))
}

/// The same in UTC.
pub fn date_utc(ms: i64) -> String {
    text(local(ms).to_offset(UtcOffset::UTC))
}

fn text(at: OffsetDateTime) -> String {
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    let (hour, minute, second) = at.to_hms();
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// `yyyy-MM-dd HH:mm:ss,SSS` in the zone of this machine.
pub fn date_ms(ms: i64) -> String {
    format!("{},{:03}", date(ms), ms.rem_euclid(1000))
}

/// `yyyyMMddHHmmssSSS` in the zone of this machine.
pub fn digits(ms: i64) -> String {
    date_ms(ms).chars().filter(char::is_ascii_digit).collect()
}

/// Reads ms, `now`, or `yyyy-MM-dd#HH:mm:ss:SSS` in the zone of this machine.
pub fn parse_time(text: &str, now_ms: i64) -> Option<i64> {
    if text == "now" {
        return Some(now_ms);
    }
    if let Ok(ms) = text.parse() {
        return Some(ms);
    }
    let format = time::macros::format_description!(
        "[year]-[month]-[day]#[hour]:[minute]:[second]:[subsecond digits:3]"
    );
    let at = time::PrimitiveDateTime::parse(text, format).ok()?;
    let at = at.assume_offset(clock::zone());
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok()
}

/// Only `true`, in any case, is true; everything else is false.
pub fn truth(text: &str) -> Result<bool, std::convert::Infallible> {
    Ok(text.eq_ignore_ascii_case("true"))
}

/// The first `len` characters.
pub fn cut(text: &str, len: usize) -> &str {
    text.char_indices().nth(len).map_or(text, |(end, _)| &text[..end])
}

/// A number with `digits` decimals, halves rounded up as `Formatter` does.
pub fn fixed(value: f64, digits: usize) -> String {
    let text = format!("{value}");
    match text.split_once('.') {
        Some((_, decimals)) if decimals.len() == digits + 1 && decimals.ends_with('5') => {
            let away = if value < 0.0 { '-' } else { ' ' };
            let up = value.abs() + 10f64.powi(-(digits as i32 + 2));
            format!("{away}{up:.digits$}").trim_start().to_owned()
        }
        _ => format!("{value:.digits$}"),
    }
}

/// `[a, b]`.
pub fn list<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    let mut text = String::from("[");
    for (at, item) in items.into_iter().enumerate() {
        text.push_str(if at == 0 { "" } else { ", " });
        text.push_str(item.as_ref());
    }
    text.push(']');
    text
}

/// `{k=v, l=w}` in the order of the pairs.
pub fn map<K: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (K, V)>) -> String {
    let mut text = String::from("{");
    for (at, (key, value)) in pairs.into_iter().enumerate() {
        text.push_str(if at == 0 { "" } else { ", " });
        text.push_str(key.as_ref());
        text.push('=');
        text.push_str(value.as_ref());
    }
    text.push('}');
    text
}

/// Puts items into the order in which a `HashMap` of that initial capacity has their names.
pub fn hash_order<T>(items: &mut [T], capacity: usize, name: impl Fn(&T) -> &str) {
    order_by_hash(items, capacity, |item| java_string_hash(name(item)));
}

/// The same for queues as keys.
pub fn queue_order<T>(items: &mut [T], queue: impl Fn(&T) -> &MessageQueue) {
    order_by_hash(items, CAPACITY, |item| {
        let queue = queue(item);
        let parts =
            [java_string_hash(&queue.broker_name), queue.queue_id, java_string_hash(&queue.topic)];
        parts.iter().fold(1i32, |hash, part| hash.wrapping_mul(31).wrapping_add(*part))
    });
}

fn order_by_hash<T>(items: &mut [T], capacity: usize, hash: impl Fn(&T) -> i32) {
    let mut buckets = capacity.next_power_of_two().max(1);
    while items.len() * 4 > buckets * 3 {
        buckets *= 2;
    }
    items.sort_by_key(|item| {
        let hash = hash(item).cast_unsigned();
        (hash ^ hash >> 16) as usize & (buckets - 1)
    });
}

/// The capacity of a `HashMap` that was made without one.
pub const CAPACITY: usize = 16;

/// Attributes and other small tables.
pub fn table(map: &BTreeMap<String, String>) -> String {
    let mut pairs: Vec<_> = map.iter().collect();
    hash_order(&mut pairs, CAPACITY, |(key, _)| key);
    self::map(pairs)
}

/// `RW-` and the like.
pub fn perm(perm: i32) -> String {
    let letter = |bit: i32, letter: char| if perm & bit == bit { letter } else { '-' };
    [letter(4, 'R'), letter(2, 'W'), letter(1, 'X')].iter().collect()
}

/// The settings of a topic.
pub fn topic_config(config: &TopicConfig) -> String {
    format!(
        "TopicConfig [topicName={}, readQueueNums={}, writeQueueNums={}, perm={}, \
         topicFilterType={}, topicSysFlag={}, order={}, attributes={}]",
        config.topic_name,
        config.read_queue_nums,
        config.write_queue_nums,
        perm(config.perm),
        config.topic_filter_type.map_or("null", |kind| kind.name()),
        config.topic_sys_flag,
        config.order,
        table(&config.attributes),
    )
}

/// The settings of a group.
pub fn group_config(config: &SubscriptionGroupConfig) -> String {
    format!(
        "SubscriptionGroupConfig{{groupName={}, consumeEnable={}, consumeFromMinEnable={}, \
         consumeBroadcastEnable={}, consumeMessageOrderly={}, retryQueueNums={}, \
         retryMaxTimes={}, groupRetryPolicy={}, brokerId={}, whichBrokerWhenConsumeSlowly={}, \
         notifyConsumerIdsChangedEnable={}, groupSysFlag={}, consumeTimeoutMinute={}, \
         subscriptionDataSet={}, attributes={}}}",
        config.group_name,
        config.consume_enable,
        config.consume_from_min_enable,
        config.consume_broadcast_enable,
        config.consume_message_orderly,
        config.retry_queue_nums,
        config.retry_max_times,
        retry_policy(&config.group_retry_policy),
        config.broker_id,
        config.which_broker_when_consume_slowly,
        config.notify_consumer_ids_changed_enable,
        config.group_sys_flag,
        config.consume_timeout_minute,
        subscriptions(config),
        table(&config.attributes),
    )
}

/// The subscriptions in the settings of a group.
pub fn subscriptions(config: &SubscriptionGroupConfig) -> String {
    let Some(set) = &config.subscription_data_set else { return "null".to_owned() };
    list(set.iter().map(|one| {
        format!(
            "SimpleSubscriptionData{{topic={}, expressionType={}, expression={}, version={}}}",
            one.topic, one.expression_type, one.expression, one.version
        )
    }))
}

/// The delays between the tries of a group.
pub fn retry_policy(policy: &GroupRetryPolicy) -> String {
    let exponential = |policy: &ExponentialRetryPolicy| {
        let ExponentialRetryPolicy { initial, max, multiplier } = policy;
        format!("ExponentialRetryPolicy{{initial={initial}, max={max}, multiplier={multiplier}}}")
    };
    let customized = |policy: &CustomizedRetryPolicy| {
        let next = list(policy.next.iter().map(i64::to_string));
        format!("CustomizedRetryPolicy{{next={next}}}")
    };
    let or_null = |text: Option<String>| text.unwrap_or_else(|| "null".to_owned());
    format!(
        "GroupRetryPolicy{{type={}, exponentialRetryPolicy={}, customizedRetryPolicy={}}}",
        policy.policy_type.map_or("null", |kind| kind.name()),
        or_null(policy.exponential_retry_policy.as_ref().map(exponential)),
        or_null(policy.customized_retry_policy.as_ref().map(customized)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        assert_eq!(date_ms(1_700_000_000_123), "2023-11-14 22:13:20,123");
        assert_eq!(parse_time("2023-11-14#22:13:20:123", 0), Some(1_700_000_000_123));
        assert_eq!(parse_time("17", 0), Some(17));
        assert_eq!(parse_time("now", 5), Some(5));
        assert_eq!(parse_time("yesterday", 0), None);
    }

    #[test]
    fn halves_are_rounded_up() {
        assert_eq!(fixed(0.125, 2), "0.13");
        assert_eq!(fixed(-0.125, 2), "-0.13");
        assert_eq!(fixed(2.5, 0), "3");
        assert_eq!(fixed(1.0, 2), "1.00");
        assert_eq!(fixed(0.1249, 2), "0.12");
    }

    #[test]
    fn tables_have_the_order_of_their_hashes() {
        let mut names = ["brokerA", "T1", "%RETRY%g", "zz"];
        hash_order(&mut names, CAPACITY, |name| name);
        let mut indices: Vec<u32> = Vec::new();
        for name in names {
            let hash = java_string_hash(name).cast_unsigned();
            indices.push((hash ^ hash >> 16) & 15);
        }
        assert!(indices.is_sorted(), "{indices:?}");
    }

    #[test]
    fn settings_are_shown_as_java_shows_them() {
        let topic = TopicConfig::new("T", 8, 6);
        assert_eq!(
            topic_config(&topic),
            "TopicConfig [topicName=T, readQueueNums=8, writeQueueNums=8, perm=RW-, \
             topicFilterType=SINGLE_TAG, topicSysFlag=0, order=false, attributes={}]"
        );
        let group = SubscriptionGroupConfig::new("G");
        assert!(group_config(&group).ends_with("subscriptionDataSet=null, attributes={}}"));
    }
}
