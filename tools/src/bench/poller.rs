//! Waits for many sockets at once: epoll, level triggered.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, Event, EventData, EventFlags};

/// Events taken per wait.
const EVENTS_MAX: usize = 256;

/// The set of sockets.
pub struct Poller {
    set: OwnedFd,
    buffer: Box<[MaybeUninit<Event>]>,
    ready: Vec<Ready>,
}

/// A socket that can go on.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// The number it was added with.
    pub token: usize,
    /// It has bytes, or has ended.
    pub readable: bool,
    /// It takes bytes.
    pub writable: bool,
}

impl Poller {
    /// An empty set.
    pub fn new() -> io::Result<Self> {
        let buffer = vec![MaybeUninit::uninit(); EVENTS_MAX].into_boxed_slice();
        let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { set, buffer, ready: Vec::with_capacity(EVENTS_MAX) })
    }

    /// Watches a socket for bytes to read.
    pub fn add(&self, socket: &impl AsFd, token: usize) -> io::Result<()> {
        epoll::add(&self.set, socket, EventData::new_u64(token as u64), EventFlags::IN)?;
        Ok(())
    }

    /// Watches it for room to write, too, or no more.
    pub fn watch_room(&self, socket: &impl AsFd, token: usize, watch: bool) -> io::Result<()> {
        let flags = if watch { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
        epoll::modify(&self.set, socket, EventData::new_u64(token as u64), flags)?;
        Ok(())
    }

    /// Waits; no time limit waits for as long as it takes.
    pub fn wait(&mut self, limit: Option<Duration>) -> io::Result<()> {
        let limit = limit.map(|limit| Timespec {
            tv_sec: limit.as_secs() as i64,
            tv_nsec: i64::from(limit.subsec_nanos()),
        });
        self.ready.clear();
        let (events, _) = match epoll::wait(&self.set, &mut *self.buffer, limit.as_ref()) {
            Err(rustix::io::Errno::INTR) => return Ok(()),
            other => other?,
        };
        for event in events {
            let flags = event.flags;
            let ended = EventFlags::HUP | EventFlags::ERR;
            self.ready.push(Ready {
                token: event.data.u64() as usize,
                readable: flags.intersects(EventFlags::IN | ended),
                writable: flags.contains(EventFlags::OUT),
            });
        }
        Ok(())
    }

    /// How many sockets the last wait found.
    pub fn len(&self) -> usize {
        self.ready.len()
    }

    /// One of them.
    pub fn at(&self, index: usize) -> Ready {
        self.ready[index]
    }
}
