//! The properties that an expression names, and how they are found in the raw ones of a message.

use std::str;

use memchr::memchr;
use memchr::memmem::Finder;
use remoting::protocol::message::Properties;
use remoting::protocol::message::properties::{NAME_END, VALUE_END};
use smallvec::{SmallVec, smallvec};

/// So many names are searched one by one; with more, every pair is looked at.
const SEARCHED_MAX: usize = 4;

/// What a message has for each name.
pub(super) type Values<'a> = SmallVec<[Option<&'a [u8]>; SEARCHED_MAX]>;

/// Names of properties, sorted, each followed by its separator, which is in none of them.
#[derive(Debug)]
pub(super) struct Names(Box<[Finder<'static>]>);

impl Names {
    /// Takes sorted names.
    pub(super) fn new<'n>(sorted: impl Iterator<Item = &'n str>) -> Names {
        let ended = |name: &str| Finder::new(&format!("{name}{NAME_END}")).into_owned();
        Names(sorted.map(ended).collect())
    }

    /// The values of the names in raw properties, which are UTF-8.
    pub(super) fn values<'a>(&self, properties: &'a [u8]) -> Values<'a> {
        if self.0.len() <= SEARCHED_MAX {
            let mut values = Values::new();
            for name in &self.0 {
                values.push(last_value(properties, name));
            }
            return values;
        }
        let mut values = smallvec![None; self.0.len()];
        for (name, value) in Properties::new(str::from_utf8(properties).unwrap_or_default()) {
            let known = |known: &Finder<'_>| {
                let (_separator, known) = known.needle().split_last().unwrap_or((&0, &[]));
                known.cmp(name.as_bytes())
            };
            if let Ok(index) = self.0.binary_search_by(known) {
                values[index] = Some(value.as_bytes());
            }
        }
        values
    }
}

/// The value of the last pair of this name that has one, as [`Properties::get`] finds it.
fn last_value<'a>(properties: &'a [u8], name: &Finder<'_>) -> Option<&'a [u8]> {
    let mut value = None;
    let mut from = 0;
    while let Some(at) = name.find(&properties[from..]) {
        let before = properties[..from + at].last();
        from += at + name.needle().len();
        // Else it is the end of another name, or stands in a value.
        if before.is_none_or(|before| *before == VALUE_END as u8) {
            let rest = &properties[from..];
            let len = memchr(VALUE_END as u8, rest).unwrap_or(rest.len());
            value = Some(&rest[..len]).filter(|found| !found.is_empty()).or(value);
            from += len;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn names_have_the_values_that_properties_have(
            raw in "[\u{1}\u{2}a-cé]{0,40}",
            names in prop::collection::btree_set("[a-cé]{1,3}", 0..12),
        ) {
            let values = Names::new(names.iter().map(String::as_str)).values(raw.as_bytes());
            let expected = names.iter().map(|name| Properties::new(&raw).get(name));
            let expected: Vec<_> = expected.map(|value| value.map(str::as_bytes)).collect();
            prop_assert_eq!(&values[..], &expected[..]);
        }
    }
}
