//! The binary header, Java's `ROCKETMQ`.
//!
//! ```text
//! code:i16 language:u8 version:i16 opaque:i32 flag:i32 remark:i32+n fields:i32+n
//! fields = (name:i16+n value:i32+n)*      a length of 0 is Java's null
//! ```

use bytes::{BufMut, BytesMut};

use super::Parsed;
use crate::protocol::code::RequestCode;
use crate::protocol::command::{FLAG_RESPONSE, FrameError, Head};
use crate::protocol::ext_fields::{FieldSink, Span};
use crate::protocol::header::EncodeHeader;

/// Reads the header in `bytes[at..]`.
pub(crate) fn read(bytes: &[u8], at: usize, into: &mut Parsed) -> Result<(), FrameError> {
    let mut reader = Reader { bytes, at };
    into.code = i32::from(i16::from_be_bytes(reader.array()?));
    into.language = u8::from_be_bytes(reader.array()?);
    into.version = i32::from(i16::from_be_bytes(reader.array()?));
    into.opaque = i32::from_be_bytes(reader.array()?);
    into.flag = i32::from_be_bytes(reader.array()?);
    into.remark = reader.long_text()?;
    if into.flag & FLAG_RESPONSE == 0 {
        into.code = whole_code(into.code);
    }
    let len = i32::from_be_bytes(reader.array()?);
    if len > 0 {
        let end = reader.at + len as usize;
        let Some(map) = bytes.get(..end) else {
            return Err(reader.error("fields are longer than the header"));
        };
        let mut reader = Reader { bytes: map, at: reader.at };
        while reader.at < end {
            let name = reader.short_text()?;
            let value = reader.long_text()?;
            if let (Some(name), Some(value)) = (name, value) {
                into.fields.push((name, value));
            }
        }
    }
    Ok(())
}

/// Puts back the high bits that codes above 32767 lose on the wire.
fn whole_code(code: i32) -> i32 {
    // Java quirk: its own broker answers 3 to such a code. No code of its own has these low bits.
    let whole = code + (3 << 16);
    match (RequestCode::from_i32(code), RequestCode::from_i32(whole)) {
        (None, Some(whole)) => whole.into(),
        _ => code,
    }
}

struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let Some(array) = self.bytes[self.at..].first_chunk() else {
            return Err(self.error("ends early"));
        };
        self.at += N;
        Ok(*array)
    }

    fn short_text(&mut self) -> Result<Option<Span>, FrameError> {
        let len = i16::from_be_bytes(self.array()?);
        self.text(i32::from(len))
    }

    fn long_text(&mut self) -> Result<Option<Span>, FrameError> {
        let len = i32::from_be_bytes(self.array()?);
        self.text(len)
    }

    fn text(&mut self, len: i32) -> Result<Option<Span>, FrameError> {
        let Ok(len) = usize::try_from(len) else { return Err(self.error("negative length")) };
        let end = self.at + len;
        let Some(text) = self.bytes.get(self.at..end) else {
            return Err(self.error("text is longer than the header"));
        };
        // Nearly every text is ASCII, and short: this takes a third of what checking UTF-8 does.
        let all = text.iter().fold(0, |all, byte| all | byte);
        if !all.is_ascii() && std::str::from_utf8(text).is_err() {
            return Err(self.error("not UTF-8"));
        }
        let span = Span::new(self.at, end);
        self.at = end;
        Ok((len > 0).then_some(span))
    }

    fn error(&self, problem: &'static str) -> FrameError {
        FrameError::Binary { problem, at: self.at }
    }
}

/// Writes the header.
pub(crate) fn write<H: EncodeHeader>(
    out: &mut BytesMut,
    head: &Head<'_>,
    header: &H,
    extra: &[(&str, &str)],
) {
    // Wire: both fields have 16 bits; a larger code loses its high bits, in Java too.
    out.put_i16(head.code as i16);
    out.put_u8(head.language as i32 as u8);
    out.put_i16(head.version as i16);
    out.put_i32(head.opaque);
    out.put_i32(head.flag);
    put_text(out, head.remark.unwrap_or_default());
    let start = out.len();
    out.put_i32(0);
    let mut sink = Sink { out };
    header.encode(&mut sink);
    for (name, value) in extra {
        sink.put(name, value);
    }
    let len = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&len.to_be_bytes());
}

fn put_text(out: &mut BytesMut, text: &str) {
    out.put_u32(text.len() as u32);
    out.put_slice(text.as_bytes());
}

struct Sink<'o> {
    out: &'o mut BytesMut,
}

impl FieldSink for Sink<'_> {
    fn put(&mut self, name: &str, value: &str) {
        // A name that long has no form here; no header has one, and free fields are dropped.
        let Ok(len) = i16::try_from(name.len()) else { return };
        self.out.put_i16(len);
        self.out.put_slice(name.as_bytes());
        put_text(self.out, value);
    }
}
