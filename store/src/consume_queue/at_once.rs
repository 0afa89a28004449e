//! The same work on many things, on all processors.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread;

/// With fewer things than this, other threads cost more than they bring.
const FEW: usize = 64;

const THREADS_MAX: usize = 8;

/// Calls `work` with each item; returns one of the errors.
pub(super) fn for_each<T: Sync, E: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = if items.len() < FEW { 1 } else { processors.min(THREADS_MAX) };
    if threads == 1 {
        return items.iter().try_for_each(work);
    }
    let work = &work;
    thread::scope(|scope| {
        let parts = items.chunks(items.len().div_ceil(threads));
        let threads: Vec<_> =
            parts.map(|part| scope.spawn(move || part.iter().try_for_each(work))).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, Result<(), E>>| thread.join();
        let mut results = threads.into_iter().map(join);
        results.try_for_each(|ended| ended.unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn each_is_worked_on_once_and_an_error_is_told() {
        for count in [0, 1, 63, 64, 1000] {
            let items: Vec<u64> = (0..count).collect();
            let sum = AtomicU64::new(0);
            let add = |item: &u64| {
                sum.fetch_add(item + 1, Ordering::Relaxed);
                if *item == 999 { Err("the last") } else { Ok(()) }
            };
            let done = for_each(&items, add);
            assert_eq!(done, if count == 1000 { Err("the last") } else { Ok(()) });
            assert_eq!(sum.into_inner(), count * (count + 1) / 2);
        }
    }
}
