//! Log lines on stderr: plain text for people, JSON for machines, both with RFC 3339 times.
//!
//! The filter is `RAPTORMQ_LOG` in the syntax of `tracing` (`info`, `warn,store=debug`).
//! Stdout stays free for the ready line and for command output.

use std::fmt;
use std::io::IsTerminal;
use std::str::FromStr;

use time::UtcOffset;
use time::format_description::well_known::Rfc3339;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::OffsetTime;

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

/// Starts logging for the process; a second call changes nothing.
///
/// Call it before any thread starts: the local offset can only be asked for then.
pub fn start(format: LogFormat, default_filter: &str) {
    let filter =
        EnvFilter::try_from_env(FILTER_VARIABLE).unwrap_or_else(|_| EnvFilter::new(default_filter));
    let offset = UtcOffset::current_local_offset().unwrap_or(UtcOffset::UTC);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_timer(OffsetTime::new(offset, Rfc3339));
    // An error means that a subscriber is already there, as in a test with several servers.
    let _ = match format {
        LogFormat::Plain => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}

#[cfg(test)]
mod tests {
    use super::LogFormat;

    #[test]
    fn formats_have_names() {
        assert_eq!("json".parse(), Ok(LogFormat::Json));
        assert_eq!("plain".parse(), Ok(LogFormat::Plain));
        assert!("xml".parse::<LogFormat>().is_err());
    }

    #[test]
    fn starting_twice_is_harmless() {
        super::start(LogFormat::Plain, "warn");
        super::start(LogFormat::Json, "warn");
    }
}
