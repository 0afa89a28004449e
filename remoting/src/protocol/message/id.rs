//! Message ids: where a record lies (offset id), and who sent it (unique key).
//!
//! Both are upper-case hex, 32 characters with an IPv4 address and 56 with an IPv6 one.
//!
//! ```text
//! offset id:  ip 4|16 | i32 port | i64 physical offset
//! unique key: ip 4|16 | i16 pid | i32 class loader hash | i32 ms since month start | i16 counter
//! ```

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};

const ID_V4_LEN: usize = 32;
const ID_V6_LEN: usize = 56;
const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// The place of a record, as clients and tools pass it around.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OffsetMessageId {
    /// Address of the broker that holds the record.
    pub store_host: SocketAddr,
    /// Position in that broker's commit log.
    pub physical_offset: i64,
}

impl OffsetMessageId {
    /// Reads an id; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (bytes, ip) = bytes_and_ip(text)?;
        let (port, offset) = bytes.split_first_chunk::<4>()?;
        let port = u16::try_from(u32::from_be_bytes(*port)).ok()?;
        let physical_offset = i64::from_be_bytes(offset.try_into().ok()?);
        Some(OffsetMessageId { store_host: SocketAddr::new(ip, port), physical_offset })
    }

    /// Appends the id to a text.
    pub fn append_to(&self, out: &mut String) {
        push_ip(out, self.store_host.ip());
        push_hex(out, &u32::from(self.store_host.port()).to_be_bytes());
        push_hex(out, &self.physical_offset.to_be_bytes());
    }

    /// Appends the ids of records of one broker to a text, joined by commas.
    pub fn append_all(store_host: SocketAddr, physical_offsets: &[i64], out: &mut String) {
        let Some((&physical_offset, rest)) = physical_offsets.split_first() else { return };
        let start = out.len();
        OffsetMessageId { store_host, physical_offset }.append_to(out);
        // All but the offset is the same in each.
        let same = start..out.len() - 2 * size_of::<i64>();
        out.reserve(rest.len() * (out.len() - start + 1));
        for physical_offset in rest {
            out.push(',');
            out.extend_from_within(same.clone());
            push_hex(out, &physical_offset.to_be_bytes());
        }
    }
}

impl fmt::Display for OffsetMessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(ID_V6_LEN);
        self.append_to(&mut text);
        f.write_str(&text)
    }
}

/// The parts of a unique key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UniqueKey {
    /// Address of the sender.
    pub ip: IpAddr,
    /// The low half of its process id.
    pub pid: u16,
    /// Tells senders in one process apart.
    pub class_loader_hash: i32,
    /// When the key was made, in ms since the start of a month.
    pub millis_since_month_start: i32,
    /// Tells keys of one ms apart.
    pub counter: u16,
}

impl UniqueKey {
    /// Reads a key; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (bytes, ip) = bytes_and_ip(text)?;
        let (pid, bytes) = bytes.split_first_chunk()?;
        let (class_loader_hash, bytes) = bytes.split_first_chunk()?;
        let (millis, counter) = bytes.split_first_chunk()?;
        Some(UniqueKey {
            ip,
            pid: u16::from_be_bytes(*pid),
            class_loader_hash: i32::from_be_bytes(*class_loader_hash),
            millis_since_month_start: i32::from_be_bytes(*millis),
            counter: u16::from_be_bytes(counter.try_into().ok()?),
        })
    }

    /// Appends the key to a text.
    pub fn append_to(&self, out: &mut String) {
        push_ip(out, self.ip);
        push_hex(out, &self.pid.to_be_bytes());
        push_hex(out, &self.class_loader_hash.to_be_bytes());
        push_hex(out, &self.millis_since_month_start.to_be_bytes());
        push_hex(out, &self.counter.to_be_bytes());
    }
}

impl fmt::Display for UniqueKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(ID_V6_LEN);
        self.append_to(&mut text);
        f.write_str(&text)
    }
}

/// Makes unique keys for messages that came without one.
#[derive(Debug)]
pub struct UniqueKeys {
    ip: IpAddr,
    pid: u16,
    class_loader_hash: i32,
    counter: AtomicU16,
}

impl UniqueKeys {
    /// Makes keys of one process; `class_loader_hash` is any number that tells it from others.
    pub fn new(ip: IpAddr, pid: u32, class_loader_hash: i32) -> Self {
        UniqueKeys { ip, pid: pid as u16, class_loader_hash, counter: AtomicU16::new(0) }
    }

    /// Appends the next key to a text.
    pub fn append_next(&self, now_ms: i64, out: &mut String) {
        let counter = self.counter.fetch_add(1, Ordering::Relaxed);
        UniqueKey {
            ip: self.ip,
            pid: self.pid,
            class_loader_hash: self.class_loader_hash,
            millis_since_month_start: (now_ms - month_start_ms(now_ms)) as i32,
            counter,
        }
        .append_to(out);
    }
}

const DAY_MS: i64 = 86_400_000;

/// Returns the start of the UTC month of a time, in ms.
pub fn month_start_ms(now_ms: i64) -> i64 {
    let day = now_ms.div_euclid(DAY_MS);
    (day - day_of_month(day)) * DAY_MS
}

/// Returns the day of the month, from 0, of a day counted from 1970-01-01.
fn day_of_month(day: i64) -> i64 {
    // Days are counted from 0000-03-01, so that the leap day is the last of a year; months from
    // March on repeat in groups of 153 days.
    let of_era = (day + 719_468).rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    of_year - (153 * month + 2) / 5
}

/// Splits an id into what follows the address, and the address.
fn bytes_and_ip(text: &str) -> Option<([u8; 12], IpAddr)> {
    let mut bytes = [0; ID_V6_LEN / 2];
    let bytes = match text.len() {
        ID_V4_LEN => &mut bytes[..ID_V4_LEN / 2],
        ID_V6_LEN => &mut bytes[..],
        _ => return None,
    };
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = (nibble(pair[0])? << 4) | nibble(pair[1])?;
    }
    let (ip, rest) = bytes.split_last_chunk::<12>()?;
    let ip = match <[u8; 4]>::try_from(ip) {
        Ok(ip) => IpAddr::from(ip),
        Err(_) => IpAddr::from(<[u8; 16]>::try_from(ip).ok()?),
    };
    Some((*rest, ip))
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

fn push_ip(out: &mut String, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => push_hex(out, &ip.octets()),
        IpAddr::V6(ip) => push_hex(out, &ip.octets()),
    }
}

/// Appends at most as many bytes as an address has.
fn push_hex(out: &mut String, bytes: &[u8]) {
    let mut digits = [[0; 2]; 16];
    for (digits, byte) in digits.iter_mut().zip(bytes) {
        *digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
    }
    // Invariant: hex digits are UTF-8.
    out.push_str(str::from_utf8(digits[..bytes.len()].as_flattened()).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn months_start_at_their_first_day() {
        // 2023-11-14, 2024-02-29, 2024-03-01, 1970-01-01, 2000-12-31 and the day before 1970.
        let days = [(19_675, 13), (19_782, 28), (19_783, 0), (0, 0), (11_322, 30), (-1, 30)];
        for (day, of_month) in days {
            assert_eq!(day_of_month(day), of_month, "day {day}");
        }
        assert_eq!(month_start_ms(1_700_000_000_123), 1_698_796_800_000);
    }

    #[test]
    fn keys_of_one_moment_differ() {
        let keys = UniqueKeys::new(IpAddr::from([10, 1, 2, 3]), 70_000, 7);
        let (mut first, mut second) = (String::new(), String::new());
        keys.append_next(1_700_000_000_123, &mut first);
        keys.append_next(1_700_000_000_123, &mut second);
        let (first, second) = (UniqueKey::parse(&first), UniqueKey::parse(&second));
        assert_eq!(first.map(|key| (key.pid, key.counter)), Some((70_000_u32 as u16, 0)));
        assert_eq!(first.map(|key| UniqueKey { counter: 1, ..key }), second);
    }

    #[test]
    fn other_texts_are_no_ids() {
        for text in ["", "0A01020400002A9F00000000000000", "zz01020400002A9F0000000000000000"] {
            assert_eq!(OffsetMessageId::parse(text), None);
        }
        // A port of five hex digits.
        assert_eq!(OffsetMessageId::parse("0A01020400012A9F0000000000000000"), None);
        assert_eq!(UniqueKey::parse("é".repeat(16).as_str()), None);
    }

    #[test]
    fn ids_of_one_broker_are_joined() {
        for host in ["10.1.2.3:10911", "[::1]:10911"] {
            let store_host: SocketAddr = host.parse().unwrap();
            let (offsets, mut all) = ([0, -1, i64::MAX], String::from("x"));
            OffsetMessageId::append_all(store_host, &offsets, &mut all);
            let ids =
                offsets.map(|physical_offset| OffsetMessageId { store_host, physical_offset });
            assert_eq!(all, format!("x{}", ids.map(|id| id.to_string()).join(",")));
        }
    }

    proptest! {
        #[test]
        fn offset_ids_round_trip(host: SocketAddr, physical_offset: i64) {
            let host = SocketAddr::new(host.ip(), host.port());
            let id = OffsetMessageId { store_host: host, physical_offset };
            prop_assert_eq!(OffsetMessageId::parse(&id.to_string()), Some(id));
        }

        #[test]
        fn any_text_is_read_without_panic(text in "[0-9A-Fa-fé]{0,60}") {
            let id = OffsetMessageId::parse(&text).map(|id| id.to_string());
            prop_assert!(id.is_none_or(|id| id.eq_ignore_ascii_case(&text)));
        }
    }
}
