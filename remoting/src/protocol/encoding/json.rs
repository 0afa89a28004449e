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
use crate::protocol::ext_fields::{FieldSink, FieldSpans, Span};
use crate::protocol::header::{EncodeHeader, integer};

/// How deep values of unknown members may nest.
const DEPTH_MAX: u32 = 64;

/// Reads the header in `bytes[at..]`, resolving escapes in place.
pub(crate) fn read(bytes: &mut [u8], at: usize, into: &mut Parsed) -> Result<(), FrameError> {
    // Invariant: every span ends at ASCII bytes of checked text, and so is checked text itself.
    if !bytes[at..].is_ascii()
        && let Err(error) = std::str::from_utf8(&bytes[at..])
    {
        let at = at + error.valid_up_to();
        return Err(FrameError::Json { problem: "not UTF-8", at });
    }
    let mut scanner = Scanner { bytes, at, problem: "" };
    scanner.header(into).map_err(|Malformed| scanner.error())
}

/// The bytes of words without quotes.
const BARE: [bool; 256] = {
    let mut bare = [false; 256];
    let mut byte = 0;
    while byte < bare.len() {
        let character = byte as u8;
        bare[byte] = character.is_ascii_alphanumeric()
            || matches!(character, b'_' | b'$' | b'+' | b'-' | b'.');
        byte += 1;
    }
    bare
};

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
    /// What is wrong at `at` when something is.
    problem: &'static str,
}

/// A field as nearly all clients write nearly all of them: two strings without escapes and blanks.
/// Also what comes behind it, which is a comma or the end of the object.
#[inline(always)]
fn plain_field(bytes: &[u8], at: usize) -> Option<(Span, Span, u8)> {
    let name = plain_text(bytes, at)?;
    let colon = name.end() + 1;
    if *bytes.get(colon)? != b':' {
        return None;
    }
    let value = plain_text(bytes, colon + 1)?;
    let behind = *bytes.get(value.end() + 1)?;
    matches!(behind, b',' | b'}').then_some((name, value, behind))
}

/// What stands between the quotes that begin at `at`, if there is no escape.
#[inline(always)]
fn plain_text(bytes: &[u8], at: usize) -> Option<Span> {
    let (quote, text) = bytes.get(at..)?.split_first()?;
    let len = find_end(text, b'"')?;
    (*quote == b'"' && *text.get(len)? == b'"').then(|| Span::new(at + 1, at + 1 + len))
}

/// The scanner says what is wrong: what is returned for every string fits into registers.
struct Malformed;

impl Scanner<'_> {
    fn header(&mut self, into: &mut Parsed) -> Result<(), Malformed> {
        self.space();
        self.object(|scanner, key| {
            let member = Member::of(key.of(scanner.bytes));
            scanner.member(member, into)
        })?;
        match self.space() {
            Some(_) => self.fail("bytes behind the object"),
            None => Ok(()),
        }
    }

    fn member(&mut self, member: Member, into: &mut Parsed) -> Result<(), Malformed> {
        if matches!(member, Member::ExtFields) && self.peek() == Some(b'{') {
            into.fields.clear();
            return self.fields(&mut into.fields);
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
                return self.fail("extFields is no object");
            }
            Member::ExtFields | Member::Unknown => {}
        }
        Ok(())
    }

    fn number(&mut self, value: Value, into: &mut i32) -> Result<(), Malformed> {
        let (Value::Text(text) | Value::Raw(text)) = value else { return Ok(()) };
        let number = integer(text.of(self.bytes)).and_then(|number| number.try_into().ok());
        match number {
            Some(number) => *into = number,
            None => return self.fail("not a number of 32 bits"),
        }
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

    fn fields(&mut self, into: &mut FieldSpans) -> Result<(), Malformed> {
        self.expect(b'{', "object expected")?;
        loop {
            while let Some((name, value, behind)) = plain_field(self.bytes, self.at) {
                into.push((name, value));
                self.at = value.end() + 2;
                if behind == b'}' {
                    return Ok(());
                }
            }
            let more = self.pair(&mut |scanner, key| {
                if let Value::Text(value) | Value::Raw(value) = scanner.value()? {
                    into.push((key, value));
                }
                Ok(())
            })?;
            if !more {
                return Ok(());
            }
        }
    }

    /// Reads an object; `each` is called with a key when its value comes next.
    fn object(
        &mut self,
        mut each: impl FnMut(&mut Self, Span) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.expect(b'{', "object expected")?;
        while self.pair(&mut each)? {}
        Ok(())
    }

    /// Reads a key and its value, and what stands between this and the next; false at the end of
    /// the object.
    fn pair(
        &mut self,
        each: &mut impl FnMut(&mut Self, Span) -> Result<(), Malformed>,
    ) -> Result<bool, Malformed> {
        while self.space() == Some(b',') {
            self.at += 1;
        }
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(false);
        }
        let key = self.key()?;
        self.space();
        self.expect(b':', "colon expected")?;
        self.space();
        each(self, key)?;
        match self.space() {
            Some(b',') => self.at += 1,
            Some(b'}') => {}
            _ => return self.fail("comma or end of object expected"),
        }
        Ok(true)
    }

    fn key(&mut self) -> Result<Span, Malformed> {
        match self.peek() {
            Some(quote @ (b'"' | b'\'')) => self.string(quote),
            _ => self.bare("key expected"),
        }
    }

    fn value(&mut self) -> Result<Value, Malformed> {
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
    fn bare(&mut self, problem: &'static str) -> Result<Span, Malformed> {
        let start = self.at;
        let word = self.bytes[start..].iter().take_while(|byte| BARE[usize::from(**byte)]);
        self.at += word.count();
        if self.at == start {
            return self.fail(problem);
        }
        Ok(Span::new(start, self.at))
    }

    #[inline(always)]
    fn string(&mut self, quote: u8) -> Result<Span, Malformed> {
        let start = self.at + 1;
        let Some(len) = find_end(&self.bytes[start..], quote) else {
            return self.fail("string without end");
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
    ) -> Result<Span, Malformed> {
        let (mut read, mut write) = (first, first);
        while self.bytes[read] == b'\\' {
            let Some((character, taken)) = unescape(&self.bytes[read + 1..]) else {
                self.at = read;
                return self.fail("unknown escape");
            };
            read += 1 + taken;
            let mut text = [0; 4];
            let text = character.encode_utf8(&mut text).as_bytes();
            self.bytes[write..write + text.len()].copy_from_slice(text);
            write += text.len();
            let Some(len) = find_end(&self.bytes[read..], quote) else {
                return self.fail("string without end");
            };
            self.bytes.copy_within(read..read + len, write);
            read += len;
            write += len;
        }
        self.at = read + 1;
        Ok(Span::new(start, write))
    }

    /// Passes over an object or an array; brackets must match, the rest is not looked at.
    fn nested(&mut self) -> Result<Span, Malformed> {
        let start = self.at;
        let (mut depth, mut objects) = (0u32, 0u64);
        while let Some(byte) = self.peek() {
            match byte {
                b'"' | b'\'' => {
                    self.pass_string(byte)?;
                    continue;
                }
                b'{' | b'[' if depth == DEPTH_MAX => return self.fail("nested too deep"),
                b'{' | b'[' => {
                    objects = objects << 1 | u64::from(byte == b'{');
                    depth += 1;
                }
                b'}' | b']' => {
                    if (objects & 1 == 1) != (byte == b'}') {
                        return self.fail("brackets do not match");
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
        self.fail("value without end")
    }

    fn pass_string(&mut self, quote: u8) -> Result<(), Malformed> {
        self.at += 1;
        while let Some(len) = find_end(&self.bytes[self.at..], quote) {
            self.at += len + 1;
            if self.bytes[self.at - 1] == quote {
                return Ok(());
            }
            self.at = (self.at + 1).min(self.bytes.len());
        }
        self.fail("string without end")
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

    fn expect(&mut self, byte: u8, problem: &'static str) -> Result<(), Malformed> {
        if self.peek() != Some(byte) {
            return self.fail(problem);
        }
        self.at += 1;
        Ok(())
    }

    #[cold]
    fn fail<T>(&mut self, problem: &'static str) -> Result<T, Malformed> {
        self.problem = problem;
        Err(Malformed)
    }

    fn error(&self) -> FrameError {
        FrameError::Json { problem: self.problem, at: self.at }
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
    begin(out, head);
    if H::PRESENT || !extra.is_empty() {
        out.put_slice(b",\"extFields\":{");
        let mut sink = Sink { out, first: true };
        header.encode(&mut sink);
        for (name, value) in extra {
            sink.put(name, value);
        }
        out.put_u8(b'}');
    }
    end(out, head);
}

fn begin(out: &mut BytesMut, head: &Head<'_>) {
    put_number(out, CODE, head.code);
}

fn end(out: &mut BytesMut, head: &Head<'_>) {
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

#[inline(always)]
fn put_number(out: &mut BytesMut, before: &'static str, number: i32) {
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

    /// The length of the name is known where this is called, so it is no loop.
    #[inline(always)]
    fn put_number(&mut self, name: &'static str, digits: &str) {
        self.out.put_slice(if self.first { b"\"" } else { b",\"" });
        self.first = false;
        self.out.put_slice(name.as_bytes());
        self.out.put_slice(b"\":\"");
        self.out.put_slice(digits.as_bytes());
        self.out.put_u8(b'"');
    }
}
