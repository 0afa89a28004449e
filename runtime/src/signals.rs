//! The signals that end a process or have it look at its files again.
//!
//! SIGTERM and SIGINT ask for an orderly stop; a second one while it goes on ends the process where
//! it stands, which a store survives as it survives a kill. SIGHUP opens the log file again and
//! has the settings read again.

use std::future::Future;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use crate::logging;

/// Exit code of a process that a second signal ended: 128 and SIGTERM, as a shell sees a kill.
const ENDED_AT_ONCE: i32 = 143;

/// The signals of this process; listens from the moment it is made.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Starts listening.
    ///
    /// # Errors
    /// Fails when the system refuses the handlers.
    pub fn listen() -> io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for SIGTERM or SIGINT; at each SIGHUP before it, opens the log file again and calls
    /// `reload`.
    pub async fn stop_wanted(&mut self, reload: impl Fn()) {
        loop {
            tokio::select! {
                name = end(&mut self.terminate, &mut self.interrupt) => {
                    info!(signal = name, "stopping");
                    return;
                }
                _ = self.hang_up.recv() => {
                    logging::reopen();
                    info!(signal = "SIGHUP", "log file opened again, reading the settings again");
                    reload();
                }
            }
        }
    }

    /// Waits for the stop to be done; another SIGTERM or SIGINT ends the process at once.
    pub async fn stop<T>(&mut self, stopping: impl Future<Output = T>) -> T {
        tokio::select! {
            stopped = stopping => stopped,
            name = end(&mut self.terminate, &mut self.interrupt) => {
                warn!(signal = name, "a second signal: ending at once, the next start recovers");
                std::process::exit(ENDED_AT_ONCE);
            }
        }
    }
}

async fn end(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}
