//! Fills settings structs from a list of keys and says what became of every one.

use std::fmt;

use super::{Applied, Properties, java_keys, nearest};

/// What became of the keys of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Keys that changed a setting.
    pub applied: Vec<String>,
    /// Keys that Java's processes know and this one has no use for.
    pub not_used: Vec<String>,
    /// Keys nobody knows.
    pub unknown: Vec<Unknown>,
    /// Keys whose text is no value; the default stays.
    pub unparsable: Vec<Unparsable>,
}

/// A key nobody knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// The key as written.
    pub key: String,
    /// The known key nearest to it.
    pub nearest: Option<String>,
}

impl fmt::Display for Unknown {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "unknown key {}", self.key)?;
        match &self.nearest {
            Some(nearest) => write!(out, ", did you mean {nearest}?"),
            None => Ok(()),
        }
    }
}

/// A key whose text stands for no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unparsable {
    /// The key.
    pub key: String,
    /// The text as written.
    pub value: String,
    /// The kind it should have been.
    pub kind: &'static str,
}

impl fmt::Display for Unparsable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, value, kind } = self;
        write!(out, "{key}={value:?} is no {kind}, the default stays")
    }
}

impl Report {
    /// The lines someone should read at start, none when every key was applied.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let unknown = self.unknown.iter().map(Unknown::to_string);
        let unparsable = self.unparsable.iter().map(Unparsable::to_string);
        let mut lines: Vec<String> = unknown.chain(unparsable).collect();
        if !self.not_used.is_empty() {
            lines.push(format!("known keys without effect here: {}", self.not_used.join(", ")));
        }
        lines
    }
}

/// Applies every pair to each of the structs that has its key.
pub fn apply_all(targets: &mut [&mut dyn Properties], pairs: &[(String, String)]) -> Report {
    let mut report = Report::default();
    for (key, value) in pairs {
        apply_one(targets, key, value, &mut report);
    }
    report
}

fn apply_one(targets: &mut [&mut dyn Properties], key: &str, value: &str, report: &mut Report) {
    let mut outcome = Applied::Unknown;
    for target in targets.iter_mut() {
        match target.apply(key, value) {
            Applied::Unknown => {}
            known => outcome = known,
        }
    }
    match outcome {
        Applied::Applied => report.applied.push(key.to_owned()),
        Applied::Unparsable { kind } => report.unparsable.push(Unparsable {
            key: key.to_owned(),
            value: value.to_owned(),
            kind,
        }),
        Applied::Unknown if java_keys::java_key(key).is_some() => {
            report.not_used.push(key.to_owned());
        }
        Applied::Unknown => {
            let ours = targets.iter().flat_map(|target| target.properties());
            let candidates = ours.map(|property| property.key);
            let nearest = nearest(key, candidates.chain(java_keys::all().map(|known| known.key)));
            report
                .unknown
                .push(Unknown { key: key.to_owned(), nearest: nearest.map(str::to_owned) });
        }
    }
}
