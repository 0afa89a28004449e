//! `Frame`, one received command that owns its bytes.

use bytes::{Buf, Bytes, BytesMut};

use super::{FLAG_ONEWAY, FLAG_RESPONSE, FRAME_SIZE_MAX, ResponseTag};
use crate::protocol::encoding::{Encoding, Parsed, binary, json};
use crate::protocol::ext_fields::Fields;
use crate::protocol::header::{Header, HeaderError, Routing};

/// Why bytes are no frame; the connection they came on is beyond repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The announced length is over the cap.
    #[error("frame of {len} bytes is over the limit of {FRAME_SIZE_MAX}")]
    TooLarge {
        /// The announced length, prefix included.
        len: u64,
    },
    /// The bytes are not as many as the frame announces.
    #[error("frame of {len} bytes announces {announced}")]
    Length {
        /// The bytes that are there.
        len: usize,
        /// The announced length, prefix included.
        announced: usize,
    },
    /// The header does not fit into the frame.
    #[error("header of {header} bytes in a frame of {frame}")]
    HeaderLength {
        /// The announced length of the header.
        header: usize,
        /// The length of the frame, prefix included.
        frame: usize,
    },
    /// No known encoding.
    #[error("unknown header encoding {0}")]
    Encoding(u8),
    /// The JSON header is malformed.
    #[error("JSON header: {problem} at byte {at}")]
    Json {
        /// What is wrong.
        problem: &'static str,
        /// Where in the frame.
        at: usize,
    },
    /// The binary header is malformed.
    #[error("binary header: {problem} at byte {at}")]
    Binary {
        /// What is wrong.
        problem: &'static str,
        /// Where in the frame.
        at: usize,
    },
}

/// The length of the frame that `buf` begins with, prefix included, once it can be told.
///
/// Refuses a length over the cap, so that nobody buffers for it.
pub fn frame_len(buf: &[u8]) -> Result<Option<usize>, FrameError> {
    let Some(mut prefix) = buf.get(..4) else { return Ok(None) };
    let len = u64::from(prefix.get_u32()) + 4;
    if len > FRAME_SIZE_MAX as u64 {
        return Err(FrameError::TooLarge { len });
    }
    Ok(Some(len as usize))
}

/// One received command.
#[derive(Debug)]
pub struct Frame {
    bytes: BytesMut,
    encoding: Encoding,
    body_start: usize,
    parsed: Parsed,
}

impl Frame {
    /// Decodes exactly one frame, length prefix included.
    ///
    /// Escapes in JSON strings are resolved in place, so that every field is a plain span.
    pub fn decode(bytes: BytesMut) -> Result<Self, FrameError> {
        let len = bytes.len();
        let announced = frame_len(&bytes)?.unwrap_or(4);
        if announced != len {
            return Err(FrameError::Length { len, announced });
        }
        let Some(mut mark) = bytes.get(4..8) else {
            return Err(FrameError::HeaderLength { header: 0, frame: len });
        };
        let mark = mark.get_u32();
        let kind = (mark >> 24) as u8;
        let encoding = Encoding::from_u8(kind).ok_or(FrameError::Encoding(kind))?;
        let header = (mark & 0x00ff_ffff) as usize;
        let body_start = 8 + header;
        if body_start > len {
            return Err(FrameError::HeaderLength { header, frame: len });
        }
        let mut frame = Self { bytes, encoding, body_start, parsed: Parsed::default() };
        let head = &mut frame.bytes[..body_start];
        match encoding {
            Encoding::Json => json::read(head, 8, &mut frame.parsed)?,
            Encoding::Rocketmq => binary::read(head, 8, &mut frame.parsed)?,
        }
        Ok(frame)
    }

    /// The request code, or the response code of an answer.
    pub fn code(&self) -> i32 {
        self.parsed.code
    }

    /// The number that ties an answer to its request.
    pub fn opaque(&self) -> i32 {
        self.parsed.opaque
    }

    /// The flag bits.
    pub fn flag(&self) -> i32 {
        self.parsed.flag
    }

    /// The sender's version, an ordinal of Java's `MQVersion`.
    pub fn version(&self) -> i32 {
        self.parsed.version
    }

    /// The sender's language, see [`LanguageCode`](crate::protocol::code::LanguageCode).
    pub fn language(&self) -> u8 {
        self.parsed.language
    }

    /// The encoding of the header.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Whether this is an answer.
    pub fn is_response(&self) -> bool {
        self.parsed.flag & FLAG_RESPONSE != 0
    }

    /// Whether nobody waits for an answer.
    pub fn is_oneway(&self) -> bool {
        self.parsed.flag & FLAG_ONEWAY != 0
    }

    /// The remark, mostly an error text.
    pub fn remark(&self) -> Option<&str> {
        self.parsed.remark.map(|span| span.text(&self.bytes))
    }

    /// The value of an ext field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.ext_fields().field(name)
    }

    /// The ext fields in the order of the wire.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.ext_fields().iter()
    }

    /// The ext fields, for decoders.
    pub fn ext_fields(&self) -> Fields<'_> {
        Fields::new(&self.bytes, &self.parsed.fields)
    }

    /// Decodes the header.
    pub fn header<'a, H: Header<'a>>(&'a self) -> Result<H, HeaderError> {
        H::decode(self.ext_fields())
    }

    /// The fields any request may carry beside its header.
    pub fn routing(&self) -> Routing<'_> {
        Routing::of(self.ext_fields())
    }

    /// The body, empty if there is none.
    pub fn body(&self) -> &[u8] {
        &self.bytes[self.body_start..]
    }

    /// Gives up the frame for its body, without a copy.
    pub fn into_body(self) -> Bytes {
        let mut bytes = self.bytes;
        bytes.advance(self.body_start);
        bytes.freeze()
    }

    /// What an answer to this request needs to know of it.
    pub fn tag(&self) -> ResponseTag {
        ResponseTag { opaque: self.opaque(), encoding: self.encoding, oneway: self.is_oneway() }
    }
}
