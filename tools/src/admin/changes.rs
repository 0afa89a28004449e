//! `Changes`, what a command that changes something has come to, target by target.

use std::fmt::{self, Display, Formatter};

use anyhow::{Result, bail};
use serde::Serialize;

use super::output::Out;

/// What was done at each target, and what could not be done.
#[derive(Debug, Default, Serialize)]
pub struct Changes {
    /// Set if nothing was done and the texts say what would be.
    pub dry_run: bool,
    /// In the order in which they were tried.
    pub changes: Vec<Change>,
    /// What Java prints behind the last line.
    #[serde(skip)]
    tail: String,
}

/// One change.
#[derive(Debug, Serialize)]
pub struct Change {
    /// The address or name that was to be changed.
    pub target: String,
    /// What Java says of success.
    pub text: String,
    /// Why it was not done.
    pub error: Option<String>,
    #[serde(skip)]
    end: &'static str,
}

impl Changes {
    /// Nothing yet.
    pub fn new(out: &Out) -> Self {
        Self { dry_run: out.dry_run, ..Self::default() }
    }

    /// Makes one change, whose success is told by a line of `text`; later ones are made even if it
    /// fails. Returns whether it was made. In a dry run it is only noted.
    pub async fn make(
        &mut self,
        target: &str,
        text: String,
        work: impl Future<Output = Result<()>>,
    ) -> bool {
        self.make_ending(target, text, "\n", work).await
    }

    /// The same with another end of the line.
    pub async fn make_ending(
        &mut self,
        target: &str,
        text: String,
        end: &'static str,
        work: impl Future<Output = Result<()>>,
    ) -> bool {
        let done = if self.dry_run { Ok(()) } else { work.await };
        let error = done.err().map(|error| format!("{error:#}"));
        let made = error.is_none();
        self.changes.push(Change { target: target.to_owned(), text, error, end });
        made
    }

    /// Sets what Java prints behind the last line.
    pub fn tail(&mut self, tail: String) {
        self.tail = tail;
    }

    /// Prints what was done, and fails if something was not.
    pub fn print(self, out: &Out) -> Result<()> {
        out.print(&self)?;
        let mut failed = self.changes.iter().filter(|change| change.error.is_some()).peekable();
        if failed.peek().is_none() {
            return Ok(());
        }
        let lines: Vec<String> = failed
            .map(|change| format!("{}: {}", change.target, change.error.as_deref().unwrap_or("")))
            .collect();
        bail!("{}", lines.join("\n"))
    }
}

impl Display for Changes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mark = if self.dry_run { "dry run: " } else { "" };
        for change in self.changes.iter().filter(|change| change.error.is_none()) {
            write!(f, "{mark}{}{}", change.text, change.end)?;
        }
        if self.changes.iter().all(|change| change.error.is_none()) {
            f.write_str(&self.tail)?;
        }
        Ok(())
    }
}
