//! How a server process runs: logging, all processors, and one line when it fails.

use std::future::Future;
use std::process::ExitCode;

use anyhow::Context;
use remoting::net::begin_turn;

use crate::courtesy;
use crate::failure::{FAILED, StartFailed};
use crate::logging::{self, LogFormat, LogTarget};

/// Exit code of a command line that cannot be read, as Java's.
pub const USAGE: u8 = 1;

/// Keeps this process from huge pages; called before anything else. With them the allocator takes
/// 2 MiB wherever it touches a byte, which is most of what an idle server has.
pub fn small_pages() {
    // Where the kernel does not know how to do without, it costs memory only.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// Starts logging and runs a program to its end on all processors; an error is one line on stderr.
pub fn run(
    (format, target): (LogFormat, LogTarget),
    program: impl Future<Output = anyhow::Result<()>>,
) -> ExitCode {
    if let Err(error) = logging::start(format, target, "info") {
        return failed(&anyhow::Error::new(error).context("log file"));
    }
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().on_thread_unpark(begin_turn);
    if std::thread::available_parallelism().is_ok_and(|processors| processors.get() > 1) {
        builder.on_thread_park(courtesy::settle);
    }
    let runtime = builder.build();
    let ended = match runtime.context("cannot start the runtime") {
        Ok(runtime) => runtime.block_on(program),
        Err(error) => Err(error),
    };
    ended.map_or_else(|error| failed(&error), |()| ExitCode::SUCCESS)
}

/// Says why a process ends; returns its exit code.
pub fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("{error:#}");
    let known = error.chain().find_map(|cause| cause.downcast_ref::<StartFailed>());
    ExitCode::from(known.map_or(FAILED, |failed| failed.code))
}
