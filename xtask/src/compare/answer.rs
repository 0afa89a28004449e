//! Answers and how two of them differ: code, fields, shape of the body.

use std::collections::BTreeSet;

use remoting::protocol::command::Frame;
use remoting::protocol::lenient_json::to_standard;
use remoting::protocol::message::id::OffsetMessageId;
use remoting::protocol::message::record::records;
use serde_json::Value;

use super::noise;

/// An answer, kept for the comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Response code; -1 for none in time.
    pub code: i32,
    /// Remark, shown but not compared.
    pub remark: String,
    /// Fields, sorted by name.
    pub fields: Vec<(String, String)>,
    /// What the body looks like.
    pub shape: BTreeSet<String>,
    /// Log position in the message id.
    pub position: Option<i64>,
}

impl Answer {
    /// Keeps what matters of a frame.
    pub fn of(frame: &Frame) -> Answer {
        let mut fields: Vec<(String, String)> = frame
            .fields()
            .map(|(name, value)| (name.to_owned(), noise::of_field(name, value)))
            .collect();
        let position = frame.field("msgId").and_then(OffsetMessageId::parse);
        fields.sort();
        Answer {
            code: frame.code(),
            remark: frame.remark().unwrap_or_default().to_owned(),
            fields,
            shape: shape(frame.body()),
            position: position.map(|id| id.physical_offset),
        }
    }

    /// The value of a field as a number.
    pub fn number(&self, name: &str) -> Option<i64> {
        let field = self.fields.iter().find(|(field, _)| field == name)?;
        field.1.parse().ok()
    }

    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// Every difference to `java`, each a short text.
    pub fn differences(&self, java: &Answer) -> Vec<String> {
        if self.code != java.code {
            let (ours, theirs) = (&self.remark, &java.remark);
            return vec![format!("code {} → {} [{theirs} → {ours}]", java.code, self.code)];
        }
        let mut all = Vec::new();
        for (name, value) in &java.fields {
            match self.field(name) {
                None => all.push(format!("field {name} missing [{value}]")),
                Some(own) if own != value => all.push(format!("field {name} [{value} → {own}]")),
                Some(_) => {}
            }
        }
        for (name, value) in &self.fields {
            if java.field(name).is_none() {
                all.push(format!("field {name} too many [{value}]"));
            }
        }
        for path in java.shape.difference(&self.shape) {
            all.push(format!("body {path} missing"));
        }
        for path in self.shape.difference(&java.shape) {
            all.push(format!("body {path} too many"));
        }
        all
    }
}

/// What a body looks like: path and type of every value of JSON, number of records, or its kind.
fn shape(body: &[u8]) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    if body.starts_with(b"{") || body.starts_with(b"[") {
        match serde_json::from_slice::<Value>(&to_standard(body)) {
            Ok(value) => add_paths(&value, "", &mut out),
            Err(error) => drop(out.insert(format!("no JSON: {error}"))),
        }
        return out;
    }
    let count = records(body).take_while(Result::is_ok).count();
    out.insert(match count {
        0 if body.is_empty() => "none".to_owned(),
        0 => "text".to_owned(),
        count => format!("{count} records"),
    });
    out
}

fn add_paths(value: &Value, path: &str, out: &mut BTreeSet<String>) {
    let leaf = match value {
        Value::Array(all) if !all.is_empty() => {
            return all.iter().for_each(|value| add_paths(value, &format!("{path}[]"), out));
        }
        Value::Object(all) if !all.is_empty() => {
            for (name, value) in all {
                // Object keys and names of queues are data, not shape.
                let is_data = name.starts_with('{') || name.parse::<i64>().is_ok();
                let name = if is_data { "*" } else { name };
                add_paths(value, &format!("{path}.{name}"), out);
            }
            return;
        }
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "empty list",
        Value::Object(_) => "empty object",
    };
    out.insert(format!("{path}: {leaf}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_differ_by_path() {
        let of = |body: &str| Answer { shape: shape(body.as_bytes()), ..Answer::default() };
        let ours = of(r#"{"a":[{"b":1},{"c":"x"}],"t":{0:1,"{x}":2}}"#);
        let java = of(r#"{"a":[{"b":2}],"t":{"5":7},"d":null,"e":[]}"#);
        assert_eq!(
            ours.differences(&java),
            [
                "body .d: null missing",
                "body .e: empty list missing",
                "body .a[].c: string too many"
            ]
        );
        assert_eq!(of("").differences(&of("x")), ["body text missing", "body none too many"]);
    }
}
