//! Looks at the server's memory while it is measured: what it has at the end says little.

use std::time::Duration;

use anyhow::Result;

use super::process;

/// Between two looks. One takes some 20 µs of the generator's time.
const EVERY: Duration = Duration::from_millis(100);

/// What was seen so far.
pub struct Watch {
    pid: Option<u32>,
    next: Duration,
    /// The most anonymous memory of the server; 0 if its process is not known.
    pub anonymous_kib: u64,
}

impl Watch {
    /// Nothing seen yet.
    pub fn new(pid: Option<u32>) -> Self {
        Self { pid, next: Duration::ZERO, anonymous_kib: 0 }
    }

    /// Looks if it is time to; `now` counts from the start.
    pub fn turn(&mut self, now: Duration) -> Result<()> {
        let Some(pid) = self.pid.filter(|_| now >= self.next) else { return Ok(()) };
        self.next = now + EVERY;
        self.anonymous_kib = self.anonymous_kib.max(process::anonymous_kib(pid)?);
        Ok(())
    }
}
