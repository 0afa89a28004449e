//! Which directory a log file is in: one, or several that take turns.
//!
//! File number k (its start divided by the file size) belongs into directory k mod n of the
//! sorted writable ones, as in Java, leaving out those whose disk is nearly full.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::warn;

use crate::disk::DiskSpace;
use crate::disk_file::{create_durable_directories, remove_file};
use crate::segment::Segment;
use crate::{OpenError, StoreConfig};

const NAME_LEN: usize = 20;
/// The setting that says how long a file of the log is.
const SIZE_KEY: &str = "mappedFileSizeCommitLog";

/// The directories of the log.
#[derive(Debug, Default)]
pub struct Paths {
    writable: Vec<PathBuf>,
    read_only: Vec<PathBuf>,
    full_percent: u32,
}

impl Paths {
    /// Takes them from the settings and creates the writable ones.
    pub fn of(config: &StoreConfig) -> Result<Paths, OpenError> {
        let writable = config.commit_log_paths();
        for path in &writable {
            create_durable_directories(path)
                .map_err(|error| OpenError::io(path, "create", error))?;
        }
        let full_percent = config.disk_space_clean_forcibly_ratio.max(0) as u32;
        Ok(Paths { writable, read_only: config.read_only_paths(), full_percent })
    }

    /// Directories that get new files.
    pub fn writable(&self) -> &[PathBuf] {
        &self.writable
    }

    /// Where the file that starts at `base` is to be created.
    pub fn place(&self, base: i64, segment_size: usize) -> PathBuf {
        let roomy: Vec<&PathBuf> = if self.writable.len() == 1 {
            Vec::new()
        } else {
            self.writable.iter().filter(|path| self.has_room(path)).collect()
        };
        let candidates =
            if roomy.is_empty() { self.writable.iter().collect::<Vec<_>>() } else { roomy };
        let number = base as usize / segment_size;
        candidates[number % candidates.len()].join(format!("{base:020}"))
    }

    fn has_room(&self, path: &Path) -> bool {
        DiskSpace::of(path).is_ok_and(|space| space.used_percent() <= self.full_percent)
    }

    /// Opens all files, oldest first.
    pub fn load(&self, segment_size: usize) -> Result<Vec<Arc<Segment>>, OpenError> {
        let directories = self.writable.iter().chain(&self.read_only).map(PathBuf::as_path);
        load_segments(directories, segment_size, SIZE_KEY)
    }
}

/// Opens the files of a log in these directories, oldest first; `size_key` is the setting that
/// says how long they are.
pub(crate) fn load_segments<'a>(
    directories: impl IntoIterator<Item = &'a Path>,
    segment_size: usize,
    size_key: &str,
) -> Result<Vec<Arc<Segment>>, OpenError> {
    let mut files = Vec::new();
    for directory in directories {
        list(directory, &mut files)?;
    }
    files.sort();
    drop_empty_last(&mut files)?;
    let mut segments: Vec<Arc<Segment>> = Vec::with_capacity(files.len());
    for (base, path) in files {
        let expected = segments.last().map_or(base, |last| last.limit());
        if base != expected {
            return Err(OpenError::Damaged {
                path,
                offset: 0,
                expected: format!("the log file that starts at {expected}"),
                got: format!("one that starts at {base}"),
            });
        }
        segments.push(Arc::new(Segment::open(&path, base, segment_size, size_key)?));
    }
    Ok(segments)
}

/// Says which file of the log an open would refuse by its name or length; changes nothing.
pub(crate) fn look(config: &StoreConfig) -> Result<(), OpenError> {
    let size = config.segment_size() as u64;
    let mut files = Vec::new();
    for directory in config.commit_log_paths().iter().chain(&config.read_only_paths()) {
        if directory.exists() {
            list(directory, &mut files)?;
        }
    }
    files.sort();
    for (_, path) in files {
        let meta = std::fs::metadata(&path).map_err(|error| OpenError::io(&path, "read", error))?;
        // An empty last file is removed by the open.
        if meta.len() != size && meta.len() != 0 {
            return Err(Segment::of_other_length(path, meta.len(), size, SIZE_KEY));
        }
    }
    Ok(())
}

/// Opens the files of a log for reading; they are as long as the first one.
pub(crate) fn view_segments(directories: &[PathBuf]) -> Result<Vec<Arc<Segment>>, OpenError> {
    let mut files = Vec::new();
    for directory in directories {
        list(directory, &mut files)?;
    }
    files.sort();
    let mut segments: Vec<Arc<Segment>> = Vec::with_capacity(files.len());
    let last = files.len().saturating_sub(1);
    for (index, (base, path)) in files.into_iter().enumerate() {
        let meta = std::fs::metadata(&path).map_err(|error| OpenError::io(&path, "read", error))?;
        if meta.len() == 0 && index == last {
            break;
        }
        let (next, size) =
            segments.last().map_or((base, meta.len()), |file| (file.limit(), file.size() as u64));
        if base != next || meta.len() != size {
            return Err(OpenError::Damaged {
                path,
                offset: meta.len().min(size),
                expected: format!("the file of {size} bytes that starts at {next}"),
                got: format!("one of {} bytes that starts at {base}", meta.len()),
            });
        }
        segments.push(Arc::new(Segment::view(&path, base)?));
    }
    Ok(segments)
}

fn list(directory: &Path, files: &mut Vec<(i64, PathBuf)>) -> Result<(), OpenError> {
    let io = |error| OpenError::io(directory, "list", error);
    for entry in std::fs::read_dir(directory).map_err(io)? {
        let entry = entry.map_err(io)?;
        let is_directory = entry.file_type().map_err(io)?.is_dir();
        let name = entry.file_name();
        let base = name.to_str().filter(|name| name.len() == NAME_LEN);
        let base = base.and_then(|name| name.parse::<i64>().ok()).filter(|base| *base >= 0);
        if is_directory {
            if base.is_some() {
                return Err(OpenError::directory(entry.path()));
            }
            continue;
        }
        let Some(base) = base else {
            return Err(OpenError::Damaged {
                path: entry.path(),
                offset: 0,
                expected: "a log file, whose name is its start in 20 digits".to_owned(),
                got: "a foreign file".to_owned(),
            });
        };
        files.push((base, entry.path()));
    }
    Ok(())
}

/// A crash between creating a file and giving it its length leaves an empty one at the end.
fn drop_empty_last(files: &mut Vec<(i64, PathBuf)>) -> Result<(), OpenError> {
    let Some((_, path)) = files.last() else { return Ok(()) };
    let meta = std::fs::metadata(path).map_err(|error| OpenError::io(path, "read", error))?;
    if meta.len() == 0 {
        remove_file(path).map_err(|error| OpenError::io(path, "delete", error))?;
        warn!(path = %path.display(), "deleted an empty log file left by a crash");
        files.pop();
    }
    Ok(())
}
