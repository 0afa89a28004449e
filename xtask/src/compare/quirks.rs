//! Differences that are wanted: the first column of the tables in `docs/quirks.md`.

use std::cell::Cell;
use std::fs;

use anyhow::{Context, Result};

use crate::workspace;

/// Which comparison a row is of; its first word says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// That of answers and files, which has no such word.
    Script,
    /// That of what cleaning leaves.
    Cleaning,
    /// That of pages of metrics.
    Metrics,
    /// That of what Java's mqadmin says.
    Commands,
    /// That of what ours says beside it.
    Native,
}

impl Section {
    fn of(row: &str) -> Section {
        match row.split_once(' ') {
            Some(("cleaning", _)) => Section::Cleaning,
            Some(("metrics", _)) => Section::Metrics,
            Some(("mqadmin", _)) => Section::Commands,
            Some(("native", _)) => Section::Native,
            _ => Section::Script,
        }
    }
}

/// The differences that the document explains.
pub struct Quirks {
    rows: Vec<(String, Cell<usize>)>,
}

impl Quirks {
    /// Reads the rows of a section: those that begin with text in backticks.
    pub fn load(section: Section) -> Result<Quirks> {
        let path = workspace::root().join("docs/quirks.md");
        let text = fs::read_to_string(&path).context("docs/quirks.md")?;
        let pattern = |line: &str| {
            let rest = line.strip_prefix("| `")?;
            let row = rest.split_once('`')?.0;
            (Section::of(row) == section).then(|| (row.to_owned(), Cell::new(0)))
        };
        Ok(Quirks { rows: text.lines().filter_map(pattern).collect() })
    }

    /// Whether the document explains a difference.
    pub fn explain(&self, difference: &str) -> bool {
        let row = self.rows.iter().find(|(pattern, _)| matches(pattern, difference));
        if let Some((_, count)) = row {
            count.set(count.get() + 1);
        }
        row.is_some()
    }

    /// The rows that explained nothing.
    pub fn idle(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().filter(|(_, count)| count.get() == 0).map(|(row, _)| row.as_str())
    }
}

/// Whether `text` has the form of `pattern`, in which a star stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut rest) = text.strip_prefix(head) else { return false };
    let mut parts = tail.split('*');
    let last = parts.next_back().unwrap_or_default();
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_any_text() {
        assert!(matches("a*c", "abbc") && matches("a*", "a") && matches("*", "x"));
        assert!(matches("abc", "abc") && matches("*c", "abc"));
        assert!(!matches("abc", "abcd") && !matches("a*d", "abc") && !matches("b*", "abc"));
        assert!(!matches("a*b", "abc"));
    }
}
