//! All connections of a server or client: their limits, their counts, and the clock over them.
//!
//! One tick per process looks at every connection instead of a timer in each: an idle connection
//! costs nothing, and a busy one sets a flag per read instead of resetting a timer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Peer;
use super::gathered::Gathered;
use super::peer::Wish;

/// What a connection may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; one more is closed as soon as it is accepted.
    pub connections_max: usize,
    /// A connection without a byte in or out for this long is closed.
    pub idle: Duration,
    /// A connection in the middle of a frame without a byte for this long is closed.
    pub stall: Duration,
    /// A connection is not read while more answer bytes than this wait for it.
    pub output_budget: usize,
    /// A connection is not read while this many of its requests are held.
    pub held_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 50_000,
            idle: Duration::from_secs(120),
            stall: Duration::from_secs(30),
            output_budget: 1024 * 1024,
            held_max: 65_536,
        }
    }
}

impl Limits {
    /// How often the connections are looked at.
    pub(super) fn tick(&self) -> Duration {
        (self.idle.min(self.stall) / 3).clamp(Duration::from_millis(5), Duration::from_secs(10))
    }

    fn ticks(&self, limit: Duration) -> u32 {
        let ticks = limit.as_millis().div_ceil(self.tick().as_millis().max(1));
        u32::try_from(ticks).unwrap_or(u32::MAX)
    }
}

/// What happened to connections so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Open now.
    pub open: u64,
    /// Opened since the start.
    pub opened: u64,
    /// Closed at once because there were too many.
    pub refused: u64,
    /// Closed for bytes that are no frame.
    pub malformed: u64,
    /// Closed for silence.
    pub idle: u64,
    /// Closed in the middle of a frame.
    pub stalled: u64,
    /// Handlers that panicked.
    pub panics: u64,
}

#[derive(Default)]
pub(super) struct Counters {
    opened: AtomicU64,
    refused: AtomicU64,
    malformed: AtomicU64,
    idle: AtomicU64,
    stalled: AtomicU64,
    panics: AtomicU64,
}

/// The connections and what they share.
pub(super) struct Connections {
    pub limits: Limits,
    pub draining: AtomicBool,
    pub gathered: Gathered,
    peers: Mutex<HashMap<u64, Arc<Peer>>>,
    counters: Counters,
}

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    Refused,
    Malformed,
    Panic,
}

impl Connections {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            draining: AtomicBool::new(false),
            gathered: Gathered::default(),
            peers: Mutex::default(),
            counters: Counters::default(),
        }
    }

    /// Registers a connection.
    pub fn add(&self, peer: &Arc<Peer>) {
        self.counters.opened.fetch_add(1, Ordering::Relaxed);
        self.peers().insert(peer.id(), Arc::clone(peer));
    }

    /// Forgets a connection.
    pub fn remove(&self, peer: &Peer) {
        self.peers().remove(&peer.id());
    }

    pub fn is_full(&self) -> bool {
        self.peers().len() >= self.limits.connections_max
    }

    /// The open connections.
    pub fn list(&self) -> Vec<Arc<Peer>> {
        self.peers().values().map(Arc::clone).collect()
    }

    pub fn count(&self, event: Event) {
        let counter = match event {
            Event::Refused => &self.counters.refused,
            Event::Malformed => &self.counters.malformed,
            Event::Panic => &self.counters.panics,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            open: self.peers().len() as u64,
            opened: read(&self.counters.opened),
            refused: read(&self.counters.refused),
            malformed: read(&self.counters.malformed),
            idle: read(&self.counters.idle),
            stalled: read(&self.counters.stalled),
            panics: read(&self.counters.panics),
        }
    }

    /// One tick: asks silent connections to give memory back, and the long silent ones to close.
    pub fn sweep(&self) {
        let idle = self.limits.ticks(self.limits.idle);
        let stall = self.limits.ticks(self.limits.stall);
        for peer in self.peers().values() {
            let silent = peer.silent_ticks();
            if silent >= idle {
                self.counters.idle.fetch_add(1, Ordering::Relaxed);
                peer.wish(Wish::Close);
            } else if silent >= stall && peer.is_inside_frame() {
                self.counters.stalled.fetch_add(1, Ordering::Relaxed);
                peer.wish(Wish::Close);
            } else if silent == 1 {
                peer.wish(Wish::Tidy);
            }
        }
    }

    fn peers(&self) -> MutexGuard<'_, HashMap<u64, Arc<Peer>>> {
        // Only map operations run under the lock.
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
