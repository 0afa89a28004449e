//! The text form of settings: `java.util.Properties`, read with all its escapes.
//!
//! ```text
//! # comment, also with !           key=value, key : value, key value
//! long = first \                   a backslash at the end continues the line,
//!        second                    leading blanks of the next one are dropped
//! text = tab\t unicode\u00e9       any other escaped letter stands for itself
//! ```

use std::fmt;
use std::iter::Peekable;
use std::str::Chars;

use super::Applied;

/// What is known about one key without an instance.
#[derive(Clone, Copy, Debug)]
pub struct Property {
    /// Its name in files and on the wire.
    pub key: &'static str,
    /// Java's name of its type.
    pub kind: &'static str,
    /// When a change counts.
    pub change: Change,
    /// The values it can have, if not all of its type.
    pub range: Option<fn() -> String>,
    /// What it does.
    pub doc: &'static str,
}

/// When a change of a setting counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// At once.
    Running,
    /// After a restart.
    Restart,
    /// After a restart, and no request may ask for it: it names a path, an address or a role.
    Fixed,
}

/// A settings struct; implemented by `#[derive(Properties)]`.
pub trait Properties {
    /// Every key, in the order of declaration.
    fn properties(&self) -> &'static [Property];

    /// Sets one key from its text.
    fn apply(&mut self, key: &str, value: &str) -> Applied;

    /// Every key with its present value.
    fn entries(&self) -> Vec<(&'static str, String)>;
}

/// An escape that Java refuses too: `\u` without four hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PropertiesError {
    /// The line it is on, counted from 1.
    pub line: usize,
}

impl fmt::Display for PropertiesError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "line {}: \\u needs four hexadecimal digits", self.line)
    }
}

impl std::error::Error for PropertiesError {}

/// Reads property bytes: UTF-8, or Latin-1 as Java when they are not UTF-8.
pub fn parse_bytes(bytes: &[u8]) -> Result<Vec<(String, String)>, PropertiesError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => parse(text),
        Err(_) => parse(&bytes.iter().map(|&byte| char::from(byte)).collect::<String>()),
    }
}

/// Reads property text into its pairs, in order; of a repeated key only the last value is kept.
pub fn parse(text: &str) -> Result<Vec<(String, String)>, PropertiesError> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut lines = text.split('\n').zip(1..);
    while let Some((first, number)) = lines.next() {
        let first = first.trim_start_matches(BLANKS);
        if first.is_empty() || first.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = first.to_owned();
        while continues(&logical) {
            logical.pop();
            let Some((next, _)) = lines.next() else { break };
            logical.push_str(next.trim_start_matches(BLANKS));
        }
        let (key, value) = split(&logical).ok_or(PropertiesError { line: number })?;
        match pairs.iter_mut().find(|(known, _)| *known == key) {
            Some(pair) => pair.1 = value,
            None => pairs.push((key, value)),
        }
    }
    Ok(pairs)
}

const BLANKS: [char; 3] = [' ', '\t', '\x0c'];

/// An odd number of backslashes at the end: the last one is not escaped itself.
fn continues(line: &str) -> bool {
    line.bytes().rev().take_while(|&byte| byte == b'\\').count() % 2 == 1
}

/// Key and value of a logical line, or nothing for a broken `\u`.
fn split(line: &str) -> Option<(String, String)> {
    let mut rest = line.chars().peekable();
    let mut key = String::new();
    while let Some(&letter) = rest.peek() {
        if letter == '=' || letter == ':' || BLANKS.contains(&letter) {
            break;
        }
        key.push(unescaped(&mut rest)?);
    }
    skip_blanks(&mut rest);
    if rest.next_if(|&letter| letter == '=' || letter == ':').is_some() {
        skip_blanks(&mut rest);
    }
    let mut value = String::new();
    while rest.peek().is_some() {
        value.push(unescaped(&mut rest)?);
    }
    Some((key, value))
}

fn skip_blanks(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(|letter| BLANKS.contains(letter)).is_some() {}
}

fn unescaped(rest: &mut Peekable<Chars<'_>>) -> Option<char> {
    let letter = rest.next()?;
    if letter != '\\' {
        return Some(letter);
    }
    match rest.next() {
        Some('t') => Some('\t'),
        Some('n') => Some('\n'),
        Some('r') => Some('\r'),
        Some('f') => Some('\x0c'),
        Some('u') => {
            let unit = hexadecimal(rest)?;
            if !(0xd800..0xdc00).contains(&unit) {
                return Some(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            // The first half of a pair; Java's strings hold the halves, ours one letter.
            let mut ahead = rest.clone();
            if ahead.next() == Some('\\') && ahead.next() == Some('u') {
                let low = hexadecimal(&mut ahead)?;
                if (0xdc00..0xe000).contains(&low) {
                    *rest = ahead;
                    return char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00));
                }
            }
            Some(char::REPLACEMENT_CHARACTER)
        }
        other => other,
    }
}

fn hexadecimal(rest: &mut Peekable<Chars<'_>>) -> Option<u32> {
    (0..4).try_fold(0, |unit, _| Some(unit * 16 + rest.next()?.to_digit(16)?))
}

/// Writes pairs one per line and unescaped, the form of the get-config answers.
#[must_use]
pub fn to_text<K: AsRef<str>, V: AsRef<str>>(pairs: &[(K, V)]) -> String {
    let mut text = String::new();
    for (key, value) in pairs {
        text.push_str(key.as_ref());
        text.push('=');
        text.push_str(value.as_ref());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Change, parse, parse_bytes, to_text};
    use crate::config::{Applied, Fate, Process, Properties, apply_all, warnings};

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text).expect(text)
    }

    fn one(text: &str) -> (String, String) {
        let mut all = pairs(text);
        assert_eq!(all.len(), 1, "{text:?}");
        all.remove(0)
    }

    #[test]
    fn reads_javas_forms() {
        for (text, key, value) in [
            ("a=b", "a", "b"),
            ("  a : b  ", "a", "b  "),
            ("a b=c", "a", "b=c"),
            ("a\t=\tb", "a", "b"),
            ("a", "a", ""),
            ("a==b", "a", "=b"),
            ("a\\=b=c", "a=b", "c"),
            ("a\\ b=c", "a b", "c"),
            ("path=C:\\\\dir", "path", "C:\\dir"),
            ("a=1\\\r\n   2", "a", "12"),
            ("a=\\t\\n\\q\\u00e9", "a", "\t\nqé"),
            ("a=\\ud83d\\ude00", "a", "😀"),
            ("a=x\\", "a", "x"),
            ("#c\n!d\n\n a=b\r", "a", "b"),
            ("a=1\na=2", "a", "2"),
            ("a=#no comment", "a", "#no comment"),
        ] {
            assert_eq!(one(text), (key.to_owned(), value.to_owned()), "{text:?}");
        }
        assert!(pairs("# only\n\n   \n").is_empty());
    }

    #[test]
    fn names_the_line_of_a_broken_escape() {
        assert_eq!(parse("a=1\n\nb=\\u12g4\n").map_err(|error| error.line), Err(3));
    }

    #[test]
    fn bytes_are_utf8_or_latin1() {
        assert_eq!(parse_bytes("a=é".as_bytes()).expect("utf-8")[0].1, "é");
        assert_eq!(parse_bytes(b"a=\xe9").expect("latin-1")[0].1, "é");
    }

    /// A few settings.
    #[derive(Properties, Debug, PartialEq)]
    struct Sample {
        /// Port to listen on.
        ///
        /// More than the table needs.
        #[property(default = 10911, restart)]
        listen_port: u16,
        /// Bytes | megabytes.
        #[property(default = 1 << 30, name = "mappedFileSizeCommitLog", range = 4096..=1 << 40)]
        segment_bytes: u64,
        /// Name in the cluster.
        #[property(default = "DefaultCluster", fixed)]
        broker_cluster_name: String,
        /// Whether topics create themselves.
        #[property(default = true)]
        auto_create_topic_enable: bool,
        /// Where the name servers are.
        namesrv_addr: Option<String>,
        #[property(skip)]
        computed: usize,
    }

    #[test]
    fn a_derived_struct_knows_its_keys() {
        let mut sample = Sample::default();
        let keys: Vec<_> = sample.properties().iter().map(|property| property.key).collect();
        assert_eq!(
            keys,
            [
                "listenPort",
                "mappedFileSizeCommitLog",
                "brokerClusterName",
                "autoCreateTopicEnable",
                "namesrvAddr"
            ]
        );
        assert_eq!(Sample::PROPERTIES[0].change, Change::Restart);
        assert_eq!(Sample::PROPERTIES[1].change, Change::Running);
        assert_eq!(Sample::PROPERTIES[2].change, Change::Fixed);
        let range = Sample::PROPERTIES[1].range.map(|range| range());
        assert_eq!(range, Some(format!("from 4096 to {}", 1_u64 << 40)));
        assert_eq!(Sample::PROPERTIES[0].doc, "Port to listen on.");
        assert_eq!((sample.listen_port, sample.segment_bytes), (10911, 1 << 30));
        assert_eq!(sample.computed, 0);
        assert_eq!(sample.apply("listenPort", "1"), Applied::Applied);
        let expected = "from 0 to 65535".to_owned();
        assert_eq!(sample.apply("listenPort", "-1"), Applied::Outside { expected });
        let expected = format!("from 4096 to {}", 1_u64 << 40);
        assert_eq!(sample.apply("mappedFileSizeCommitLog", "1"), Applied::Outside { expected });
        assert_eq!(sample.apply("computed", "1"), Applied::Unknown);
        assert_eq!(sample.listen_port, 1);
        assert_eq!(sample.entries()[0], ("listenPort", "1".to_owned()));
        assert_eq!(to_text(&sample.entries()[..1]), "listenPort=1\n");
    }

    #[test]
    fn every_key_has_one_fate() {
        let mut sample = Sample::default();
        let text = "listenPort=1\nhaListenPort=2\nlistenPrt=3\nnamesrvAddr= a:1 \n\
                    mappedFileSizeCommitLog=1g\nxyzzy=1\nbrokerRole=SLAVE\n\
                    mapedFileSizeCommitLog=1\nkvConfigPath=a\nhaSendHeartbeatInterval=1s";
        let outcomes = apply_all(Process::Broker, &mut [&mut sample], &pairs(text));
        let fates: Vec<_> = outcomes.iter().map(|outcome| &outcome.fate).collect();
        assert!(matches!(fates[0], Fate::Applied) && matches!(fates[3], Fate::Applied));
        assert!(matches!(fates[1], Fate::Unused(_)) && matches!(fates[8], Fate::Unused(_)));
        assert!(fates[6].stops() && !fates[5].stops());
        assert_eq!(sample.namesrv_addr.as_deref(), Some("a:1"));
        assert_eq!(
            warnings(&outcomes),
            [
                "unknown key listenPrt, did you mean listenPort?",
                "mappedFileSizeCommitLog=\"1g\" is no long, the default stays",
                "unknown key xyzzy",
                "brokerRole=SLAVE: replication is not supported",
                "mapedFileSizeCommitLog is not read since Java 4.6, its name is \
                 mappedFileSizeCommitLog",
                "haSendHeartbeatInterval=\"1s\" is no int, the default stays",
                "known keys without effect here: haListenPort, kvConfigPath",
            ]
        );
    }
}
