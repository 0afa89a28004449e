//! A start that failed: one line with cause and cure, and the exit code Java's start ends with.

use std::io;

/// Any failure for which Java has no code of its own.
pub const FAILED: u8 = 255;
/// The name servers, the role, or what stands on disk cannot be worked with (Java's -3).
pub const NOT_INITIALIZED: u8 = 253;
/// Two settings that exclude each other (Java's -4).
pub const CONTRADICTION: u8 = 252;

/// Why a process does not start.
#[derive(Debug, thiserror::Error)]
#[error("{line}")]
pub struct StartFailed {
    /// Cause and cure.
    pub line: String,
    /// Exit code of the process.
    pub code: u8,
}

impl StartFailed {
    /// Joins a cause and what helps against it, if the cause does not say so itself.
    pub fn new(code: u8, cause: &dyn std::fmt::Display, cure: &str) -> StartFailed {
        let line = match cure {
            "" => cause.to_string(),
            cure => format!("{cause}; {cure}"),
        };
        StartFailed { line: line.replace(['\n', '\r'], " "), code }
    }
}

/// What helps when an address cannot be listened on.
#[must_use]
pub fn cure_of_listening(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "set listenPort to a free port or stop who has this one",
        io::ErrorKind::AddrNotAvailable => "set bindAddress to an address of this machine",
        io::ErrorKind::PermissionDenied => "set listenPort to one that this user may take",
        _ => "set bindAddress and listenPort to what this machine has",
    }
}

/// What helps when the system refuses a file or directory.
#[must_use]
pub fn cure_of_file(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "create it or name another",
        io::ErrorKind::PermissionDenied => "give this user the right to it or name another",
        io::ErrorKind::ReadOnlyFilesystem => "mount it for writing or name another",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space on its disk",
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "a file stands where a directory should: move it away or name another"
        }
        _ => "look at its disk or name another",
    }
}

#[cfg(test)]
mod tests {
    use super::{FAILED, StartFailed};

    #[test]
    fn it_is_one_line_with_cause_and_cure() {
        let failed = StartFailed::new(FAILED, &"a\nb", "do c");
        assert_eq!((failed.to_string().as_str(), failed.code), ("a b; do c", 255));
        assert_eq!(StartFailed::new(1, &"a", "").to_string(), "a");
    }
}
