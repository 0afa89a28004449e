//! What differs from run to run whoever answers, and is therefore not compared:
//!
//! - addresses, ports, folders and ids that the run made: each is written as what it is;
//! - instants: dates, times of day, milliseconds of today; and durations in milliseconds;
//! - positions in the log, which depend on what the brokers store for themselves;
//! - the order in which Java prints the entries of a map;
//! - widths of columns, which Java's tool makes, and of its stack traces all but the causes;
//! - the wording of remarks: the code before it counts;
//! - rates, durations, versions of tables, hash codes, and numbers at large in the commands that
//!   the script marks with `@numbers`;
//! - how long puts took, which brokers tell from their first full minute on.

use remoting::protocol::lenient_json::to_standard;
use serde_json::Value;

/// Times of the run are behind this one.
const TODAY: i64 = 1_750_000_000_000;
const ID_DIGITS: usize = 32;
/// What stands before a position in the log, and what that is called.
const LABELS: [(&str, &str); 10] = [
    ("CommitLog Offset: ", "<position>"),
    ("commitLogOffset=", "<position>"),
    ("physicOffset=", "<position>"),
    ("preparedTransactionOffset=", "<position>"),
    ("#MasterCommitLogMaxOffset ", "<position>"),
    ("spentTimeMills=", "<n>"),
    ("listenPort = ", "<port>"),
    ("haListenPort = ", "<port>"),
    ("\"counter\": ", "<n>"),
    ("Consume TPS: ", "<n>"),
];
/// What the tool adds to every failure of its own.
const TRAILER: &str = "For more information, please visit the url";
const UNITS: [&str; 4] = [" B", " KiB", " MiB", " GiB"];
const PUT_TIMES: &str = "putMessageDistributeTime";

/// The lines of a text without noise; `names` are texts of the run and what they are.
pub fn lines(text: &str, names: &[(String, &'static str)], has_rates: bool) -> Vec<String> {
    let mut text = text.to_owned();
    for (made, name) in names {
        text = text.replace(made, name);
    }
    let of_trace = |line: &str| {
        ["\tat ", "\t... ", TRAILER].iter().any(|start| line.starts_with(start))
            || line.ends_with(" command failed")
    };
    let lines = text.lines().filter(|line| !of_trace(line)).map(without_tail);
    lines.map(|line| of_line(line, has_rates)).filter(|line| !line.is_empty()).collect()
}

/// A line up to where a remark or a table of times begins.
fn without_tail(line: &str) -> &str {
    for tail in [" DESC: ", PUT_TIMES] {
        if let Some(at) = line.find(tail) {
            return &line[..at + tail.len()];
        }
    }
    line
}

/// The lines of a JSON file, its members sorted, without noise.
pub fn json(text: &str, names: &[(String, &'static str)], has_rates: bool) -> Vec<String> {
    let sorted = match serde_json::from_slice::<Value>(&to_standard(text.as_bytes())) {
        Ok(value) => format!("{value:#}"),
        Err(error) => format!("no JSON: {error}"),
    };
    lines(&sorted, names, has_rates)
}

/// Endless commands repeat themselves as often as time allows: their lines, each once.
pub fn without_repetition(lines: Vec<String>) -> Vec<String> {
    let mut seen = Vec::new();
    for line in lines {
        if !seen.contains(&line) {
            seen.push(line);
        }
    }
    seen
}

fn of_line(line: &str, has_rates: bool) -> String {
    let line = sorted_maps(&line.split_whitespace().collect::<Vec<_>>().join(" "));
    let mut out = String::with_capacity(line.len());
    let mut rest = line.as_str();
    while let Some(first) = rest.chars().next() {
        let is_in_word = out.ends_with(|last: char| last.is_ascii_alphanumeric() || last == '_');
        let (len, text) = match first {
            _ if is_in_word => (first.len_utf8(), None),
            '0'..='9' => of_number(rest, &out, has_rates),
            'A'..='F' if id_len(rest) > 0 => (id_len(rest), Some("<id>")),
            'a'..='f' if is_object(&out) => (hash_len(rest, &out).unwrap_or(1), Some("<hash>")),
            _ => (first.len_utf8(), None),
        };
        out.push_str(text.unwrap_or(&rest[..len]));
        rest = &rest[len..];
    }
    out
}

/// Sorts the entries of every `{a=1, b=2}` that has no braces inside.
fn sorted_maps(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, behind)) = rest.split_once('{') {
        out.push_str(before);
        out.push('{');
        rest = behind;
        let Some(end) = rest.find(['{', '}']) else { break };
        if rest[end..].starts_with('}') {
            let mut entries: Vec<&str> = rest[..end].split(", ").collect();
            entries.sort_unstable();
            out.push_str(&entries.join(", "));
            rest = &rest[end..];
        }
    }
    out.push_str(rest);
    out
}

/// How many bytes at the start of `rest`, which is a digit, stand for what.
fn of_number(rest: &str, before: &str, has_rates: bool) -> (usize, Option<&'static str>) {
    let digits = rest.find(|next: char| !next.is_ascii_digit()).unwrap_or(rest.len());
    for (form, name) in [
        ("dddd-dd-dd dd:dd:dd,ddd", "<time>"),
        ("dddd-dd-dd dd:dd:dd", "<time>"),
        ("dd:dd:dd", "<time>"),
    ] {
        if has_form(rest, form) {
            return (form.len(), Some(name));
        }
    }
    if id_len(rest) > 0 {
        return (id_len(rest), Some("<id>"));
    }
    if let Some(len) = hash_len(rest, before) {
        return (len, Some("<hash>"));
    }
    if let Some(len) = address_len(rest) {
        return (len, Some("<address>"));
    }
    let behind = &rest[digits..];
    if before.ends_with('@') && behind.starts_with('#') {
        let more = behind[1..].find(|next: char| !next.is_ascii_digit());
        return (digits + 1 + more.unwrap_or(behind.len() - 1), Some("<process>"));
    }
    let is_today = rest[..digits].parse().is_ok_and(|time: i64| time > TODAY && time < 4 * TODAY);
    let label = LABELS.iter().find(|(label, _)| before.ends_with(label));
    match () {
        () if label.is_some() => (digits + fraction_len(behind), label.map(|(_, name)| *name)),
        () if is_today => (digits, Some("<ms>")),
        () if behind.starts_with("ms") => (digits, Some("<n>")),
        () if has_rates => of_rate(rest, digits + fraction_len(behind)),
        () => (digits, None),
    }
}

/// Length of a fraction at the start, with its point.
fn fraction_len(text: &str) -> usize {
    let Some(fraction) = text.strip_prefix('.') else { return 0 };
    match fraction.find(|next: char| !next.is_ascii_digit()).unwrap_or(fraction.len()) {
        0 => 0,
        len => 1 + len,
    }
}

/// Length of a hash code or an address of a class at the start.
fn hash_len(text: &str, before: &str) -> Option<usize> {
    let digits = match text.strip_prefix("0x") {
        Some(digits) => digits,
        None if is_object(before) => text,
        None => return None,
    };
    let len = digits.find(|next: char| !next.is_ascii_hexdigit()).unwrap_or(digits.len());
    Some(text.len() - digits.len() + len)
}

/// Whether a text ends with a class of Java and the at sign behind which its hash code stands.
fn is_object(before: &str) -> bool {
    let class = before.strip_suffix('@').and_then(|before| before.split(' ').next_back());
    class.is_some_and(|class| class.contains('.') && !class.starts_with('<'))
}

/// A number of `len` bytes, with the unit of a size.
fn of_rate(rest: &str, len: usize) -> (usize, Option<&'static str>) {
    let unit = UNITS.iter().find(|unit| rest[len..].starts_with(*unit));
    (len + unit.map_or(0, |unit| unit.len()), Some("<n>"))
}

/// Whether `text` begins as `form` says, in which d is a digit.
fn has_form(text: &str, form: &str) -> bool {
    let fits = |(next, wanted): (u8, u8)| match wanted {
        b'd' => next.is_ascii_digit(),
        _ => next == wanted,
    };
    text.len() >= form.len() && text.bytes().zip(form.bytes()).all(fits)
}

/// Length of an id of 32 hexadecimal digits at the start; 0 if there is none.
fn id_len(text: &str) -> usize {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'A'..=b'F');
    let digits = text.bytes().take_while(|byte| is_digit(*byte)).count();
    if digits >= ID_DIGITS { ID_DIGITS } else { 0 }
}

/// Length of an IPv4 address at the start, with its port.
fn address_len(text: &str) -> Option<usize> {
    let end = text.find(|next: char| !next.is_ascii_digit() && next != '.').unwrap_or(text.len());
    text[..end].parse::<std::net::Ipv4Addr>().ok()?;
    let port = text[end..]
        .strip_prefix(':')
        .map_or(0, |port| 1 + port.find(|next: char| !next.is_ascii_digit()).unwrap_or(port.len()));
    Some(if port > 1 { end + port } else { end })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_makes_is_named() {
        let names = [("127.0.0.1:4711".to_owned(), "<broker>")];
        let text = "a   127.0.0.1:4711 10.0.0.1:80 10.0.0.1@1795931042415 x@12#345 7\n\tat x\n";
        let expected = "a <broker> <address> <address>@<ms> x@<process> 7";
        assert_eq!(lines(text, &names, false), [expected]);
        let text = "2026-11-29 12:00:01,123 7F0000014A2B18B4AAC2063C1A2B0000 5ms V5_3_3";
        assert_eq!(lines(text, &[], false), ["<time> <id> <n>ms V5_3_3"]);
        assert_eq!(lines("CommitLog Offset:   77", &[], false), ["CommitLog Offset: <position>"]);
        let text = "a.b.C@1f2 a.b.C$$Lambda$1/0x00ff@e3 T@1";
        assert_eq!(lines(text, &[], false), ["a.b.C@<hash> a.b.C$$Lambda$1/<hash>@<hash> T@1"]);
        let text = "x command failed\nCaused by: y: CODE: 1  DESC: words\nConsume TPS: 0.17";
        assert_eq!(lines(text, &[], false), ["Caused by: y: CODE: 1 DESC:", "Consume TPS: <n>"]);
    }

    #[test]
    fn numbers_go_where_they_are_rates() {
        assert_eq!(lines("TPS: 0.17(3, 4) T1 9.", &[], true), ["TPS: <n>(<n>, <n>) T1 <n>."]);
        assert_eq!(lines("TPS: 0.17", &[], false), ["TPS: 0.17"]);
        assert_eq!(lines("to flush: 1.5 KiB, 3 B", &[], true), ["to flush: <n>, <n>"]);
    }

    #[test]
    fn maps_have_one_order() {
        assert_eq!(lines("x{b=2, a=1}, {c{b, a} {", &[], false), ["x{a=1, b=2}, {c{a, b} {"]);
    }

    #[test]
    fn files_are_sorted() {
        let sorted = json(r#"{"b":1,"a":{0:"x"}}"#, &[], false);
        assert_eq!(sorted, ["{", "\"a\": {", "\"0\": \"x\"", "},", "\"b\": 1", "}"]);
    }

    #[test]
    fn endless_lines_count_once() {
        let lines = ["a", "b", "a"].map(str::to_owned).to_vec();
        assert_eq!(without_repetition(lines), ["a", "b"]);
    }
}
