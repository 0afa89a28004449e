//! What differs from run to run whoever answers: times of today, keys that the broker makes.
//!
//! Times that belong to a pop stay visible as distances from it.

use remoting::protocol::message::id::OffsetMessageId;
use remoting::protocol::message::recall::RecallHandle;

/// Digits of a time in ms, from 2001 to 2286.
const TIME_DIGITS: usize = 13;
/// Times that the script itself names are before this one.
const TODAY: i64 = 1_750_000_000_000;

/// A field of an answer without noise.
pub fn of_field(name: &str, value: &str) -> String {
    match () {
        () if is_time(value) => "<time>".to_owned(),
        () if name == "indexLastUpdatePhyoffset" && value != "0" => "<log position>".to_owned(),
        () if name == "reviveQid" && value != "999" => "<revive queue>".to_owned(),
        () if name == "recallHandle" => of_handle(value),
        () if value.split(',').all(is_offset_id) => {
            format!("<{} offset ids>", value.split(',').count())
        }
        () if is_made_key(value) => "<key>".to_owned(),
        () => value.to_owned(),
    }
}

/// A property of a record without noise; `pop_time` is that of its check point, if it has one.
pub fn of_property(name: &str, value: &str, pop_time: Option<i64>) -> String {
    match () {
        () if name == "ORIGIN_MESSAGE_ID" && value.len() == 32 => "<offset id>".to_owned(),
        () if is_time(value) && name != "TIMER_DELIVER_MS" => "<time>".to_owned(),
        () if matches!(name, "UNIQ_KEY" | "__transactionId__") && is_made_key(value) => {
            "<key>".to_owned()
        }
        () => since_pop(value, pop_time),
    }
}

/// The body of a record without noise, and the time of the pop that it tells of.
pub fn of_body(body: &[u8]) -> (String, Option<i64>) {
    let text = std::str::from_utf8(body).ok().filter(|text| text.starts_with('{'));
    let Some(text) = text else { return (body.escape_ascii().to_string(), None) };
    let pop_time = text.split_once("\"pt\":").and_then(|(_, rest)| {
        let end = rest.find(|next: char| !next.is_ascii_digit())?;
        rest[..end].parse().ok().filter(|time| *time > TODAY)
    });
    (since_pop(text, pop_time), pop_time)
}

/// A time of birth without noise.
pub fn of_time(time: i64) -> String {
    if time > TODAY { "<time>".to_owned() } else { time.to_string() }
}

fn is_time(value: &str) -> bool {
    value.len() == TIME_DIGITS && value.bytes().all(|byte| byte.is_ascii_digit())
}

/// A key that the broker made; those of the script have zeros behind the process.
fn is_made_key(value: &str) -> bool {
    let of_script = value.starts_with("7F000001") && value.get(16..20) == Some("0000");
    value.len() == 32 && !of_script && value.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// An offset id that holds a small log position.
fn is_offset_id(value: &str) -> bool {
    let id = OffsetMessageId::parse(value);
    id.is_some_and(|id| id.store_host.ip().is_loopback() && id.physical_offset < 1 << 32)
}

/// A handle for taking a message back: the second of its time depends on when it was sent.
fn of_handle(value: &str) -> String {
    let Ok(handle) = RecallHandle::decode(value) else { return value.to_owned() };
    let RecallHandle { topic, broker_name, timestamp, unique_key } = handle;
    format!("{topic} {broker_name} <second>+{} {unique_key}", timestamp % 1000)
}

/// Writes every time of the day as its distance from the pop.
fn since_pop(text: &str, pop_time: Option<i64>) -> String {
    let Some(pop_time) = pop_time else { return text.to_owned() };
    let mut out = String::with_capacity(text.len());
    for part in text.split_inclusive(|next: char| !next.is_ascii_digit()) {
        let digits = part.trim_end_matches(|next: char| !next.is_ascii_digit());
        match digits.parse::<i64>() {
            Ok(time) if is_time(digits) && time > TODAY => {
                out.push_str(&format!("<pop>{:+}", time - pop_time));
                out.push_str(&part[digits.len()..]);
            }
            _ => out.push_str(part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_a_pop_become_distances() {
        let body = br#"{"it":60000,"pt":1795931042415,"reviveTime":1795931102415,"so":0}"#;
        let (text, pop_time) = of_body(body);
        assert_eq!(text, r#"{"it":60000,"pt":<pop>+0,"reviveTime":<pop>+60000,"so":0}"#);
        assert_eq!(of_property("TIMER_DELIVER_MS", "1795931101415", pop_time), "<pop>+59000");
        let key = "T@1@0@g@1795931042415@b@ck";
        assert_eq!(of_property("UNIQ_KEY", key, pop_time), "T@1@0@g@<pop>+0@b@ck");
        assert_eq!(of_body(br#"{"pt":1,"so":0}"#), (r#"{"pt":1,"so":0}"#.to_owned(), None));
        assert_eq!(of_body(b"{\xff").1, None);
    }

    #[test]
    fn of_a_handle_only_the_second_is_hidden() {
        let mut handle = String::new();
        RecallHandle::append("T", "b", 1_795_938_181_001, "key", &mut handle);
        assert_eq!(of_field("recallHandle", &handle), "T b <second>+1 key");
        assert_eq!(of_field("recallHandle", "nonsense"), "nonsense");
    }

    #[test]
    fn keys_of_the_script_are_no_noise() {
        let of_script = "7F000001000100000000000000000005";
        assert_eq!(of_field("transactionId", of_script), of_script);
        let made = "7F0000014A2B18B4AAC2063C1A2B0000";
        assert_eq!(of_field("transactionId", made), "<key>");
    }
}
