//! Non-blocking sockets with their buffers.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::ops::Range;

use super::poller::Poller;

/// Bytes that a socket is read into: few first, because there may be thousands.
const INPUT_MIN: usize = 4 * 1024;
const INPUT_MAX: usize = 256 * 1024;

/// One socket.
pub struct Link {
    /// Nothing once it is closed.
    stream: Option<TcpStream>,
    /// Received bytes; taken out while its frames are handled.
    pub input: Input,
    output: Vec<u8>,
    sent: usize,
    watches_room: bool,
    dirty: bool,
}

/// Received bytes of which `start..end` are not handled.
#[derive(Default)]
pub struct Input {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// The last read took all there was room for.
    was_full: bool,
}

impl Input {
    /// The place of the next complete frame, which counts as handled then.
    pub fn next(&mut self) -> Option<Range<usize>> {
        let prefix = self.bytes[self.start..self.end].first_chunk::<4>()?;
        let len = u32::from_be_bytes(*prefix) as usize + 4;
        if self.end - self.start < len {
            self.reserve(len);
            return None;
        }
        let frame = self.start..self.start + len;
        self.start = frame.end;
        Some(frame)
    }

    /// The bytes of a place.
    pub fn get(&self, frame: &Range<usize>) -> &[u8] {
        &self.bytes[frame.clone()]
    }

    fn reserve(&mut self, len: usize) {
        if self.bytes.len() < len {
            self.bytes.resize(len.next_power_of_two(), 0);
        }
    }

    fn fill(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        self.bytes.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let wanted = if self.was_full { 2 * self.bytes.len() } else { INPUT_MIN };
        self.reserve(wanted.min(INPUT_MAX));
        match stream.read(&mut self.bytes[self.end..]) {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed")),
            Ok(count) => {
                self.end += count;
                self.was_full = self.end == self.bytes.len();
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// All sockets, by number.
#[derive(Default)]
pub struct Links {
    list: Vec<Link>,
    dirty: Vec<usize>,
}

impl Links {
    /// Takes a connected socket over and watches it under its number.
    pub fn add(&mut self, stream: TcpStream, poller: &Poller) -> io::Result<usize> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let token = self.list.len();
        poller.add(&stream, token)?;
        self.list.push(Link {
            stream: Some(stream),
            input: Input::default(),
            output: Vec::new(),
            sent: 0,
            watches_room: false,
            dirty: false,
        });
        self.dirty.reserve(self.list.len());
        Ok(token)
    }

    /// One of them.
    pub fn at(&mut self, index: usize) -> &mut Link {
        &mut self.list[index]
    }

    /// Where to append requests; they leave with the next flush.
    pub fn output(&mut self, index: usize) -> &mut Vec<u8> {
        let link = &mut self.list[index];
        if !link.dirty {
            link.dirty = true;
            self.dirty.push(index);
        }
        &mut link.output
    }

    /// Reads what one has, once.
    pub fn read(&mut self, index: usize) -> io::Result<()> {
        let link = &mut self.list[index];
        link.stream.as_mut().map_or(Ok(()), |stream| link.input.fill(stream))
    }

    /// Writes what the sockets take of everything appended; false if there was nothing.
    pub fn flush(&mut self, poller: &Poller) -> io::Result<bool> {
        let any = !self.dirty.is_empty();
        while let Some(index) = self.dirty.pop() {
            self.list[index].dirty = false;
            self.flush_one(index, poller)?;
        }
        Ok(any)
    }

    /// Like `flush`, but an error is the end of its own link only.
    pub fn flush_or_close(&mut self, poller: &Poller) {
        while let Some(index) = self.dirty.pop() {
            self.list[index].dirty = false;
            if self.flush_one(index, poller).is_err() {
                self.close(index);
            }
        }
    }

    /// Closes one; its number is not used again.
    pub fn close(&mut self, index: usize) {
        let link = &mut self.list[index];
        link.stream = None;
        link.output = Vec::new();
        link.sent = 0;
        link.input = Input::default();
    }

    /// Writes what one socket takes.
    pub fn flush_one(&mut self, index: usize, poller: &Poller) -> io::Result<()> {
        let link = &mut self.list[index];
        let Some(stream) = link.stream.as_mut() else { return Ok(()) };
        while link.sent < link.output.len() {
            match stream.write(&link.output[link.sent..]) {
                Ok(count) => link.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let waits = link.sent < link.output.len();
        if !waits {
            link.output.clear();
            link.sent = 0;
        }
        if waits != link.watches_room {
            link.watches_room = waits;
            poller.watch_room(stream, index, waits)?;
        }
        Ok(())
    }
}
