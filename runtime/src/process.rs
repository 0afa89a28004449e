//! How a server process runs: logging, all processors, and one line when it fails.

use std::future::Future;
use std::process::ExitCode;

use anyhow::Context;
use remoting::net::begin_turn;
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

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
        builder.on_thread_start(wake_without_preempting);
    }
    let runtime = builder.build();
    let ended = match runtime.context("cannot start the runtime") {
        Ok(runtime) => runtime.block_on(program),
        Err(error) => Err(error),
    };
    ended.map_or_else(|error| failed(&error), |()| ExitCode::SUCCESS)
}

/// Lets this thread, when it wakes, wait for who runs on its processor, or for a free one. A server
/// with several threads wakes each for a few requests; one that pushes aside its own peer, or the
/// client whose requests it is to answer, makes both slower.
fn wake_without_preempting() {
    let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Batch);
    // The priority, which the call sets as well, stays what it is.
    let nice = rustix::process::getpriority_process(None);
    let is_same = |value: &ThreadPriority| value.to_posix(policy).ok() == nice.ok();
    let mut values = (0..u8::MAX).map_while(|value| value.try_into().ok());
    if let Some(same) = values.by_ref().map(ThreadPriority::Crossplatform).find(is_same) {
        // Where it is not allowed, the thread goes on as it is.
        let _ = set_thread_priority_and_policy(thread_native_id(), same, policy);
    }
}

/// Says why a process ends; returns its exit code.
pub fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("{error:#}");
    let known = error.chain().find_map(|cause| cause.downcast_ref::<StartFailed>());
    ExitCode::from(known.map_or(FAILED, |failed| failed.code))
}

#[cfg(test)]
mod tests {
    use rustix::process::{getpriority_process, setpriority_process};
    use thread_priority::thread_schedule_policy;

    use super::*;

    #[test]
    fn a_thread_that_does_not_preempt_keeps_its_priority() {
        for nice in [0, 1, 7, 19] {
            let thread = std::thread::spawn(move || {
                setpriority_process(None, nice).unwrap();
                wake_without_preempting();
                (thread_schedule_policy().unwrap(), getpriority_process(None).unwrap())
            });
            let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Batch);
            assert_eq!(thread.join().unwrap(), (policy, nice));
        }
    }
}
