//! The files that nobody appends to any more: a takeover leaves every byte of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// Digits of the name of a file of a log or queue.
const NAME_LEN: usize = 20;

/// The finished files of a store with their bytes.
pub struct Segments(BTreeMap<PathBuf, Vec<u8>>);

impl Segments {
    /// Reads them while no broker runs. Of each log and queue the last file that holds something
    /// is not finished, and those behind it were only made ahead.
    pub fn read(store: &Path) -> Result<Self> {
        let mut finished = BTreeMap::new();
        let mut waiting = vec![store.to_owned()];
        // The files of a log may be in several directories.
        let mut log = BTreeMap::new();
        while let Some(directory) = waiting.pop() {
            let mut files = BTreeMap::new();
            for entry in fs::read_dir(&directory)? {
                let path = entry?.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if path.is_dir() {
                    waiting.push(path);
                } else if name.len() == NAME_LEN && name.bytes().all(|byte| byte.is_ascii_digit()) {
                    let bytes = fs::read(&path)?;
                    if bytes.iter().any(|byte| *byte != 0) {
                        files.insert(name, (path, bytes));
                    }
                }
            }
            match directory.parent() == Some(store) && !directory.ends_with("timerlog") {
                true => log.append(&mut files),
                false => drop(files.pop_last()),
            }
            finished.extend(files.into_values());
        }
        log.pop_last();
        finished.extend(log.into_values());
        Ok(Self(finished))
    }

    /// Fails unless each is as it was, or was `deleted`; returns how many there are.
    pub fn check(&self, deleted: &[PathBuf]) -> Result<usize> {
        for (path, bytes) in self.0.iter().filter(|(path, _)| !deleted.contains(path)) {
            let now = fs::read(path).with_context(|| path.display().to_string())?;
            let same = now.iter().zip(bytes).take_while(|(now, then)| now == then).count();
            let is_same = same == bytes.len() && now.len() == bytes.len();
            ensure!(is_same, "{} at {same}: changed, though finished", path.display());
        }
        Ok(self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_a_finished_file_is_found() {
        let store = tempfile::tempdir().unwrap();
        let place = |name: &str| store.path().join(name);
        let queue = "consumequeue/T/0";
        fs::create_dir_all(place(queue)).unwrap();
        fs::create_dir_all(place("log-a")).unwrap();
        fs::create_dir_all(place("log-b")).unwrap();
        let files = [
            "log-a/00000000000000000000",
            "log-b/00000000000000000004",
            "log-a/00000000000000000008",
            "consumequeue/T/0/00000000000000000000",
            "consumequeue/T/0/00000000000000000020",
        ];
        for file in files {
            fs::write(place(file), [0, 1, 2, 3]).unwrap();
        }
        fs::write(place("log-b/00000000000000000012"), [0; 4]).unwrap();
        let segments = Segments::read(store.path()).unwrap();
        let read: Vec<_> = segments.0.keys().cloned().collect();
        assert_eq!(read, [place(files[3]), place(files[0]), place(files[1])]);
        for last in [files[2], files[4]] {
            fs::write(place(last), [4, 4, 4, 4]).unwrap();
            segments.check(&[]).unwrap();
        }
        for bytes in [&[0, 1, 0, 3][..], &[0, 1, 2], &[0, 1, 2, 3, 0]] {
            fs::write(place(files[1]), bytes).unwrap();
            let error = segments.check(&[]).unwrap_err().to_string();
            assert!(error.ends_with("changed, though finished"), "{error}");
        }
        fs::remove_file(place(files[1])).unwrap();
        segments.check(&[]).unwrap_err();
        segments.check(&[place(files[1])]).unwrap();
    }
}
