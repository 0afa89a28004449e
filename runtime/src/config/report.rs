//! Fills settings structs from a list of keys and says what became of every one.

use std::fmt;

use super::{Applied, Process, Properties, State, java_key, java_keys, nearest, present_name};

/// What became of one key of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The key as written.
    pub key: String,
    /// The text as written.
    pub value: String,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is a setting now.
    Applied,
    /// Java knows it, and it means nothing here; why.
    Unused(&'static str),
    /// Nobody knows it; the known key nearest to it.
    Unknown(Option<String>),
    /// The text is no value of this kind; the former one stays, as in Java.
    Unparsable(&'static str),
    /// Java, too, reads only the present name of this key.
    Former(&'static str),
    /// It cannot be honoured and must not be ignored; why.
    Refused(&'static str),
    /// The value cannot be worked with; what can.
    Outside(String),
}

impl Outcome {
    /// Whether it is a boolean whose text is neither true nor false: Java takes that for false.
    #[must_use]
    pub(super) fn is_vague(&self, process: Process) -> bool {
        let boolean = process.key(&self.key).is_some_and(|known| known.kind == "boolean");
        boolean && !["true", "false"].iter().any(|word| self.value.eq_ignore_ascii_case(word))
    }
}

impl Fate {
    /// Tells whether a start has to stop at it.
    #[must_use]
    pub fn stops(&self) -> bool {
        matches!(self, Fate::Refused(_) | Fate::Outside(_))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome { key, value, fate } = self;
        let (key, value) = (one_line(key), one_line(value));
        match fate {
            Fate::Applied => write!(out, "{key}={value}"),
            Fate::Unused(reason) => write!(out, "{key} has no effect here: {reason}"),
            Fate::Unknown(Some(nearest)) => {
                write!(out, "unknown key {key}, did you mean {nearest}?")
            }
            Fate::Unknown(None) => write!(out, "unknown key {key}"),
            Fate::Unparsable(kind) => {
                write!(out, "{key}={value:?} is no {kind}, the default stays")
            }
            Fate::Former(present) => {
                write!(out, "{key} is not read since Java 4.6, its name is {present}")
            }
            Fate::Refused(reason) => write!(out, "{key}={value}: {reason}"),
            Fate::Outside(expected) => write!(out, "{key}={value}: must be {expected}"),
        }
    }
}

/// The beginning of a text of anybody's, on one line.
pub(super) fn one_line(text: &str) -> String {
    const LETTERS_MAX: usize = 200;
    let mut line = String::new();
    for letter in text.chars().take(LETTERS_MAX) {
        // A byte order mark is no control letter, and as hard to see.
        match letter.is_control() || letter == '\u{feff}' {
            true => line.extend(letter.escape_default()),
            false => line.push(letter),
        }
    }
    if text.chars().nth(LETTERS_MAX).is_some() {
        line.push('…');
    }
    line
}

/// The lines someone should read at a start, none when every key was applied.
#[must_use]
pub fn warnings(outcomes: &[Outcome]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut unused = Vec::new();
    for outcome in outcomes {
        match outcome.fate {
            Fate::Applied => {}
            Fate::Unused(_) => unused.push(outcome.key.as_str()),
            _ => lines.push(outcome.to_string()),
        }
    }
    if !unused.is_empty() {
        lines.push(format!("known keys without effect here: {}", unused.join(", ")));
    }
    lines
}

/// Applies every pair to each of the structs that has its key.
///
/// A value that cannot be worked with changes nothing.
pub fn apply_all(
    process: Process,
    targets: &mut [&mut dyn Properties],
    pairs: &[(String, String)],
) -> Vec<Outcome> {
    let outcome = |(key, value): &(String, String)| Outcome {
        key: key.clone(),
        value: value.clone(),
        fate: apply_one(process, targets, key, value),
    };
    pairs.iter().map(outcome).collect()
}

fn apply_one(
    process: Process,
    targets: &mut [&mut dyn Properties],
    key: &str,
    value: &str,
) -> Fate {
    let known = process.key(key);
    if let Some(State::Refused(values, reason)) = known.map(|known| known.state)
        && values.includes(value)
    {
        return Fate::Refused(reason);
    }
    let mut applied = Applied::Unknown;
    for target in targets.iter_mut() {
        match target.apply(key, value) {
            Applied::Unknown => {}
            known => applied = known,
        }
    }
    match applied {
        Applied::Applied => return Fate::Applied,
        Applied::Unparsable { kind } => return Fate::Unparsable(kind),
        Applied::Outside { expected } => return Fate::Outside(expected),
        Applied::Unknown => {}
    }
    match known.map(|known| (known.state, known.kind)) {
        Some((_, kind)) if !is_a(kind, value) => Fate::Unparsable(kind),
        Some((State::Unused(reason), _)) => Fate::Unused(reason),
        Some((State::Refused(..), _)) => Fate::Unused("the value asks for nothing"),
        // A key of another process, or one this process has no struct for.
        Some((State::Applied, _)) => Fate::Unused("another process reads it"),
        None => unknown(targets, key),
    }
}

fn unknown(targets: &[&mut dyn Properties], key: &str) -> Fate {
    if let Some(present) = present_name(key) {
        return Fate::Former(present);
    }
    if java_key(key).is_some() {
        return Fate::Unused("another process of Java reads it");
    }
    let ours = targets.iter().flat_map(|target| target.properties());
    let candidates = ours.map(|property| property.key);
    let nearest = nearest(key, candidates.chain(java_keys().map(|known| known.key)));
    Fate::Unknown(nearest.map(str::to_owned))
}

/// Tells whether Java takes a text for a value of a type; of several types, any.
fn is_a(kind: &str, value: &str) -> bool {
    kind.split('|').any(|kind| match kind {
        "int" | "Integer" => value.parse::<i32>().is_ok(),
        "long" | "Long" => value.parse::<i64>().is_ok(),
        "double" | "float" => value.trim().parse::<f64>().is_ok(),
        _ => true,
    })
}
