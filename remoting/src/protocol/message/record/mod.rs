//! One stored record: the unit of the commit log and of every pull answer.
//!
//! ```text
//! i32 total size | i32 magic | i32 body CRC | i32 queue id | i32 flag
//! i64 queue offset @20 | i64 physical offset @28 | i32 sys flag @36 | i64 born time
//! born host 8|20 @48 | i64 store time @56|68 | store host 8|20
//! i32 reconsume times | i64 prepared transaction offset
//! i32 n, body | i8 (V1) or i16 (V2) n, topic | i16 n, properties
//! ```
//!
//! A record is encoded before its place is known; [`patch_positions`] fills the three fields that
//! only the appender knows.

mod new;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;

use super::Properties;
use super::properties::property;
use super::sys_flag;

pub use new::{EncodeError, NewRecord, crc_property, patch_positions};

/// Magic of a record with a one-byte topic length.
pub const MAGIC_V1: i32 = -626_843_481;
/// Magic of a record with a two-byte topic length.
pub const MAGIC_V2: i32 = -626_843_477;
/// Magic of the filler at the end of a commit-log file.
pub const MAGIC_BLANK: i32 = -875_286_124;
/// Bytes of a blank record that have a meaning: its size and its magic.
pub const BLANK_HEAD_LEN: usize = 8;
/// Where the queue offset stands.
pub const QUEUE_OFFSET_AT: usize = 20;
/// Where the physical offset stands.
pub const PHYSICAL_OFFSET_AT: usize = 28;
/// Where the sys flag stands.
pub const SYS_FLAG_AT: usize = 36;
/// Where the born host stands; the store time follows it.
pub const BORN_HOST_AT: usize = 48;
/// Length of the shortest possible record: IPv4 hosts, V1, nothing inside.
pub const RECORD_LEN_MIN: usize = 91;
/// Bytes that the checksum property of a whole record takes.
pub const CRC_PROPERTY_LEN: usize = 20;

const HOST_V4_LEN: usize = 8;
const HOST_V6_LEN: usize = 20;
const TOPIC_UNITS_V1_MAX: usize = i8::MAX as usize;

/// The layout of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// One byte of topic length.
    V1,
    /// Two bytes of topic length.
    V2,
}

impl Version {
    /// Chooses the version as Java does: V2 for a topic of more than 127 UTF-16 units.
    pub fn for_topic(topic: &str) -> Self {
        if topic.len() > TOPIC_UNITS_V1_MAX && topic.encode_utf16().count() > TOPIC_UNITS_V1_MAX {
            Version::V2
        } else {
            Version::V1
        }
    }

    /// Returns the magic that marks this version.
    pub fn magic(self) -> i32 {
        match self {
            Version::V1 => MAGIC_V1,
            Version::V2 => MAGIC_V2,
        }
    }

    fn from_magic(magic: i32) -> Option<Self> {
        match magic {
            MAGIC_V1 => Some(Version::V1),
            MAGIC_V2 => Some(Version::V2),
            _ => None,
        }
    }

    fn topic_prefix_len(self) -> usize {
        match self {
            Version::V1 => 1,
            Version::V2 => 2,
        }
    }
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum RecordError {
    /// The buffer ends before the record does.
    #[error("record of {needed} bytes is cut off after {got}")]
    CutOff {
        /// Bytes the record claims, or the shortest length it could have.
        needed: usize,
        /// Bytes that are there.
        got: usize,
    },
    /// The filler at the end of a file, which is no message.
    #[error("blank record of {size} bytes")]
    Blank {
        /// Bytes up to the end of the file.
        size: i32,
    },
    /// No known magic.
    #[error("magic {magic:#010x} where a record was expected")]
    Magic {
        /// What stands in its place.
        magic: i32,
    },
    /// The parts do not add up to the size.
    #[error("record says {size} bytes, its {part} does not fit")]
    Length {
        /// The size the record claims.
        size: i32,
        /// The first part that does not fit.
        part: &'static str,
    },
    /// The topic is not UTF-8.
    #[error("topic is not UTF-8")]
    Topic,
    /// The body does not have the checksum the record names.
    #[error("body has CRC {actual:#010x}, the record says {expected:#010x}")]
    Crc {
        /// Named by the record.
        expected: u32,
        /// Computed from the body.
        actual: u32,
    },
}

/// A stored record, read in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Length of the whole record.
    pub total_size: u32,
    /// Layout.
    pub version: Version,
    /// CRC-32 of the stored body without its top bit.
    pub body_crc: u32,
    /// Queue of the topic.
    pub queue_id: i32,
    /// The sender's own flag.
    pub flag: i32,
    /// Position in the queue.
    pub queue_offset: i64,
    /// Position in the commit log.
    pub physical_offset: i64,
    /// See [`sys_flag`].
    pub sys_flag: i32,
    /// When it was sent, in ms.
    pub born_timestamp: i64,
    /// Who sent it.
    pub born_host: SocketAddr,
    /// When it was stored, in ms.
    pub store_timestamp: i64,
    /// Address of the broker that stored it.
    pub store_host: SocketAddr,
    /// How often it was retried.
    pub reconsume_times: i32,
    /// Physical offset of the half message of a committed transaction.
    pub prepared_transaction_offset: i64,
    /// The body as stored, possibly compressed.
    pub body: &'a [u8],
    /// Topic.
    pub topic: &'a str,
    /// The raw property string; up to the first byte that is not UTF-8.
    pub properties: &'a str,
}

impl<'a> Record<'a> {
    /// Reads the record at the start of `bytes`; what follows it is ignored.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let (record, version) = whole(bytes)?;
        let mut cursor = Cursor::of(record, BLANK_HEAD_LEN);
        let body_crc = cursor.i32("body CRC")?.cast_unsigned();
        let queue_id = cursor.i32("queue id")?;
        let flag = cursor.i32("flag")?;
        let queue_offset = cursor.i64("queue offset")?;
        let physical_offset = cursor.i64("physical offset")?;
        let sys_flag = cursor.i32("sys flag")?;
        let born_timestamp = cursor.i64("born time")?;
        let born_host = cursor.host(sys_flag & sys_flag::BORN_HOST_V6 != 0, "born host")?;
        let store_timestamp = cursor.i64("store time")?;
        let store_host = cursor.host(sys_flag & sys_flag::STORE_HOST_V6 != 0, "store host")?;
        let reconsume_times = cursor.i32("reconsume times")?;
        let prepared_transaction_offset = cursor.i64("prepared transaction offset")?;
        let body_len = i64::from(cursor.i32("body length")?);
        let body = cursor.take(body_len, "body")?;
        let (topic, properties) = cursor.topic_and_properties(version)?;
        Ok(Record {
            total_size: cursor.size.cast_unsigned(),
            version,
            body_crc,
            queue_id,
            flag,
            queue_offset,
            physical_offset,
            sys_flag,
            born_timestamp,
            born_host,
            store_timestamp,
            store_host,
            reconsume_times,
            prepared_transaction_offset,
            body,
            topic: std::str::from_utf8(topic).map_err(|_| RecordError::Topic)?,
            properties: valid_prefix(properties),
        })
    }

    /// Compares the body with its checksum.
    pub fn verify_crc(&self) -> Result<(), RecordError> {
        let actual = body_crc(self.body);
        if actual == self.body_crc {
            Ok(())
        } else {
            Err(RecordError::Crc { expected: self.body_crc, actual })
        }
    }

    /// Views the properties.
    pub fn properties(&self) -> Properties<'a> {
        Properties::new(self.properties)
    }

    /// Returns the TAGS property.
    pub fn tags(&self) -> Option<&'a str> {
        self.properties().get(property::TAGS)
    }
}

/// The raw properties of the record at the start of `bytes`, as far as they are UTF-8; nothing else
/// of it is looked at.
pub fn properties_of(bytes: &[u8]) -> Result<&[u8], RecordError> {
    let host_len = |v6: bool| if v6 { HOST_V6_LEN } else { HOST_V4_LEN };
    let (record, version) = whole(bytes)?;
    let sys_flag = Cursor::of(record, SYS_FLAG_AT).i32("sys flag")?;
    let hosts = host_len(sys_flag & sys_flag::BORN_HOST_V6 != 0)
        + host_len(sys_flag & sys_flag::STORE_HOST_V6 != 0);
    let mut cursor = Cursor::of(record, BORN_HOST_AT);
    // Store time, reconsume times and prepared transaction offset.
    cursor.take(hosts as i64 + 8 + 4 + 8, "hosts")?;
    let body_len = i64::from(cursor.i32("body length")?);
    cursor.take(body_len, "body")?;
    let (_, properties) = cursor.topic_and_properties(version)?;
    // Nearly all are, and this is told soonest.
    let ascii = properties.iter().fold(0, |all, byte| all | byte).is_ascii();
    Ok(if ascii { properties } else { valid_prefix(properties).as_bytes() })
}

/// The bytes of the record that starts here.
fn whole(bytes: &[u8]) -> Result<(&[u8], Version), RecordError> {
    let (size, version) = head(bytes)?;
    let wrong = |part| RecordError::Length { size, part };
    let len = usize::try_from(size).map_err(|_| wrong("size"))?;
    if len < RECORD_LEN_MIN {
        return Err(wrong("fixed part"));
    }
    let cut_off = RecordError::CutOff { needed: len, got: bytes.len() };
    Ok((bytes.get(..len).ok_or(cut_off)?, version))
}

/// Reads size and magic of what starts here.
fn head(bytes: &[u8]) -> Result<(i32, Version), RecordError> {
    let cut_off = RecordError::CutOff { needed: BLANK_HEAD_LEN, got: bytes.len() };
    let (size, rest) = bytes.split_first_chunk::<4>().ok_or(cut_off)?;
    let magic = i32::from_be_bytes(*rest.first_chunk::<4>().ok_or(cut_off)?);
    let size = i32::from_be_bytes(*size);
    match Version::from_magic(magic) {
        Some(version) => Ok((size, version)),
        None if magic == MAGIC_BLANK => Err(RecordError::Blank { size }),
        None => Err(RecordError::Magic { magic }),
    }
}

/// Iterates over records that follow each other without gaps, as in a pull answer.
///
/// It ends after the first error.
pub fn records(bytes: &[u8]) -> impl Iterator<Item = Result<Record<'_>, RecordError>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let record = Record::decode(rest);
        rest = record.as_ref().map_or(&[], |record| &rest[record.total_size as usize..]);
        Some(record)
    })
}

/// Returns the head of the filler that ends a file with `remaining` bytes left.
pub fn blank_head(remaining: i32) -> [u8; BLANK_HEAD_LEN] {
    let mut head = [0; BLANK_HEAD_LEN];
    head[..4].copy_from_slice(&remaining.to_be_bytes());
    head[4..].copy_from_slice(&MAGIC_BLANK.to_be_bytes());
    head
}

/// Checksums a body as records do: CRC-32 without the top bit.
pub fn body_crc(body: &[u8]) -> u32 {
    crc32fast::hash(body) & 0x7FFF_FFFF
}

/// Returns the text up to the first byte that is not UTF-8.
fn valid_prefix(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid()),
    }
}

struct Cursor<'a> {
    rest: &'a [u8],
    size: i32,
}

impl<'a> Cursor<'a> {
    /// Reads a whole record from `at` on.
    fn of(record: &'a [u8], at: usize) -> Cursor<'a> {
        // Invariant: no record is longer than its i32 of size says.
        Cursor { rest: &record[at..], size: record.len() as i32 }
    }

    /// The end of a record, which has nothing behind it.
    fn topic_and_properties(
        &mut self,
        version: Version,
    ) -> Result<(&'a [u8], &'a [u8]), RecordError> {
        let topic_len = match version {
            Version::V1 => i64::from(self.array::<1>("topic length")?[0].cast_signed()),
            Version::V2 => i64::from(i16::from_be_bytes(self.array("topic length")?)),
        };
        let topic = self.take(topic_len, "topic")?;
        let properties_len = i64::from(i16::from_be_bytes(self.array("properties length")?));
        let properties = self.take(properties_len, "properties")?;
        match self.rest.is_empty() {
            true => Ok((topic, properties)),
            false => Err(RecordError::Length { size: self.size, part: "end" }),
        }
    }

    fn take(&mut self, len: i64, part: &'static str) -> Result<&'a [u8], RecordError> {
        let wrong = RecordError::Length { size: self.size, part };
        let len = usize::try_from(len).map_err(|_| wrong)?;
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(wrong)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, part: &'static str) -> Result<[u8; N], RecordError> {
        let wrong = RecordError::Length { size: self.size, part };
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(wrong)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn i32(&mut self, part: &'static str) -> Result<i32, RecordError> {
        self.array(part).map(i32::from_be_bytes)
    }

    fn i64(&mut self, part: &'static str) -> Result<i64, RecordError> {
        self.array(part).map(i64::from_be_bytes)
    }

    fn host(&mut self, v6: bool, part: &'static str) -> Result<SocketAddr, RecordError> {
        let ip = if v6 {
            IpAddr::V6(Ipv6Addr::from(self.array::<16>(part)?))
        } else {
            IpAddr::V4(Ipv4Addr::from(self.array::<4>(part)?))
        };
        // Disk: a port takes four bytes; the upper two are zero in every record ever written.
        let port = self.i32(part)? as u16;
        Ok(SocketAddr::new(ip, port))
    }
}

#[cfg(test)]
mod tests;
