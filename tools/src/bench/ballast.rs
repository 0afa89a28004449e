//! Memory that is full of page cache, as on any machine that has served for a while.
//!
//! A machine that has just started, or from which a store has just been wiped, has gigabytes free.
//! A virtual machine gives such pages back to its host, and pays 4 to 13 µs for the first touch of
//! each; whoever keeps a log pays that for every page of it. With the page cache full, a page of
//! the log takes the place of another.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result};
use rustix::system::sysinfo;

/// Memory that stays free; the kernel itself frees some when there is less than a tenth of it.
const FREE_LEN: u64 = 256 << 20;
const READ_LEN: usize = 1 << 20;
/// What is freed while one fills is filled by another try.
const TRIES: usize = 5;

/// Grows a file by a hole as long as the free memory and reads it, which costs no disk.
pub fn fill(path: &Path) -> Result<()> {
    let mut options = OpenOptions::new();
    let file = options.read(true).append(true).create(true).open(path);
    let mut file = file.with_context(|| path.display().to_string())?;
    let mut buffer = vec![0; READ_LEN];
    for _ in 0..TRIES {
        let info = sysinfo();
        let Some(len) = (info.freeram * u64::from(info.mem_unit)).checked_sub(FREE_LEN) else {
            break;
        };
        let begin = file.seek(SeekFrom::End(0))?;
        file.set_len(begin + len)?;
        while file.read(&mut buffer)? > 0 {}
    }
    Ok(())
}
