//! How facts are printed: as Java's text, as JSON or as YAML.

use std::fmt::Display;
use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::{Result, bail};
use clap::ValueEnum;
use serde::Serialize;

/// The form of what is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The text or table that Java's mqadmin prints.
    #[default]
    Table,
    /// One JSON document; one a line where a command prints as it goes.
    Json,
    /// One YAML document; several where a command prints as it goes.
    Yaml,
}

/// Where a command prints, and what it may ask.
#[derive(Clone, Copy, Debug, Default)]
pub struct Out {
    /// How facts are printed.
    pub format: Format,
    /// Whether destructive commands go on without a question.
    pub yes: bool,
    /// Whether changes are only named.
    pub dry_run: bool,
    /// Whether the command line names name servers.
    pub named: bool,
}

impl Out {
    /// Prints what a command found out.
    pub fn print(&self, facts: &(impl Serialize + Display)) -> Result<()> {
        match self.format {
            Format::Table => write(&facts.to_string()),
            Format::Json => write(&(serde_json::to_string_pretty(facts)? + "\n")),
            Format::Yaml => write(&serde_saphyr::to_string(facts)?),
        }
    }

    /// Prints one of several facts as they come.
    pub fn item(&self, fact: &(impl Serialize + Display)) -> Result<()> {
        match self.format {
            Format::Table => write(&fact.to_string()),
            Format::Json => write(&(serde_json::to_string(fact)? + "\n")),
            Format::Yaml => write(&format!("---\n{}", serde_saphyr::to_string(fact)?)),
        }
    }

    /// Prints text that only Java's form has, as the head of a table.
    pub fn text(&self, text: &str) -> Result<()> {
        match self.format {
            Format::Table => write(text),
            Format::Json | Format::Yaml => Ok(()),
        }
    }

    /// Whether colours are welcome.
    pub fn colours(&self) -> bool {
        self.format == Format::Table
            && io::stdout().is_terminal()
            && std::env::var_os("NO_COLOR").is_none()
    }

    /// Asks before something is destroyed; only on a terminal, so that scripts go on unasked.
    pub fn confirm(&self, what: &str) -> Result<()> {
        let asks = io::stdin().is_terminal() && io::stdout().is_terminal();
        if self.yes || self.dry_run || !asks {
            return Ok(());
        }
        write(&format!("{what}? [y/N] "))?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        if !matches!(answer.trim(), "y" | "Y" | "yes") {
            bail!("nothing was changed");
        }
        Ok(())
    }
}

/// Writes to stdout; a reader who has gone away is no error.
fn write(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}
