//! How a serving thread wakes where others want its processor: one that has had about its share
//! waits until they have had theirs.
//!
//! A server with several threads wakes each of them for a few requests. If each pushes aside who
//! runs, its own peer or the client whose requests it is to answer, all are slower: with clients on
//! the same processors by a tenth. One that has little to do is to answer at once, so it does push:
//! beside processes that are always busy it would wait for milliseconds.

use std::cell::Cell;
use std::time::{Duration, Instant};

use rustix::process::getpriority_process;
use rustix::time::{ClockId, clock_gettime};
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

/// How often a thread looks at what it has used.
const PERIOD: Duration = Duration::from_millis(20);

/// Of a processor: from here on a thread is polite.
const MUCH: f64 = 0.35;

/// What a thread had used when it looked last.
#[derive(Clone, Copy)]
struct Look {
    at: Instant,
    used: Duration,
    polite: bool,
}

thread_local! {
    static LAST: Cell<Option<Look>> = const { Cell::new(None) };
}

/// Looks at what this thread uses, and sets how it wakes; for the moment before it waits.
pub fn settle() {
    let last = LAST.get();
    let now = Instant::now();
    if last.is_some_and(|last| now - last.at < PERIOD) {
        return;
    }
    let used = clock_gettime(ClockId::ThreadCPUTime);
    let used = Duration::new(used.tv_sec.unsigned_abs(), used.tv_nsec as u32);
    let polite = last.is_some_and(|last| {
        let much = (used - last.used).div_duration_f64(now - last.at) >= MUCH;
        if much != last.polite {
            wake_politely(much);
        }
        much
    });
    LAST.set(Some(Look { at: now, used, polite }));
}

/// Has this thread, when it wakes, wait for who runs on its processor, or for a free one; or not.
fn wake_politely(polite: bool) {
    let policy = ThreadSchedulePolicy::Normal(match polite {
        true => NormalThreadSchedulePolicy::Batch,
        false => NormalThreadSchedulePolicy::Other,
    });
    // The priority, which the call sets as well, stays what it is.
    let nice = getpriority_process(None);
    let is_same = |value: &ThreadPriority| value.to_posix(policy).ok() == nice.ok();
    let values = (0..u8::MAX).map_while(|value| value.try_into().ok());
    if let Some(same) = values.map(ThreadPriority::Crossplatform).find(is_same) {
        // Where it is not allowed, the thread goes on as it is.
        let _ = set_thread_priority_and_policy(thread_native_id(), same, policy);
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::setpriority_process;
    use thread_priority::thread_schedule_policy;

    use super::*;

    const PUSHES: ThreadSchedulePolicy =
        ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other);
    const WAITS: ThreadSchedulePolicy =
        ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Batch);

    /// Lets the thread settle between turns of `work` until it wakes as it should.
    fn until(expected: ThreadSchedulePolicy, work: impl Fn()) {
        let begun = Instant::now();
        while thread_schedule_policy().unwrap() != expected {
            assert!(begun.elapsed() < Duration::from_secs(60), "not {expected:?}");
            work();
            settle();
        }
    }

    #[test]
    fn a_thread_that_has_had_much_waits_until_it_has_less() {
        let spin = || {
            let begun = Instant::now();
            while begun.elapsed() < PERIOD {}
        };
        let thread = std::thread::spawn(move || {
            settle();
            assert_eq!(thread_schedule_policy().unwrap(), PUSHES);
            until(WAITS, spin);
            until(PUSHES, || std::thread::sleep(PERIOD));
            until(WAITS, spin);
        });
        thread.join().unwrap();
    }

    #[test]
    fn the_priority_stays() {
        for nice in [0, 1, 7, 19] {
            let thread = std::thread::spawn(move || {
                setpriority_process(None, nice).unwrap();
                let both = [(true, WAITS), (false, PUSHES)];
                for (polite, policy) in both {
                    wake_politely(polite);
                    assert_eq!(thread_schedule_policy().unwrap(), policy);
                    assert_eq!(getpriority_process(None).unwrap(), nice);
                }
            });
            thread.join().unwrap();
        }
    }
}
