//! A `Peer`, the handle of a connection: who is there, and requests to it.
//!
//! Anyone may hold it; it never owns the socket. Requests are encoded into an outbox that the
//! task of the connection takes over with its next write, and are refused while it is full.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::stream::FuturesUnordered;
use futures_util::task::AtomicWaker;
use tokio::sync::oneshot;

use super::held::Held;
use super::output::Output;
use crate::protocol::command::{Frame, RequestHead, encode_request};
use crate::protocol::header::EncodeHeader;

/// A request is refused when this many bytes wait already.
const OUTBOX_MAX: usize = 1024 * 1024;

/// Calls that wait for an answer on one connection, as Java limits them.
const CALLS_MAX: usize = 65_535;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// Why a request to the other side has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No connection could be made.
    #[error("connect to {address}: {source}")]
    Connect {
        /// The address as given.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The connection closed; the request may have been carried out.
    #[error("the connection closed")]
    Closed,
    /// No answer in time; the request may have been carried out.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// Too many requests wait for the other side.
    #[error("the other side does not keep up")]
    Busy,
    /// The request is over the frame limit.
    #[error("the request is over the frame limit")]
    TooLarge,
    /// There is no address to call.
    #[error("no address is configured")]
    NoAddress,
}

/// What a connection is asked to do at its next turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Give spare memory back.
    Tidy = 1,
    /// Read no more, answer what is held, then close.
    Finish = 2,
    /// Close now.
    Close = 4,
}

/// The wishes of one turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wishes(u8);

impl Wishes {
    pub fn contain(self, wish: Wish) -> bool {
        self.0 & wish as u8 != 0
    }
}

/// The other side of a connection.
pub struct Peer {
    id: u64,
    remote: SocketAddr,
    local: SocketAddr,
    announced: OnceLock<SocketAddr>,
    open: AtomicBool,
    wishes: AtomicU8,
    active: AtomicBool,
    inside_frame: AtomicBool,
    silent: AtomicU32,
    reads: AtomicU64,
    waker: AtomicWaker,
    calls: Mutex<Calls>,
    /// The outbox may have something, or an answer that was owed has been given.
    posted: AtomicBool,
    /// Answers that are written and wait for something together with those of others.
    owed: AtomicUsize,
}

#[derive(Default)]
struct Calls {
    closed: bool,
    next_opaque: i32,
    outbox: BytesMut,
    given: Given,
    waiting: HashMap<i32, oneshot::Sender<Frame>>,
}

/// What became of requests that were handled together with those of others.
#[derive(Default)]
struct Given {
    bytes: BytesMut,
    held: Vec<Held>,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Peer({} {})", self.id, self.remote)
    }
}

impl Peer {
    pub(super) fn new(remote: SocketAddr, local: SocketAddr) -> Self {
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            remote,
            local,
            announced: OnceLock::new(),
            open: AtomicBool::new(true),
            wishes: AtomicU8::new(0),
            active: AtomicBool::new(true),
            inside_frame: AtomicBool::new(false),
            silent: AtomicU32::new(0),
            reads: AtomicU64::new(0),
            waker: AtomicWaker::new(),
            calls: Mutex::default(),
            posted: AtomicBool::new(false),
            owed: AtomicUsize::new(0),
        }
    }

    /// A peer without a connection, for tests of services: it is closed from the start.
    #[must_use]
    pub fn unconnected(remote: SocketAddr) -> Self {
        let peer = Self::new(remote, remote);
        peer.finished();
        peer
    }

    /// A number no other connection of this process has.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The other end of the TCP connection; a proxy if there is one.
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Our end of the TCP connection.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The client itself: the source a PROXY preamble names, else the TCP peer.
    pub fn announced(&self) -> SocketAddr {
        self.announced.get().copied().unwrap_or(self.remote)
    }

    /// Whether the connection is up.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Closes the connection soon.
    pub fn close(&self) {
        self.wish(Wish::Close);
    }

    /// Sends a request that nobody answers.
    pub fn oneway(
        &self,
        code: impl Into<i32>,
        header: &impl EncodeHeader,
        body: &[u8],
    ) -> Result<(), CallError> {
        self.post(code.into(), true, header, &[], body).map(|_| ())
    }

    /// Sends a request that nobody answers, with further fields behind its header.
    pub fn oneway_with(
        &self,
        code: impl Into<i32>,
        header: &impl EncodeHeader,
        extra: &[(&str, &str)],
        body: &[u8],
    ) -> Result<(), CallError> {
        self.post(code.into(), true, header, extra, body).map(|_| ())
    }

    /// Sends a request and waits for its answer, whatever its code.
    pub async fn request(
        &self,
        code: impl Into<i32>,
        header: &impl EncodeHeader,
        body: &[u8],
        timeout: Duration,
    ) -> Result<Frame, CallError> {
        self.call(code.into(), header, &[], body, timeout).await
    }

    pub(super) fn post(
        &self,
        code: i32,
        oneway: bool,
        header: &impl EncodeHeader,
        extra: &[(&str, &str)],
        body: &[u8],
    ) -> Result<i32, CallError> {
        let mut calls = self.calls();
        let opaque = calls.post(code, oneway, header, extra, body)?;
        drop(calls);
        self.has_posted();
        Ok(opaque)
    }

    pub(super) async fn call(
        &self,
        code: i32,
        header: &impl EncodeHeader,
        extra: &[(&str, &str)],
        body: &[u8],
        timeout: Duration,
    ) -> Result<Frame, CallError> {
        let (sender, receiver) = oneshot::channel();
        let opaque = {
            let mut calls = self.calls();
            if calls.waiting.len() >= CALLS_MAX {
                return Err(CallError::Busy);
            }
            let opaque = calls.post(code, false, header, extra, body)?;
            calls.waiting.insert(opaque, sender);
            opaque
        };
        self.has_posted();
        let _call = Call { peer: self, opaque };
        match tokio::time::timeout(timeout, receiver).await {
            Ok(Ok(frame)) => Ok(frame),
            Ok(Err(_)) => Err(CallError::Closed),
            Err(_) => Err(CallError::Timeout(timeout)),
        }
    }

    fn has_posted(&self) {
        self.posted.store(true, Ordering::SeqCst);
        self.waker.wake();
    }

    /// Takes an answer; one that nobody waits for any more is dropped.
    pub(super) fn answered(&self, frame: Frame) {
        let waiting = self.calls().waiting.remove(&frame.opaque());
        if let Some(sender) = waiting {
            // The caller may have stopped waiting just now.
            let _ = sender.send(frame);
        }
    }

    /// Notes what became of a request that was gathered.
    pub(super) fn give(&self, answer: &[u8], held: Option<Held>) {
        let mut calls = self.calls();
        if !calls.closed {
            calls.given.bytes.extend_from_slice(answer);
            calls.given.held.extend(held);
        }
    }

    /// Moves what became of them behind what waits.
    pub(super) fn take_given(&self, output: &mut Output, held: &mut FuturesUnordered<Held>) {
        let mut calls = self.calls();
        output.append_all(&mut calls.given.bytes);
        held.extend(calls.given.held.drain(..));
    }

    /// Notes that an answer is written and leaves later.
    pub(super) fn owe(&self) {
        self.owed.fetch_add(1, Ordering::AcqRel);
    }

    /// How many answers are written and have not left.
    pub(super) fn owed(&self) -> usize {
        self.owed.load(Ordering::Acquire)
    }

    /// Has an answer leave that was owed.
    pub(super) fn give_owed(&self, answer: &[u8]) {
        self.give(answer, None);
        self.posted.store(true, Ordering::SeqCst);
        // A connection that is to end does so when nothing is owed, and takes what is posted.
        self.owed.fetch_sub(1, Ordering::AcqRel);
        self.waker.wake();
    }

    /// Gives the memory back while nothing waits.
    pub(super) fn tidy(&self) {
        let mut calls = self.calls();
        if calls.given.bytes.is_empty() && calls.given.held.is_empty() {
            calls.given = Given::default();
        }
    }

    /// Moves the outbox, and answers that were owed, behind `output`.
    pub(super) fn take_outbox(&self, output: &mut Output) {
        if !self.posted.load(Ordering::SeqCst) {
            return;
        }
        let mut calls = self.calls();
        self.posted.store(false, Ordering::SeqCst);
        output.append_all(&mut calls.given.bytes);
        if !calls.outbox.is_empty() {
            output.append(std::mem::take(&mut calls.outbox));
        }
    }

    pub(super) fn announce(&self, source: SocketAddr) {
        // The preamble is read once; a second value cannot come.
        let _ = self.announced.set(source);
    }

    pub(super) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    pub(super) fn wish(&self, wish: Wish) {
        self.wishes.fetch_or(wish as u8, Ordering::AcqRel);
        self.waker.wake();
    }

    pub(super) fn take_wishes(&self) -> Wishes {
        if self.wishes.load(Ordering::Acquire) == 0 {
            return Wishes(0);
        }
        Wishes(self.wishes.swap(0, Ordering::AcqRel))
    }

    /// Notes bytes in or out.
    pub(super) fn moved(&self, read: bool) {
        self.active.store(true, Ordering::Relaxed);
        if read {
            // Only the task of the connection writes it.
            self.reads.store(self.reads.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    }

    pub(super) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    pub(super) fn set_inside_frame(&self, inside: bool) {
        self.inside_frame.store(inside, Ordering::Relaxed);
    }

    pub(super) fn is_inside_frame(&self) -> bool {
        self.inside_frame.load(Ordering::Relaxed)
    }

    /// Counts this tick and returns how many passed since bytes moved; for the sweep alone.
    pub(super) fn silent_ticks(&self) -> u32 {
        let silent = if self.active.swap(false, Ordering::Relaxed) {
            0
        } else {
            self.silent.load(Ordering::Relaxed).saturating_add(1)
        };
        self.silent.store(silent, Ordering::Relaxed);
        silent
    }

    /// The connection is gone: nobody will be answered any more.
    pub(super) fn finished(&self) {
        self.open.store(false, Ordering::Release);
        let mut calls = self.calls();
        calls.closed = true;
        calls.outbox = BytesMut::new();
        calls.given = Given::default();
        calls.waiting = HashMap::new();
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        // Encoding a header may panic; it leaves no half frame that anyone would send, because
        // an unfinished FrameWriter takes its bytes back.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Calls {
    fn post(
        &mut self,
        code: i32,
        oneway: bool,
        header: &impl EncodeHeader,
        extra: &[(&str, &str)],
        body: &[u8],
    ) -> Result<i32, CallError> {
        if self.closed {
            return Err(CallError::Closed);
        }
        // One frame of any size fits an empty outbox.
        if !self.outbox.is_empty() && self.outbox.len() + body.len() > OUTBOX_MAX {
            return Err(CallError::Busy);
        }
        let opaque = self.next_opaque;
        self.next_opaque = opaque.wrapping_add(1);
        let head = RequestHead { code, opaque, oneway, ..RequestHead::default() };
        encode_request(&mut self.outbox, head, header, extra, body)
            .map_err(|_| CallError::TooLarge)?;
        Ok(opaque)
    }
}

/// Takes a call off the list however its wait ends.
struct Call<'a> {
    peer: &'a Peer,
    opaque: i32,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.peer.calls().waiting.remove(&self.opaque);
    }
}
