//! Why a broker does not start: what it says about the cause, what helps, and the exit code that
//! Java's `BrokerStartup` has for the same.

use std::io;

use runtime::config::Fate;
use runtime::failure::{
    CONTRADICTION, FAILED, NOT_INITIALIZED, StartFailed, cure_of_file, cure_of_listening,
};
use store::OpenError;
use store::json_file::JsonFileError;

use crate::config::ConfigError;
use crate::schedule::LevelsError;

/// Why a broker does not start; one line each.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings cannot be worked with.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// `messageDelayLevel` is no list of delays.
    #[error("messageDelayLevel: {0}")]
    Levels(#[from] LevelsError),
    /// A table of `config/` cannot be read.
    #[error(transparent)]
    Table(#[from] JsonFileError),
    /// The store does not open.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The addresses cannot be listened on.
    #[error("cannot listen on {source}")]
    Listen {
        /// The system's answer, with the address.
        source: io::Error,
    },
    /// The address to advertise does not resolve.
    #[error("brokerIP1={0}: no such address")]
    Advertised(String),
    /// `bindAddress` is no address.
    #[error("bindAddress={0}: not an IP address")]
    Bind(String),
}

impl From<StartError> for StartFailed {
    fn from(error: StartError) -> StartFailed {
        let (code, cure) = match &error {
            StartError::Config(error) => of_settings(error),
            // Java loads levels, tables and messages before it serves, and ends with the same code
            // whichever of them fails.
            StartError::Levels(_) => (NOT_INITIALIZED, "write it like 1s 5m 2h"),
            StartError::Table(error) => (NOT_INITIALIZED, cure_of_table(error)),
            StartError::Store(error @ OpenError::Locked { .. }) => (FAILED, cure_of_store(error)),
            StartError::Store(error) => (NOT_INITIALIZED, cure_of_store(error)),
            StartError::Listen { source } => (FAILED, cure_of_listening(source)),
            StartError::Advertised(_) => {
                (FAILED, "set it to the IP address or a resolvable name that clients reach")
            }
            StartError::Bind(_) => (FAILED, "set it to an IP address of this machine or 0.0.0.0"),
        };
        StartFailed::new(code, &error, cure)
    }
}

impl From<ConfigError> for StartFailed {
    fn from(error: ConfigError) -> StartFailed {
        StartError::from(error).into()
    }
}

fn of_settings(error: &ConfigError) -> (u8, &'static str) {
    match error {
        ConfigError::Read { source, .. } => (FAILED, cure_of_file(source)),
        ConfigError::Text { .. } => (FAILED, "write \\\\ for a backslash"),
        ConfigError::Stopped(outcome) => match outcome.fate {
            Fate::Refused(_) => (FAILED, "take the key out, or keep the Java broker for it"),
            _ => (FAILED, ""),
        },
        ConfigError::Slave { .. } => {
            (NOT_INITIALIZED, "take both keys out to start a master of its own")
        }
        ConfigError::TwoReplications => {
            (CONTRADICTION, "take both out: replication is not supported")
        }
        ConfigError::NameServers { .. } => (NOT_INITIALIZED, ""),
        ConfigError::Illegal { .. } | ConfigError::Advertised(_) => (FAILED, ""),
    }
}

fn cure_of_table(error: &JsonFileError) -> &'static str {
    match error {
        JsonFileError::Damaged { .. } => {
            "put a good copy in its place, or move it away to start without what it held"
        }
        JsonFileError::Io { source, .. } => cure_of_file(source),
    }
}

fn cure_of_store(error: &OpenError) -> &'static str {
    match error {
        OpenError::Locked { .. } => "stop the other broker or set another storePathRootDir",
        OpenError::Unsupported { .. } => "",
        OpenError::Damaged { .. } => {
            "`mqadmin store check` looks at the rest of it; another storePathRootDir starts anew"
        }
        OpenError::Io { source, .. } => cure_of_file(source),
    }
}
