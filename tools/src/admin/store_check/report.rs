//! What was found, and how it is printed.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};

use store::OpenError;
use store::checkpoint::Marks;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::index::IndexReport;
use super::log::LogReport;
use super::pending::Pending;
use super::queues::QueueReport;

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// Directory of the store.
    pub root: PathBuf,
    /// Whether the last run ended cleanly.
    pub clean: bool,
    /// The process that has the store open.
    pub running: Option<i32>,
    /// Number of files and their bytes.
    pub files: (u64, u64),
    /// The log.
    pub log: LogReport,
    /// Where recovery starts to read and where the log ends; `None` if the start is refused.
    pub ours: Option<(i64, i64)>,
    /// The same with a Java broker.
    pub java: (i64, i64),
    /// The checkpoint.
    pub marks: Marks,
    /// The queues, by topic and id.
    pub queues: Vec<QueueReport>,
    /// The index.
    pub index: IndexReport,
    /// What waits.
    pub pending: Pending,
    /// Files of `config/`, with the entries of their tables.
    pub configs: Vec<(&'static str, usize)>,
    /// What is damaged, a line each.
    pub damage: Vec<String>,
    /// Where a Java broker would go on with something else, a line each.
    pub differences: Vec<String>,
    /// What is worth knowing, a line each.
    pub notes: Vec<String>,
}

impl Report {
    /// Whether nothing is damaged and Java would recover the same.
    pub fn sound(&self) -> bool {
        self.damage.is_empty() && self.differences.is_empty()
    }

    pub(super) fn damage(&mut self, error: OpenError) {
        self.damage.push(error.to_string());
    }

    pub(super) fn damaged(&mut self, path: &Path, at: u64, expected: &str, got: &dyn Display) {
        let path = path.display();
        self.damage.push(format!("{path} at {at}: expected {expected}, got {got}"));
    }

    fn state(&self) -> String {
        let last = match self.clean {
            true => "stopped cleanly",
            false => "not stopped cleanly: abort is there",
        };
        match self.running {
            Some(pid) => format!("{last}; process {pid} runs on it: what follows may be in motion"),
            None => last.to_owned(),
        }
    }

    fn log(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let log = &self.log;
        let (count, size) = log.files;
        writeln!(f, "log        {count} files of {size} bytes from position {}", log.min)?;
        let times = Times(log.times);
        writeln!(f, "records    {}, {} with a damaged body; {times}", log.records, log.damaged)?;
        if log.behind > 0 {
            writeln!(f, "           {} more behind the end", log.behind)?;
        }
        match self.ours {
            Some((from, end)) => writeln!(f, "recovery   from {from}, ends at {end}")?,
            None => writeln!(f, "recovery   the start is refused")?,
        }
        writeln!(f, "           with Java from {}, ends at {}", self.java.0, self.java.1)?;
        let marks = &self.marks;
        let time = |ms| Times(Some((ms, ms)));
        let position = marks.position.map_or("none".to_owned(), |position| position.to_string());
        writeln!(f, "checkpoint log {}", time(marks.physic_timestamp))?;
        writeln!(f, "           queues {}", time(marks.logics_timestamp))?;
        writeln!(f, "           index {}", time(marks.index_timestamp))?;
        writeln!(f, "           position of this broker: {position}")
    }

    fn queues(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let messages: u64 = self.queues.iter().map(|queue| queue.units).sum();
        writeln!(f, "queues     {}, {messages} messages", self.queues.len())?;
        for queue in &self.queues {
            let QueueReport { topic, id, span: (min, next), units, times } = queue;
            write!(f, "  {topic}/{id}: {min} to {next}, {units} messages")?;
            match times {
                Some(_) => writeln!(f, ", {}", Times(*times))?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }

    fn pending(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let pending = &self.pending;
        let (waiting, arrived) = pending.check_points;
        let by_topic = |f: &mut Formatter<'_>, topics: &BTreeMap<String, u64>| {
            topics.iter().try_for_each(|(topic, count)| writeln!(f, "  {topic}: {count}"))
        };
        writeln!(f, "delayed    {} messages", pending.delayed.values().sum::<u64>())?;
        by_topic(f, &pending.delayed)?;
        let timers: u64 = pending.timers.values().sum();
        writeln!(f, "timers     {timers} messages, {} that take one back", pending.recalls)?;
        by_topic(f, &pending.timers)?;
        writeln!(f, "halves     {} open", pending.halves.len())?;
        pending.halves.iter().try_for_each(|half| writeln!(f, "  {half}"))?;
        writeln!(f, "pops       {waiting} check points wait, {arrived} not read by the reviver")
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "store      {}, {}", self.root.display(), self.state())?;
        writeln!(f, "files      {}, {} bytes", self.files.0, self.files.1)?;
        self.log(f)?;
        self.queues(f)?;
        let index = &self.index;
        let (files, entries, end) = (index.files, index.entries, index.end);
        writeln!(f, "index      {files} files, {entries} entries, to position {end}")?;
        self.pending(f)?;
        for (name, count) in &self.configs {
            writeln!(f, "config     {name}: {count}")?;
        }
        for (kind, lines) in [
            ("note       ", &self.notes),
            ("damage     ", &self.damage),
            ("difference ", &self.differences),
        ] {
            lines.iter().try_for_each(|line| writeln!(f, "{kind}{line}"))?;
        }
        let verdict = match (self.damage.is_empty(), self.differences.is_empty()) {
            (true, true) => "sound; Java would recover the same",
            (true, false) => "not damaged, but Java would recover something else",
            (false, true) => "damaged; Java would recover the same",
            (false, false) => "damaged, and Java would recover something else",
        };
        writeln!(f, "result     {verdict}")
    }
}

/// A time, or the first and the last of several.
struct Times(Option<(i64, i64)>);

impl Display for Times {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let text = |ms: i64| {
            let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000);
            time.ok().and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| ms.to_string())
        };
        match self.0 {
            None => write!(f, "none"),
            Some((0, 0)) => write!(f, "never"),
            Some((first, last)) if first == last => write!(f, "{}", text(first)),
            Some((first, last)) => write!(f, "{} to {}", text(first), text(last)),
        }
    }
}
