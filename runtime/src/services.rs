//! The background work of a process: started here only, listed in order, stopped backwards.
//!
//! Nothing runs detached: every task and thread has a name and is joined by [`Services::stop`],
//! which reports those that missed the deadline. Stopping is last in, first out, one after the
//! other, so that a service may rely on those listed before it until its own last line.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tracing::{debug, error, warn};

use crate::clock::now_ms;

/// Tells a service to end; cheap to clone.
#[derive(Clone, Default)]
pub struct Stop {
    shared: Arc<StopShared>,
}

#[derive(Default)]
struct StopShared {
    state: Mutex<StopState>,
    threads: Condvar,
    tasks: Notify,
}

#[derive(Default)]
struct StopState {
    stopped: bool,
    wakers: Vec<Box<dyn FnOnce() + Send>>,
}

impl Stop {
    /// A token nobody has triggered yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the waits of every clone; again changes nothing.
    pub fn trigger(&self) {
        let wakers = {
            let mut state = self.state();
            state.stopped = true;
            std::mem::take(&mut state.wakers)
        };
        self.shared.threads.notify_all();
        self.shared.tasks.notify_waiters();
        for wake in wakers {
            wake();
        }
    }

    /// Whether the service should end.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.state().stopped
    }

    /// Waits, in a task, until the service should end.
    pub async fn wait(&self) {
        let woken = self.shared.tasks.notified();
        tokio::pin!(woken);
        // Listen first, then look: a trigger between the two is not lost.
        woken.as_mut().enable();
        if !self.stopped() {
            woken.await;
        }
    }

    /// Sleeps until `due_ms` (`i64::MAX` for never), `wake` or the trigger, at most a second while
    /// something is due, so that a clock that jumps is noticed.
    pub async fn sleep_until(&self, due_ms: i64, wake: &Notify) {
        const SLEEP_MAX_MS: i64 = 1_000;
        let pause = async {
            if due_ms == i64::MAX {
                std::future::pending::<()>().await;
            }
            let ms = due_ms.saturating_sub(now_ms()).clamp(0, SLEEP_MAX_MS);
            tokio::time::sleep(Duration::from_millis(ms.unsigned_abs())).await;
        };
        tokio::select! {
            () = self.wait() => {}
            () = wake.notified() => {}
            () = pause => {}
        }
    }

    /// Waits, in a task, for `period`; true when the service should end instead.
    pub async fn pause(&self, period: Duration) -> bool {
        tokio::time::timeout(period, self.wait()).await.is_ok()
    }

    /// Waits, blocking a thread, for `period`; true when the service should end instead.
    #[must_use]
    pub fn wait_timeout(&self, period: Duration) -> bool {
        let waited =
            self.shared.threads.wait_timeout_while(self.state(), period, |state| !state.stopped);
        waited.unwrap_or_else(PoisonError::into_inner).0.stopped
    }

    /// Calls `wake` at the trigger, for a thread that waits on something of its own.
    pub fn on_trigger(&self, wake: impl FnOnce() + Send + 'static) {
        let mut state = self.state();
        if !state.stopped {
            state.wakers.push(Box::new(wake));
            return;
        }
        drop(state);
        wake();
    }

    fn state(&self) -> MutexGuard<'_, StopState> {
        // No code runs under this lock that could leave the state half changed.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a tick of [`Services::every`] may return: whether more work waits.
pub trait Tick {
    /// True asks for the next tick at once.
    fn more(self) -> bool;
}

impl Tick for () {
    fn more(self) -> bool {
        false
    }
}

impl Tick for bool {
    fn more(self) -> bool {
        self
    }
}

/// The services of one process, in dependency order.
pub struct Services {
    runtime: Handle,
    list: Vec<Service>,
}

struct Service {
    name: &'static str,
    stop: Stop,
    ended: oneshot::Receiver<()>,
}

impl Services {
    /// An empty list, whose tasks will run on `runtime`.
    #[must_use]
    pub fn new(runtime: Handle) -> Self {
        Self { runtime, list: Vec::new() }
    }

    /// Ticks every `period`, on a thread of its own, which a tick wakes once; a panic is logged
    /// and ticking goes on.
    ///
    /// A tick that returns true is followed by the next at once.
    pub fn every<T: Tick>(
        &mut self,
        name: &'static str,
        period: Duration,
        mut tick: impl FnMut() -> T + Send + 'static,
    ) {
        self.thread(name, move |stop| {
            while !stop.wait_timeout(period) {
                while tick_once(name, &mut tick) && !stop.stopped() {}
            }
        });
    }

    /// Runs a task until it ends by itself or obeys its token.
    pub fn run<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        name: &'static str,
        work: impl FnOnce(Stop) -> F,
    ) {
        let (service, ending) = Service::new(name);
        let task = self.runtime.spawn(work(service.stop.clone()));
        self.runtime.spawn(async move { ending.tell(task.await.is_ok()) });
        self.list.push(service);
    }

    /// Runs a thread for work that blocks, until it ends by itself or obeys its token.
    pub fn thread(&mut self, name: &'static str, work: impl FnOnce(Stop) + Send + 'static) {
        let (service, ending) = Service::new(name);
        let stop = service.stop.clone();
        let runtime = self.runtime.clone();
        let body = move || {
            let _inside = runtime.enter();
            ending.tell(catch_unwind(AssertUnwindSafe(|| work(stop))).is_ok());
        };
        if let Err(error) = std::thread::Builder::new().name(name.to_owned()).spawn(body) {
            // The closure is gone and with it the sender: stop() sees the service as ended.
            error!(service = name, %error, "the thread did not start");
        }
        self.list.push(service);
    }

    /// The names, in the order of start.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.list.iter().map(|service| service.name)
    }

    /// Stops backwards and joins; returns the names of those that missed the deadline.
    pub async fn stop(self, deadline: Duration) -> Vec<&'static str> {
        let until = Instant::now() + deadline;
        let mut late = Vec::new();
        for service in self.list.into_iter().rev() {
            service.stop.trigger();
            let left = until.saturating_duration_since(Instant::now());
            if tokio::time::timeout(left, service.ended).await.is_err() {
                warn!(service = service.name, "did not stop in time");
                late.push(service.name);
            } else {
                debug!(service = service.name, "stopped");
            }
        }
        late
    }
}

impl Service {
    fn new(name: &'static str) -> (Self, Ending) {
        let (sender, ended) = oneshot::channel();
        (Self { name, stop: Stop::new(), ended }, Ending { name, sender })
    }
}

struct Ending {
    name: &'static str,
    sender: oneshot::Sender<()>,
}

impl Ending {
    fn tell(self, returned: bool) {
        if !returned {
            error!(service = self.name, "panicked and ended");
        }
        // Nobody listens when the list was dropped instead of stopped.
        let _ = self.sender.send(());
    }
}

fn tick_once<T: Tick>(name: &'static str, tick: &mut impl FnMut() -> T) -> bool {
    catch_unwind(AssertUnwindSafe(|| tick().more())).unwrap_or_else(|_| {
        error!(service = name, "a tick panicked");
        false
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn stops_backwards_and_joins() {
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut services = Services::new(Handle::current());
        let said = Arc::clone(&order);
        services.run("first", move |stop| async move {
            stop.wait().await;
            said.lock().expect("order").push("first");
        });
        let said = Arc::clone(&order);
        services.thread("second", move |stop| {
            assert!(stop.wait_timeout(LONG));
            said.lock().expect("order").push("second");
        });
        services.every("third", LONG, || ());
        assert_eq!(services.names().collect::<Vec<_>>(), ["first", "second", "third"]);
        assert!(services.stop(LONG).await.is_empty());
        assert_eq!(*order.lock().expect("order"), ["second", "first"]);
    }

    #[tokio::test]
    async fn ticks_again_at_once_while_work_waits_and_after_a_panic() {
        let count = Arc::new(AtomicUsize::new(0));
        let (done, finished) = oneshot::channel();
        let mut done = Some(done);
        let counted = Arc::clone(&count);
        let mut services = Services::new(Handle::current());
        services.every("work", Duration::from_millis(1), move || {
            match counted.fetch_add(1, Ordering::Relaxed) {
                0 => panic!("one tick fails"),
                5 => {
                    let _ = done.take().expect("once").send(());
                    false
                }
                _ => true,
            }
        });
        finished.await.expect("ticked");
        assert!(services.stop(LONG).await.is_empty());
        assert!(count.load(Ordering::Relaxed) >= 6);
    }

    #[tokio::test]
    async fn names_the_late_ones() {
        let (release, held) = mpsc::channel::<()>();
        let mut services = Services::new(Handle::current());
        services.thread("deaf", move |_| {
            let _ = held.recv();
        });
        services.run("panicking", |_| async { panic!("ends") });
        let late = services.stop(Duration::from_millis(20)).await;
        assert_eq!(late, ["deaf"]);
        drop(release);
    }

    #[tokio::test]
    async fn a_trigger_reaches_waits_before_and_after() {
        let stop = Stop::new();
        assert!(!stop.wait_timeout(Duration::ZERO));
        assert!(!stop.pause(Duration::ZERO).await);
        let woken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&woken);
        stop.on_trigger(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let waiting = stop.wait();
        stop.trigger();
        waiting.await;
        stop.wait().await;
        assert!(stop.pause(LONG).await && stop.wait_timeout(LONG) && stop.stopped());
        let count = Arc::clone(&woken);
        stop.on_trigger(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(woken.load(Ordering::Relaxed), 2);
    }
}
