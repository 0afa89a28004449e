//! What the system gives the store: room on disks, open files.

use std::io;
use std::path::Path;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit};
use tracing::warn;

/// Space of the file system a path is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSpace {
    /// Bytes in use.
    pub used: u64,
    /// Bytes this process may still take.
    pub usable: u64,
}

impl DiskSpace {
    /// Asks the system.
    pub fn of(path: &Path) -> io::Result<DiskSpace> {
        let stat = rustix::fs::statvfs(path)?;
        let block = stat.f_frsize;
        Ok(DiskSpace {
            used: stat.f_blocks.saturating_sub(stat.f_bfree).saturating_mul(block),
            usable: stat.f_bavail.saturating_mul(block),
        })
    }

    /// Used part in percent of what can be used at all, rounded up as `df` and Java do.
    pub fn used_percent(&self) -> u32 {
        let total = u128::from(self.used) + u128::from(self.usable);
        match total {
            0 => 0,
            total => (u128::from(self.used) * 100).div_ceil(total) as u32,
        }
    }

    /// Used part as a fraction of one, in whole percent.
    pub fn used_ratio(&self) -> f64 {
        f64::from(self.used_percent()) / 100.0
    }
}

/// Whether the system lacks room, in space or quota; deleting files helps.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether the system lacks something it may have later: room, descriptors, memory. What was to be
/// written is still in memory, and the same write may be tried again. Never so for a failed sync.
pub fn is_passing(error: &io::Error) -> bool {
    const OF_FILES: [Errno; 2] = [Errno::MFILE, Errno::NFILE];
    is_full(error)
        || error.kind() == io::ErrorKind::OutOfMemory
        || Errno::from_io_error(error).is_some_and(|errno| OF_FILES.contains(&errno))
}

/// Raises the limit of open files as far as this process may: every log file is open, and every
/// client takes one too.
pub fn raise_open_files() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = rustix::process::setrlimit(Resource::Nofile, raised) {
        warn!(%error, limit = ?limit.current, "cannot raise the limit of open files");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_files_go_up_to_the_hard_limit() {
        raise_open_files();
        let limit = rustix::process::getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }

    #[test]
    fn what_passes_is_told_from_what_lasts() {
        let of = |errno: Errno| io::Error::from(errno);
        for errno in [Errno::NOSPC, Errno::DQUOT, Errno::MFILE, Errno::NFILE, Errno::NOMEM] {
            assert!(is_passing(&of(errno)), "{errno}");
        }
        for errno in [Errno::IO, Errno::ROFS, Errno::ACCESS] {
            assert!(!is_passing(&of(errno)), "{errno}");
        }
        assert!(is_full(&of(Errno::DQUOT)) && !is_full(&of(Errno::MFILE)));
    }

    #[test]
    fn percent_is_rounded_up() {
        for (used, usable, percent) in
            [(0, 0, 0), (0, 10, 0), (1, 999, 1), (1, 1, 50), (10, 0, 100)]
        {
            assert_eq!(DiskSpace { used, usable }.used_percent(), percent, "{used} {usable}");
        }
        let huge = DiskSpace { used: u64::MAX, usable: u64::MAX };
        assert_eq!(huge.used_percent(), 50);
        assert!((huge.used_ratio() - 0.5).abs() < f64::EPSILON);
    }

    #[test]
    fn the_system_answers_for_a_directory() {
        let directory = tempfile::tempdir().unwrap();
        let space = DiskSpace::of(directory.path()).unwrap();
        assert!(space.used > 0 && space.usable > 0);
        assert!(DiskSpace::of(&directory.path().join("absent")).is_err());
    }
}
