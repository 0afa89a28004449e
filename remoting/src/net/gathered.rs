//! Requests of several connections that are handled together.
//!
//! A connection that puts one here asks to be polled again, when others have been read. The first
//! one that is polled again handles all of them; the others find their answers at their peers.
//! A connection keeps to one place while it has requests there, and a place is handled by one
//! thread at a time: its requests are handled in their order.
//!
//! Answers that wait for one and the same thing are kept, and leave together: one task waits.

use std::any::Any;
use std::cell::Cell;
use std::future::Future;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::BytesMut;
use smallvec::{SmallVec, smallvec};

use super::connections::{Connections, Event};
use super::held::{Held, answer_panic};
use super::{Outcome, Peer, Service};
use crate::protocol::code::ResponseCode;
use crate::protocol::command::{Frame, Responder, ResponseTag};

/// Requests that are handled together at most.
const GROUP_MAX: usize = 32;

/// A longer frame gains nothing by company, and a group of such would take much memory.
pub(super) const FRAME_MAX: usize = 64 * 1024;

/// Threads with a place of their own.
const PLACES: usize = 16;

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static PLACE: Cell<usize> = Cell::new(THREADS.fetch_add(1, Ordering::Relaxed) % PLACES);
}

/// What the connections of a server have put together, by the thread that read it.
#[derive(Default)]
pub(super) struct Gathered([Place; PLACES]);

#[derive(Default)]
struct Place {
    group: Mutex<Group>,
    /// Is held while a group is handled.
    handling: Mutex<Handling>,
}

#[derive(Default)]
struct Group {
    askers: Vec<(Arc<Peer>, ResponseTag)>,
    frames: Vec<Frame>,
}

#[derive(Default)]
struct Handling {
    group: Group,
    out: BytesMut,
}

impl Gathered {
    /// The place of this thread.
    pub fn place() -> usize {
        PLACE.get()
    }

    /// Adds a request; whether it is time to handle those of the place.
    pub fn add(&self, place: usize, peer: &Arc<Peer>, frame: Frame) -> bool {
        let mut group = self.0[place].group.lock().unwrap_or_else(PoisonError::into_inner);
        group.askers.push((Arc::clone(peer), frame.tag()));
        group.frames.push(frame);
        group.frames.len() >= GROUP_MAX
    }

    /// Handles those of a place; all that were there are answered or held at their peers then.
    pub fn handle<S: Service + ?Sized>(&self, place: usize, service: &S, shared: &Connections) {
        let place = &self.0[place];
        let mut handling = place.handling.lock().unwrap_or_else(PoisonError::into_inner);
        let Handling { group, out } = &mut *handling;
        mem::swap(&mut *place.group.lock().unwrap_or_else(PoisonError::into_inner), group);
        let Group { askers, frames } = group;
        let given = smallvec![false; askers.len()];
        let mut answers = Answers { askers, out, given, kept: Vec::new() };
        let called = catch_unwind(AssertUnwindSafe(|| match frames.len() {
            0 => {}
            1 => call_one(service, frames, &mut answers),
            _ => service.call_group(frames, &mut answers),
        }));
        if let Err(panic) = called {
            shared.count(Event::Panic);
            answers.fill(&*panic);
        }
        frames.clear();
        askers.clear();
    }
}

fn call_one<S: Service + ?Sized>(service: &S, frames: &mut Vec<Frame>, answers: &mut Answers<'_>) {
    if let Some(frame) = frames.pop() {
        let peer = answers.peer(0);
        answers.give(0, |out| service.call(peer, frame, out));
    }
}

/// How a wait for something ended; should it have failed, the code and the remark that say so.
pub type Waited = Result<(), (ResponseCode, &'static str)>;

/// Where the answers to requests that came together go.
pub struct Answers<'c> {
    askers: &'c [(Arc<Peer>, ResponseTag)],
    out: &'c mut BytesMut,
    given: SmallVec<[bool; GROUP_MAX]>,
    kept: Vec<Kept>,
}

/// An answer that is written and does not leave yet.
struct Kept {
    peer: Arc<Peer>,
    tag: ResponseTag,
    answer: BytesMut,
}

impl<'c> Answers<'c> {
    /// Who sent a request.
    pub fn peer(&self, at: usize) -> &'c Arc<Peer> {
        &self.askers[at].0
    }

    /// Answers a request, or holds it.
    pub fn give(&mut self, at: usize, handler: impl FnOnce(&mut Responder<'_>) -> Outcome) {
        let (peer, tag) = &self.askers[at];
        self.out.clear();
        let held = match handler(&mut Responder::new(*tag, self.out)) {
            Outcome::Done => None,
            Outcome::Later(answer) => Some(Held { tag: *tag, answer }),
        };
        self.given[at] = true;
        peer.give(self.out, held);
    }

    /// Keeps the answer of a request until [`Answers::give_kept`], which has to follow.
    pub fn keep(&mut self, at: usize, handler: impl FnOnce(&mut Responder<'_>)) {
        let (peer, tag) = &self.askers[at];
        self.out.clear();
        handler(&mut Responder::new(*tag, self.out));
        self.given[at] = true;
        peer.owe();
        self.kept.push(Kept { peer: Arc::clone(peer), tag: *tag, answer: self.out.split() });
    }

    /// Gives what was kept when a wait is over, or what it becomes where that failed.
    pub fn give_kept(&mut self, wait: impl Future<Output = Waited> + Send + 'static) {
        let kept = mem::take(&mut self.kept);
        if kept.is_empty() {
            return;
        }
        // A server that stops waits for its connections, and they for what they owe.
        tokio::spawn(async move {
            let waited = wait.await;
            for Kept { peer, tag, mut answer } in kept {
                if let Err((code, remark)) = waited {
                    answer = tag.failed(answer, code, remark);
                }
                peer.give_owed(&answer);
            }
        });
    }

    /// Answers those that a panic has left without an answer.
    fn fill(&mut self, panic: &(dyn Any + Send)) {
        for Kept { peer, tag, mut answer } in mem::take(&mut self.kept) {
            answer.clear();
            answer_panic(&mut Responder::new(tag, &mut answer), panic);
            peer.give_owed(&answer);
        }
        for at in 0..self.given.len() {
            if !self.given[at] {
                self.give(at, |out| {
                    answer_panic(out, panic);
                    Outcome::Done
                });
            }
        }
    }
}
