//! What was found.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Messages are refused or not reached.
    Error,
    /// They may soon be, or something is not as it was meant.
    Warning,
}

/// One thing that is wrong.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub subject: String,
    /// What is wrong.
    pub what: String,
    /// Why that is so, as far as can be told from here.
    pub cause: String,
    /// The command, or what else, that cures it.
    pub cure: String,
}

impl Finding {
    /// A finding that hurts now.
    pub fn error(subject: &str, what: &str, cause: &str, cure: &str) -> Self {
        let [subject, what, cause, cure] = [subject, what, cause, cure].map(str::to_owned);
        Self { severity: Severity::Error, subject, what, cause, cure }
    }

    /// A finding that may hurt.
    pub fn warning(subject: &str, what: &str, cause: &str, cure: &str) -> Self {
        Self { severity: Severity::Warning, ..Self::error(subject, what, cause, cure) }
    }
}

/// How much was looked at.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
    /// Name servers.
    pub name_servers: usize,
    /// Brokers.
    pub brokers: usize,
    /// Topics.
    pub topics: usize,
    /// Groups.
    pub groups: usize,
}

/// All that was found.
#[derive(Debug, Serialize)]
pub struct Diagnosis {
    /// How much was looked at.
    pub checked: Checked,
    findings: Vec<Finding>,
    #[serde(skip)]
    colours: bool,
}

impl Diagnosis {
    /// Nothing yet.
    pub fn new(colours: bool) -> Self {
        Self { checked: Checked::default(), findings: Vec::new(), colours }
    }

    /// Notes a finding.
    pub fn find(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }
}

impl Display for Diagnosis {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut findings: Vec<&Finding> = self.findings.iter().collect();
        findings.sort_by_key(|finding| finding.severity);
        for Finding { severity, subject, what, cause, cure } in findings {
            let (name, colour) = match severity {
                Severity::Error => ("error", "31"),
                Severity::Warning => ("warning", "33"),
            };
            match self.colours {
                true => write!(f, "\u{1b}[{colour}m{name:<8}\u{1b}[0m")?,
                false => write!(f, "{name:<8}")?,
            }
            writeln!(f, "{subject}: {what}\n        cause: {cause}\n        cure:  {cure}")?;
        }
        let Checked { name_servers, brokers, topics, groups } = self.checked;
        writeln!(
            f,
            "{} findings; looked at {name_servers} name servers, {brokers} brokers, {topics} \
             topics, {groups} groups",
            self.findings.len()
        )
    }
}
