//! Positions others wait for, and the signal that wakes a service with work.
//!
//! A [`Watermark`] only grows. Whoever needs "on disk up to Y" waits for it; one advance wakes
//! every waiter it covers, each once. A failed watermark never advances again.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::WaitError;

/// A log position that grows and can be waited for.
#[derive(Debug, Default)]
pub struct Watermark {
    position: AtomicI64,
    failed: AtomicBool,
    waiters: Mutex<Waiters>,
}

#[derive(Debug, Default)]
struct Waiters {
    next_id: u64,
    list: Vec<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    id: u64,
    end: i64,
    waker: Waker,
}

impl Watermark {
    /// Starts at a position.
    pub fn new(position: i64) -> Watermark {
        Watermark { position: AtomicI64::new(position), ..Watermark::default() }
    }

    /// The position reached.
    pub fn position(&self) -> i64 {
        self.position.load(Ordering::Acquire)
    }

    /// Whether it will never advance again.
    pub fn failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Moves on to `position` and wakes whom it covers; a smaller position changes nothing.
    pub fn advance(&self, position: i64) {
        if self.failed() || self.position.fetch_max(position, Ordering::AcqRel) >= position {
            return;
        }
        self.wake(|waiter| waiter.end <= position);
    }

    /// Ends every present and future wait with an error.
    pub fn fail(&self) {
        self.failed.store(true, Ordering::Release);
        self.wake(|_| true);
    }

    /// Whether anyone waits for more than the position reached.
    pub fn awaited(&self) -> bool {
        !self.lock().list.is_empty()
    }

    /// Waits until the position reaches `end`.
    pub fn wait_for(&self, end: i64) -> WaitFor<'_> {
        WaitFor { watermark: self, end, id: None }
    }

    fn state(&self, end: i64) -> Option<Result<(), WaitError>> {
        // Reached before it failed is reached: look at the position first.
        if self.position() >= end {
            Some(Ok(()))
        } else if self.failed() {
            Some(Err(WaitError::Poisoned))
        } else {
            None
        }
    }

    fn wake(&self, covered: impl Fn(&Waiter) -> bool) {
        let woken: Vec<Waiter> = {
            let mut waiters = self.lock();
            if waiters.list.is_empty() {
                return;
            }
            waiters.list.extract_if(.., |waiter| covered(waiter)).collect()
        };
        for waiter in woken {
            waiter.waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        // No code that can panic half-way runs under this lock.
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A wait for a position; dropping it gives the wait up.
#[derive(Debug)]
pub struct WaitFor<'a> {
    watermark: &'a Watermark,
    end: i64,
    id: Option<u64>,
}

impl Future for WaitFor<'_> {
    type Output = Result<(), WaitError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let watermark = self.watermark;
        if let Some(done) = watermark.state(self.end) {
            // Whoever moved the position takes it off the list.
            self.id = None;
            return Poll::Ready(done);
        }
        let mut waiters = watermark.lock();
        // Look again under the lock: an advance that came before it has woken nobody.
        if let Some(done) = watermark.state(self.end) {
            return Poll::Ready(done);
        }
        let registered =
            self.id.and_then(|id| waiters.list.iter_mut().find(|waiter| waiter.id == id));
        if let Some(waiter) = registered {
            waiter.waker.clone_from(context.waker());
        } else {
            let id = waiters.next_id;
            waiters.next_id += 1;
            waiters.list.push(Waiter { id, end: self.end, waker: context.waker().clone() });
            self.id = Some(id);
        }
        Poll::Pending
    }
}

impl Drop for WaitFor<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.watermark.lock().list.retain(|waiter| waiter.id != id);
        }
    }
}

/// Wakes one service thread; a signal given while it works is not lost.
#[derive(Debug, Default)]
pub struct Signal {
    given: AtomicBool,
    lock: Mutex<()>,
    condvar: Condvar,
}

impl Signal {
    /// Wakes the service; cheap when it has been woken already.
    pub fn give(&self) {
        if !self.given.swap(true, Ordering::AcqRel) {
            let _guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
            self.condvar.notify_one();
        }
    }

    /// Waits for a signal and takes it; false after `period` without one.
    pub fn take(&self, period: Duration) -> bool {
        if self.given.swap(false, Ordering::AcqRel) {
            return true;
        }
        let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .condvar
            .wait_timeout_while(guard, period, |()| !self.given.load(Ordering::Acquire));
        drop(waited);
        self.given.swap(false, Ordering::AcqRel)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn poll(wait: &mut WaitFor<'_>, count: &Arc<Count>) -> Poll<Result<(), WaitError>> {
        let waker = Waker::from(Arc::clone(count));
        Pin::new(wait).poll(&mut Context::from_waker(&waker))
    }

    #[test]
    fn an_advance_wakes_whom_it_covers_once() {
        let watermark = Watermark::new(10);
        let (near, far) = (Arc::new(Count::default()), Arc::new(Count::default()));
        assert_eq!(poll(&mut watermark.wait_for(10), &near), Poll::Ready(Ok(())));
        let mut first = watermark.wait_for(20);
        let mut second = watermark.wait_for(30);
        assert!(poll(&mut first, &near).is_pending() && poll(&mut first, &near).is_pending());
        assert!(poll(&mut second, &far).is_pending());
        watermark.advance(25);
        watermark.advance(24);
        assert_eq!((near.0.load(Ordering::Relaxed), far.0.load(Ordering::Relaxed)), (1, 0));
        assert_eq!(watermark.position(), 25);
        assert_eq!(poll(&mut first, &near), Poll::Ready(Ok(())));
        assert!(watermark.awaited());
        drop(second);
        assert!(!watermark.awaited());
    }

    #[test]
    fn a_failure_ends_waits_but_not_what_was_reached() {
        let watermark = Watermark::new(10);
        let count = Arc::new(Count::default());
        let mut wait = watermark.wait_for(11);
        assert!(poll(&mut wait, &count).is_pending());
        watermark.fail();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert_eq!(poll(&mut wait, &count), Poll::Ready(Err(WaitError::Poisoned)));
        watermark.advance(50);
        assert_eq!(watermark.position(), 10);
        assert_eq!(poll(&mut watermark.wait_for(10), &count), Poll::Ready(Ok(())));
    }

    #[test]
    fn a_signal_is_kept_until_taken() {
        let signal = Arc::new(Signal::default());
        assert!(!signal.take(Duration::ZERO));
        signal.give();
        signal.give();
        assert!(signal.take(Duration::ZERO) && !signal.take(Duration::ZERO));
        let giver = Arc::clone(&signal);
        let thread = std::thread::spawn(move || giver.give());
        assert!(signal.take(Duration::from_secs(30)));
        thread.join().unwrap();
    }
}
