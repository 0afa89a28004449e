//! The watches and their rules.

use std::fmt;
use std::io::{self, Write};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Signal, getpid, kill_process};
use tracing::warn;

use super::{Action, Operation, Point};
use crate::disk_file::DiskFile;

/// The environment variable that holds rules for a whole process.
const VARIABLE: &str = "RAPTORMQ_FAULT";
/// The one that names a file, which gets a line for each call that a rule has hit.
const LOG_VARIABLE: &str = "RAPTORMQ_FAULT_LOG";
/// The one that names a point and the number of the pass at which the process kills itself.
const KILL_VARIABLE: &str = "RAPTORMQ_KILL_AT";
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

static KILL: OnceLock<(Point, AtomicU64)> = OnceLock::new();

type Observer = Box<dyn Fn(&Operation<'_>) + Send + Sync>;

struct Watch {
    directory: PathBuf,
    rules: Mutex<Vec<Rule>>,
    observer: Option<Observer>,
    log: Option<DiskFile>,
}

/// Which calls fail, and how.
#[derive(Debug)]
struct Rule {
    call: &'static str,
    /// Numbers of the first one and of the last, from 1.
    numbers: RangeInclusive<u64>,
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
    /// The call is made after so long.
    Slow(Duration),
}

/// A watch on the calls below a directory, until it is dropped.
#[must_use = "the watch ends when it is dropped"]
pub struct Faults {
    watch: Arc<Watch>,
}

impl Faults {
    /// Watches the calls below a directory.
    pub fn on(directory: &Path) -> Faults {
        Faults::watch(directory, None, None)
    }

    /// Watches them and shows those that were made to `observer`, in the order of each thread.
    pub fn observe(
        directory: &Path,
        observer: impl Fn(&Operation<'_>) + Send + Sync + 'static,
    ) -> Faults {
        Faults::watch(directory, Some(Box::new(observer)), None)
    }

    fn watch(directory: &Path, observer: Option<Observer>, log: Option<DiskFile>) -> Faults {
        let directory = directory.to_owned();
        let watch = Arc::new(Watch { directory, rules: Mutex::default(), observer, log });
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
/// The first rule or point that is none, or a file of `RAPTORMQ_FAULT_LOG` that cannot be made.
pub fn from_environment() -> Result<(), String> {
    if let Ok(kill) = std::env::var(KILL_VARIABLE) {
        let parsed = kill_of(&kill).ok_or(format!("{KILL_VARIABLE}: `{kill}` is no NAME:N"))?;
        KILL.get_or_init(|| parsed);
        warn!(%kill, "a kill is on");
    }
    let Ok(rules) = std::env::var(VARIABLE) else { return Ok(()) };
    let log = std::env::var_os(LOG_VARIABLE)
        .map(|path| DiskFile::create_empty(Path::new(&path)))
        .transpose();
    let log = log.map_err(|error| format!("{LOG_VARIABLE}: {error}"))?;
    let faults = Faults::watch(Path::new(""), None, log);
    faults.set(&rules).map_err(|error| format!("{VARIABLE}: {error}"))?;
    warn!(%rules, "disk faults are on");
    std::mem::forget(faults);
    Ok(())
}

/// Kills the process if it has been told to at this pass of the point.
pub fn pass(point: Point) {
    if let Some((at, left)) = KILL.get()
        && *at == point
        && left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        // Cannot fail: the process is there, and its own.
        let _ = kill_process(getpid(), Signal::KILL);
        loop {
            std::thread::park();
        }
    }
}

fn kill_of(text: &str) -> Option<(Point, AtomicU64)> {
    let (name, number) = text.rsplit_once(':')?;
    let (point, ..) = *Point::ALL.iter().find(|(_, known, _)| *known == name)?;
    Some((point, AtomicU64::new(number.parse().ok().filter(|number| *number > 0)?)))
}

/// How many bytes of a write to make, or the error to fail with.
pub(crate) fn before(operation: &Operation<'_>) -> io::Result<usize> {
    if !WATCHED.load(Ordering::Acquire) {
        return Ok(usize::MAX);
    }
    match fault_of(operation) {
        None => {}
        Some(Fault::Error(errno)) => return Err(errno.into()),
        Some(Fault::Slow(delay)) => std::thread::sleep(delay),
        Some(Fault::Short) => {
            if let Action::Write { bytes, .. } = operation.action {
                return Ok(bytes.len().div_ceil(2));
            }
        }
    }
    Ok(usize::MAX)
}

fn fault_of(operation: &Operation<'_>) -> Option<Fault> {
    let watches = WATCHES.read().unwrap_or_else(PoisonError::into_inner);
    let mut faults = watches
        .iter()
        .filter(|watch| operation.path.starts_with(&watch.directory))
        .filter_map(|watch| watch.fault_of(operation));
    faults.next()
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

impl Watch {
    fn fault_of(&self, operation: &Operation<'_>) -> Option<Fault> {
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        // Each rule counts every call, also one that another rule hits.
        let fault = rules.iter_mut().filter_map(|rule| rule.meets(operation)).last()?;
        if let Some(mut log) = self.log.as_ref().map(DiskFile::as_file) {
            let (call, path) = (call(&operation.action), operation.path.display());
            // A line that is missing fails the test that waits for it.
            let _ = writeln!(log, "{call} {path}");
        }
        Some(fault)
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
        let hit = self.numbers.contains(&self.seen);
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
    let (name, numbers, fault) = (parts.next()?, parts.next()?, parts.next()?);
    let fault = match fault {
        "EIO" => Fault::Error(Errno::IO),
        "ENOSPC" => Fault::Error(Errno::NOSPC),
        "EINTR" => Fault::Error(Errno::INTR),
        "EROFS" => Fault::Error(Errno::ROFS),
        "short" => Fault::Short,
        other => Fault::Slow(Duration::from_millis(other.strip_prefix("slow=")?.parse().ok()?)),
    };
    let numbers = numbers_of(numbers)?;
    if *numbers.end() == u64::MAX && matches!(fault, Fault::Error(Errno::INTR)) {
        // The call would be made again for ever.
        return None;
    }
    Some(Rule {
        call: CALLS.into_iter().find(|call| *call == name)?,
        numbers,
        fault,
        part: parts.next().unwrap_or_default().to_owned(),
        seen: 0,
        hits: 0,
    })
}

/// `17`, `17-20`, `17+` or `*`.
fn numbers_of(text: &str) -> Option<RangeInclusive<u64>> {
    let number = |text: &str| text.parse().ok().filter(|number| *number > 0);
    if text == "*" {
        return Some(1..=u64::MAX);
    }
    if let Some(first) = text.strip_suffix('+') {
        return Some(number(first)?..=u64::MAX);
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(number(first)?..=number(last)?)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::disk_file::rename;

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
    fn a_slow_call_is_made_late_and_only_the_numbers_given() {
        let directory = tempfile::tempdir().unwrap();
        let faults = Faults::on(directory.path());
        faults.set("pwrite:2-3:slow=40, pwrite:*:short:other").unwrap();
        let file = DiskFile::create_new(&directory.path().join("a")).unwrap();
        let took = [(); 4].map(|()| {
            let begun = std::time::Instant::now();
            file.write_at(b"one", 0).unwrap();
            begun.elapsed() >= Duration::from_millis(40)
        });
        assert_eq!((took, faults.hits()), ([false, true, true, false], 2));
    }

    #[test]
    fn what_is_no_rule_is_named() {
        for rule in [
            "pwrite",
            "pwrite:0:EIO",
            "pwrite:x:EIO",
            "pwrite:1-:EIO",
            "write:1:EIO",
            "pwrite:1:EPERM",
            "pwrite:*:EINTR",
            "pwrite:1:slow=",
        ] {
            assert_eq!(parse(&format!("open:1:EIO,{rule}")).unwrap_err(), {
                format!("`{rule}` is no CALL:N:FAULT")
            });
        }
        assert!(parse("").unwrap().is_empty());
        assert!(kill_of("appended:3").is_some_and(|(point, _)| point == Point::Appended));
        for kill in ["appended", "appended:0", "append:1"] {
            assert!(kill_of(kill).is_none(), "{kill}");
        }
    }
}
