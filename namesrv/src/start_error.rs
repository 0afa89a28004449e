//! Why a name server does not start: cause, cure, and the exit code of Java's `NamesrvStartup`.

use std::io;
use std::path::PathBuf;

use runtime::config::{Fate, Outcome, PropertiesError};
use runtime::failure::{FAILED, NOT_INITIALIZED, StartFailed, cure_of_file, cure_of_listening};

use crate::kv::KvError;

/// Why a name server does not start; one line each.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file of settings cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file of settings is no property text.
    #[error("{path}: {source}")]
    Text {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: PropertiesError,
    },
    /// A key cannot be honoured and must not be ignored, or has a value that cannot be had.
    #[error("{0}")]
    Stopped(Outcome),
    /// The key-value configuration cannot be read.
    #[error(transparent)]
    Kv(#[from] KvError),
    /// The address cannot be listened on.
    #[error("cannot listen on {source}")]
    Listen {
        /// The system's answer, with the address.
        source: io::Error,
    },
    /// `bindAddress` is no address.
    #[error("bindAddress={0}: not an IP address")]
    Bind(String),
}

impl From<StartError> for StartFailed {
    fn from(error: StartError) -> StartFailed {
        let (code, cure) = match &error {
            StartError::Read { source, .. } => (FAILED, cure_of_file(source)),
            StartError::Text { .. } => (FAILED, "write \\\\ for a backslash"),
            StartError::Stopped(Outcome { fate: Fate::Refused(_), .. }) => {
                (FAILED, "take the key out, or keep the Java name server for it")
            }
            StartError::Stopped(_) => (FAILED, ""),
            StartError::Kv(KvError::File { source, .. }) => (NOT_INITIALIZED, cure_of_file(source)),
            StartError::Kv(KvError::Damaged { .. }) => (
                NOT_INITIALIZED,
                "put a good copy in its place, or move it away to start without what it held",
            ),
            StartError::Listen { source } => (FAILED, cure_of_listening(source)),
            StartError::Bind(_) => (FAILED, "set it to an IP address of this machine or 0.0.0.0"),
        };
        StartFailed::new(code, &error, cure)
    }
}
