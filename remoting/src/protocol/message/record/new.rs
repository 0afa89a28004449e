//! Writing of records.

use std::net::{IpAddr, SocketAddr};

use bytes::{BufMut, BytesMut};
use thiserror::Error;

use super::{
    BORN_HOST_AT, CRC_PROPERTY_LEN, HOST_V4_LEN, HOST_V6_LEN, PHYSICAL_OFFSET_AT, QUEUE_OFFSET_AT,
    RECORD_LEN_MIN, SYS_FLAG_AT, Version, body_crc,
};
use crate::protocol::message::properties::{NAME_END, PROPERTIES_LEN_MAX, VALUE_END, property};
use crate::protocol::message::sys_flag;

/// Length of the part before the body, with two IPv6 addresses.
const HEAD_LEN_MAX: usize = 72 + 2 * HOST_V6_LEN;
const TOPIC_V1_LEN_MAX: usize = i8::MAX as usize;
const TOPIC_V2_LEN_MAX: usize = i16::MAX as usize;

/// Why a message has no record.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum EncodeError {
    /// Longer than the record's length field can say.
    #[error("{part} of {len} bytes is longer than {len_max}")]
    TooLong {
        /// Which part.
        part: &'static str,
        /// Its length.
        len: usize,
        /// The longest that fits.
        len_max: usize,
    },
}

/// Everything a record is made of.
#[derive(Clone, Copy, Debug)]
pub struct NewRecord<'a> {
    /// Layout; see [`Version::for_topic`].
    pub version: Version,
    /// Queue of the topic.
    pub queue_id: i32,
    /// The sender's own flag.
    pub flag: i32,
    /// Position in the queue, if known yet.
    pub queue_offset: i64,
    /// Position in the commit log, if known yet.
    pub physical_offset: i64,
    /// The two address bits are set from the addresses, whatever stands here.
    pub sys_flag: i32,
    /// When it was sent, in ms.
    pub born_timestamp: i64,
    /// Who sent it.
    pub born_host: SocketAddr,
    /// When it is stored, in ms, if known yet.
    pub store_timestamp: i64,
    /// Address of this broker.
    pub store_host: SocketAddr,
    /// How often it was retried.
    pub reconsume_times: i32,
    /// Physical offset of the half message of a committed transaction.
    pub prepared_transaction_offset: i64,
    /// The body as it is to be stored.
    pub body: &'a [u8],
    /// Topic.
    pub topic: &'a str,
    /// Raw property string, in parts that follow each other.
    pub properties: &'a [&'a str],
}

impl NewRecord<'_> {
    /// Returns the length of the record.
    pub fn encoded_len(&self) -> usize {
        let fixed = 68 + host_len(self.born_host) + host_len(self.store_host) + 4 + 2;
        let text = self.version.topic_prefix_len() + self.topic.len() + self.properties_len();
        fixed + self.body.len() + text
    }

    /// Returns the length of the property string.
    pub fn properties_len(&self) -> usize {
        self.properties.iter().map(|part| part.len()).sum()
    }

    /// Appends the record to `out`; on an error nothing is appended.
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        let len = self.encoded_len();
        self.check(len)?;
        out.reserve(len);
        let mut sys_flag = self.sys_flag & !(sys_flag::BORN_HOST_V6 | sys_flag::STORE_HOST_V6);
        if self.born_host.is_ipv6() {
            sys_flag |= sys_flag::BORN_HOST_V6;
        }
        if self.store_host.is_ipv6() {
            sys_flag |= sys_flag::STORE_HOST_V6;
        }
        let mut head = Head { bytes: [0; HEAD_LEN_MAX], len: 0 };
        head.put((len as u32).to_be_bytes());
        head.put(self.version.magic().to_be_bytes());
        head.put(body_crc(self.body).to_be_bytes());
        head.put(self.queue_id.to_be_bytes());
        head.put(self.flag.to_be_bytes());
        head.put(self.queue_offset.to_be_bytes());
        head.put(self.physical_offset.to_be_bytes());
        head.put(sys_flag.to_be_bytes());
        head.put(self.born_timestamp.to_be_bytes());
        head.put_host(self.born_host);
        head.put(self.store_timestamp.to_be_bytes());
        head.put_host(self.store_host);
        head.put(self.reconsume_times.to_be_bytes());
        head.put(self.prepared_transaction_offset.to_be_bytes());
        head.put((self.body.len() as u32).to_be_bytes());
        out.put_slice(&head.bytes[..head.len]);
        out.put_slice(self.body);
        match self.version {
            Version::V1 => out.put_u8(self.topic.len() as u8),
            Version::V2 => out.put_u16(self.topic.len() as u16),
        }
        out.put_slice(self.topic.as_bytes());
        out.put_u16(self.properties_len() as u16);
        self.properties.iter().for_each(|part| out.put_slice(part.as_bytes()));
        Ok(())
    }

    fn check(&self, len: usize) -> Result<(), EncodeError> {
        let topic_len_max = match self.version {
            Version::V1 => TOPIC_V1_LEN_MAX,
            Version::V2 => TOPIC_V2_LEN_MAX,
        };
        let limits = [
            ("topic", self.topic.len(), topic_len_max),
            ("property string", self.properties_len(), PROPERTIES_LEN_MAX),
            ("record", len, i32::MAX as usize),
        ];
        match limits.into_iter().find(|(_, len, len_max)| len > len_max) {
            Some((part, len, len_max)) => Err(EncodeError::TooLong { part, len, len_max }),
            None => Ok(()),
        }
    }
}

/// Fills in what only the appender knows, in a record just encoded.
///
/// # Panics
/// If `record` is shorter than a record can be, which is a bug of the caller.
pub fn patch_positions(
    record: &mut [u8],
    queue_offset: i64,
    physical_offset: i64,
    store_timestamp: i64,
) {
    // Invariant: the caller encoded this record itself.
    assert!(record.len() >= RECORD_LEN_MIN, "positions are patched into whole records only");
    put_at(record, QUEUE_OFFSET_AT, queue_offset);
    put_at(record, PHYSICAL_OFFSET_AT, physical_offset);
    // The v6 bit of the sys flag is in the last of its four bytes.
    let born_host_v6 = i32::from(record[SYS_FLAG_AT + 3]) & sys_flag::BORN_HOST_V6 != 0;
    let born_host_len = if born_host_v6 { HOST_V6_LEN } else { HOST_V4_LEN };
    put_at(record, BORN_HOST_AT + born_host_len, store_timestamp);
}

fn put_at(record: &mut [u8], at: usize, value: i64) {
    record[at..at + 8].copy_from_slice(&value.to_be_bytes());
}

/// Computes the property that checksums a whole record, from everything before the property.
///
/// It takes the last [`CRC_PROPERTY_LEN`] bytes of a record, which count as properties.
pub fn crc_property(record_before: &[u8]) -> [u8; CRC_PROPERTY_LEN] {
    let mut property = [0; CRC_PROPERTY_LEN];
    let name = property::CRC32.as_bytes();
    property[..name.len()].copy_from_slice(name);
    property[name.len()] = NAME_END as u8;
    property[CRC_PROPERTY_LEN - 1] = VALUE_END as u8;
    let mut rest = body_crc(record_before);
    // Disk: ten digits, the units first.
    for digit in &mut property[name.len() + 1..CRC_PROPERTY_LEN - 1] {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    property
}

fn host_len(host: SocketAddr) -> usize {
    if host.is_ipv6() { HOST_V6_LEN } else { HOST_V4_LEN }
}

/// What stands before the body, put together before it is appended: that takes one check.
struct Head {
    bytes: [u8; HEAD_LEN_MAX],
    len: usize,
}

impl Head {
    #[inline(always)]
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        self.bytes[self.len..self.len + N].copy_from_slice(&bytes);
        self.len += N;
    }

    #[inline(always)]
    fn put_host(&mut self, host: SocketAddr) {
        match host.ip() {
            IpAddr::V4(ip) => self.put(ip.octets()),
            IpAddr::V6(ip) => self.put(ip.octets()),
        }
        self.put(u32::from(host.port()).to_be_bytes());
    }
}
