//! Room on the disks of the store.

use std::io;
use std::path::Path;

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

#[cfg(test)]
mod tests {
    use super::*;

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
