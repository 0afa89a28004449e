//! Log lines: plain text for people, JSON for machines, both with RFC 3339 times.
//!
//! The filter is `RAPTORMQ_LOG` in the syntax of `tracing` (`info`, `warn,store=debug`).
//! A log file is opened again on request, so that whoever moved it away gets a new one.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use time::format_description::well_known::Rfc3339;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::OffsetTime;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::clock;

/// The environment variable that replaces the default filter.
pub const FILTER_VARIABLE: &str = "RAPTORMQ_LOG";

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line per event.
    #[default]
    Plain,
    /// One JSON object per event.
    Json,
}

impl FromStr for LogFormat {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "plain" => Ok(Self::Plain),
            "json" => Ok(Self::Json),
            _ => Err(UnknownFormat),
        }
    }
}

/// The text is neither `plain` nor `json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownFormat;

impl fmt::Display for UnknownFormat {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("log format is plain or json")
    }
}

impl std::error::Error for UnknownFormat {}

/// Where log lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// The end of a file.
    File(PathBuf),
}

impl FromStr for LogTarget {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "stdout" => Self::Stdout,
            "stderr" => Self::Stderr,
            path => Self::File(PathBuf::from(path)),
        })
    }
}

/// The log file of this process, if it has one.
static FILE: OnceLock<LogFile> = OnceLock::new();

struct LogFile {
    path: PathBuf,
    file: Mutex<File>,
}

impl LogFile {
    fn lock(&self) -> MutexGuard<'_, File> {
        // A descriptor cannot be left half changed.
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for &LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lock().write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Starts logging for the process; a second call changes nothing.
///
/// Call it before any thread starts: the local offset can only be asked for then.
///
/// # Errors
/// Fails when the log file cannot be opened.
pub fn start(format: LogFormat, target: LogTarget, default_filter: &str) -> io::Result<()> {
    let filter =
        EnvFilter::try_from_env(FILTER_VARIABLE).unwrap_or_else(|_| EnvFilter::new(default_filter));
    clock::note_zone();
    let (colour, writer) = match target {
        LogTarget::Stdout => (io::stdout().is_terminal(), BoxMakeWriter::new(io::stdout)),
        LogTarget::Stderr => (io::stderr().is_terminal(), BoxMakeWriter::new(io::stderr)),
        LogTarget::File(path) => {
            let file = append_to(&path).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            })?;
            let file = FILE.get_or_init(|| LogFile { path, file: Mutex::new(file) });
            (false, BoxMakeWriter::new(move || file))
        }
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_timer(OffsetTime::new(clock::zone(), Rfc3339));
    // An error means that a subscriber is already there, as in a test with several servers.
    let _ = match format {
        LogFormat::Plain => builder.with_ansi(colour).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    Ok(())
}

/// Opens the log file again under its name, if there is one; a file that cannot be opened leaves
/// the former one.
pub fn reopen() {
    let Some(log) = FILE.get() else { return };
    match append_to(&log.path) {
        Ok(file) => *log.lock() = file,
        Err(error) => tracing::error!(path = %log.path.display(), %error, "log file not opened"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::PathBuf;

    use super::{FILE, LogFile, LogFormat, LogTarget, append_to, reopen};

    #[test]
    fn formats_have_names() {
        assert_eq!("json".parse(), Ok(LogFormat::Json));
        assert_eq!("plain".parse(), Ok(LogFormat::Plain));
        assert!("xml".parse::<LogFormat>().is_err());
    }

    #[test]
    fn starting_twice_is_harmless() {
        super::start(LogFormat::Plain, LogTarget::Stderr, "warn").expect("stderr");
        super::start(LogFormat::Json, LogTarget::Stdout, "warn").expect("stdout");
    }

    #[test]
    fn targets_have_names() {
        assert_eq!("stdout".parse(), Ok(LogTarget::Stdout));
        assert_eq!("stderr".parse(), Ok(LogTarget::Stderr));
        assert_eq!("a/b.log".parse(), Ok(LogTarget::File(PathBuf::from("a/b.log"))));
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_again() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("a.log");
        let open = LogFile { path: path.clone(), file: append_to(&path).expect("a file").into() };
        let mut log = FILE.get_or_init(|| open);
        log.write_all(b"one\n").expect("written");
        let moved = directory.path().join("a.log.1");
        std::fs::rename(&path, &moved).expect("moved");
        reopen();
        log.write_all(b"two\n").expect("written");
        assert_eq!(std::fs::read_to_string(&moved).expect("read"), "one\n");
        assert_eq!(std::fs::read_to_string(&path).expect("read"), "two\n");
    }
}
