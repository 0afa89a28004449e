//! The JSON files of `config/`: load with the former generation as a net, save atomically.
//!
//! A file that cannot be read is moved aside as `X.damaged`, never overwritten, and never replaces
//! a good `X.bak`. So after a load `X` is either good or absent, and a save may make it `X.bak`.

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
        let damage = match read(path) {
            Ok(Content::Value(value)) => return Ok(Some(value)),
            Ok(Content::Nothing) => None,
            Err(damage @ JsonFileError::Damaged { .. }) => Some(damage),
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
        let damage = match read::<T>(path) {
            Ok(Content::Value(_)) => return Ok(()),
            Ok(Content::Nothing) => None,
            Err(damage @ JsonFileError::Damaged { .. }) => Some(damage),
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
        let dir = path.parent().unwrap_or(Path::new("."));
        if !dir.is_dir() {
            create_durable_directories(dir)
                .map_err(|source| JsonFileError::io(dir, "create", source))?;
        }
        let new = with_suffix(path, ".tmp");
        write_synced(&new, &bytes).map_err(|source| {
            // On a full disk every byte counts.
            let _ = remove_file(&new);
            JsonFileError::io(&new, "write", source)
        })?;
        faults::pass(Point::JsonSynced);
        let bak = with_suffix(path, ".bak");
        match rename(path, &bak) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(JsonFileError::io(path, "rename", source));
            }
            _ => {}
        }
        faults::pass(Point::JsonMoved);
        rename(&new, path).map_err(|source| JsonFileError::io(&new, "rename", source))?;
        faults::pass(Point::JsonRenamed);
        sync_dir(dir)
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
    let new = with_suffix(path, ".tmp");
    let bytes = fs::read(bak).map_err(|source| JsonFileError::io(bak, "read", source))?;
    write_synced(&new, &bytes).map_err(|source| JsonFileError::io(&new, "write", source))?;
    rename(&new, path).map_err(|source| JsonFileError::io(&new, "rename", source))?;
    sync_dir(path.parent().unwrap_or(Path::new(".")))
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
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use serde::Deserialize;

    use super::*;
    use crate::faults::{Action, Faults};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Offsets {
        data_version: BTreeMap<String, i64>,
        group_topic_map: BTreeMap<String, Vec<String>>,
        offset_table: BTreeMap<String, BTreeMap<i32, i64>>,
    }

    const JAVA: &str = "{\n\t\"dataVersion\":{\n\t\t\"counter\":3\n\t},\n\t\"groupTopicMap\":{\n\
        \t\t\"GroupB\":[\"TopicA\"]\n\t},\n\t\"offsetTable\":{\n\t\t\"TopicA@GroupB\":{0:5,1:6\n\
        \t\t}\n\t}\n}";

    fn offsets(first: i64) -> Offsets {
        Offsets {
            data_version: BTreeMap::from([("counter".into(), 3)]),
            group_topic_map: BTreeMap::from([("GroupB".into(), vec!["TopicA".into()])]),
            offset_table: BTreeMap::from([(
                "TopicA@GroupB".into(),
                BTreeMap::from([(0, first), (1, 6)]),
            )]),
        }
    }

    struct Dir(tempfile::TempDir);

    impl Dir {
        fn new() -> Dir {
            Dir(tempfile::tempdir().unwrap())
        }
        fn path(&self) -> PathBuf {
            self.0.path().join("config/offsets.json")
        }
        fn write(&self, suffix: &str, text: &str) {
            fs::create_dir_all(self.0.path().join("config")).unwrap();
            fs::write(with_suffix(&self.path(), suffix), text).unwrap();
        }
        fn text(&self, suffix: &str) -> Option<String> {
            fs::read_to_string(with_suffix(&self.path(), suffix)).ok()
        }
        fn load(&self) -> Result<Option<Offsets>, JsonFileError> {
            JsonFile::load(&self.path())
        }
    }

    #[test]
    fn reads_what_java_writes_and_writes_it_the_same_but_for_quoted_keys() {
        let dir = Dir::new();
        dir.write("", JAVA);
        assert_eq!(dir.load().unwrap(), Some(offsets(5)));
        JsonFile::save(&dir.path(), &offsets(5)).unwrap();
        let ours = JAVA.replace("{0:5,1:6\n", "{\n\t\t\t\"0\":5,\n\t\t\t\"1\":6\n");
        assert_eq!(dir.text("").unwrap(), ours);
        assert_eq!(dir.text(".bak").unwrap(), JAVA, "the former generation stays");
        assert_eq!(dir.text(".tmp"), None);
    }

    #[test]
    fn the_name_of_a_new_directory_is_on_disk_with_its_first_file() {
        let dir = Dir::new();
        let synced = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&synced);
        let _faults = Faults::observe(dir.0.path(), move |operation| {
            if matches!(operation.action, Action::SyncDirectory) {
                seen.lock().unwrap().push(operation.path.to_owned());
            }
        });
        JsonFile::save(&dir.path(), &offsets(5)).unwrap();
        let config = dir.path().parent().unwrap().to_owned();
        assert_eq!(*synced.lock().unwrap(), [dir.0.path().to_owned(), config]);
    }

    #[test]
    fn nothing_there_is_no_error_and_empty_maps_stay_on_one_line() {
        let dir = Dir::new();
        assert_eq!(dir.load().unwrap(), None);
        JsonFile::save(&dir.path(), &BTreeMap::<String, i32>::new()).unwrap();
        assert_eq!(dir.text("").unwrap(), "{}");
    }

    #[test]
    fn a_missing_or_empty_file_is_replaced_by_the_former_generation() {
        for text in [None, Some("")] {
            let dir = Dir::new();
            dir.write(".bak", JAVA);
            if let Some(text) = text {
                dir.write("", text);
            }
            assert_eq!(dir.load().unwrap(), Some(offsets(5)));
            assert_eq!(dir.text("").unwrap(), JAVA);
            assert_eq!(dir.text(".bak").unwrap(), JAVA);
        }
    }

    #[test]
    fn a_file_cut_anywhere_is_moved_aside_and_never_costs_the_former_generation() {
        for len in 1..JAVA.len() {
            let dir = Dir::new();
            dir.write("", &JAVA[..len]);
            dir.write(".bak", JAVA);
            assert_eq!(dir.load().unwrap(), Some(offsets(5)), "cut at {len}");
            assert_eq!(dir.text(".damaged").unwrap(), JAVA[..len]);
            JsonFile::save(&dir.path(), &offsets(7)).unwrap();
            assert_eq!(dir.text(".bak").unwrap(), JAVA, "cut at {len}");
            assert_eq!(dir.load().unwrap(), Some(offsets(7)));
        }
    }

    #[test]
    fn two_damaged_generations_stop_the_start_and_stay() {
        let dir = Dir::new();
        dir.write("", "{\"dataVersion\":{},\n\"oops\"");
        dir.write(".bak", "{]");
        let error = dir.load().unwrap_err().to_string();
        assert!(error.contains("offsets.json.bak at 1: expected JSON"), "{error}");
        assert_eq!(dir.text(".bak").unwrap(), "{]");
        assert!(dir.text("").unwrap().contains("oops"));
    }

    #[test]
    fn a_damaged_file_without_a_former_generation_stops_the_start() {
        let dir = Dir::new();
        dir.write("", "{\"dataVersion\":{},\n\"oops\"");
        let error = dir.load().unwrap_err().to_string();
        assert!(error.contains("offsets.json at 2"), "{error}");
        assert!(!error.contains(".bak"), "{error}");
        assert_eq!(dir.text(".damaged"), None);
    }
}
