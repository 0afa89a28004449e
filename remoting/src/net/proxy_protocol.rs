//! The PROXY protocol preamble, by which a load balancer tells the address of the real client.
//!
//! ```text
//! v1  "PROXY TCP4 <source> <target> <source port> <target port>\r\n", at most 107 bytes
//! v2  12 bytes signature | version, command:u8 | family:u8 | length:u16 | addresses, TLVs
//! ```
//!
//! The first byte decides: a frame under the size limit begins with 0 or 1.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const SIGNATURE_V2: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const PREFIX_V1: &[u8; 6] = b"PROXY ";
const LINE_MAX_V1: usize = 107;
const HEAD_V2: usize = 16;

/// What a connection begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preamble {
    /// More bytes decide.
    Incomplete,
    /// Frames at once.
    Absent,
    /// A TLS hello.
    Tls,
    /// A preamble of `len` bytes; no source for health checks and unknown families.
    Proxy { len: usize, source: Option<SocketAddr> },
    /// The beginning of a preamble that then is none.
    Malformed,
}

/// Looks at the first bytes of a connection.
pub(super) fn inspect(bytes: &[u8]) -> Preamble {
    match bytes.first() {
        None => Preamble::Incomplete,
        Some(0x16) => Preamble::Tls,
        Some(b'P') => version_1(bytes).unwrap_or(Preamble::Malformed),
        Some(b'\r') => version_2(bytes).unwrap_or(Preamble::Malformed),
        Some(_) => Preamble::Absent,
    }
}

fn version_1(bytes: &[u8]) -> Option<Preamble> {
    let known = bytes.len().min(PREFIX_V1.len());
    if bytes[..known] != PREFIX_V1[..known] {
        return None;
    }
    let window = &bytes[..bytes.len().min(LINE_MAX_V1)];
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        return (bytes.len() < LINE_MAX_V1).then_some(Preamble::Incomplete);
    };
    let line = std::str::from_utf8(&bytes[PREFIX_V1.len()..end]).ok()?;
    let len = end + 2;
    let mut words = line.split(' ');
    let source = match words.next()? {
        "UNKNOWN" => return Some(Preamble::Proxy { len, source: None }),
        "TCP4" => IpAddr::V4(words.next()?.parse().ok()?),
        "TCP6" => IpAddr::V6(words.next()?.parse().ok()?),
        _ => return None,
    };
    words.next()?.parse::<IpAddr>().ok()?;
    let port = words.next()?.parse().ok()?;
    words.next()?.parse::<u16>().ok()?;
    if words.next().is_some() {
        return None;
    }
    Some(Preamble::Proxy { len, source: Some(SocketAddr::new(source, port)) })
}

fn version_2(bytes: &[u8]) -> Option<Preamble> {
    let known = bytes.len().min(SIGNATURE_V2.len());
    if bytes[..known] != SIGNATURE_V2[..known] {
        return None;
    }
    let Some(head) = bytes.get(..HEAD_V2) else { return Some(Preamble::Incomplete) };
    let len = HEAD_V2 + usize::from(u16::from_be_bytes([head[14], head[15]]));
    let Some(addresses) = bytes.get(HEAD_V2..len) else { return Some(Preamble::Incomplete) };
    let source = match (head[12], head[13]) {
        // A health check of the balancer itself.
        (0x20, _) => None,
        (0x21, 0x11) => Some(source_v4(addresses)?),
        (0x21, 0x21) => Some(source_v6(addresses)?),
        (0x21, _) => None,
        _ => return None,
    };
    Some(Preamble::Proxy { len, source })
}

fn source_v4(addresses: &[u8]) -> Option<SocketAddr> {
    let (address, rest) = addresses.split_first_chunk::<4>()?;
    let port = rest.get(4..6)?;
    let port = u16::from_be_bytes([port[0], port[1]]);
    Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(*address)), port))
}

fn source_v6(addresses: &[u8]) -> Option<SocketAddr> {
    let (address, rest) = addresses.split_first_chunk::<16>()?;
    let port = rest.get(16..18)?;
    let port = u16::from_be_bytes([port[0], port[1]]);
    Some(SocketAddr::new(IpAddr::V6(Ipv6Addr::from(*address)), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(len: usize, source: &str) -> Preamble {
        Preamble::Proxy { len, source: Some(source.parse().expect("address")) }
    }

    fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE_V2.to_vec();
        bytes.extend([command, family]);
        bytes.extend((addresses.len() as u16).to_be_bytes());
        bytes.extend(addresses);
        bytes
    }

    #[test]
    fn frames_and_tls_are_told_by_the_first_byte() {
        assert_eq!(inspect(b""), Preamble::Incomplete);
        assert_eq!(inspect(&[0]), Preamble::Absent);
        assert_eq!(inspect(b"GET / HTTP/1.1"), Preamble::Absent);
        assert_eq!(inspect(&[0x16, 3, 1]), Preamble::Tls);
    }

    #[test]
    fn version_1_lines() {
        let line = b"PROXY TCP4 10.1.2.3 10.0.0.1 4711 10911\r\nrest";
        assert_eq!(inspect(line), proxy(line.len() - 4, "10.1.2.3:4711"));
        for cut in 1..line.len() - 4 {
            assert_eq!(inspect(&line[..cut]), Preamble::Incomplete, "{cut}");
        }
        let line = b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n";
        assert_eq!(inspect(line), proxy(line.len(), "[2001:db8::1]:1"));
        assert_eq!(inspect(b"PROXY UNKNOWN\r\n"), Preamble::Proxy { len: 15, source: None });
        for broken in [
            "PING",
            "PROXY TCP5 1.1.1.1 1.1.1.1 1 1\r\n",
            "PROXY TCP4 1.1.1.1\r\n",
            "PROXY TCP4 ::1 ::1 1 1\r\n",
            "PROXY TCP4 1.1.1.1 1.1.1.1 1 70000\r\n",
            "PROXY TCP4 1.1.1.1 1.1.1.1 1 1 1\r\n",
        ] {
            assert_eq!(inspect(broken.as_bytes()), Preamble::Malformed, "{broken}");
        }
        let endless = [b"PROXY ".as_slice(), &[b'x'; 101]].concat();
        assert_eq!(inspect(&endless), Preamble::Malformed);
    }

    #[test]
    fn version_2_headers() {
        let v4 = v2(0x21, 0x11, &[10, 1, 2, 3, 10, 0, 0, 1, 0x12, 0x67, 0, 1, 4, 0, 1, 9]);
        assert_eq!(inspect(&v4), proxy(32, "10.1.2.3:4711"));
        for cut in 1..v4.len() {
            assert_eq!(inspect(&v4[..cut]), Preamble::Incomplete, "{cut}");
        }
        let mut addresses = [0; 36];
        addresses[15] = 1;
        addresses[33] = 7;
        assert_eq!(inspect(&v2(0x21, 0x21, &addresses)), proxy(52, "[::1]:7"));
        let none = Preamble::Proxy { len: 16, source: None };
        assert_eq!(inspect(&v2(0x20, 0, &[])), none);
        assert_eq!(inspect(&v2(0x21, 0x31, &[])), none);
        assert_eq!(inspect(&v2(0x31, 0x11, &[0; 12])), Preamble::Malformed);
        assert_eq!(inspect(&v2(0x21, 0x11, &[0; 5])), Preamble::Malformed);
        assert_eq!(inspect(b"\r\n\r\nX"), Preamble::Malformed);
    }
}
