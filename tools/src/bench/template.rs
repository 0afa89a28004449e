//! Requests encoded once, then copied with a few numbers changed in place.
//!
//! Numbers that change have a fixed width: request numbers begin at a billion, offsets and keys
//! are padded with zeros. They are found by encoding a placeholder and searching for it.

use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use bytes::BytesMut;
use memchr::memmem;
use remoting::protocol::code::RequestCode;
use remoting::protocol::command::{RequestHead, encode_request};
use remoting::protocol::encoding::Encoding;
use remoting::protocol::header::{
    EncodeHeader, PullMessageRequestHeader, SendMessageRequestHeader, Short,
};
use remoting::protocol::message::batch::BatchMessage;

/// The first request number: all have ten digits.
pub const OPAQUE_BASE: u32 = 1_000_000_000;

const OPAQUE_MARK: i32 = 1_987_654_321;
/// Stands where every request has a key of its own.
pub const UNIQUE_MARK: &str = "QUEYNIUQUEYNIUQU";
const BORN_MARK: i64 = 1_876_543_210_876;
/// Stands where a request has the queue offset.
pub const OFFSET_MARK: i64 = 1_765_432_109_876_543_210;
/// Stands where a request has the place in the log.
pub const POSITION_MARK: i64 = 1_654_321_098_765_432_109;

/// What changes from one request to the next.
#[derive(Clone, Copy, Debug, Default)]
pub struct Values {
    /// The request number.
    pub opaque: u32,
    /// Milliseconds since 1970.
    pub born_ms: u64,
    /// The queue offset to pull from, or of a half message.
    pub offset: u64,
    /// The place of a half message in the log.
    pub position: u64,
    /// What the body begins with, if it has a stamp.
    pub stamp: u64,
}

/// What a message has beside what every message has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extra<'a> {
    /// Properties as they stand on the wire, each with its end.
    pub properties: &'a str,
    /// See `remoting::protocol::message::sys_flag`.
    pub sys_flag: i32,
}

/// A request to copy.
pub struct Template {
    head: Vec<u8>,
    body: Rc<[u8]>,
    opaque: Option<usize>,
    born: Option<usize>,
    offset: Option<usize>,
    position: Option<usize>,
    /// Places of unique keys, in the head and in the body.
    head_unique: Option<usize>,
    body_unique: Box<[usize]>,
    stamped: bool,
}

impl Template {
    /// A send of one message, or of a batch, which has nothing extra.
    pub fn send(
        topic: &str,
        queue: u32,
        body: &SendBody,
        extra: Extra<'_>,
        encoding: Encoding,
    ) -> Result<Self> {
        let properties =
            (!body.is_batch).then(|| extra.properties.to_owned() + properties().as_str());
        let header = SendMessageRequestHeader {
            producer_group: "mqbench",
            topic,
            default_topic: "TBW102",
            default_topic_queue_nums: 4,
            queue_id: queue as i32,
            sys_flag: extra.sys_flag,
            born_timestamp: BORN_MARK,
            properties: Some(properties.as_deref().unwrap_or("WAIT\u{1}true\u{2}")),
            reconsume_times: Some(0),
            max_reconsume_times: Some(0),
            batch: body.is_batch,
            ..SendMessageRequestHeader::default()
        };
        let code =
            if body.is_batch { RequestCode::SendBatchMessage } else { RequestCode::SendMessageV2 };
        let mut template = Self::new(code, &Short(header), Rc::clone(&body.bytes), encoding)?;
        template.stamped = body.stamped;
        ensure!(template.born.is_some(), "the born timestamp is not in the header");
        Ok(template)
    }

    /// A pull; `suspend_ms` of 0 is answered at once.
    pub fn pull(header: &PullMessageRequestHeader<'_>, encoding: Encoding) -> Result<Self> {
        let header = PullMessageRequestHeader { queue_offset: OFFSET_MARK, ..header.clone() };
        let template = Self::new(RequestCode::PullMessage, &header, Rc::new([]), encoding)?;
        ensure!(template.offset.is_some(), "the queue offset is not in the header");
        Ok(template)
    }

    /// A request with or without a body.
    pub fn new(
        code: RequestCode,
        header: &impl EncodeHeader,
        body: Rc<[u8]>,
        encoding: Encoding,
    ) -> Result<Self> {
        let mut frame = BytesMut::new();
        let head = RequestHead {
            code: code.into(),
            opaque: OPAQUE_MARK,
            encoding,
            ..RequestHead::default()
        };
        encode_request(&mut frame, head, header, &[], &body)?;
        let mut head = frame.to_vec();
        head.truncate(frame.len() - body.len());
        let opaque = match encoding {
            Encoding::Json => {
                Some(find(&head, &OPAQUE_MARK.to_string()).context("no opaque in the header")?)
            }
            Encoding::Rocketmq => None,
        };
        Ok(Self {
            opaque,
            born: find(&head, &BORN_MARK.to_string()),
            offset: find(&head, &OFFSET_MARK.to_string()),
            position: find(&head, &POSITION_MARK.to_string()),
            head_unique: find(&head, UNIQUE_MARK),
            body_unique: memmem::find_iter(&body, UNIQUE_MARK).collect(),
            stamped: false,
            head,
            body,
        })
    }

    /// Appends the request; `unique` counts on with every key used.
    pub fn write(&self, out: &mut Vec<u8>, values: &Values, unique: &mut u64) {
        let start = out.len();
        out.extend_from_slice(&self.head);
        let head = &mut out[start..];
        match self.opaque {
            Some(at) => decimal(&mut head[at..at + 10], u64::from(values.opaque)),
            // Binary: length, mark, code, language, version, then the number.
            None => head[13..17].copy_from_slice(&values.opaque.to_be_bytes()),
        }
        if let Some(at) = self.born {
            decimal(&mut head[at..at + 13], values.born_ms);
        }
        if let Some(at) = self.offset {
            decimal(&mut head[at..at + 19], values.offset);
        }
        if let Some(at) = self.position {
            decimal(&mut head[at..at + 19], values.position);
        }
        if let Some(at) = self.head_unique {
            hexadecimal(&mut head[at..at + 16], *unique);
            *unique += 1;
        }
        let start = out.len();
        out.extend_from_slice(&self.body);
        let body = &mut out[start..];
        for &at in &self.body_unique {
            hexadecimal(&mut body[at..at + 16], *unique);
            *unique += 1;
        }
        if self.stamped {
            body[..8].copy_from_slice(&values.stamp.to_be_bytes());
        }
    }
}

/// The body of a send.
pub struct SendBody {
    bytes: Rc<[u8]>,
    is_batch: bool,
    stamped: bool,
}

impl SendBody {
    /// One message of `size` bytes.
    pub fn single(size: usize) -> Self {
        Self { bytes: filler(size).into(), is_batch: false, stamped: false }
    }

    /// One message that begins with a stamp.
    pub fn stamped(size: usize) -> Self {
        Self { stamped: true, ..Self::single(size.max(8)) }
    }

    /// Several messages of `size` bytes.
    pub fn batch(size: usize, count: usize) -> Result<Self> {
        let mut bytes = BytesMut::new();
        let body = filler(size);
        for _ in 0..count {
            let properties = properties();
            BatchMessage { flag: 0, body: &body, properties: &properties }.encode(&mut bytes)?;
        }
        Ok(Self { bytes: bytes.to_vec().into(), is_batch: true, stamped: false })
    }
}

fn filler(size: usize) -> Vec<u8> {
    (0..size).map(|at| b'a' + (at % 26) as u8).collect()
}

/// What a Java client puts into every message: a key of its own, and WAIT.
fn properties() -> String {
    format!("UNIQ_KEY\u{1}7F0000010001{UNIQUE_MARK}0000\u{2}WAIT\u{1}true\u{2}")
}

fn find(bytes: &[u8], mark: &str) -> Option<usize> {
    memmem::find(bytes, mark.as_bytes())
}

fn decimal(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

fn hexadecimal(place: &mut [u8], number: u64) {
    for (at, digit) in place.iter_mut().rev().enumerate() {
        *digit = b"0123456789ABCDEF"[(number >> (4 * at)) as usize & 15];
    }
}
