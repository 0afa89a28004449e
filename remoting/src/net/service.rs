//! What a process does with the requests of its connections.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::BytesMut;

use super::Peer;
use super::gathered::Answers;
use crate::protocol::code::ResponseCode;
use crate::protocol::command::{Frame, Responder};

/// A handler of requests, shared by all connections.
pub trait Service: Send + Sync + 'static {
    /// Handles one request on the task of its connection, so it must not block.
    ///
    /// The frame shares the connection's read buffer: a held request copies what it needs and
    /// lets go of the frame. A panic becomes an answer with code 1.
    fn call(&self, peer: &Arc<Peer>, frame: Frame, out: &mut Responder<'_>) -> Outcome;

    /// Whether requests like this one, when they came together, are better handled together.
    fn groups(&self, _frame: &Frame) -> bool {
        false
    }

    /// Handles requests that came together, of one or several connections; only such as
    /// [`Service::groups`] says yes to. A panic becomes an answer with code 1 to those that have
    /// none.
    fn call_group(&self, frames: &mut Vec<Frame>, answers: &mut Answers<'_>) {
        for (at, frame) in frames.drain(..).enumerate() {
            let peer = answers.peer(at);
            answers.give(at, |out| self.call(peer, frame, out));
        }
    }

    /// A connection is up, and its PROXY preamble is read.
    fn opened(&self, _peer: &Arc<Peer>) {}

    /// A connection that was opened is gone.
    fn closed(&self, _peer: &Arc<Peer>) {}
}

/// What became of a request.
pub enum Outcome {
    /// The answer, if one is wanted, is in the responder's buffer.
    Done,
    /// The request is held; the future yields the encoded answer.
    Later(Pin<Box<dyn Future<Output = BytesMut> + Send>>),
}

/// Refuses every request; for a client that expects none.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoService;

impl Service for NoService {
    fn call(&self, _peer: &Arc<Peer>, frame: Frame, out: &mut Responder<'_>) -> Outcome {
        if !frame.is_oneway() {
            // Wire: the leading blank is Java's.
            let remark = format!(" request type {} not supported", frame.code());
            out.error(ResponseCode::RequestCodeNotSupported, &remark);
        }
        Outcome::Done
    }
}
