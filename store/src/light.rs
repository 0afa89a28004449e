//! Light queues: further queues that one record stands in.
//!
//! A sender names them in INNER_MULTI_DISPATCH, separated by commas. The record carries the
//! offset it has in each of them as INNER_MULTI_QUEUE_OFFSET, so that they can be built from the
//! log again. A light queue is the simple queue 0 of a name that no topic table knows.

use std::fmt::Write;

use crate::dispatch::SCHEDULE_TOPIC;

/// Every light queue is called like this.
pub const PREFIX: &str = "%LMQ%";
/// The one queue of each name.
pub const QUEUE_ID: i32 = 0;

const SEPARATOR: char = ',';

/// Longest name, as it is that of a directory.
const NAME_LEN_MAX: usize = 255;

/// Beginnings of topics whose records stand in no light queue.
const CLOSED_PREFIXES: [&str; 2] = ["%RETRY%", "rmq_sys_"];

/// Topics whose records stand in no light queue: what they hold is visible later, or never.
// Java lets a half message in, which its consumers then see before it is committed.
const CLOSED: [&str; 3] =
    [SCHEDULE_TOPIC, "RMQ_SYS_TRANS_HALF_TOPIC", "RMQ_SYS_TRANS_OP_HALF_TOPIC"];

/// What a name in INNER_MULTI_DISPATCH is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// A light queue.
    Light,
    /// No light queue; it gets no offset.
    Other,
    /// A light queue that leads to another directory; it is passed over.
    Path,
    /// A light queue that no directory can be named after.
    Illegal,
}

impl Name {
    /// Tells what a name is.
    pub fn of(name: &str) -> Name {
        match name {
            name if !is_light(name) => Name::Other,
            name if name.contains('/') => Name::Path,
            name if name.len() > NAME_LEN_MAX || name.contains('\0') => Name::Illegal,
            _ => Name::Light,
        }
    }
}

/// Whether a topic, or a group, is named like a light queue.
pub fn is_light(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// Whether records of a topic may stand in light queues.
pub fn allowed_in(topic: &str) -> bool {
    !CLOSED_PREFIXES.iter().any(|prefix| topic.starts_with(prefix)) && !CLOSED.contains(&topic)
}

/// The names in a value of INNER_MULTI_DISPATCH.
pub fn names(value: &str) -> impl Iterator<Item = &str> {
    // Java quirk: empty names at the end do not count, others do. Pinned by
    // `names_are_split_as_java_does`.
    value.trim_end_matches(SEPARATOR).split(SEPARATOR)
}

/// The light queues of a record and its offset in each.
pub fn places<'a>(names: &'a str, offsets: &'a str) -> impl Iterator<Item = (&'a str, i64)> {
    names.split(SEPARATOR).zip(offsets.split(SEPARATOR)).filter_map(|(name, offset)| {
        let offset = offset.parse().ok().filter(|offset| *offset >= 0)?;
        (Name::of(name) == Name::Light).then_some((name, offset))
    })
}

/// Appends one more offset to a value of INNER_MULTI_QUEUE_OFFSET.
pub fn push_offset(first: bool, offset: Option<i64>, out: &mut String) {
    if !first {
        out.push(SEPARATOR);
    }
    if let Some(offset) = offset {
        // Writing to a String does not fail.
        let _ = write!(out, "{offset}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_as_java_does() {
        let split = |value| names(value).collect::<Vec<_>>();
        assert_eq!(split("%LMQ%a"), ["%LMQ%a"]);
        assert_eq!(split(",%LMQ%a,,b,,"), ["", "%LMQ%a", "", "b"]);
        assert_eq!(split(",,"), [""]);
    }

    #[test]
    fn only_what_can_be_a_directory_is_a_queue() {
        assert_eq!(Name::of("%LMQ%a"), Name::Light);
        assert_eq!(Name::of("%LMQ%"), Name::Light);
        assert_eq!(Name::of("%LMQ%.."), Name::Light);
        assert_eq!(Name::of("T"), Name::Other);
        assert_eq!(Name::of(""), Name::Other);
        assert_eq!(Name::of("../%LMQ%a"), Name::Other);
        assert_eq!(Name::of("%LMQ%/../../a"), Name::Path);
        assert_eq!(Name::of("%LMQ%\0"), Name::Illegal);
        assert_eq!(Name::of(&format!("%LMQ%{}", "a".repeat(251))), Name::Illegal);
    }

    #[test]
    fn places_pair_names_with_offsets() {
        let pairs = |names, offsets| places(names, offsets).collect::<Vec<_>>();
        assert_eq!(pairs("%LMQ%a,b,%LMQ%c", "3,,5"), [("%LMQ%a", 3), ("%LMQ%c", 5)]);
        assert_eq!(pairs("%LMQ%a,%LMQ%/b", "3,0"), [("%LMQ%a", 3)]);
        assert_eq!(pairs("%LMQ%a,%LMQ%b", "3"), [("%LMQ%a", 3)]);
        assert_eq!(pairs("%LMQ%a,%LMQ%b", "-1,x"), []);
    }

    #[test]
    fn what_is_not_visible_yet_stands_in_no_light_queue() {
        assert!(allowed_in("T") && allowed_in("%DLQ%g") && allowed_in("%LMQ%a"));
        for topic in ["%RETRY%g", "rmq_sys_wheel_timer", SCHEDULE_TOPIC, CLOSED[1], CLOSED[2]] {
            assert!(!allowed_in(topic), "{topic}");
        }
    }
}
