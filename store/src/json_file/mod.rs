//! The JSON files of `config/`: load with the former generation as a net, save atomically.
//!
//! A file that cannot be read is moved aside as `X.damaged`, never overwritten, and never replaces
//! a good `X.bak`. So after a load `X` is either good or absent, and a save may make it `X.bak`.
//! A file that grows without being written anew each time is in [`growing`].

pub mod growing;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use remoting::protocol::lenient_json;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::disk_file::{DiskFile, create_durable_directories, remove_file, rename, sync_directory};
use crate::faults::{self, Point};

/// Loads and saves the JSON files of `config/`.
pub enum JsonFile {}

impl JsonFile {
    /// Loads `path`, or `path.bak` if it is missing, empty or damaged. `None` when there is
    /// neither.
    pub fn load<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, JsonFileError> {
        JsonFile::load_or_mend(path, |_| None)
    }

    /// Does the same, but takes what `mend` makes of a damaged file before `path.bak`.
    fn load_or_mend<T: DeserializeOwned>(
        path: &Path,
        mend: Mend,
    ) -> Result<Option<T>, JsonFileError> {
        let damage = match read(path) {
            Ok(Content::Value(value)) => return Ok(Some(value)),
            Ok(Content::Nothing) => None,
            Err(damage @ JsonFileError::Damaged { .. }) => match mended(path, mend)? {
                Some((value, whole)) => {
                    put_mended(path, &whole, &damage)?;
                    return Ok(Some(value));
                }
                None => Some(damage),
            },
            Err(error) => return Err(error),
        };
        let bak = with_suffix(path, ".bak");
        match (damage, read(&bak)?) {
            (None, Content::Nothing) => Ok(None),
            (Some(damage), Content::Nothing) => Err(damage),
            (damage, Content::Value(value)) => {
                restore(path, &bak, damage)?;
                Ok(Some(value))
            }
        }
    }

    /// Reads `path` as it is and changes nothing; `None` when it is missing or empty.
    pub fn look<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, JsonFileError> {
        match read(path)? {
            Content::Value(value) => Ok(Some(value)),
            Content::Nothing => Ok(None),
        }
    }

    /// Says why a load would fail; changes nothing.
    pub fn loadable<T: DeserializeOwned>(path: &Path) -> Result<(), JsonFileError> {
        JsonFile::loadable_or_mendable::<T>(path, |_| None)
    }

    fn loadable_or_mendable<T: DeserializeOwned>(
        path: &Path,
        mend: Mend,
    ) -> Result<(), JsonFileError> {
        let damage = match read::<T>(path) {
            Ok(Content::Value(_)) => return Ok(()),
            Ok(Content::Nothing) => None,
            Err(damage @ JsonFileError::Damaged { .. }) => match mended::<T>(path, mend)? {
                Some(_) => return Ok(()),
                None => Some(damage),
            },
            Err(error) => return Err(error),
        };
        match (damage, read::<T>(&with_suffix(path, ".bak"))?) {
            (Some(damage), Content::Nothing) => Err(damage),
            _ => Ok(()),
        }
    }

    /// Replaces `path`, keeping the former content as `path.bak`; makes the directory if need be.
    ///
    /// At any moment `path` or `path.bak` is whole on disk. Two saves of one path at a time are
    /// the caller's to prevent.
    pub fn save<T: Serialize + ?Sized>(path: &Path, value: &T) -> Result<(), JsonFileError> {
        let bytes = to_pretty(value).map_err(|source| JsonFileError::io(path, "encode", source))?;
        replace(path, &bytes, Former::Bak)
    }
}

/// Makes the whole bytes of a damaged file of what is whole in it, if that is worth something.
type Mend = fn(&[u8]) -> Option<Vec<u8>>;

/// What becomes of the file that is replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Former {
    Bak,
    Gone,
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

impl JsonFileError {
    fn io(path: &Path, action: &'static str, source: io::Error) -> JsonFileError {
        JsonFileError::Io { path: path.to_owned(), action, source }
    }
}

enum Content<T> {
    Value(T),
    /// The file is missing or empty: Java leaves an empty one when it is killed while saving.
    Nothing,
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Content<T>, JsonFileError> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Content::Nothing),
        bytes => bytes.map_err(|source| JsonFileError::io(path, "read", source))?,
    };
    if bytes.is_empty() {
        return Ok(Content::Nothing);
    }
    let standard = lenient_json::to_standard(&bytes);
    serde_json::from_slice(&standard).map(Content::Value).map_err(|error| JsonFileError::Damaged {
        path: path.to_owned(),
        offset: offset_of(&standard, error.line(), error.column()).min(bytes.len()),
        expected: "JSON as this server or the Java broker writes it",
        reason: error.to_string(),
    })
}

/// What `mend` makes of a file, if it can be read then, with its bytes.
fn mended<T: DeserializeOwned>(
    path: &Path,
    mend: Mend,
) -> Result<Option<(T, Vec<u8>)>, JsonFileError> {
    let damaged = fs::read(path).map_err(|source| JsonFileError::io(path, "read", source))?;
    let Some(whole) = mend(&damaged) else { return Ok(None) };
    Ok(serde_json::from_slice(&whole).ok().map(|value| (value, whole)))
}

/// Byte offset of a line and column, both from 1.
fn offset_of(text: &[u8], line: usize, column: usize) -> usize {
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    let before: usize = lines.take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    before + column.saturating_sub(1)
}

/// Puts the former generation in the place of a missing or damaged file.
fn restore(path: &Path, bak: &Path, damage: Option<JsonFileError>) -> Result<(), JsonFileError> {
    if let Some(damage) = damage {
        let aside = with_suffix(path, ".damaged");
        tracing::warn!(file = %path.display(), kept = %aside.display(), %damage, "loading .bak");
        rename(path, &aside).map_err(|source| JsonFileError::io(path, "rename", source))?;
    } else {
        tracing::warn!(file = %path.display(), "missing or empty, loading .bak");
    }
    let bytes = fs::read(bak).map_err(|source| JsonFileError::io(bak, "read", source))?;
    replace(path, &bytes, Former::Gone)
}

/// Puts what is whole of a damaged file in its place. The damaged one is copied aside and not
/// moved: until the whole one stands there, it says more than `.bak`.
fn put_mended(path: &Path, whole: &[u8], damage: &JsonFileError) -> Result<(), JsonFileError> {
    let aside = with_suffix(path, ".damaged");
    tracing::warn!(
        file = %path.display(), kept = %aside.display(), %damage,
        "damaged where entries were added, loading those that are whole"
    );
    let damaged = fs::read(path).map_err(|source| JsonFileError::io(path, "read", source))?;
    write_synced(&aside, &damaged).map_err(|source| JsonFileError::io(&aside, "write", source))?;
    replace(path, whole, Former::Gone)
}

/// Replaces a file at once; makes its directory if need be.
fn replace(path: &Path, bytes: &[u8], former: Former) -> Result<(), JsonFileError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    if !dir.is_dir() {
        create_durable_directories(dir)
            .map_err(|source| JsonFileError::io(dir, "create", source))?;
    }
    let new = with_suffix(path, ".tmp");
    write_synced(&new, bytes).map_err(|source| {
        // On a full disk every byte counts.
        let _ = remove_file(&new);
        JsonFileError::io(&new, "write", source)
    })?;
    faults::pass(Point::JsonSynced);
    if former == Former::Bak {
        match rename(path, &with_suffix(path, ".bak")) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(JsonFileError::io(path, "rename", source));
            }
            _ => {}
        }
    }
    faults::pass(Point::JsonMoved);
    rename(&new, path).map_err(|source| JsonFileError::io(&new, "rename", source))?;
    faults::pass(Point::JsonRenamed);
    sync_dir(dir)
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = DiskFile::create_empty(path)?;
    file.write_at(bytes, 0)?;
    faults::pass(Point::JsonWritten);
    file.sync_all()
}

fn sync_dir(dir: &Path) -> Result<(), JsonFileError> {
    sync_directory(dir).map_err(|source| JsonFileError::io(dir, "sync", source))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Encodes as Java's files look: a tab per level, no blank after a colon, arrays on one line, no
/// final newline.
fn to_pretty<T: Serialize + ?Sized>(value: &T) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let layout = JavaLayout::default();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, layout);
    value.serialize(&mut serializer)?;
    Ok(bytes)
}

#[derive(Default)]
struct JavaLayout {
    depth: usize,
    has_value: bool,
}

impl JavaLayout {
    fn new_line<W: ?Sized + Write>(&self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| writer.write_all(b"\t"))
    }
}

impl serde_json::ser::Formatter for JavaLayout {
    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        self.has_value = false;
        writer.write_all(b"{")
    }

    fn begin_object_key<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if !first {
            writer.write_all(b",")?;
        }
        self.new_line(writer)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.has_value = true;
        Ok(())
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth -= 1;
        if self.has_value {
            self.new_line(writer)?;
        }
        writer.write_all(b"}")
    }
}

#[cfg(test)]
mod tests;
