//! The watches and their rules.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustix::io::Errno;
use tracing::warn;

use super::{Action, Operation};

/// The environment variable that holds rules for a whole process.
const VARIABLE: &str = "RAPTORMQ_FAULT";
const CALLS: [&str; 10] = [
    "open",
    "pwrite",
    "ftruncate",
    "fallocate",
    "fdatasync",
    "mmap",
    "rename",
    "unlink",
    "mkdir",
    "rmdir",
];

static WATCHED: AtomicBool = AtomicBool::new(false);
static WATCHES: RwLock<Vec<Arc<Watch>>> = RwLock::new(Vec::new());

type Observer = Box<dyn Fn(&Operation<'_>) + Send + Sync>;

struct Watch {
    directory: PathBuf,
    rules: Mutex<Vec<Rule>>,
    observer: Option<Observer>,
}

/// Which calls fail, and how.
#[derive(Debug)]
struct Rule {
    call: &'static str,
    /// Number of the first one, from 1.
    number: u64,
    /// So are all that follow.
    and_on: bool,
    fault: Fault,
    /// Only paths that contain this count.
    part: String,
    seen: u64,
    hits: u64,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Error(Errno),
    /// Of a write, half is made; other calls succeed.
    Short,
}

/// A watch on the calls below a directory, until it is dropped.
#[must_use = "the watch ends when it is dropped"]
pub struct Faults {
    watch: Arc<Watch>,
}

impl Faults {
    /// Watches the calls below a directory.
    pub fn on(directory: &Path) -> Faults {
        Faults::watch(directory, None)
    }

    /// Watches them and shows those that were made to `observer`, in the order of each thread.
    pub fn observe(
        directory: &Path,
        observer: impl Fn(&Operation<'_>) + Send + Sync + 'static,
    ) -> Faults {
        Faults::watch(directory, Some(Box::new(observer)))
    }

    fn watch(directory: &Path, observer: Option<Observer>) -> Faults {
        let directory = directory.to_owned();
        let watch = Arc::new(Watch { directory, rules: Mutex::default(), observer });
        let mut watches = WATCHES.write().unwrap_or_else(PoisonError::into_inner);
        watches.push(Arc::clone(&watch));
        WATCHED.store(true, Ordering::Release);
        Faults { watch }
    }

    /// Replaces the rules; they count from now on. An empty text ends all faults.
    ///
    /// # Errors
    /// The first rule that is none.
    pub fn set(&self, rules: &str) -> Result<(), String> {
        let rules = parse(rules)?;
        *self.watch.rules.lock().unwrap_or_else(PoisonError::into_inner) = rules;
        Ok(())
    }

    /// How many calls the rules have hit.
    pub fn hits(&self) -> u64 {
        let rules = self.watch.rules.lock().unwrap_or_else(PoisonError::into_inner);
        rules.iter().map(|rule| rule.hits).sum()
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        let mut watches = WATCHES.write().unwrap_or_else(PoisonError::into_inner);
        watches.retain(|watch| !Arc::ptr_eq(watch, &self.watch));
        WATCHED.store(!watches.is_empty(), Ordering::Release);
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").field("directory", &self.watch.directory).finish()
    }
}

/// Sets the rules of `RAPTORMQ_FAULT` for every path, for as long as the process runs.
///
/// # Errors
/// The first rule that is none.
pub fn from_environment() -> Result<(), String> {
    let Ok(rules) = std::env::var(VARIABLE) else { return Ok(()) };
    let faults = Faults::on(Path::new(""));
    faults.set(&rules).map_err(|error| format!("{VARIABLE}: {error}"))?;
    warn!(%rules, "disk faults are on");
    std::mem::forget(faults);
    Ok(())
}

/// How many bytes of a write to make, or the error to fail with.
pub(crate) fn before(operation: &Operation<'_>) -> io::Result<usize> {
    if !WATCHED.load(Ordering::Acquire) {
        return Ok(usize::MAX);
    }
    let watches = WATCHES.read().unwrap_or_else(PoisonError::into_inner);
    for watch in watches.iter().filter(|watch| operation.path.starts_with(&watch.directory)) {
        let mut rules = watch.rules.lock().unwrap_or_else(PoisonError::into_inner);
        // Each rule counts every call, also one that another rule hits.
        let hit = rules.iter_mut().filter_map(|rule| rule.meets(operation)).last();
        match hit {
            None => {}
            Some(Fault::Error(errno)) => return Err(errno.into()),
            Some(Fault::Short) => {
                if let Action::Write { bytes, .. } = operation.action {
                    return Ok(bytes.len().div_ceil(2));
                }
            }
        }
    }
    Ok(usize::MAX)
}

/// Shows a call that was made.
pub(crate) fn after(operation: &Operation<'_>) {
    if !WATCHED.load(Ordering::Acquire) {
        return;
    }
    let watches = WATCHES.read().unwrap_or_else(PoisonError::into_inner);
    for watch in watches.iter().filter(|watch| operation.path.starts_with(&watch.directory)) {
        if let Some(observer) = &watch.observer {
            observer(operation);
        }
    }
}

impl Rule {
    fn meets(&mut self, operation: &Operation<'_>) -> Option<Fault> {
        let path = operation.path.as_os_str().as_encoded_bytes();
        let part = self.part.as_bytes();
        let named = part.is_empty() || path.windows(part.len()).any(|bytes| bytes == part);
        if call(&operation.action) != self.call || !named {
            return None;
        }
        self.seen += 1;
        let hit = self.seen == self.number || self.and_on && self.seen > self.number;
        self.hits += u64::from(hit);
        hit.then_some(self.fault)
    }
}

fn call(action: &Action<'_>) -> &'static str {
    match action {
        Action::Open { .. } => "open",
        Action::Write { .. } => "pwrite",
        Action::SetLen(_) => "ftruncate",
        Action::Allocate { .. } | Action::PunchHole { .. } => "fallocate",
        Action::Sync | Action::SyncDirectory | Action::SyncFileSystem => "fdatasync",
        Action::Map => "mmap",
        Action::Rename { .. } => "rename",
        Action::Remove => "unlink",
        Action::CreateDirectory => "mkdir",
        Action::RemoveDirectory => "rmdir",
    }
}

fn parse(rules: &str) -> Result<Vec<Rule>, String> {
    let rules = rules.split(',').map(str::trim).filter(|rule| !rule.is_empty());
    rules.map(|rule| rule_of(rule).ok_or_else(|| format!("`{rule}` is no CALL:N:FAULT"))).collect()
}

fn rule_of(text: &str) -> Option<Rule> {
    let mut parts = text.splitn(4, ':');
    let (name, number, fault) = (parts.next()?, parts.next()?, parts.next()?);
    let fault = match fault {
        "EIO" => Fault::Error(Errno::IO),
        "ENOSPC" => Fault::Error(Errno::NOSPC),
        "EINTR" => Fault::Error(Errno::INTR),
        "EROFS" => Fault::Error(Errno::ROFS),
        "short" => Fault::Short,
        _ => return None,
    };
    let and_on = number.ends_with('+');
    if and_on && matches!(fault, Fault::Error(Errno::INTR)) {
        // The call would be made again for ever.
        return None;
    }
    Some(Rule {
        call: CALLS.into_iter().find(|call| *call == name)?,
        number: number.trim_end_matches('+').parse().ok().filter(|number| *number > 0)?,
        and_on,
        fault,
        part: parts.next().unwrap_or_default().to_owned(),
        seen: 0,
        hits: 0,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::disk_file::{DiskFile, rename};

    #[test]
    fn chosen_calls_fail_and_others_do_not() {
        let directory = tempfile::tempdir().unwrap();
        let (a, b) = (directory.path().join("chosen"), directory.path().join("b"));
        let faults = Faults::on(directory.path());
        faults.set("pwrite:2:EIO:chosen, rename:1+:EROFS,open:3:ENOSPC").unwrap();
        let file = DiskFile::create_new(&a).unwrap();
        file.write_at(b"one", 0).unwrap();
        DiskFile::create_new(&b).unwrap().write_at(b"one", 0).unwrap();
        let failed = file.write_at(b"two", 0).unwrap_err();
        assert_eq!(Errno::from_io_error(&failed), Some(Errno::IO));
        file.write_at(b"six", 0).unwrap();
        for _ in 0..2 {
            assert_eq!(rename(&a, &b).unwrap_err().kind(), io::ErrorKind::ReadOnlyFilesystem);
        }
        assert_eq!(DiskFile::open(&a).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(faults.hits(), 4);
        drop(faults);
        rename(&a, &b).unwrap();
        assert_eq!(std::fs::read(&b).unwrap(), b"six");
    }

    #[test]
    fn interrupted_and_short_calls_are_not_seen_outside() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let bytes = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&bytes);
        let faults = Faults::observe(directory.path(), move |operation| {
            if let Action::Write { bytes, .. } = operation.action {
                counted.fetch_add(bytes.len(), Ordering::Relaxed);
            }
        });
        let calls = CALLS.map(|call| format!("{call}:1:EINTR,{call}:2:EINTR,{call}:3:short"));
        faults.set(&calls.join(",")).unwrap();
        let file = DiskFile::create_new(&path).unwrap();
        file.write_at(b"0123456789", 0).unwrap();
        file.set_len(20).unwrap();
        file.allocate(0, 20).unwrap();
        file.sync_data().unwrap();
        crate::disk_file::create_directories(&directory.path().join("d/e")).unwrap();
        crate::disk_file::remove_directory(&directory.path().join("d")).unwrap();
        rename(&path, &directory.path().join("b")).unwrap();
        let moved = std::fs::read(directory.path().join("b")).unwrap();
        assert_eq!(moved, b"0123456789\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(bytes.load(Ordering::Relaxed), 10);
        assert!(faults.hits() >= 14, "{}", faults.hits());
    }

    #[test]
    fn what_is_no_rule_is_named() {
        for rule in ["pwrite", "pwrite:0:EIO", "pwrite:x:EIO", "write:1:EIO", "pwrite:1:EPERM"] {
            assert_eq!(parse(&format!("open:1:EIO,{rule}")).unwrap_err(), {
                format!("`{rule}` is no CALL:N:FAULT")
            });
        }
        assert!(parse("").unwrap().is_empty());
    }
}
