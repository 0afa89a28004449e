//! What an operator should know of settings before a start, as a table and an exit code.

use std::fmt::Write as _;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use rustix::fs::Access;

use super::{Fate, Outcome, Process};
use crate::failure::{cure_of_file, cure_of_listening};

/// How much a finding matters; the largest one of a check is its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As wanted.
    Fine = 0,
    /// The process would start, though not as its settings say.
    Look = 1,
    /// The process would not start.
    Stops = 2,
}

/// One line of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub level: Level,
    /// The key, or what was looked at.
    pub subject: String,
    /// Its value.
    pub value: String,
    /// What was found.
    pub said: String,
}

impl Finding {
    /// A finding about anything.
    pub fn new(
        level: Level,
        subject: impl Into<String>,
        value: impl Into<String>,
        said: impl Into<String>,
    ) -> Finding {
        Finding { level, subject: subject.into(), value: value.into(), said: said.into() }
    }

    /// What became of a key, and what Java makes of it where that is nothing.
    #[must_use]
    pub fn of(process: Process, outcome: &Outcome) -> Finding {
        let Outcome { key, value, fate } = outcome;
        let known = process.key(key);
        let (level, mut said) = match fate {
            Fate::Applied => (Level::Fine, "applied".to_owned()),
            Fate::Unused(reason) => (Level::Fine, format!("no effect here: {reason}")),
            Fate::Unknown(Some(nearest)) => {
                (Level::Look, format!("unknown, did you mean {nearest}? Java drops it silently"))
            }
            Fate::Unknown(None) => (Level::Look, "unknown; Java drops it silently".to_owned()),
            Fate::Unparsable(kind) => {
                (Level::Look, format!("no {kind}: the default stays, as Java silently does"))
            }
            Fate::Former(present) => {
                let said = format!("Java drops it silently since 4.6; its name is {present}");
                (Level::Look, said)
            }
            Fate::Refused(reason) => (Level::Stops, (*reason).to_owned()),
            Fate::Outside(expected) => (Level::Stops, format!("must be {expected}")),
        };
        let level = match *fate == Fate::Applied && outcome.is_vague(process) {
            true => {
                said.push_str("; counts as false, as only true is true");
                level.max(Level::Look)
            }
            false => level,
        };
        if let Some(versions) = known.and_then(|known| known.versions()) {
            let _ = write!(said, " (Java: {versions} only)");
        }
        let secret = known.is_some_and(|known| known.secret) && !value.is_empty();
        let value = if secret { super::update::MASK } else { value };
        let key = super::report::one_line(key);
        Finding::new(level, key, super::report::one_line(value), said)
    }
}

/// Whether a port can be listened on; it is let go again.
#[must_use]
pub fn port(address: SocketAddr) -> Finding {
    let (level, said) = match TcpListener::bind(address) {
        Ok(_) => (Level::Fine, "free".to_owned()),
        Err(error) => (Level::Stops, format!("{error}; {}", cure_of_listening(&error))),
    };
    Finding::new(level, "port", address.to_string(), said)
}

/// Whether a directory, or the nearest one above it that is there, can be written to.
#[must_use]
pub fn directory(path: &Path) -> Finding {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let there = absolute.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let shown = path.display().to_string();
    let problem = |error: &io::Error| {
        let said = format!("{}: {error}; {}", there.display(), cure_of_file(error));
        Finding::new(Level::Stops, "directory", shown.clone(), said)
    };
    if !there.is_dir() {
        return problem(&io::ErrorKind::NotADirectory.into());
    }
    match rustix::fs::access(there, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Finding::new(Level::Fine, "directory", shown, "writable"),
        Err(error) => problem(&error.into()),
    }
}

/// The exit code of a check: 0 as wanted, 1 it starts but should be looked at, 2 it does not start.
#[must_use]
pub fn exit_code(findings: &[Finding]) -> u8 {
    findings.iter().map(|finding| finding.level as u8).max().unwrap_or_default()
}

/// The findings as a table, the gravest last, where an eye falls first on a terminal.
#[must_use]
pub fn table(findings: &[Finding], colour: bool) -> String {
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort_by_key(|finding| finding.level);
    let width = |of: fn(&Finding) -> &str, most: usize| {
        findings.iter().map(|finding| of(finding).chars().count()).max().unwrap_or(0).min(most)
    };
    let (subjects, values) = (width(|f| &f.subject, 44), width(|f| &f.value, 40));
    let mut table = String::new();
    for Finding { level, subject, value, said } in sorted {
        let (word, code) = match level {
            Level::Fine => ("ok   ", 32),
            Level::Look => ("look ", 33),
            Level::Stops => ("stops", 31),
        };
        let word = if colour { format!("\x1b[{code}m{word}\x1b[0m") } else { word.to_owned() };
        // Writing to a string cannot fail.
        let _ = writeln!(table, "{word}  {subject:subjects$}  {value:values$}  {said}");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::{Finding, Level, exit_code, table};
    use crate::config::{Process, apply_all, parse};

    #[test]
    fn every_fate_has_a_level_and_words() {
        let text = "waitTimeMillsInSendQueue=1\nnoKey=1\nmapedFileSizeCommitLog=1\n\
                    haSendHeartbeatInterval=1 \nbrokerRole=SLAVE\nmetricsGrpcExporterHeader=a:b\n\
                    filterServerNums=0";
        let pairs = parse(text).expect("text");
        let outcomes = apply_all(Process::Broker, &mut [], &pairs);
        let findings: Vec<_> = outcomes.iter().map(|o| Finding::of(Process::Broker, o)).collect();
        let levels: Vec<_> = findings.iter().map(|finding| finding.level).collect();
        use Level::{Fine, Look, Stops};
        assert_eq!(levels, [Fine, Look, Look, Look, Stops, Fine, Fine]);
        assert_eq!(exit_code(&findings), 2);
        assert_eq!(exit_code(&findings[..4]), 1);
        assert_eq!(exit_code(&[]), 0);
        let table = table(&findings, false);
        assert_eq!(table.lines().count(), 7);
        assert!(table.lines().last().is_some_and(|line| line.starts_with("stops  brokerRole")));
        assert!(!table.contains("a:b") && table.contains("(Java: 4.9.7 only)"), "{table}");
    }
}
