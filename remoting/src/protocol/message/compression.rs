//! Compression of bodies: zlib, LZ4 frames and Zstandard, told apart by bits of the sys flag.
//!
//! Brokers store bodies as sent; only clients and tools (de)compress. Inflating is bounded, since
//! a few bytes can stand for gigabytes.

use std::io::{self, Read, Write};

use thiserror::Error;

use super::sys_flag;

/// The longest body that is inflated unless the caller says otherwise.
pub const INFLATED_LEN_MAX: usize = 4 << 20;
/// The level clients use.
pub const LEVEL: u32 = 5;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// LZ4 frame format.
    Lz4,
    /// Zstandard.
    Zstd,
    /// zlib stream (RFC 1950).
    Zlib,
}

/// Why a body could not be inflated.
#[derive(Debug, Error)]
pub enum InflateError {
    /// The kind in the sys flag does not exist.
    #[error("sys flag {sys_flag:#x} names no known compression")]
    Unknown {
        /// The whole sys flag.
        sys_flag: i32,
    },
    /// The body would become too long.
    #[error("body inflates to more than {len_max} bytes")]
    TooLong {
        /// The limit.
        len_max: usize,
    },
    /// The body is damaged.
    #[error("body cannot be inflated: {0}")]
    Corrupt(#[source] io::Error),
}

impl Compression {
    /// Returns how a body with this sys flag is compressed, `None` if it is not.
    pub fn from_sys_flag(sys_flag: i32) -> Result<Option<Self>, InflateError> {
        if sys_flag & sys_flag::COMPRESSED == 0 {
            return Ok(None);
        }
        match sys_flag & sys_flag::COMPRESSION_MASK {
            sys_flag::COMPRESSION_LZ4 => Ok(Some(Compression::Lz4)),
            sys_flag::COMPRESSION_ZSTD => Ok(Some(Compression::Zstd)),
            0 | sys_flag::COMPRESSION_ZLIB => Ok(Some(Compression::Zlib)),
            _ => Err(InflateError::Unknown { sys_flag }),
        }
    }

    /// Returns the bits of the sys flag that say so.
    pub fn sys_flag(self) -> i32 {
        sys_flag::COMPRESSED
            | match self {
                Compression::Lz4 => sys_flag::COMPRESSION_LZ4,
                Compression::Zstd => sys_flag::COMPRESSION_ZSTD,
                Compression::Zlib => sys_flag::COMPRESSION_ZLIB,
            }
    }

    /// Compresses a body; the level is that of zlib, 1 to 9.
    pub fn deflate(self, body: &[u8], level: u32) -> io::Result<Vec<u8>> {
        let level = level.clamp(1, 9);
        match self {
            Compression::Lz4 => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
                encoder.write_all(body)?;
                encoder.finish().map_err(io::Error::other)
            }
            Compression::Zstd => zstd::bulk::compress(body, level as i32),
            Compression::Zlib => {
                let level = flate2::Compression::new(level);
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
                encoder.write_all(body)?;
                encoder.finish()
            }
        }
    }

    /// Inflates a body to at most `len_max` bytes.
    pub fn inflate(self, body: &[u8], len_max: usize) -> Result<Vec<u8>, InflateError> {
        let mut inflated = Vec::new();
        let result = match self {
            Compression::Lz4 => {
                read_bounded(lz4_flex::frame::FrameDecoder::new(body), len_max, &mut inflated)
            }
            Compression::Zstd => zstd::Decoder::with_buffer(body)
                .and_then(|decoder| read_bounded(decoder, len_max, &mut inflated)),
            Compression::Zlib => {
                read_bounded(flate2::read::ZlibDecoder::new(body), len_max, &mut inflated)
            }
        };
        match result {
            Ok(()) if inflated.len() > len_max => Err(InflateError::TooLong { len_max }),
            Ok(()) => Ok(inflated),
            Err(error) => Err(InflateError::Corrupt(error)),
        }
    }
}

/// Reads one byte more than allowed, so that the caller sees an excess.
fn read_bounded(reader: impl Read, len_max: usize, out: &mut Vec<u8>) -> io::Result<()> {
    reader.take(len_max as u64 + 1).read_to_end(out).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Compression; 3] = [Compression::Lz4, Compression::Zstd, Compression::Zlib];

    #[test]
    fn inflating_stops_at_the_limit() {
        for compression in ALL {
            let bomb = compression.deflate(&vec![0; 1 << 20], LEVEL).unwrap();
            let limit = compression.inflate(&bomb, (1 << 20) - 1);
            assert!(matches!(limit, Err(InflateError::TooLong { .. })), "{compression:?}");
            assert_eq!(compression.inflate(&bomb, 1 << 20).unwrap().len(), 1 << 20);
        }
    }

    #[test]
    fn the_sys_flag_names_the_kind() {
        for compression in ALL {
            let found = Compression::from_sys_flag(compression.sys_flag()).unwrap();
            assert_eq!(found, Some(compression));
        }
        assert_eq!(Compression::from_sys_flag(0x300).unwrap(), None);
        assert!(matches!(Compression::from_sys_flag(1), Ok(Some(Compression::Zlib))));
        assert!(Compression::from_sys_flag(0x401).is_err());
    }

    proptest! {
        #[test]
        fn bodies_round_trip(
            body in prop::collection::vec(any::<u8>(), 0..500),
            level in 0u32..12,
        ) {
            for compression in ALL {
                let deflated = compression.deflate(&body, level).unwrap();
                prop_assert_eq!(&compression.inflate(&deflated, 500).unwrap(), &body);
            }
        }

        #[test]
        fn any_bytes_are_refused_or_inflated(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            for compression in ALL {
                if let Ok(inflated) = compression.inflate(&bytes, 1000) {
                    prop_assert!(inflated.len() <= 1000);
                }
            }
        }
    }
}
