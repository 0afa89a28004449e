//! Reading JSON values as leniently as fastjson fills a bean.
//!
//! Numbers may come as text and text as numbers, null members keep their defaults, and a member
//! that has no exact match is looked up without case and underscores.

use serde::de::value::StringDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Map, Number, Value};

/// Makes a value from JSON.
pub(super) fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, Error> {
    T::deserialize(Lenient(value))
}

struct Lenient(Value);

fn visit_number<'de, V: Visitor<'de>>(number: &Number, visitor: V) -> Result<V::Value, Error> {
    if let Some(value) = number.as_i64() {
        visitor.visit_i64(value)
    } else if let Some(value) = number.as_u64() {
        visitor.visit_u64(value)
    } else {
        visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN))
    }
}

impl Lenient {
    fn visit_integer<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.0 {
            Value::Number(number) if number.is_f64() => {
                visitor.visit_i64(number.as_f64().unwrap_or(0.0) as i64)
            }
            Value::Number(number) => visit_number(number, visitor),
            Value::Bool(value) => visitor.visit_i64(i64::from(*value)),
            Value::String(text) => visitor.visit_i64(text.trim().parse().map_err(Error::custom)?),
            _ => self.deserialize_any(visitor),
        }
    }

    fn visit_text<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::String(text) => visitor.visit_string(text),
            Value::Null => visitor.visit_str(""),
            other => visitor.visit_string(other.to_string()),
        }
    }
}

macro_rules! integers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.visit_integer(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Lenient {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Number(number) => visit_number(&number, visitor),
            Value::String(text) => visitor.visit_string(text),
            Value::Array(items) => visitor.visit_seq(Items(items.into_iter())),
            Value::Object(members) => visitor.visit_map(Members::new(members, None)),
        }
    }

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.0 {
            Value::String(text) => visitor.visit_bool(text.eq_ignore_ascii_case("true")),
            Value::Number(number) => visitor.visit_bool(number.as_i64() == Some(1)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.0 {
            Value::String(text) => visitor.visit_f64(text.trim().parse().map_err(Error::custom)?),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.visit_text(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.visit_text(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Value::Object(members) => visitor.visit_map(Members::new(members, Some(fields))),
            _ => Err(Error::custom(format_args!("{name} must be an object"))),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_seq(Items(Vec::new().into_iter())),
            other => Lenient(other).deserialize_any(visitor),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_map(Members::new(Map::new(), None)),
            other => Lenient(other).deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        i128 u128 f32 char bytes byte_buf unit unit_struct tuple tuple_struct enum identifier
        ignored_any
    }
}

/// The items of a list.
struct Items(std::vec::IntoIter<Value>);

impl<'de> SeqAccess<'de> for Items {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        self.0.next().map(|item| seed.deserialize(Lenient(item))).transpose()
    }
}

/// The members of an object that are not null.
struct Members {
    rest: serde_json::map::IntoIter,
    fields: Option<&'static [&'static str]>,
    exact: Vec<&'static str>,
    value: Option<Value>,
}

impl Members {
    fn new(members: Map<String, Value>, fields: Option<&'static [&'static str]>) -> Self {
        let present = |field: &&&str| members.get(**field).is_some_and(|value| !value.is_null());
        let exact = fields.unwrap_or(&[]).iter().filter(present).copied().collect();
        Members { rest: members.into_iter(), fields, exact, value: None }
    }

    /// Returns the declared name of a member; other names stay, and are ignored by the bean.
    fn declared(&mut self, name: String) -> String {
        let Some(fields) = self.fields else { return name };
        if fields.contains(&name.as_str()) {
            return name;
        }
        let folded = |text: &str| text.replace(['_', '-'], "").to_ascii_lowercase();
        let wanted = folded(&name);
        match fields.iter().find(|field| folded(field) == wanted) {
            // A field comes once only: an exact name wins over similar ones.
            Some(field) if !self.exact.contains(field) => {
                self.exact.push(field);
                (*field).to_owned()
            }
            _ => name,
        }
    }
}

impl<'de> MapAccess<'de> for Members {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        for (name, value) in self.rest.by_ref() {
            if !value.is_null() {
                self.value = Some(value);
                let name = self.declared(name);
                return seed.deserialize(Name(name)).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(Lenient(self.value.take().unwrap_or_default()))
    }
}

/// The name of a member, or the key of a map, which may stand for a number.
struct Name(String);

macro_rules! number_keys {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.visit_i64(self.0.trim().parse().map_err(Error::custom)?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Name {
    type Error = Error;

    number_keys! { deserialize_i32 deserialize_i64 deserialize_u32 deserialize_u64 }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        StringDeserializer::new(self.0).deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 u8 u16 i128 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "camelCase", default)]
    struct Bean {
        queue_id: i32,
        on: bool,
        name: String,
        codes: Vec<i32>,
        table: BTreeMap<i64, String>,
        maybe: Option<f64>,
    }

    impl Default for Bean {
        fn default() -> Self {
            let (codes, table) = (vec![9], BTreeMap::new());
            Bean { queue_id: 16, on: true, name: "n".into(), codes, table, maybe: None }
        }
    }

    #[test]
    fn nulls_and_missing_members_keep_the_default() {
        let json = json!({"queueId": null, "on": null, "codes": null, "name": null, "x": {"y": 1}});
        assert_eq!(from_value::<Bean>(json).unwrap(), Bean::default());
    }

    #[test]
    fn numbers_and_texts_stand_for_each_other() {
        let json = json!({"queueId": " 7", "on": "FALSE", "codes": ["97", 98.0], "name": 5,
            "table": {"3": 4}, "maybe": "1.5"});
        let bean: Bean = from_value(json).unwrap();
        let table = BTreeMap::from([(3, "4".to_owned())]);
        let expected = Bean {
            queue_id: 7,
            on: false,
            name: "5".into(),
            codes: vec![97, 98],
            table,
            maybe: Some(1.5),
        };
        assert_eq!(bean, expected);
    }

    #[test]
    fn similar_names_match_unless_the_exact_one_is_there() {
        assert_eq!(from_value::<Bean>(json!({"QUEUE_ID": 3})).unwrap().queue_id, 3);
        let json = json!({"QUEUEID": 1, "queueId": 2, "queue_id": 3});
        assert_eq!(from_value::<Bean>(json).unwrap().queue_id, 2);
    }

    #[test]
    fn a_wrong_type_is_an_error() {
        assert!(from_value::<Bean>(json!({"queueId": "x"})).is_err());
        assert!(from_value::<Bean>(json!({"table": []})).is_err());
        assert!(from_value::<Bean>(json!([])).is_err());
    }
}
