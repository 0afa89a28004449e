//! The answers a connection has yet to send: one buffer, used again and again.

use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use tokio::io::AsyncWrite;

/// Sent bytes at the front are dropped once they are this many and half of the buffer.
const COMPACT_MIN: usize = 64 * 1024;

/// An empty buffer above this size is given back.
const KEEP_MAX: usize = 256 * 1024;

/// Bytes to send, of which the first `sent` are gone.
#[derive(Default)]
pub(super) struct Output {
    bytes: BytesMut,
    sent: usize,
}

impl Output {
    /// The buffer to append answers to.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// How many bytes wait.
    pub fn pending(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Appends encoded frames, without a copy when nothing else waits and they are many.
    pub fn append(&mut self, frames: BytesMut) {
        if self.pending() == 0 && frames.len() > KEEP_MAX / 4 {
            self.bytes = frames;
            self.sent = 0;
        } else {
            self.bytes.extend_from_slice(&frames);
        }
    }

    /// Moves encoded frames behind those that wait; `frames` keeps a buffer.
    pub fn append_all(&mut self, frames: &mut BytesMut) {
        if self.bytes.is_empty() {
            mem::swap(&mut self.bytes, frames);
        } else {
            self.bytes.extend_from_slice(frames);
            frames.clear();
        }
    }

    /// Sends what the socket takes; returns whether it took anything.
    pub fn flush<W: AsyncWrite + Unpin>(
        &mut self,
        socket: &mut W,
        cx: &mut Context<'_>,
    ) -> io::Result<bool> {
        let before = self.pending();
        while self.pending() > 0 {
            match Pin::new(&mut *socket).poll_write(cx, &self.bytes[self.sent..]) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => self.sent += count,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => break,
            }
        }
        let took = before > self.pending();
        self.settle();
        Ok(took)
    }

    /// Gives the memory back while nothing waits.
    pub fn tidy(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = BytesMut::new();
        }
    }

    fn settle(&mut self) {
        if self.pending() == 0 {
            self.sent = 0;
            if self.bytes.capacity() > KEEP_MAX {
                self.bytes = BytesMut::new();
            } else {
                self.bytes.clear();
            }
        } else if self.sent >= COMPACT_MIN && self.sent * 2 >= self.bytes.len() {
            self.bytes.advance(self.sent);
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes `room` bytes and then blocks.
    struct Narrow {
        room: usize,
        taken: Vec<u8>,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let count = bytes.len().min(self.room);
            if count == 0 {
                return Poll::Pending;
            }
            self.room -= count;
            self.taken.extend_from_slice(&bytes[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn keeps_order_over_short_writes_and_compaction() {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut socket = Narrow { room: 0, taken: Vec::new() };
        let mut output = Output::default();
        let mut expected = Vec::new();
        for round in 0..200_u32 {
            let piece: Vec<u8> = (0..2000).map(|at| (round * 7 + at) as u8).collect();
            expected.extend_from_slice(&piece);
            output.append(BytesMut::from(&piece[..]));
            socket.room = 1500;
            assert!(output.flush(&mut socket, &mut cx).expect("flush"));
        }
        assert_eq!(output.pending(), 200 * 500);
        assert!(!output.flush(&mut socket, &mut cx).expect("blocked"));
        socket.room = usize::MAX;
        assert!(output.flush(&mut socket, &mut cx).expect("flush"));
        assert_eq!(output.pending(), 0);
        assert!(socket.taken == expected);
    }

    #[test]
    fn gives_big_and_idle_buffers_back() {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut socket = Narrow { room: usize::MAX, taken: Vec::new() };
        let mut output = Output::default();
        output.append(BytesMut::zeroed(KEEP_MAX + 1));
        output.flush(&mut socket, &mut cx).expect("flush");
        assert_eq!(output.buffer().capacity(), 0);
        output.append(BytesMut::zeroed(10));
        output.flush(&mut socket, &mut cx).expect("flush");
        assert!(output.buffer().capacity() > 0);
        output.tidy();
        assert_eq!(output.buffer().capacity(), 0);
    }
}
