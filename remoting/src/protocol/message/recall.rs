//! Handles by which a sender takes a timer message back.
//!
//! A handle is `v1 <topic> <broker> <ms> <unique key>`, blanks between, in URL-safe Base64.

use thiserror::Error;

const VERSION: &str = "v1";
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// Fills the last group of four.
const PADDING: char = '=';

/// What a handle names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecallHandle {
    /// Topic of the message.
    pub topic: String,
    /// Broker that keeps it.
    pub broker_name: String,
    /// A time in the slot it waits in, in ms; -1 when it is no number.
    pub timestamp: i64,
    /// Its unique key.
    pub unique_key: String,
}

/// The text is no handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("recall handle is invalid")]
pub struct RecallHandleError;

impl RecallHandle {
    /// Appends the handle of a message to `out`.
    pub fn append(topic: &str, broker_name: &str, timestamp: i64, key: &str, out: &mut String) {
        let mut digits = itoa::Buffer::new();
        let parts = [VERSION, topic, broker_name, digits.format(timestamp), key];
        let bytes = parts.iter().enumerate().flat_map(|(at, part)| {
            let blank = (at > 0).then_some(b' ');
            blank.into_iter().chain(part.bytes())
        });
        encode(bytes, out);
    }

    /// Reads a handle.
    pub fn decode(text: &str) -> Result<RecallHandle, RecallHandleError> {
        let bytes = decode(text).ok_or(RecallHandleError)?;
        let text = String::from_utf8(bytes).map_err(|_| RecallHandleError)?;
        let mut parts = text.split(' ');
        let mut next = || parts.next().map(str::to_owned).ok_or(RecallHandleError);
        if next()? != VERSION {
            return Err(RecallHandleError);
        }
        let (topic, broker_name) = (next()?, next()?);
        let timestamp = next()?.parse().unwrap_or(-1);
        let unique_key = next()?;
        if unique_key.is_empty() {
            return Err(RecallHandleError);
        }
        Ok(RecallHandle { topic, broker_name, timestamp, unique_key })
    }
}

fn encode(mut bytes: impl Iterator<Item = u8>, out: &mut String) {
    loop {
        let group = [bytes.next(), bytes.next(), bytes.next()];
        let [Some(first), second, third] = group else { return };
        let bits = u32::from(first) << 16
            | u32::from(second.unwrap_or(0)) << 8
            | u32::from(third.unwrap_or(0));
        let digit = |shift: u32| char::from(ALPHABET[(bits >> shift & 63) as usize]);
        out.push(digit(18));
        out.push(digit(12));
        out.push(if second.is_some() { digit(6) } else { PADDING });
        out.push(if third.is_some() { digit(0) } else { PADDING });
    }
}

/// The bytes of a text, with or without padding; `None` when it is no Base64.
fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches(PADDING);
    let padding = text.len() - digits.len();
    if digits.len() % 4 == 1 || padding > 2 || (padding > 0 && !text.len().is_multiple_of(4)) {
        return None;
    }
    let mut out = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.as_bytes().chunks(4) {
        let mut bits = 0_u32;
        for digit in group {
            let value = ALPHABET.iter().position(|known| known == digit)?;
            bits = bits << 6 | value as u32;
        }
        bits <<= 6 * (4 - group.len());
        out.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_handle_is_javas() {
        let mut text = String::new();
        RecallHandle::append("T", "broker-a", 1_700_000_000_001, "0A0B", &mut text);
        assert_eq!(text, "djEgVCBicm9rZXItYSAxNzAwMDAwMDAwMDAxIDBBMEI=");
        let handle = RecallHandle::decode(&text).unwrap();
        assert_eq!((&*handle.topic, &*handle.broker_name), ("T", "broker-a"));
        assert_eq!((handle.timestamp, &*handle.unique_key), (1_700_000_000_001, "0A0B"));
        assert_eq!(RecallHandle::decode(text.trim_end_matches('=')).unwrap(), handle);
    }

    #[test]
    fn anything_else_is_refused() {
        for bytes in ["", "v1", "v2 T b 1 k", "v1 T b 1", "v1 T b 1 ", "v1T b 1 k"] {
            let mut text = String::new();
            encode(bytes.bytes(), &mut text);
            assert_eq!(RecallHandle::decode(&text), Err(RecallHandleError), "{bytes:?}");
        }
        for text in ["A", "v1 T", "====", "djE=====", "djEg+A==", "djE/", "dj="] {
            assert_eq!(RecallHandle::decode(text), Err(RecallHandleError), "{text:?}");
        }
        let mut text = String::new();
        encode("v1 T b soon k".bytes(), &mut text);
        assert_eq!(RecallHandle::decode(&text).unwrap().timestamp, -1);
    }

    proptest! {
        #[test]
        fn bytes_come_back(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut text = String::new();
            encode(bytes.iter().copied(), &mut text);
            prop_assert_eq!(decode(&text), Some(bytes));
        }

        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,40}") {
            let _ = RecallHandle::decode(&text);
        }
    }
}
