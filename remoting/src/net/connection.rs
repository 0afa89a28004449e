//! `Connection`, the driver of one socket.
//!
//! The frame loop is the batch: read what the socket has, decode every complete frame, call the
//! service for each, or gather it with those of other connections, let others be read (`turn`), and
//! send all answers with one write. Held requests are polled here too, and requests to the other
//! side leave with the same writes.
//!
//! Invariant: no memory is taken for bytes that have not arrived, beyond doubling what has.

use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::BytesMut;
use futures_util::Stream;
use futures_util::stream::FuturesUnordered;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tracing::{debug, warn};

use super::connections::{Connections, Event};
use super::gathered::{FRAME_MAX, Gathered};
use super::held::{Held, answer_panic};
use super::output::Output;
use super::peer::Wish;
use super::proxy_protocol::{Preamble, inspect};
use super::turn::{is_shared, others_go_first};
use super::{Outcome, Peer, Service};
use crate::protocol::code::ResponseCode;
use crate::protocol::command::{Frame, FrameError, Responder, frame_len};

/// Room for a read when little comes, and the least growth of a frame's buffer.
const READ_MIN: usize = 1024;

/// Room for a read when much comes.
const READ_MAX: usize = 64 * 1024;

/// An empty read buffer that once was larger than this is given back.
const KEEP_MAX: usize = 256 * 1024;

/// The last version that does not know GO_AWAY (V5_3_1).
const GO_AWAY_VERSION: i32 = 475;

/// One socket, its buffers and its held requests.
pub(super) struct Connection<S: Service + ?Sized> {
    stream: TcpStream,
    peer: Arc<Peer>,
    service: Arc<S>,
    shared: Arc<Connections>,
    input: BytesMut,
    /// The most `input` was asked to hold since it was empty and new.
    input_grown: usize,
    read_size: usize,
    output: Output,
    held: FuturesUnordered<Held>,
    /// Where requests of this connection wait to be handled together with those of others.
    gathered: Option<usize>,
    state: State,
    opened: bool,
    /// What waits leaves when this is polled next: others are read before.
    yielded: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The first bytes have not been looked at.
    Preamble,
    /// Frames come.
    Frames,
    /// Nothing is read any more; held requests are answered.
    Finishing,
}

/// Why a connection ends.
#[derive(Debug)]
enum End {
    /// The other side closed it.
    Eof,
    /// It was asked to.
    Asked,
    /// The socket failed.
    Socket(io::Error),
    /// The bytes are no frame.
    Frame(FrameError),
    /// A preamble that is not supported or broken.
    Preamble(&'static str),
}

/// Whether the decoder could do more without new bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Served {
    NeedsBytes,
    Blocked,
}

impl<S: Service + ?Sized> Connection<S> {
    /// Takes over an accepted socket, which may begin with a PROXY preamble.
    pub fn accepted(
        stream: TcpStream,
        peer: Arc<Peer>,
        service: Arc<S>,
        shared: Arc<Connections>,
    ) -> Self {
        shared.add(&peer);
        Self {
            stream,
            peer,
            service,
            shared,
            input: BytesMut::new(),
            input_grown: 0,
            read_size: READ_MIN,
            output: Output::default(),
            held: FuturesUnordered::new(),
            gathered: None,
            state: State::Preamble,
            opened: false,
            yielded: false,
        }
    }

    /// Takes over a socket this process connected.
    pub fn connected(
        stream: TcpStream,
        peer: Arc<Peer>,
        service: Arc<S>,
        shared: Arc<Connections>,
    ) -> Self {
        let mut connection = Self::accepted(stream, peer, service, shared);
        connection.open();
        connection
    }

    /// Drives the connection to its end.
    pub async fn run(mut self) {
        let end = std::future::poll_fn(|cx| self.poll(cx)).await;
        let peer = &self.peer;
        match end {
            End::Eof | End::Asked => debug!(?peer, ?end, "connection closed"),
            End::Socket(error) => debug!(?peer, %error, "connection lost"),
            End::Frame(error) => {
                self.shared.count(Event::Malformed);
                warn!(?peer, %error, "connection closed for what it sent");
            }
            End::Preamble(reason) => {
                self.shared.count(Event::Malformed);
                warn!(?peer, reason, "connection closed for what it sent");
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        // Register first, then look: a wish or request in between wakes this task again.
        self.peer.register(cx.waker());
        let wishes = self.peer.take_wishes();
        if wishes.contain(Wish::Tidy) {
            self.tidy();
        }
        if wishes.contain(Wish::Finish) {
            self.open();
            self.state = State::Finishing;
        }
        if wishes.contain(Wish::Close) {
            return Poll::Ready(self.last_write(cx, End::Asked));
        }
        match self.turn(cx) {
            Ok(()) => Poll::Pending,
            Err(end) => Poll::Ready(self.last_write(cx, end)),
        }
    }

    /// Works until the socket, the held requests or a limit make it wait.
    fn turn(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        loop {
            let served = self.serve()?;
            if self.lets_others_read() {
                cx.waker().wake_by_ref();
                return Ok(());
            }
            self.handle_gathered();
            if others_go_first() {
                self.yielded = true;
                cx.waker().wake_by_ref();
                return Ok(());
            }
            self.poll_held(cx);
            if self.output.pending() <= self.shared.limits.output_budget {
                self.peer.take_outbox(&mut self.output);
            }
            if self.output.pending() > 0 {
                let took = self.output.flush(&mut self.stream, cx).map_err(End::Socket)?;
                if took {
                    self.peer.moved(false);
                }
            }
            if self.state == State::Finishing {
                let waits = self.held.len() + self.peer.owed() + self.output.pending();
                return if waits == 0 { Err(End::Asked) } else { Ok(()) };
            }
            if self.is_over_limit() {
                return Ok(());
            }
            if served == Served::NeedsBytes && self.read(cx)?.is_pending() {
                return Ok(());
            }
        }
    }

    /// Whether others on this thread are served before what was read is handled and answered; not
    /// twice in a row.
    fn lets_others_read(&mut self) -> bool {
        let ended_waits = others_go_first();
        let waits = self.gathered.is_some() || self.output.pending() > 0;
        self.yielded = waits && !self.yielded && (is_shared() || ended_waits);
        self.yielded
    }

    /// Handles what was gathered with requests of this connection; false if there are none.
    fn handle_gathered(&mut self) -> bool {
        let Some(place) = self.gathered.take() else { return false };
        self.shared.gathered.handle(place, &*self.service, &self.shared);
        self.peer.take_given(&mut self.output, &mut self.held);
        true
    }

    /// Decodes every complete frame and handles it.
    fn serve(&mut self) -> Result<Served, End> {
        if self.state == State::Preamble && !self.pass_preamble()? {
            return Ok(Served::NeedsBytes);
        }
        if self.serve_frames()? == Served::Blocked {
            return Ok(Served::Blocked);
        }
        self.peer.set_inside_frame(!self.input.is_empty());
        if self.input.is_empty() && self.input_grown > KEEP_MAX {
            self.forget_input();
        }
        Ok(Served::NeedsBytes)
    }

    /// Handles what came, but for what is gathered.
    fn serve_frames(&mut self) -> Result<Served, End> {
        while self.state == State::Frames {
            if self.is_over_limit() {
                return Ok(Served::Blocked);
            }
            let len = match frame_len(&self.input).map_err(End::Frame)? {
                Some(len) if len <= self.input.len() => len,
                _ => break,
            };
            let frame = Frame::decode(self.input.split_to(len)).map_err(End::Frame)?;
            let draining = self.shared.draining.load(Ordering::Relaxed);
            let alone = len > FRAME_MAX || draining || frame.is_response();
            if !alone && self.service.groups(&frame) {
                let place = *self.gathered.get_or_insert_with(Gathered::place);
                if self.shared.gathered.add(place, &self.peer, frame) {
                    self.handle_gathered();
                }
                continue;
            }
            self.handle_gathered();
            self.handle(frame);
        }
        Ok(Served::NeedsBytes)
    }

    fn is_over_limit(&self) -> bool {
        let limits = &self.shared.limits;
        let held = self.held.len() + self.peer.owed();
        self.output.pending() > limits.output_budget || held >= limits.held_max
    }

    /// Whether the frames begin; reads the PROXY preamble if there is one.
    fn pass_preamble(&mut self) -> Result<bool, End> {
        match inspect(&self.input) {
            Preamble::Incomplete => {
                self.peer.set_inside_frame(!self.input.is_empty());
                return Ok(false);
            }
            Preamble::Absent => {}
            Preamble::Tls => return Err(End::Preamble("TLS is not supported")),
            Preamble::Malformed => return Err(End::Preamble("malformed PROXY preamble")),
            Preamble::Proxy { len, source } => {
                // The preamble's bytes are done with.
                drop(self.input.split_to(len));
                if let Some(source) = source {
                    self.peer.announce(source);
                }
            }
        }
        self.open();
        Ok(true)
    }

    fn open(&mut self) {
        if !self.opened {
            self.opened = true;
            self.state = State::Frames;
            self.service.opened(&self.peer);
        }
    }

    fn handle(&mut self, frame: Frame) {
        if frame.is_response() {
            self.peer.answered(frame);
            return;
        }
        let tag = frame.tag();
        let out = self.output.buffer();
        let draining = self.shared.draining.load(Ordering::Relaxed);
        // A oneway request would be lost by this answer, so it is still carried out.
        if draining && !tag.oneway && frame.version() > GO_AWAY_VERSION {
            Responder::new(tag, out).error(ResponseCode::GoAway, "please go away");
            return;
        }
        let start = out.len();
        let service = &self.service;
        let peer = &self.peer;
        let called = catch_unwind(AssertUnwindSafe(|| {
            service.call(peer, frame, &mut Responder::new(tag, out))
        }));
        match called {
            Ok(Outcome::Done) => {}
            Ok(Outcome::Later(answer)) => self.held.push(Held { tag, answer }),
            Err(panic) => {
                self.shared.count(Event::Panic);
                let out = self.output.buffer();
                out.truncate(start);
                answer_panic(&mut Responder::new(tag, out), &*panic);
            }
        }
    }

    fn poll_held(&mut self, cx: &mut Context<'_>) {
        while !self.held.is_empty() {
            match Pin::new(&mut self.held).poll_next(cx) {
                Poll::Ready(Some(answer)) => {
                    if answer.panicked {
                        self.shared.count(Event::Panic);
                    }
                    self.output.append(answer.bytes);
                }
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
    }

    /// Reads once into the room there is.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, End> {
        if self.input.capacity() == 0 {
            // A connection that waits has no buffer.
            match self.stream.poll_read_ready(cx) {
                Poll::Ready(ready) => ready.map_err(End::Socket)?,
                Poll::Pending => return Ok(Poll::Pending),
            }
        }
        self.make_room();
        let room = self.input.capacity() - self.input.len();
        match pin!(self.stream.read_buf(&mut self.input)).poll(cx) {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(Err(error)) => Err(End::Socket(error)),
            Poll::Ready(Ok(0)) => Err(End::Eof),
            Poll::Ready(Ok(count)) => {
                self.peer.moved(true);
                if count == room {
                    self.read_size = (self.read_size * 2).min(READ_MAX);
                }
                Ok(Poll::Ready(()))
            }
        }
    }

    fn make_room(&mut self) {
        let len = self.input.len();
        let rest = match frame_len(&self.input) {
            Ok(Some(frame)) if frame > len => frame - len,
            _ => usize::MAX,
        };
        if self.input.capacity() - len < rest.min(self.read_size / 2) {
            // The frame at hand at most doubles the buffer; small frames share a read.
            let room = rest.min(len).max(self.read_size);
            self.input.reserve(room);
            self.input_grown = self.input_grown.max(len + room);
        }
    }

    fn tidy(&mut self) {
        self.read_size = READ_MIN;
        if self.input.is_empty() {
            self.forget_input();
        }
        self.output.tidy();
        self.peer.tidy();
    }

    fn forget_input(&mut self) {
        self.input = BytesMut::new();
        self.input_grown = 0;
    }

    /// Sends what the socket takes at once; the rest is lost with the connection.
    fn last_write(&mut self, cx: &mut Context<'_>, end: End) -> End {
        self.handle_gathered();
        self.peer.take_outbox(&mut self.output);
        if !matches!(end, End::Socket(_)) {
            // An error here changes nothing: the connection ends.
            let _ = self.output.flush(&mut self.stream, cx);
        }
        end
    }
}

/// Runs for every end, a panic and a dropped task included.
impl<S: Service + ?Sized> Drop for Connection<S> {
    fn drop(&mut self) {
        self.peer.finished();
        self.shared.remove(&self.peer);
        if self.opened {
            self.service.closed(&self.peer);
        }
    }
}
