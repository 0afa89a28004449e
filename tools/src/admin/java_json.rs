//! JSON as fastjson prints it for people: tabs, no blank behind a colon, numeric keys bare and
//! their tables together, as are lists of words and numbers.

use remoting::protocol::body::Body;
use serde_json::{Map, Value};

/// The body as indented JSON, members in the order of their names.
pub fn pretty(body: &impl Body) -> String {
    pretty_value(&serde_json::to_value(body).unwrap_or(Value::Null))
}

/// The same of any value.
pub fn pretty_value(value: &Value) -> String {
    let mut out = String::new();
    put(&mut out, value, 0);
    out
}

fn put(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(members) if numeric(members) => {
            let members: Vec<String> =
                members.iter().map(|(key, value)| format!("{key}:{value}")).collect();
            out.push_str(&format!("{{{}", members.join(",")));
            new_line(out, depth);
            out.push('}');
        }
        Value::Array(items) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
            out.push_str(&value.to_string());
        }
        Value::Object(members) => {
            let members = members.iter().map(|(key, value)| (Some(key.as_str()), value));
            put_all(out, members, ('{', '}'), depth);
        }
        Value::Array(items) => {
            put_all(out, items.iter().map(|item| (None, item)), ('[', ']'), depth);
        }
        other => out.push_str(&other.to_string()),
    }
}

fn put_all<'a>(
    out: &mut String,
    items: impl Iterator<Item = (Option<&'a str>, &'a Value)>,
    (open, close): (char, char),
    depth: usize,
) {
    out.push(open);
    let mut empty = true;
    for (key, value) in items {
        if !empty {
            out.push(',');
        }
        empty = false;
        new_line(out, depth + 1);
        if let Some(key) = key {
            out.push_str(&Value::from(key).to_string());
            out.push(':');
        }
        put(out, value, depth + 1);
    }
    if !empty {
        new_line(out, depth);
    }
    out.push(close);
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n('\t', depth));
}

fn numeric(members: &Map<String, Value>) -> bool {
    !members.is_empty() && members.keys().all(|key| key.parse::<i64>().is_ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_of_words_and_tables_of_numbers_stay_together() {
        let value =
            json!({"a": [{"x": {"0": "b:1", "1": "c:2"}}], "e": {}, "l": [], "t": ["A", 1]});
        let text = "{\n\t\"a\":[\n\t\t{\n\t\t\t\"x\":{0:\"b:1\",1:\"c:2\"\n\t\t\t}\n\t\t}\n\t],\n\t\
                    \"e\":{},\n\t\"l\":[],\n\t\"t\":[\"A\",1]\n}";
        assert_eq!(pretty_value(&value), text);
    }
}
