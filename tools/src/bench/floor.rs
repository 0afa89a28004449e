//! The floor: the least any broker must do, to measure brokers against.
//!
//! It speaks the protocol, scans the header, checks the body with CRC-32, copies a record into a
//! log file and answers; it stores nothing that anyone could read again. One thread; one `write`
//! of records and one of answers per batch.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;

use anyhow::{Context, Result};
use bytes::BytesMut;
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::command::{Frame, Responder};
use remoting::protocol::header::{SendMessageRequestHeader, SendMessageResponseHeader, Short};

use super::args::FloorArgs;
use super::links::Links;
use super::poller::Poller;

/// The log begins again here, so that a long run does not fill the disk.
const LOG_MAX: u64 = 1 << 30;

/// The token of the listener; links count from 0.
const LISTENER: usize = usize::MAX;

const ANSWER_FIELDS: [(&str, &str); 2] = [("MSG_REGION", "DefaultRegion"), ("TRACE_ON", "true")];

/// The stub server.
pub struct Floor {
    listener: TcpListener,
    poller: Poller,
    links: Links,
    log: Log,
    input: BytesMut,
    output: BytesMut,
}

/// The file the records go to.
struct Log {
    file: File,
    written: u64,
    sync: bool,
    batch: Vec<u8>,
    next_offset: i64,
}

impl Floor {
    /// Listens and opens the log.
    pub fn bind(args: &FloorArgs) -> Result<Self> {
        let listener =
            TcpListener::bind(args.listen).with_context(|| format!("listen {}", args.listen))?;
        listener.set_nonblocking(true)?;
        let poller = Poller::new()?;
        poller.add(&listener.as_fd(), LISTENER)?;
        let file =
            File::create(&args.file).with_context(|| format!("create {}", args.file.display()))?;
        Ok(Self {
            listener,
            poller,
            links: Links::default(),
            log: Log { file, written: 0, sync: args.sync, batch: Vec::new(), next_offset: 0 },
            input: BytesMut::new(),
            output: BytesMut::new(),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Serves until an error of the log or the poller.
    pub fn serve(&mut self) -> Result<()> {
        loop {
            self.turn()?;
        }
    }

    /// Waits once and serves everyone who is ready: that is the batch.
    pub fn turn(&mut self) -> Result<()> {
        self.poller.wait(None)?;
        for index in 0..self.poller.len() {
            let ready = self.poller.at(index);
            if ready.token == LISTENER {
                self.accept()?;
                continue;
            }
            if ready.readable && !self.read(ready.token) {
                continue;
            }
            if ready.writable && self.links.flush_one(ready.token, &self.poller).is_err() {
                self.links.close(ready.token);
            }
        }
        // The records are down before anyone is told.
        self.log.flush()?;
        self.links.flush_or_close(&self.poller);
        Ok(())
    }

    fn accept(&mut self) -> Result<()> {
        while let Ok((stream, _)) = self.listener.accept() {
            self.links.add(stream, &self.poller)?;
        }
        Ok(())
    }

    /// Reads and answers one link; false if it has ended.
    fn read(&mut self, link: usize) -> bool {
        if self.links.read(link).is_err() {
            self.links.close(link);
            return false;
        }
        let mut input = std::mem::take(&mut self.links.at(link).input);
        while let Some(frame) = input.next() {
            self.input.extend_from_slice(input.get(&frame));
            let Ok(frame) = Frame::decode(self.input.split()) else {
                self.links.close(link);
                return false;
            };
            self.answer(&frame);
            self.links.output(link).extend_from_slice(&self.output);
            self.output.clear();
        }
        self.links.at(link).input = input;
        true
    }

    fn answer(&mut self, frame: &Frame) {
        let mut out = Responder::new(frame.tag(), &mut self.output);
        let header = match RequestCode::from_i32(frame.code()) {
            Some(RequestCode::SendMessageV2 | RequestCode::SendBatchMessage) => {
                frame.header::<Short<SendMessageRequestHeader<'_>>>().map(|short| short.0)
            }
            Some(RequestCode::SendMessage) => frame.header(),
            Some(RequestCode::UpdateAndCreateTopic | RequestCode::HeartBeat) => {
                return out.ok_empty();
            }
            _ => return out.error(ResponseCode::RequestCodeNotSupported, "this is the floor"),
        };
        let Ok(header) = header else {
            return out.error(ResponseCode::SystemError, "a send without its header");
        };
        let queue_offset = self.log.append(&header, frame.body());
        let answer = SendMessageResponseHeader {
            msg_id: "7F00000100002A9F0000000000000000",
            queue_id: header.queue_id,
            queue_offset,
            ..SendMessageResponseHeader::default()
        };
        out.respond(ResponseCode::Success, None, &answer, &ANSWER_FIELDS, &[]);
    }
}

impl Log {
    fn append(&mut self, header: &SendMessageRequestHeader<'_>, body: &[u8]) -> i64 {
        let properties = header.properties.unwrap_or_default();
        self.batch.extend_from_slice(&crc32fast::hash(body).to_be_bytes());
        self.batch.extend_from_slice(&header.queue_id.to_be_bytes());
        self.batch.extend_from_slice(&self.next_offset.to_be_bytes());
        self.batch.extend_from_slice(&header.born_timestamp.to_be_bytes());
        self.batch.extend_from_slice(body);
        self.batch.extend_from_slice(header.topic.as_bytes());
        self.batch.extend_from_slice(properties.as_bytes());
        self.next_offset += 1;
        self.next_offset - 1
    }

    fn flush(&mut self) -> Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        if self.written > LOG_MAX {
            self.file.seek(SeekFrom::Start(0))?;
            self.written = 0;
        }
        self.file.write_all(&self.batch)?;
        self.written += self.batch.len() as u64;
        self.batch.clear();
        if self.sync {
            self.file.sync_data()?;
        }
        Ok(())
    }
}
