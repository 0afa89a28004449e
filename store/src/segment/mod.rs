//! One log file: the whole logical length mapped for reading, bytes written with `pwrite`.
//!
//! A full disk is then an error code of `pwrite`; a store to a mapping would be SIGBUS. The file
//! has Java's logical length from the start but is sparse; [`Segment::reserve`] makes room ahead
//! of the writer, off the append path.
//!
//! ```text
//! 0 ........ written ........ reserved ........ size
//!   readable          allocated        a hole
//! ```
//!
//! Invariant: bytes below `written` never change while anyone can read them. `written` only
//! grows, except in recovery, which runs before a slice has been handed out. This is the only
//! module with unsafe code.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use memmap2::{Advice, Mmap};
use rustix::fs;
use rustix::io::Errno;
use tracing::error;

use crate::OpenError;
use crate::disk_file::{self, DiskFile, sync_directory_of};
use crate::faults::{self, Point};

mod ahead;
mod block;
mod slice;

pub use ahead::{RESERVE_STEP, Reserve};
use ahead::{zero_tail, zeros};
pub use block::Block;
pub use slice::LogSlice;

/// A disk writes at least so much at a time: a power cut leaves a whole sector or nothing of it.
pub const SECTOR_LEN: usize = 512;

/// So many bytes are read with one call.
const READ_LEN: usize = 64 << 10;

thread_local! {
    /// Where bytes go that only the page cache is to have.
    static READ: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// One file of the log.
#[derive(Debug)]
pub struct Segment {
    base: i64,
    size: usize,
    file: DiskFile,
    map: Mmap,
    written: AtomicUsize,
    reserved: AtomicUsize,
    /// Up to here the page cache has what is written next.
    begun: AtomicUsize,
    /// Keeps the zeroing of [`Segment::reserve`] from running over fresh records.
    reserving: Mutex<()>,
    /// This process has written what stands from here on.
    own_from: AtomicUsize,
    /// A page could not be read; the log has said so.
    unreadable: AtomicBool,
    removed: AtomicBool,
    /// The system tells of a failed sync once only; whoever asks next must hear of it too.
    sync_failed: AtomicBool,
    /// The same file, for reads past the page cache; none where the file system has no such.
    direct: OnceLock<Option<DiskFile>>,
    /// A bit for each part: whether it has been read so.
    passed: Box<[AtomicU64]>,
}

impl Segment {
    /// Creates a file of zeros and makes its name durable.
    pub fn create(path: &Path, base: i64, size: usize) -> io::Result<Segment> {
        let file = DiskFile::create_new(path)?;
        faults::pass(Point::SegmentCreated);
        let ready = file
            .set_len(size as u64)
            .and_then(|()| file.sync_all())
            .inspect(|()| faults::pass(Point::SegmentSized))
            .and_then(|()| sync_directory_of(path));
        ready.and_then(|()| Segment::map(base, size, file)).inspect_err(|_| {
            // Nobody has seen the file yet; were it left, the next attempt would find it.
            let _ = disk_file::remove_file(path);
        })
    }

    /// Opens an existing file; all of it counts as written until recovery says otherwise.
    /// `size_key` is the setting that says how long it is.
    pub fn open(path: &Path, base: i64, size: usize, size_key: &str) -> Result<Segment, OpenError> {
        let io = |action| move |source| OpenError::io(path, action, source);
        let file = DiskFile::open(path).map_err(io("open for writing"))?;
        let len = file.len().map_err(io("read the length"))?;
        if len != size as u64 {
            return Err(Segment::of_other_length(path.to_owned(), len, size as u64, size_key));
        }
        let segment = Segment::map(base, size, file).map_err(io("map"))?;
        segment.written.store(size, Ordering::Release);
        segment.own_from.store(size, Ordering::Release);
        segment.reserved.store(size, Ordering::Release);
        Ok(segment)
    }

    /// A file that is not as long as the setting `size_key` says.
    pub(crate) fn of_other_length(path: PathBuf, len: u64, size: u64, size_key: &str) -> OpenError {
        OpenError::Damaged {
            path,
            offset: len.min(size),
            expected: format!("a file of {size} bytes ({size_key})"),
            got: format!("{len} bytes"),
        }
    }

    /// Opens an existing file of any length for reading; nothing else of it may be called than
    /// what reads.
    pub fn view(path: &Path, base: i64) -> Result<Segment, OpenError> {
        let io = |action| move |source| OpenError::io(path, action, source);
        let file = DiskFile::open_to_read(path).map_err(io("open"))?;
        let size = file.len().map_err(io("read the length"))? as usize;
        let segment = Segment::map(base, size, file).map_err(io("map"))?;
        segment.written.store(size, Ordering::Release);
        segment.own_from.store(size, Ordering::Release);
        Ok(segment)
    }

    fn map(base: i64, size: usize, file: DiskFile) -> io::Result<Segment> {
        let map = map_for_reading(&file, size)?;
        Ok(Segment {
            base,
            size,
            file,
            map,
            written: AtomicUsize::new(0),
            reserved: AtomicUsize::new(0),
            begun: AtomicUsize::new(0),
            reserving: Mutex::new(()),
            own_from: AtomicUsize::new(0),
            unreadable: AtomicBool::new(false),
            removed: AtomicBool::new(false),
            sync_failed: AtomicBool::new(false),
            direct: OnceLock::new(),
            passed: (0..size.div_ceil(64 * Block::PART_LEN)).map(|_| AtomicU64::new(0)).collect(),
        })
    }

    /// Log position of the first byte.
    pub fn base(&self) -> i64 {
        self.base
    }

    /// Logical length.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Log position behind the last byte the file can hold.
    pub fn limit(&self) -> i64 {
        self.base + self.size as i64
    }

    /// Number of readable bytes.
    pub fn written(&self) -> usize {
        self.written.load(Ordering::Acquire)
    }

    /// Log position behind the last readable byte.
    pub fn end(&self) -> i64 {
        self.base + self.written() as i64
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Whether the file has been deleted; slices of it stay readable.
    pub fn removed(&self) -> bool {
        self.removed.load(Ordering::Acquire)
    }

    /// Bytes of a range, cut at the written position.
    pub fn bytes(&self, start: usize, len: usize) -> &[u8] {
        let end = start.saturating_add(len).min(self.written());
        self.map.get(start..end).unwrap_or_default()
    }

    /// Whether this process wrote what stands from `start` on.
    pub fn is_own(&self, start: usize) -> bool {
        start >= self.own_from.load(Ordering::Acquire)
    }

    /// Whether the part at `start` is to be read past the page cache: the first time only, so that
    /// what is read again stays in memory.
    pub fn passes(&self, start: usize) -> bool {
        let part = start / Block::PART_LEN;
        let bit = 1 << (part % 64);
        self.direct().is_some() && self.passed[part / 64].fetch_or(bit, Ordering::AcqRel) & bit == 0
    }

    /// Fills `out` past the page cache; both are whole pages.
    fn read_past_cache(&self, out: &mut [u8], at: usize) -> io::Result<()> {
        let direct = self.direct().ok_or(ErrorKind::Unsupported)?;
        direct.read_at(out, at as u64)
    }

    fn direct(&self) -> Option<&DiskFile> {
        self.direct.get_or_init(|| DiskFile::open_direct(self.path()).ok()).as_ref()
    }

    /// Brings a written range into memory; false when the disk does not give it.
    ///
    /// Touching a mapped page that cannot be read is SIGBUS; this call has an error instead.
    pub fn load(&self, start: usize, len: usize) -> bool {
        let len = len.min(self.size.saturating_sub(start));
        let failed = match self.map.advise_range(Advice::PopulateRead, start, len) {
            Err(error) => matches!(
                Errno::from_io_error(&error),
                Some(Errno::FAULT | Errno::HWPOISON | Errno::IO)
            ),
            // Also a kernel that does not know the advice.
            Ok(()) => false,
        };
        if failed && !self.unreadable.swap(true, Ordering::AcqRel) {
            let path = self.path().display();
            error!(%path, offset = start, len, "a part of the log cannot be read");
        }
        !failed
    }

    /// The same for log positions within the file, which most likely come from the disk: they are
    /// read first, and the system is told whether what is behind them will be wanted soon.
    ///
    /// Around a page that is touched in a mapping the system reads as much as it ever reads ahead,
    /// in one go, in its smallest pages: milliseconds of a core where `read_ahead_kb` is large.
    pub fn fetch(&self, range: &Range<i64>, on: bool) -> bool {
        let (start, len) = self.place_of(range);
        let advice = if on { fs::Advice::Normal } else { fs::Advice::Random };
        // It reads more or less than it should, then.
        let _ = fs::fadvise(self.file.as_file(), 0, None, advice);
        READ.with_borrow_mut(|buffer| {
            buffer.resize(READ_LEN, 0);
            for at in (start..start + len).step_by(READ_LEN) {
                let len = READ_LEN.min(start + len - at);
                // What cannot be read is found again below.
                let _ = self.file.read_at(&mut buffer[..len], at as u64);
            }
        });
        self.load(start, len)
    }

    /// Whether all of a range of log positions within the file is in memory now; true where the
    /// system does not tell.
    #[allow(unsafe_code)]
    pub fn is_resident(&self, range: &Range<i64>) -> bool {
        const PAGES: usize = 64;
        let page_len = rustix::param::page_size();
        let (start, len) = self.place_of(range);
        let end = start.saturating_add(len).min(self.size);
        let mut at = start - start % page_len;
        while at < end {
            let mut pages = [0_u8; PAGES];
            let asked = (end - at).min(PAGES * page_len);
            // SAFETY: `at` is the start of a page of the mapping, `at + asked` is within it, and
            // there is a byte for each page. The call reads no byte of the mapping.
            let told = unsafe {
                let address = self.map.as_ptr().add(at).cast_mut().cast();
                libc::mincore(address, asked, pages.as_mut_ptr())
            };
            if told != 0 {
                break;
            }
            if pages[..asked.div_ceil(page_len)].iter().any(|page| page & 1 == 0) {
                return false;
            }
            at += asked;
        }
        true
    }

    fn place_of(&self, range: &Range<i64>) -> (usize, usize) {
        ((range.start - self.base) as usize, (range.end - range.start) as usize)
    }

    /// Writes behind the written position, without making it readable.
    ///
    /// # Panics
    /// If the range is readable already or does not fit: a bug of the appender.
    pub fn write(&self, at: usize, bytes: &[u8]) -> io::Result<()> {
        let end = at + bytes.len();
        // Invariant: readable bytes never change, and nothing is written past the logical end.
        assert!(at >= self.written() && end <= self.size, "a write outside the free part");
        if end > self.reserved.load(Ordering::Acquire) {
            let _reserving = self.reserving.lock().unwrap_or_else(PoisonError::into_inner);
            self.reserved.fetch_max(end, Ordering::AcqRel);
        }
        self.begin_run(at, end);
        self.file.write_at(bytes, at as u64)
    }

    /// Takes away what a failed write may have left at `at`, so that no record seems to start
    /// there.
    pub fn erase(&self, at: usize) -> io::Result<()> {
        const HEAD: usize = 8;
        let head = at..(at + HEAD).min(self.size);
        assert!(at >= self.written(), "readable bytes are not erased");
        let Err(error) = self.file.write_at(zeros(head.len()), at as u64) else {
            return Ok(());
        };
        // A full disk refuses zeros too, where nothing was written before: then all is well.
        let mut bytes = [1; HEAD];
        self.file.read_at(&mut bytes[..head.len()], at as u64)?;
        if bytes[..head.len()].iter().all(|&byte| byte == 0) { Ok(()) } else { Err(error) }
    }

    /// Makes everything below `written` readable.
    ///
    /// # Panics
    /// If the position would move back.
    pub fn publish(&self, written: usize) {
        let before = self.written.swap(written, Ordering::AcqRel);
        // Invariant: see the module; recovery uses `cut` instead.
        assert!(before <= written && written <= self.size, "the written position only grows");
    }

    /// Forgets everything behind `written` and leaves durable zeros there.
    ///
    /// Only for recovery: no slice of the part behind may be alive.
    pub fn cut(&self, written: usize) -> io::Result<()> {
        self.written.store(written, Ordering::Release);
        self.own_from.store(written, Ordering::Release);
        if written < self.size {
            zero_tail(&self.file, written, self.size)?;
            faults::pass(Point::TailZeroed);
            self.file.sync_all()?;
        }
        self.reserved.store(written, Ordering::Release);
        self.begun.store(written, Ordering::Release);
        Ok(())
    }

    /// Waits until everything written is on disk. After a failure it fails for ever.
    pub fn sync(&self) -> io::Result<()> {
        if self.sync_failed() {
            return Err(io::Error::other("a sync of the file had failed before"));
        }
        self.file.sync_data().inspect_err(|_| self.sync_failed.store(true, Ordering::Release))
    }

    /// Whether a sync has failed.
    pub fn sync_failed(&self) -> bool {
        self.sync_failed.load(Ordering::Acquire)
    }

    /// When the file was last written.
    pub fn modified(&self) -> io::Result<SystemTime> {
        self.file.modified()
    }

    /// Deletes the file; slices stay readable until they are dropped.
    pub fn remove(&self) -> io::Result<()> {
        match disk_file::remove_file(self.path()) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => self.removed.store(true, Ordering::Release),
        }
        sync_directory_of(self.path())
    }
}

#[allow(unsafe_code)]
fn map_for_reading(file: &DiskFile, size: usize) -> io::Result<Mmap> {
    // SAFETY: the mapping is read through `Segment::bytes` alone, which stops at the written
    // position. Bytes below it are never written again and the file is never shortened while
    // it is mapped (`write` asserts the first, nothing here calls `set_len` after `create`);
    // other processes are kept away by the store's lock file.
    file.map(|file| unsafe { memmap2::MmapOptions::new().len(size).map(file) })
}

#[cfg(test)]
mod tests;
