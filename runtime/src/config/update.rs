//! What a request may change of the settings, and why it may not.

use std::collections::BTreeMap;

use super::java_keys::FIELDS_ALONE;
use super::report::one_line;
use super::{Change, Fate, Outcome, Process, Properties, PropertiesError, State, parse_bytes};

/// What is shown of a secret.
pub(super) const MASK: &str = "******";

/// Why a request changes nothing.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// The body is no property text.
    #[error("string2Properties error")]
    Text(#[from] PropertiesError),
    /// A key names a path, an address or a role, or the operator has listed it.
    #[error("Can not update config in black list.")]
    Fixed,
    /// A key counts from the start of a process on.
    #[error("{0} changes only with a restart: set it in the file of -c")]
    Restart(String),
    /// A key is unknown, or a value cannot be had.
    #[error("{0}, nothing was changed")]
    Bad(Outcome),
    /// A value would break the lines that show it.
    #[error("{0} must be text without control characters, nothing was changed")]
    Control(String),
    /// Values contradict each other.
    #[error("{0}, nothing was changed")]
    Contradiction(String),
    /// The file of the operator cannot be changed.
    #[error("{file}: {error}, nothing was changed")]
    File {
        /// The file.
        file: String,
        /// The system's answer.
        error: std::io::Error,
    },
}

/// Reads the body of a request; refuses keys that may not change while the process runs.
///
/// # Errors
/// Names the first key that may not.
pub fn read_update(
    body: &[u8],
    change: impl Fn(&str) -> Option<Change>,
) -> Result<Vec<(String, String)>, UpdateError> {
    let pairs = parse_bytes(body)?;
    let changes: Vec<_> = pairs.iter().map(|(key, _)| (key, change(key))).collect();
    if changes.iter().any(|(_, change)| *change == Some(Change::Fixed)) {
        return Err(UpdateError::Fixed);
    }
    if let Some((key, _)) = changes.iter().find(|(_, change)| *change == Some(Change::Restart)) {
        return Err(UpdateError::Restart((*key).clone()));
    }
    match pairs.iter().find(|(key, value)| format!("{key}{value}").contains(char::is_control)) {
        Some((key, _)) => Err(UpdateError::Control(one_line(key))),
        None => Ok(pairs),
    }
}

/// Refuses an update of which a part did not apply. Other than in a file, where Java takes every
/// text but `true` for false, a boolean must be one of both.
///
/// # Errors
/// Returns the first key that did not.
pub fn all_or_nothing(process: Process, outcomes: Vec<Outcome>) -> Result<(), UpdateError> {
    let fine = |outcome: &Outcome| {
        matches!(outcome.fate, Fate::Applied | Fate::Unused(_)) && !outcome.is_vague(process)
    };
    match outcomes.into_iter().find(|outcome| !fine(outcome)) {
        Some(Outcome { key, value, fate: Fate::Applied | Fate::Unused(_) }) => {
            let fate = Fate::Outside("true or false".to_owned());
            Err(UpdateError::Bad(Outcome { key, value, fate }))
        }
        Some(Outcome { key, value, fate: Fate::Unparsable(kind) }) => {
            let fate = Fate::Outside(format!("of type {kind}"));
            Err(UpdateError::Bad(Outcome { key, value, fate }))
        }
        Some(outcome) => Err(UpdateError::Bad(outcome)),
        None => Ok(()),
    }
}

/// Lists settings as Java does: those of the structs, and keys without effect with what was given
/// or Java's default. Secrets are masked.
#[must_use]
pub fn shown(
    process: Process,
    parts: &[&dyn Properties],
    kept: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let is_shown = |class| process.shown_classes().contains(&class);
    let unused = process.keys().filter(|known| known.state != State::Applied);
    for known in unused.filter(|known| is_shown(known.class)) {
        if let Some(default) = known.shown_default() {
            all.insert(known.shown.to_owned(), default);
        }
    }
    let masked = |key: &str, value: String| {
        let secret = process.key(key).is_some_and(|known| known.secret) && !value.is_empty();
        if secret { MASK.to_owned() } else { value }
    };
    for (_, field, value) in FIELDS_ALONE.into_iter().filter(|(class, ..)| is_shown(class)) {
        all.insert(field.to_owned(), value.to_owned());
    }
    for (key, value) in kept {
        let name = process.key(key).map_or(key.as_str(), |known| known.shown);
        all.insert(name.to_owned(), masked(key, value.clone()));
    }
    for (key, value) in parts.iter().flat_map(|part| part.entries()) {
        all.insert(key.to_owned(), masked(key, value));
    }
    all
}

/// Leaves out what is null, which Java prints as nothing but does not answer to requests; and of
/// what Java does not have, what is not set.
pub fn without_nulls(process: Process, all: &mut BTreeMap<String, String>) {
    let is_null = |key: &str| process.key(key).is_none_or(|known| known.shown_default().is_none());
    all.retain(|key, value| !(value.is_empty() && is_null(key)));
}

/// Notes the keys without effect, which lists of settings show.
pub fn keep(kept: &mut BTreeMap<String, String>, outcomes: &[Outcome]) {
    for Outcome { key, value, fate } in outcomes {
        if matches!(fate, Fate::Unused(_) | Fate::Unknown(_) | Fate::Former(_)) {
            kept.insert(key.clone(), value.clone());
        }
    }
}
