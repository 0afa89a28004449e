//! Names of topics: what is legal, what is reserved, and how a group's own topics are called.

use std::fmt;

pub(crate) use store::timer::TIMER_TOPIC;

/// Prefix of the topic a group's failed messages are consumed again from.
pub(crate) const RETRY_PREFIX: &str = "%RETRY%";
/// Prefix of the topic of a group's dead letters.
pub(crate) const DLQ_PREFIX: &str = "%DLQ%";
/// Where delayed messages wait, one queue per level.
pub(crate) const SCHEDULE_TOPIC: &str = "SCHEDULE_TOPIC_XXXX";
/// Where messages wait for the end of their transaction.
pub(crate) const HALF_TOPIC: &str = "RMQ_SYS_TRANS_HALF_TOPIC";
/// Says which half messages have ended.
pub(crate) const OP_TOPIC: &str = "RMQ_SYS_TRANS_OP_HALF_TOPIC";
/// Where half messages go whose producers were asked too often in vain.
pub(crate) const CHECKED_OUT_TOPIC: &str = "TRANS_CHECK_MAX_TIME_TOPIC";

/// Prefix of the topic of check points and acknowledgements of pops.
const REVIVE_PREFIX: &str = "rmq_sys_REVIVE_LOG_";

/// Stands between group and topic in a pop retry topic; no legal name contains it.
const POP_RETRY_V2_SEPARATOR: char = '+';

/// Longest name of a topic, in UTF-16 units.
const TOPIC_LEN_MAX: usize = 127;

/// Topics only the broker writes to.
const NEVER_SENT_TO: [&str; 7] = [
    SCHEDULE_TOPIC,
    HALF_TOPIC,
    OP_TOPIC,
    CHECKED_OUT_TOPIC,
    "SELF_TEST_TOPIC",
    "OFFSET_MOVED_EVENT",
    // Better than Java, where one plain message stops every timer message behind it for good.
    TIMER_TOPIC,
];

/// Why a name is no topic; displays as Java words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NameError {
    /// Empty or blank.
    Blank,
    /// Other characters than letters, digits, `%`, `|`, `-` and `_`.
    Characters(String),
    /// Longer than 127.
    TooLong(String),
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameError::Blank => f.write_str("The specified topic is blank."),
            NameError::Characters(name) => write!(
                f,
                "The specified topic: {name}, contains illegal characters, \
                 allowing only ^[%|a-zA-Z0-9_-]+$"
            ),
            NameError::TooLong(name) => write!(
                f,
                "The specified topic: {name}, is longer than topic max length: {TOPIC_LEN_MAX}"
            ),
        }
    }
}

/// Checks the name of a topic.
pub(crate) fn validate_topic(name: &str) -> Result<(), NameError> {
    if name.trim().is_empty() {
        return Err(NameError::Blank);
    }
    let legal =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'%' | b'|' | b'-' | b'_');
    if !name.bytes().all(legal) {
        return Err(NameError::Characters(name.to_owned()));
    }
    // Legal names are ASCII, where bytes are UTF-16 units.
    if name.len() > TOPIC_LEN_MAX {
        return Err(NameError::TooLong(name.to_owned()));
    }
    Ok(())
}

/// Whether clients must not send to the topic.
pub(crate) fn never_sent_to(topic: &str) -> bool {
    NEVER_SENT_TO.contains(&topic)
}

/// Whether this is a group's retry topic.
pub(crate) fn is_retry_topic(topic: &str) -> bool {
    topic.starts_with(RETRY_PREFIX)
}

/// The group of a retry topic.
pub(crate) fn group_of_retry_topic(topic: &str) -> Option<&str> {
    topic.strip_prefix(RETRY_PREFIX)
}

/// The retry topic of a group.
pub(crate) fn retry_topic(group: &str) -> String {
    format!("{RETRY_PREFIX}{group}")
}

/// The two ways to name the topic that popped messages of one topic and group return to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PopRetry {
    /// `%RETRY%group_topic`, ambiguous when names contain `_`.
    V1,
    /// `%RETRY%group+topic`.
    V2,
}

/// The topic a group's popped messages of a topic return to.
pub(crate) fn pop_retry_topic(group: &str, topic: &str, version: PopRetry) -> String {
    let separator = match version {
        PopRetry::V1 => '_',
        PopRetry::V2 => POP_RETRY_V2_SEPARATOR,
    };
    format!("{RETRY_PREFIX}{group}{separator}{topic}")
}

/// The topics a group's popped messages of a topic may have returned to.
pub(crate) fn pop_retry_topics(group: &str, topic: &str) -> [String; 2] {
    [PopRetry::V1, PopRetry::V2].map(|version| pop_retry_topic(group, topic, version))
}

/// Which kind of retry topic this is; a group's own retry topic counts as the first kind.
pub(crate) fn pop_retry_of(topic: &str) -> Option<PopRetry> {
    let rest = group_of_retry_topic(topic)?;
    Some(if rest.contains(POP_RETRY_V2_SEPARATOR) { PopRetry::V2 } else { PopRetry::V1 })
}

/// The topic of check points and acknowledgements of pops.
pub(crate) fn revive_topic(cluster: &str) -> String {
    format!("{REVIVE_PREFIX}{cluster}")
}

/// The dead-letter topic of a group.
pub(crate) fn dead_letter_topic(group: &str) -> String {
    format!("{DLQ_PREFIX}{group}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_as_in_java() {
        for name in ["a", "%RETRY%g", "A-b_c|9", &"x".repeat(127)] {
            assert_eq!(validate_topic(name), Ok(()), "{name}");
        }
        assert_eq!(validate_topic(" "), Err(NameError::Blank));
        for name in ["../x", "a b", "a+b", "täst", "a\u{1}"] {
            assert_eq!(validate_topic(name), Err(NameError::Characters(name.to_owned())));
        }
        let long = "x".repeat(128);
        assert_eq!(validate_topic(&long), Err(NameError::TooLong(long.clone())));
    }

    #[test]
    fn a_groups_topics_carry_its_name() {
        assert_eq!(retry_topic("g"), "%RETRY%g");
        assert_eq!(dead_letter_topic("g"), "%DLQ%g");
        assert_eq!(group_of_retry_topic("%RETRY%g"), Some("g"));
        assert_eq!(group_of_retry_topic("%DLQ%g"), None);
    }

    #[test]
    fn pop_retry_topics_are_told_apart() {
        let v1 = pop_retry_topic("g_1", "T_2", PopRetry::V1);
        let v2 = pop_retry_topic("g_1", "T_2", PopRetry::V2);
        assert_eq!((v1.as_str(), v2.as_str()), ("%RETRY%g_1_T_2", "%RETRY%g_1+T_2"));
        assert_eq!(pop_retry_of(&v1), Some(PopRetry::V1));
        assert_eq!(pop_retry_of(&v2), Some(PopRetry::V2));
        assert_eq!(pop_retry_of(&retry_topic("g")), Some(PopRetry::V1));
        assert_eq!(pop_retry_of("a+b"), None);
    }

    #[test]
    fn the_brokers_own_topics_are_closed_to_senders() {
        assert!(never_sent_to(SCHEDULE_TOPIC));
        assert!(!never_sent_to("TBW102"));
    }
}
