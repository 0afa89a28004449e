//! Answers and how two of them differ: code, fields, shape of the body.

use remoting::protocol::command::Frame;
use remoting::protocol::lenient_json::to_standard;
use remoting::protocol::message::id::OffsetMessageId;
use remoting::protocol::message::record::records;
use serde_json::Value;

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
    pub shape: String,
    /// Log position in the message id.
    pub position: Option<i64>,
}

impl Answer {
    /// Keeps what matters of a frame.
    pub fn of(frame: &Frame) -> Answer {
        let mut fields: Vec<(String, String)> =
            frame.fields().map(|(name, value)| (name.to_owned(), mask(name, value))).collect();
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
        if self.shape != java.shape {
            all.push(format!("body [{} → {}]", java.shape, self.shape));
        }
        all
    }
}

/// Hides what differs from run to run: times of today and generated keys.
fn mask(name: &str, value: &str) -> String {
    let is_time = value.len() == 13 && value.bytes().all(|byte| byte.is_ascii_digit());
    let is_key = value.len() == 32 && value.starts_with("7F000001") && value[16..20] == *"0000";
    match () {
        () if is_time => "<time>".to_owned(),
        () if name == "indexLastUpdatePhyoffset" && value != "0" => "<log position>".to_owned(),
        () if name == "reviveQid" && value != "999" => "<revive queue>".to_owned(),
        () if value.split(',').all(is_offset_id) => {
            format!("<{} offset ids>", value.split(',').count())
        }
        // A key that the broker made; those of the script have zeros behind the process.
        () if value.len() == 32 && !is_key && is_hex(value) => "<key>".to_owned(),
        () => value.to_owned(),
    }
}

fn is_hex(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// An offset id of a broker on 127.0.0.1: port below 65,536 and a small log position.
fn is_offset_id(value: &str) -> bool {
    value.len() == 32 && value.starts_with("7F0000010000") && value[16..24] == *"00000000"
}

/// What a body looks like: keys and types of JSON, number of records, or its length.
fn shape(body: &[u8]) -> String {
    if body.is_empty() {
        return "none".to_owned();
    }
    if body.starts_with(b"{") || body.starts_with(b"[") {
        let standard = to_standard(body);
        return match serde_json::from_slice::<Value>(&standard) {
            Ok(value) => shape_of(&value),
            Err(error) => format!("no JSON: {error}"),
        };
    }
    let count = records(body).take_while(Result::is_ok).count();
    match count {
        0 => "text".to_owned(),
        count => format!("{count} records"),
    }
}

fn shape_of(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "string".to_owned(),
        Value::Array(all) => {
            let mut shapes: Vec<String> = all.iter().map(shape_of).collect();
            shapes.sort();
            shapes.dedup();
            format!("[{}]", shapes.join("|"))
        }
        Value::Object(all) => {
            // Object keys and names of queues are data, not shape.
            let key = |name: &str| {
                let is_data = name.starts_with('{') || name.parse::<i64>().is_ok();
                if is_data { "*".to_owned() } else { name.to_owned() }
            };
            let mut members: Vec<String> = all
                .iter()
                .map(|(name, value)| format!("{}:{}", key(name), shape_of(value)))
                .collect();
            members.sort();
            members.dedup();
            format!("{{{}}}", members.join(","))
        }
    }
}
