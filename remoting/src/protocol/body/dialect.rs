//! Writing JSON as fastjson does where it is no standard JSON.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter};

/// Marks a map key that is JSON itself; a noncharacter, which no name holds.
const BEAN_KEY_MARK: &str = "\u{FDD0}";

/// The forms of JSON on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Standard JSON: every key is a quoted text.
    Standard,
    /// Numeric keys stand bare.
    BareNumbers,
    /// Numeric keys stand bare, and beans stand as objects where a key belongs.
    BareBeans,
}

/// Writes a value; it must consist of what JSON can say.
pub(super) fn to_vec<T: Serialize + ?Sized>(value: &T, dialect: Dialect) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    let formatter = Keys { dialect, key: Key::None };
    let written = value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, formatter));
    // Invariant: bodies have text, number or marked keys only, and a Vec takes every write.
    assert!(written.is_ok(), "a body is always JSON: {written:?}");
    out
}

/// Maps whose keys are beans, on the wire an object where the key belongs.
pub(super) mod bean_keys {
    use std::collections::BTreeMap;

    use serde::de::{DeserializeOwned, Error as _};
    use serde::ser::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Writes each key as marked JSON text.
    pub(in super::super) fn serialize<S, K, V>(
        map: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error>
    where
        S: Serializer,
        K: Serialize,
        V: Serialize,
    {
        let mut entries = Vec::with_capacity(map.len());
        for (key, value) in map {
            let json = serde_json::to_string(key).map_err(S::Error::custom)?;
            entries.push((format!("{}{json}", super::BEAN_KEY_MARK), value));
        }
        serializer.collect_map(entries)
    }

    /// Reads each key from the JSON text it was made into.
    pub(in super::super) fn deserialize<'de, D, K, V>(
        deserializer: D,
    ) -> Result<BTreeMap<K, V>, D::Error>
    where
        D: Deserializer<'de>,
        K: DeserializeOwned + Ord,
        V: Deserialize<'de>,
    {
        let entries = BTreeMap::<String, V>::deserialize(deserializer)?;
        let mut map = BTreeMap::new();
        for (key, value) in entries {
            let json = serde_json::from_str(&key).map_err(D::Error::custom)?;
            map.insert(super::super::lenient::from_value(json).map_err(D::Error::custom)?, value);
        }
        Ok(map)
    }
}

/// Maps of maps whose keys are beans.
pub(super) mod nested_bean_keys {
    use std::collections::BTreeMap;

    use serde::de::DeserializeOwned;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize)]
    struct Written<'a, K: Serialize, V: Serialize>(
        #[serde(serialize_with = "super::bean_keys::serialize")] &'a BTreeMap<K, V>,
    );

    #[derive(Deserialize)]
    #[serde(bound(deserialize = "K: DeserializeOwned + Ord, V: Deserialize<'de>"))]
    struct Read<K, V>(#[serde(with = "super::bean_keys")] BTreeMap<K, V>)
    where
        K: Serialize,
        V: Serialize;

    /// Writes the inner maps with beans as keys.
    pub(in super::super) fn serialize<S, K, V>(
        map: &BTreeMap<String, BTreeMap<K, V>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error>
    where
        S: Serializer,
        K: Serialize,
        V: Serialize,
    {
        serializer.collect_map(map.iter().map(|(key, inner)| (key, Written(inner))))
    }

    /// Reads the inner maps with beans as keys.
    pub(in super::super) fn deserialize<'de, D, K, V>(
        deserializer: D,
    ) -> Result<BTreeMap<String, BTreeMap<K, V>>, D::Error>
    where
        D: Deserializer<'de>,
        K: DeserializeOwned + Ord + Serialize,
        V: Deserialize<'de> + Serialize,
    {
        let map = BTreeMap::<String, Read<K, V>>::deserialize(deserializer)?;
        Ok(map.into_iter().map(|(key, inner)| (key, inner.0)).collect())
    }
}

/// How far the key being written is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    /// No key is being written.
    None,
    /// A key begins; nothing of it was seen.
    Begun,
    /// The key is text; its quote is written.
    Text,
    /// The key stands bare.
    Bare,
}

/// Writes number keys and marked keys in one of the dialects.
struct Keys {
    dialect: Dialect,
    key: Key,
}

impl Keys {
    /// Writes the quote that was held back until the kind of key was known.
    fn quote_text<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if self.key == Key::Begun {
            self.key = Key::Text;
            writer.write_all(b"\"")?;
        }
        Ok(())
    }

    /// Leaves the quote out if the dialect does so for keys that are no text.
    fn bare<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        match self.dialect {
            Dialect::Standard => self.quote_text(writer),
            Dialect::BareNumbers | Dialect::BareBeans => {
                if self.key == Key::Begun {
                    self.key = Key::Bare;
                }
                Ok(())
            }
        }
    }
}

impl Formatter for Keys {
    fn begin_object_key<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.key = Key::Begun;
        CompactFormatter.begin_object_key(writer, first)
    }

    fn end_object_key<W: ?Sized + Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        self.key = Key::None;
        Ok(())
    }

    fn begin_string<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if self.key == Key::None { writer.write_all(b"\"") } else { Ok(()) }
    }

    fn end_string<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        match self.key {
            Key::None | Key::Text => writer.write_all(b"\""),
            Key::Bare => Ok(()),
            // An empty text has no fragment, so its first quote is still held back.
            Key::Begun => writer.write_all(b"\"\""),
        }
    }

    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        mut fragment: &str,
    ) -> io::Result<()> {
        if self.key == Key::Begun {
            match fragment.strip_prefix(BEAN_KEY_MARK) {
                // A name could hold the mark; only bodies that have beans as keys look for it.
                Some(json) if self.dialect == Dialect::BareBeans => {
                    self.bare(writer)?;
                    fragment = json;
                }
                Some(json) => {
                    self.quote_text(writer)?;
                    fragment = json;
                }
                None => self.quote_text(writer)?,
            }
        }
        writer.write_all(fragment.as_bytes())
    }

    fn write_char_escape<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        self.quote_text(writer)?;
        match (self.key, escape) {
            (Key::Bare, CharEscape::Quote) => writer.write_all(b"\""),
            (Key::Bare, CharEscape::ReverseSolidus) => writer.write_all(b"\\"),
            (_, escape) => CompactFormatter.write_char_escape(writer, escape),
        }
    }

    fn write_i32<W: ?Sized + Write>(&mut self, writer: &mut W, value: i32) -> io::Result<()> {
        self.write_i64(writer, i64::from(value))
    }

    fn write_i64<W: ?Sized + Write>(&mut self, writer: &mut W, value: i64) -> io::Result<()> {
        self.bare(writer)?;
        CompactFormatter.write_i64(writer, value)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn only_numbers_stand_bare() {
        let text = BTreeMap::from([("", 1), ("a\"b", 2), ("0", 3)]);
        assert_eq!(to_vec(&text, Dialect::BareNumbers), br#"{"":1,"0":3,"a\"b":2}"#);
        let numbers = BTreeMap::from([(-1_i64, "x"), (0, "y")]);
        assert_eq!(to_vec(&numbers, Dialect::BareNumbers), br#"{-1:"x",0:"y"}"#);
        assert_eq!(to_vec(&numbers, Dialect::Standard), br#"{"-1":"x","0":"y"}"#);
        let values = vec![1_i64, -2];
        assert_eq!(to_vec(&values, Dialect::BareNumbers), b"[1,-2]");
    }

    #[test]
    fn beans_as_keys_keep_what_is_inside_them() {
        #[derive(Serialize)]
        struct Body(#[serde(serialize_with = "bean_keys::serialize")] BTreeMap<Vec<String>, i32>);
        let body = Body(BTreeMap::from([(vec!["a\"\\\n".to_owned()], 1)]));
        let bare = br#"{["a\"\\\n"]:1}"#;
        assert_eq!(to_vec(&body, Dialect::BareBeans), bare);
        let quoted = br#"{"[\"a\\\"\\\\\\n\"]":1}"#;
        assert_eq!(to_vec(&body, Dialect::Standard), quoted);
    }
}
