//! What a process has used so far, from `/proc`.

use std::fs;

use anyhow::{Context, Result};

/// CPU time, context switches and mapped files of a process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// CPU time of all its threads.
    pub cpu_ns: u64,
    /// Context switches of all its threads, of both kinds.
    pub switches: u64,
    /// Mapped files in memory.
    pub file_kib: u64,
}

/// Reads the usage of a process.
pub fn usage(pid: u32) -> Result<Usage> {
    let mut usage = Usage::default();
    let tasks = format!("/proc/{pid}/task");
    for task in fs::read_dir(&tasks).with_context(|| format!("process {pid}"))? {
        let path = task?.path();
        // A thread may end between the listing and the reading.
        let (Ok(stat), Ok(status)) =
            (fs::read_to_string(path.join("schedstat")), fs::read_to_string(path.join("status")))
        else {
            continue;
        };
        usage.cpu_ns += first_number(&stat);
        usage.switches += field(&status, "voluntary_ctxt_switches:");
        usage.switches += field(&status, "nonvoluntary_ctxt_switches:");
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    usage.file_kib = field(&status, "RssFile:") + field(&status, "RssShmem:");
    Ok(usage)
}

/// Anonymous memory of a process.
pub fn anonymous_kib(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("process {pid}"))?;
    Ok(field(&status, "RssAnon:"))
}

/// Bytes that a process has had read from disks.
pub fn read_bytes(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/io");
    let io = fs::read_to_string(&path).with_context(|| path)?;
    Ok(field(&io, "read_bytes:"))
}

/// CPU time of this thread.
pub fn own_cpu_ns() -> u64 {
    first_number(&fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default())
}

fn field(status: &str, name: &str) -> u64 {
    let value = status.lines().find_map(|line| line.strip_prefix(name));
    value.map_or(0, first_number)
}

fn first_number(text: &str) -> u64 {
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
}
