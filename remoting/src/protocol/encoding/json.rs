//! The JSON header.
//!
//! The reader is one pass without recursion and without allocation. It takes what fastjson takes:
//! bare and single-quoted keys, stray commas, numbers as text and text as numbers, keys spelled
//! with other case. Escapes are resolved in place: no escape is shorter than what it stands for.
//! The writer makes strict JSON with the members in alphabetical order, as Java does.

use bytes::{BufMut, BytesMut};

use super::Parsed;
use super::json_text::{find_end, put_string, unescape};
use crate::protocol::code::LanguageCode;
use crate::protocol::command::{FrameError, Head};
use crate::protocol::ext_fields::{FieldSink, Span};
use crate::protocol::header::{EncodeHeader, integer};

/// How deep values of unknown members may nest.
const DEPTH_MAX: u32 = 64;

/// Reads the header in `bytes[at..]`, resolving escapes in place.
pub(crate) fn read(bytes: &mut [u8], at: usize, into: &mut Parsed) -> Result<(), FrameError> {
    // Invariant: every span ends at ASCII bytes of checked text, and so is checked text itself.
    if let Err(error) = std::str::from_utf8(&bytes[at..]) {
        let at = at + error.valid_up_to();
        return Err(FrameError::Json { problem: "not UTF-8", at });
    }
    let mut scanner = Scanner { bytes, at };
    scanner.space();
    scanner.object(|scanner, key| {
        let member = Member::of(key.of(scanner.bytes));
        scanner.member(member, into)
    })?;
    scanner.space();
    if scanner.peek().is_some() {
        return Err(scanner.error("bytes behind the object"));
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Member {
    Code,
    Language,
    Version,
    Opaque,
    Flag,
    Remark,
    ExtFields,
    Unknown,
}

impl Member {
    fn of(key: &[u8]) -> Self {
        Self::exact(key).unwrap_or_else(|| Self::smart(key))
    }

    fn exact(key: &[u8]) -> Option<Self> {
        Some(match key {
            b"code" => Self::Code,
            b"language" => Self::Language,
            b"version" => Self::Version,
            b"opaque" => Self::Opaque,
            b"flag" => Self::Flag,
            b"remark" => Self::Remark,
            b"extFields" => Self::ExtFields,
            b"serializeTypeCurrentRPC" => Self::Unknown,
            _ => return None,
        })
    }

    // Java quirk: a key without exact match is compared without case, `_` and `-`.
    fn smart(key: &[u8]) -> Self {
        let mut plain = [0; 9];
        let mut len = 0;
        for byte in key.iter().filter(|byte| !matches!(byte, b'_' | b'-')) {
            let Some(place) = plain.get_mut(len) else { return Self::Unknown };
            *place = byte.to_ascii_lowercase();
            len += 1;
        }
        match &plain[..len] {
            b"extfields" => Self::ExtFields,
            plain => Self::exact(plain).unwrap_or(Self::Unknown),
        }
    }
}

enum Value {
    /// A string, escapes resolved.
    Text(Span),
    /// Anything else as it stands.
    Raw(Span),
    Null,
}

struct Scanner<'b> {
    bytes: &'b mut [u8],
    at: usize,
}

impl Scanner<'_> {
    fn member(&mut self, member: Member, into: &mut Parsed) -> Result<(), FrameError> {
        if matches!(member, Member::ExtFields) && self.peek() == Some(b'{') {
            into.fields.clear();
            return self.object(|scanner, key| {
                if let Value::Text(value) | Value::Raw(value) = scanner.value()? {
                    into.fields.push((key, value));
                }
                Ok(())
            });
        }
        let value = self.value()?;
        match member {
            Member::Code => self.number(value, &mut into.code)?,
            Member::Version => self.number(value, &mut into.version)?,
            Member::Opaque => self.number(value, &mut into.opaque)?,
            Member::Flag => self.number(value, &mut into.flag)?,
            Member::Language => into.language = self.language(value),
            Member::Remark => {
                into.remark = match value {
                    Value::Text(text) | Value::Raw(text) => Some(text),
                    Value::Null => None,
                }
            }
            Member::ExtFields if !matches!(value, Value::Null) => {
                return Err(self.error("extFields is no object"));
            }
            Member::ExtFields | Member::Unknown => {}
        }
        Ok(())
    }

    fn number(&self, value: Value, into: &mut i32) -> Result<(), FrameError> {
        let (Value::Text(text) | Value::Raw(text)) = value else { return Ok(()) };
        let number = integer(text.of(self.bytes)).and_then(|number| number.try_into().ok());
        *into = number.ok_or_else(|| self.error("not a number of 32 bits"))?;
        Ok(())
    }

    fn language(&self, value: Value) -> u8 {
        match value {
            Value::Text(name) => LanguageCode::from_name(name.text(self.bytes)) as u8,
            Value::Raw(ordinal) => {
                let code = integer(ordinal.of(self.bytes)).and_then(|code| code.try_into().ok());
                code.unwrap_or(LanguageCode::Other as u8)
            }
            Value::Null => LanguageCode::Other as u8,
        }
    }

    /// Reads an object; `each` is called with a key when its value comes next.
    fn object(
        &mut self,
        mut each: impl FnMut(&mut Self, Span) -> Result<(), FrameError>,
    ) -> Result<(), FrameError> {
        self.expect(b'{', "object expected")?;
        loop {
            while self.space() == Some(b',') {
                self.at += 1;
            }
            if self.peek() == Some(b'}') {
                self.at += 1;
                return Ok(());
            }
            let key = self.key()?;
            self.space();
            self.expect(b':', "colon expected")?;
            self.space();
            each(self, key)?;
            match self.space() {
                Some(b',') => self.at += 1,
                Some(b'}') => {}
                _ => return Err(self.error("comma or end of object expected")),
            }
        }
    }

    fn key(&mut self) -> Result<Span, FrameError> {
        match self.peek() {
            Some(quote @ (b'"' | b'\'')) => self.string(quote),
            _ => self.bare("key expected"),
        }
    }

    fn value(&mut self) -> Result<Value, FrameError> {
        match self.peek() {
            Some(quote @ (b'"' | b'\'')) => self.string(quote).map(Value::Text),
            Some(b'{' | b'[') => self.nested().map(Value::Raw),
            _ => {
                let word = self.bare("value expected")?;
                let null = matches!(word.of(self.bytes), b"null" | b"undefined");
                Ok(if null { Value::Null } else { Value::Raw(word) })
            }
        }
    }

    /// Reads a word without quotes.
    fn bare(&mut self, problem: &'static str) -> Result<Span, FrameError> {
        let start = self.at;
        let word = self.bytes[start..].iter().take_while(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'+' | b'-' | b'.')
        });
        self.at += word.count();
        if self.at == start {
            return Err(self.error(problem));
        }
        Ok(Span::new(start, self.at))
    }

    fn string(&mut self, quote: u8) -> Result<Span, FrameError> {
        let start = self.at + 1;
        let Some(len) = find_end(&self.bytes[start..], quote) else {
            return Err(self.error("string without end"));
        };
        let end = start + len;
        if self.bytes[end] == quote {
            self.at = end + 1;
            return Ok(Span::new(start, end));
        }
        self.string_with_escapes(quote, start, end)
    }

    fn string_with_escapes(
        &mut self,
        quote: u8,
        start: usize,
        first: usize,
    ) -> Result<Span, FrameError> {
        let (mut read, mut write) = (first, first);
        while self.bytes[read] == b'\\' {
            let Some((character, taken)) = unescape(&self.bytes[read + 1..]) else {
                self.at = read;
                return Err(self.error("unknown escape"));
            };
            read += 1 + taken;
            let mut text = [0; 4];
            let text = character.encode_utf8(&mut text).as_bytes();
            self.bytes[write..write + text.len()].copy_from_slice(text);
            write += text.len();
            let Some(len) = find_end(&self.bytes[read..], quote) else {
                return Err(self.error("string without end"));
            };
            self.bytes.copy_within(read..read + len, write);
            read += len;
            write += len;
        }
        self.at = read + 1;
        Ok(Span::new(start, write))
    }

    /// Passes over an object or an array; brackets must match, the rest is not looked at.
    fn nested(&mut self) -> Result<Span, FrameError> {
        let start = self.at;
        let (mut depth, mut objects) = (0u32, 0u64);
        while let Some(byte) = self.peek() {
            match byte {
                b'"' | b'\'' => {
                    self.pass_string(byte)?;
                    continue;
                }
                b'{' | b'[' if depth == DEPTH_MAX => return Err(self.error("nested too deep")),
                b'{' | b'[' => {
                    objects = objects << 1 | u64::from(byte == b'{');
                    depth += 1;
                }
                b'}' | b']' => {
                    if (objects & 1 == 1) != (byte == b'}') {
                        return Err(self.error("brackets do not match"));
                    }
                    objects >>= 1;
                    depth -= 1;
                }
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Ok(Span::new(start, self.at));
            }
        }
        Err(self.error("value without end"))
    }

    fn pass_string(&mut self, quote: u8) -> Result<(), FrameError> {
        self.at += 1;
        while let Some(len) = find_end(&self.bytes[self.at..], quote) {
            self.at += len + 1;
            if self.bytes[self.at - 1] == quote {
                return Ok(());
            }
            self.at = (self.at + 1).min(self.bytes.len());
        }
        Err(self.error("string without end"))
    }

    /// Passes over white space; what comes next.
    fn space(&mut self) -> Option<u8> {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\n' | b'\r' | 0x8 | 0xc) => self.at += 1,
                next => return next,
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8, problem: &'static str) -> Result<(), FrameError> {
        if self.peek() != Some(byte) {
            return Err(self.error(problem));
        }
        self.at += 1;
        Ok(())
    }

    fn error(&self, problem: &'static str) -> FrameError {
        FrameError::Json { problem, at: self.at }
    }
}

/// What a header that is written here begins with.
pub(crate) const CODE: &str = "{\"code\":";

/// Writes the header.
pub(crate) fn write<H: EncodeHeader>(
    out: &mut BytesMut,
    head: &Head<'_>,
    header: &H,
    extra: &[(&str, &str)],
) {
    put_number(out, CODE, head.code);
    if H::PRESENT || !extra.is_empty() {
        out.put_slice(b",\"extFields\":{");
        let mut sink = Sink { out, first: true };
        header.encode(&mut sink);
        for (name, value) in extra {
            sink.put(name, value);
        }
        out.put_u8(b'}');
    }
    put_number(out, ",\"flag\":", head.flag);
    out.put_slice(b",\"language\":\"");
    out.put_slice(head.language.java_name().as_bytes());
    put_number(out, "\",\"opaque\":", head.opaque);
    if let Some(remark) = head.remark {
        out.put_slice(b",\"remark\":");
        put_string(out, remark.as_bytes());
    }
    put_number(out, ",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":", head.version);
    out.put_u8(b'}');
}

fn put_number(out: &mut BytesMut, before: &str, number: i32) {
    out.put_slice(before.as_bytes());
    out.put_slice(itoa::Buffer::new().format(number).as_bytes());
}

struct Sink<'o> {
    out: &'o mut BytesMut,
    first: bool,
}

impl FieldSink for Sink<'_> {
    fn put(&mut self, name: &str, value: &str) {
        if !self.first {
            self.out.put_u8(b',');
        }
        self.first = false;
        put_string(self.out, name.as_bytes());
        self.out.put_u8(b':');
        put_string(self.out, value.as_bytes());
    }
}
