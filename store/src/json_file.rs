//! The JSON files of `config/`: load with the previous generation as a net, save atomically.
//!
//! A file that cannot be read is moved aside as `X.damaged`, never overwritten, and never replaces
//! a good `X.bak`.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Loads and saves the JSON files of `config/`.
pub enum JsonFile {}

#[allow(unused_variables, clippy::todo)]
impl JsonFile {
    /// Loads `path`, or `path.bak` if it is missing, empty or damaged. `None` when there is
    /// neither.
    pub fn load<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, JsonFileError> {
        todo!()
    }

    /// Replaces `path`, keeping the former content as `path.bak`; makes the directory if need be.
    pub fn save<T: Serialize + ?Sized>(path: &Path, value: &T) -> Result<(), JsonFileError> {
        todo!()
    }
}

/// Why a file was not loaded or saved.
#[derive(Debug, thiserror::Error)]
pub enum JsonFileError {
    /// Neither the file nor its former generation can be read.
    #[error("{path} at {offset}: expected {expected}: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Byte offset in it.
        offset: usize,
        /// What should be there.
        expected: &'static str,
        /// What the parser says.
        reason: String,
    },
    /// The system refused an operation.
    #[error("{path}: cannot {action}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}
