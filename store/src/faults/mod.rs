//! Faults of the disk, for tests: who watches sees every call of [`disk_file`](crate::disk_file)
//! below a directory, and makes chosen ones fail.
//!
//! ```text
//! pwrite:17:EIO                     the 17th pwrite fails
//! pwrite:1:short,pwrite:2:ENOSPC    half of the first one, then no room
//! fdatasync:3+:EIO:commitlog        every sync from the 3rd on of a path with "commitlog" in it
//! pwrite:3-5:slow=1500,open:*:EIO   three writes take 1.5 s longer, no file opens
//! ```
//!
//! Calls: open, pwrite, ftruncate, fallocate, fdatasync (every kind of sync), mmap, rename,
//! unlink, mkdir, rmdir. Each rule counts by itself, the calls of its kind and path. Without the
//! feature `faults` nothing of this exists but the names. A whole process takes rules from
//! `RAPTORMQ_FAULT` and writes a line for each call that one has hit to the file of
//! `RAPTORMQ_FAULT_LOG`. `RAPTORMQ_KILL_AT=NAME:N` has it kill itself when it passes a [`Point`]
//! for the Nth time.

use std::path::Path;

/// A call about to be made, or made.
#[derive(Clone, Copy, Debug)]
pub struct Operation<'a> {
    /// The file or directory.
    pub path: &'a Path,
    /// What is done with it.
    pub action: Action<'a>,
}

/// What a call does.
#[derive(Clone, Copy, Debug)]
pub enum Action<'a> {
    /// Opens a file.
    Open {
        /// An empty one is made if it is not there.
        create: bool,
        /// What it holds is thrown away.
        truncate: bool,
    },
    /// Writes bytes.
    Write {
        /// Position in the file.
        at: u64,
        /// What is written.
        bytes: &'a [u8],
    },
    /// Changes the length.
    SetLen(u64),
    /// Takes blocks for a range; extends the file if need be.
    Allocate {
        /// Position in the file.
        at: u64,
        /// Bytes of the range.
        len: u64,
    },
    /// Makes a range read as zeros.
    PunchHole {
        /// Position in the file.
        at: u64,
        /// Bytes of the range.
        len: u64,
    },
    /// Puts a file's content and length on disk.
    Sync,
    /// Maps a file.
    Map,
    /// Gives a file another name.
    Rename {
        /// The other name.
        to: &'a Path,
    },
    /// Deletes a file.
    Remove,
    /// Makes a directory.
    CreateDirectory,
    /// Deletes an empty directory.
    RemoveDirectory,
    /// Puts the names in a directory on disk.
    SyncDirectory,
    /// Puts everything on disk.
    SyncFileSystem,
}

mod points;

pub use points::Point;

#[cfg(any(test, feature = "faults"))]
pub use on::{Faults, from_environment, pass};
#[cfg(any(test, feature = "faults"))]
pub(crate) use on::{after, before};

#[cfg(not(any(test, feature = "faults")))]
pub use off::pass;
#[cfg(not(any(test, feature = "faults")))]
pub(crate) use off::{after, before};

#[cfg(not(any(test, feature = "faults")))]
mod off {
    use super::{Operation, Point};

    #[inline(always)]
    pub(crate) fn before(_: &Operation<'_>) -> std::io::Result<usize> {
        Ok(usize::MAX)
    }

    #[inline(always)]
    pub(crate) fn after(_: &Operation<'_>) {}

    /// Does nothing without the feature.
    #[inline(always)]
    pub fn pass(_: Point) {}
}

#[cfg(any(test, feature = "faults"))]
mod on;
