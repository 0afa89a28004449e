//! Attributes of topics and groups: `+key=value` sets, `-key` removes.
//!
//! Requests carry signed keys, files and answers plain ones. Each kind of object has its table of
//! known attributes; groups have none.

use std::collections::BTreeMap;

/// Attributes by key.
pub(crate) type Attributes = BTreeMap<String, String>;

/// One attribute an object may have.
pub(crate) struct Attribute {
    name: &'static str,
    changeable: bool,
    values: Values,
}

enum Values {
    OneOf(&'static [&'static str]),
    Whole { min: i64, max: i64 },
}

/// The attributes of topics.
pub(crate) const TOPIC: [Attribute; 4] = [
    Attribute {
        name: "queue.type",
        changeable: false,
        values: Values::OneOf(&["BatchCQ", "SimpleCQ"]),
    },
    Attribute {
        name: "cleanup.policy",
        changeable: false,
        values: Values::OneOf(&["DELETE", "COMPACTION"]),
    },
    Attribute {
        name: MESSAGE_TYPE,
        changeable: true,
        values: Values::OneOf(&["UNSPECIFIED", "NORMAL", "FIFO", "DELAY", "TRANSACTION", MIXED]),
    },
    Attribute {
        name: RESERVE_TIME,
        changeable: true,
        values: Values::Whole { min: -1, max: i64::MAX },
    },
];

/// The attribute that says what messages a topic takes.
pub(crate) const MESSAGE_TYPE: &str = "message.type";

/// Its value for a topic that takes all kinds.
pub(crate) const MIXED: &str = "MIXED";

/// The attribute that says for how many hours a topic keeps its messages.
///
/// Java keeps it for its tiered store, which counts in hours; nothing else there looks at it.
const RESERVE_TIME: &str = "reserve.time";

const MS_PER_HOUR: i64 = 3_600_000;

/// For how long a topic keeps its messages; `None`, as without the attribute and for numbers that
/// are not above 0: as the log does.
pub(crate) fn reserve_ms(attributes: &Attributes) -> Option<i64> {
    let hours = attributes.get(RESERVE_TIME)?.parse().ok().filter(|hours: &i64| *hours > 0)?;
    Some(hours.saturating_mul(MS_PER_HOUR))
}

/// Why an attribute is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AttributeError {
    /// `key=value` without a plus.
    #[error("add/alter attribute format is wrong: {0}")]
    AddFormat(String),
    /// A key alone without a minus.
    #[error("delete attribute format is wrong: {0}")]
    DeleteFormat(String),
    /// The same key twice in one text.
    #[error("key duplication: {0}")]
    Duplicate(String),
    /// The same key added and removed.
    #[error("alter duplication key. key: {0}")]
    AlterTwice(String),
    /// An empty key, or a sign inside it.
    #[error("kv string format wrong.")]
    Key,
    /// A new object can only be given attributes.
    #[error("only add attribute is supported while creating topic. key: {0}")]
    OnlyAdd(String),
    /// Nothing to remove.
    #[error("attempt to delete a nonexistent key: {0}")]
    Absent(String),
    /// Neither plus nor minus.
    #[error("wrong format key: {0}")]
    Sign(String),
    /// Not in the table.
    #[error("unsupported key: {0}")]
    Unsupported(String),
    /// Set once, at creation.
    #[error("attempt to update an unchangeable attribute. key: {0}")]
    Unchangeable(String),
    /// Not one of the values.
    #[error("value is not in set: [{0}]")]
    NotInSet(String),
    /// Not a whole number; Java's text of it.
    #[error("For input string: \"{0}\"")]
    NoNumber(String),
    /// Not within the bounds.
    #[error("value is not in range({min}, {max})")]
    NotInRange {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
}

impl Attribute {
    fn verify(&self, value: &str) -> Result<(), AttributeError> {
        match self.values {
            Values::OneOf(all) if all.contains(&value) => Ok(()),
            Values::OneOf(all) => Err(AttributeError::NotInSet(all.join(", "))),
            Values::Whole { min, max } => match value.parse::<i64>() {
                Ok(number) if (min..=max).contains(&number) => Ok(()),
                Ok(_) => Err(AttributeError::NotInRange { min, max }),
                Err(_) => Err(AttributeError::NoNumber(value.to_owned())),
            },
        }
    }
}

/// Parses `+key=value,-key` into signed keys.
pub(crate) fn parse(text: &str) -> Result<Attributes, AttributeError> {
    let mut attributes = Attributes::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (key, value) = match part.split_once('=') {
            Some((key, _)) if !key.contains('+') => {
                return Err(AttributeError::AddFormat(key.to_owned()));
            }
            Some((key, rest)) => (key, rest.split('=').next().unwrap_or_default()),
            None if !part.contains('-') => {
                return Err(AttributeError::DeleteFormat(part.to_owned()));
            }
            None => (part, ""),
        };
        if attributes.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(AttributeError::Duplicate(key.to_owned()));
        }
    }
    Ok(attributes)
}

/// Applies signed changes to the current attributes; `current` is absent for a new object.
pub(crate) fn alter(
    all: &[Attribute],
    current: Option<&Attributes>,
    changes: &Attributes,
) -> Result<Attributes, AttributeError> {
    let mut result = current.cloned().unwrap_or_default();
    let mut seen = Vec::with_capacity(changes.len());
    for (signed, value) in changes {
        let mut rest = signed.chars();
        let sign = rest.next();
        let key = rest.as_str();
        if key.is_empty() || key.contains(['+', '-']) {
            return Err(AttributeError::Key);
        }
        if seen.contains(&key) {
            return Err(AttributeError::AlterTwice(key.to_owned()));
        }
        seen.push(key);
        let attribute = all.iter().find(|attribute| attribute.name == key);
        match (sign, current) {
            (Some('+'), _) => {
                let known = attribute.ok_or_else(|| AttributeError::Unsupported(key.to_owned()))?;
                if current.is_some() && !known.changeable {
                    return Err(AttributeError::Unchangeable(key.to_owned()));
                }
                known.verify(value)?;
                result.insert(key.to_owned(), value.clone());
            }
            (_, None) => return Err(AttributeError::OnlyAdd(key.to_owned())),
            (Some('-'), Some(current)) if !current.contains_key(key) => {
                return Err(AttributeError::Absent(key.to_owned()));
            }
            (Some('-'), Some(_)) => {
                let known = attribute.ok_or_else(|| AttributeError::Unsupported(key.to_owned()))?;
                if !known.changeable {
                    return Err(AttributeError::Unchangeable(key.to_owned()));
                }
                result.remove(key);
            }
            _ => return Err(AttributeError::Sign(key.to_owned())),
        }
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> Attributes {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn text_becomes_signed_keys() {
        let parsed = parse("+message.type=FIFO,-reserve.time").unwrap();
        assert_eq!(parsed, map(&[("+message.type", "FIFO"), ("-reserve.time", "")]));
        assert_eq!(parse("").unwrap(), map(&[]));
        assert_eq!(parse("a=b"), Err(AttributeError::AddFormat("a".to_owned())));
        assert_eq!(parse("a"), Err(AttributeError::DeleteFormat("a".to_owned())));
        assert_eq!(parse("+a=1,+a=2"), Err(AttributeError::Duplicate("+a".to_owned())));
    }

    #[test]
    fn a_new_topic_only_gets_known_values() {
        let made = alter(&TOPIC, None, &map(&[("+queue.type", "BatchCQ")])).unwrap();
        assert_eq!(made, map(&[("queue.type", "BatchCQ")]));
        let refused = |key, value| alter(&TOPIC, None, &map(&[(key, value)])).unwrap_err();
        assert_eq!(refused("-queue.type", ""), AttributeError::OnlyAdd("queue.type".to_owned()));
        assert_eq!(refused("+colour", "red"), AttributeError::Unsupported("colour".to_owned()));
        assert!(matches!(refused("+message.type", "X"), AttributeError::NotInSet(_)));
        let range = AttributeError::NotInRange { min: -1, max: i64::MAX };
        assert_eq!(refused("+reserve.time", "-2"), range);
        assert_eq!(range.to_string(), "value is not in range(-1, 9223372036854775807)");
        let no_number = refused("+reserve.time", "9223372036854775808");
        assert_eq!(no_number.to_string(), r#"For input string: "9223372036854775808""#);
        assert_eq!(refused("+", "x"), AttributeError::Key);
    }

    #[test]
    fn a_topic_keeps_its_messages_for_hours() {
        let time = |value| reserve_ms(&map(&[("reserve.time", value)]));
        assert_eq!([time("1"), time("48")], [Some(3_600_000), Some(172_800_000)]);
        assert_eq!([time("-1"), time("0"), time("x"), reserve_ms(&map(&[]))], [None; 4]);
        assert_eq!(time("9223372036854775807"), Some(i64::MAX));
    }

    #[test]
    fn a_known_topic_changes_what_may_change() {
        let current = map(&[("message.type", "NORMAL"), ("queue.type", "SimpleCQ")]);
        let change = |key, value| alter(&TOPIC, Some(&current), &map(&[(key, value)]));
        let fifo = change("+message.type", "FIFO").unwrap();
        assert_eq!(fifo, map(&[("message.type", "FIFO"), ("queue.type", "SimpleCQ")]));
        assert_eq!(change("-message.type", "").unwrap(), map(&[("queue.type", "SimpleCQ")]));
        assert!(matches!(change("+queue.type", "BatchCQ"), Err(AttributeError::Unchangeable(_))));
        assert!(matches!(change("-reserve.time", ""), Err(AttributeError::Absent(_))));
        assert!(matches!(change("?message.type", "x"), Err(AttributeError::Sign(_))));
    }
}
