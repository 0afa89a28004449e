//! Writing of frames straight into an output buffer.

use bytes::{BufMut, BytesMut};

use super::{FLAG_ONEWAY, FRAME_SIZE_MAX, Responder, ResponseTag};
use crate::protocol::code::{LanguageCode, ResponseCode, VERSION};
use crate::protocol::encoding::{Encoding, binary, json};
use crate::protocol::header::EncodeHeader;

/// The fixed part of a header to write.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Request or response code.
    pub code: i32,
    /// The number that ties an answer to its request.
    pub opaque: i32,
    /// Flag bits.
    pub flag: i32,
    /// Error text.
    pub remark: Option<&'a str>,
    /// How the header is written.
    pub encoding: Encoding,
    /// The sender's language.
    pub language: LanguageCode,
    /// The sender's version.
    pub version: i32,
}

impl Default for Head<'_> {
    fn default() -> Self {
        Self {
            code: 0,
            opaque: 0,
            flag: 0,
            remark: None,
            encoding: Encoding::Json,
            language: LanguageCode::Java,
            version: VERSION,
        }
    }
}

/// A frame being written: the header is there, the body is appended, `finish` sets the length.
///
/// Dropped without `finish`, it leaves no trace in the buffer.
#[derive(Debug)]
pub struct FrameWriter<'o> {
    out: &'o mut BytesMut,
    start: usize,
    /// Set for an answer.
    tag: Option<ResponseTag>,
    finished: bool,
}

impl<'o> FrameWriter<'o> {
    /// Writes prefix and header; `extra` are free ext fields behind those of the header.
    pub fn begin(
        out: &'o mut BytesMut,
        head: &Head<'_>,
        header: &impl EncodeHeader,
        extra: &[(&str, &str)],
    ) -> Self {
        let start = out.len();
        out.put_u64(0);
        match head.encoding {
            Encoding::Json => json::write(out, head, header, extra),
            Encoding::Rocketmq => binary::write(out, head, header, extra),
        }
        // A header over 24 bits has no valid mark; the frame is then over its limit in any case.
        let header_len = (out.len() - start - 8) as u32 & 0x00ff_ffff;
        let mark = u32::from(head.encoding as u8) << 24 | header_len;
        out[start + 4..start + 8].copy_from_slice(&mark.to_be_bytes());
        Self { out, start, tag: None, finished: false }
    }

    pub(super) fn answering(mut self, tag: ResponseTag) -> Self {
        self.tag = Some(tag);
        self
    }

    /// The buffer, to append the body to; what is in it already must stay.
    pub fn body(&mut self) -> &mut BytesMut {
        self.out
    }

    /// Sets the length. The frame is in the buffer then, or for a oneway request nothing is.
    ///
    /// An answer over the frame limit is replaced by an error answer, a request is left out.
    pub fn finish(self) {
        self.finish_with(0);
    }

    /// Like `finish`, for a frame whose last `tail` bytes are sent from elsewhere, after these.
    ///
    /// Returns whether the tail is to be sent.
    pub fn finish_with(mut self, tail: usize) -> bool {
        let len = self.out.len() - self.start + tail;
        if self.tag.is_some_and(|tag| tag.oneway) {
            return false;
        }
        if len > FRAME_SIZE_MAX {
            self.replace(len);
            return false;
        }
        let length = (len - 4) as u32;
        self.out[self.start..self.start + 4].copy_from_slice(&length.to_be_bytes());
        self.finished = true;
        true
    }

    fn replace(&mut self, len: usize) {
        self.out.truncate(self.start);
        self.finished = true;
        if let Some(tag) = self.tag {
            let remark = format!("answer of {len} bytes is over the limit of {FRAME_SIZE_MAX}");
            Responder::new(tag, self.out).error(ResponseCode::SystemError, &remark);
        }
    }
}

impl Drop for FrameWriter<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.out.truncate(self.start);
        }
    }
}

/// The fixed part of a request to write.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestHead {
    /// The request code.
    pub code: i32,
    /// The number the answer will repeat.
    pub opaque: i32,
    /// Whether no answer is wanted.
    pub oneway: bool,
    /// How the header is written.
    pub encoding: Encoding,
}

/// A frame that no receiver would take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("frame is over the limit of {FRAME_SIZE_MAX} bytes")]
pub struct FrameTooLarge;

/// Writes a whole request; leaves the buffer as it was if the frame would be too large.
pub fn encode_request(
    out: &mut BytesMut,
    request: RequestHead,
    header: &impl EncodeHeader,
    extra: &[(&str, &str)],
    body: &[u8],
) -> Result<(), FrameTooLarge> {
    let head = Head {
        code: request.code,
        opaque: request.opaque,
        flag: if request.oneway { FLAG_ONEWAY } else { 0 },
        encoding: request.encoding,
        ..Head::default()
    };
    let mut writer = FrameWriter::begin(out, &head, header, extra);
    writer.body().extend_from_slice(body);
    if writer.finish_with(0) { Ok(()) } else { Err(FrameTooLarge) }
}

/// The code of a frame that was written here; none if there is none.
pub fn written_code(frame: &[u8]) -> Option<i32> {
    match Encoding::from_u8(*frame.get(4)?)? {
        Encoding::Json => {
            let number = frame.get(8..)?.strip_prefix(json::CODE.as_bytes())?;
            let end = number.iter().position(|byte| !matches!(byte, b'-' | b'0'..=b'9'))?;
            std::str::from_utf8(&number[..end]).ok()?.parse().ok()
        }
        Encoding::Rocketmq => {
            frame.get(8..)?.first_chunk().map(|code| i16::from_be_bytes(*code).into())
        }
    }
}
