//! Requests whose answer comes later, polled on the task of their connection.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use tracing::error;

use crate::protocol::code::ResponseCode;
use crate::protocol::command::{Responder, ResponseTag};

/// One held request.
pub(super) struct Held {
    pub tag: ResponseTag,
    pub answer: Pin<Box<dyn Future<Output = BytesMut> + Send>>,
}

/// The answer of a held request, and whether its handler panicked.
pub(super) struct Answer {
    pub bytes: BytesMut,
    pub panicked: bool,
}

impl Future for Held {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        match catch_unwind(AssertUnwindSafe(|| self.answer.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(bytes)) => Poll::Ready(Answer { bytes, panicked: false }),
            Err(panic) => {
                let mut bytes = BytesMut::new();
                answer_panic(&mut Responder::new(self.tag, &mut bytes), &*panic);
                Poll::Ready(Answer { bytes, panicked: true })
            }
        }
    }
}

/// Answers for a handler that panicked, as Java does for one that threw.
pub(super) fn answer_panic(out: &mut Responder<'_>, panic: &(dyn Any + Send)) {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("the handler panicked");
    error!(opaque = out.tag().opaque, text, "a request handler panicked");
    out.error(ResponseCode::SystemError, text);
}
