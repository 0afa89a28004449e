//! The ext fields of a header: text under names, held as spans of the received frame.

use smallvec::SmallVec;

/// A stretch of the frame's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    len: u32,
}

impl Span {
    /// The span `start..end`; frames are capped far below 4 GiB.
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, len: end.saturating_sub(start) as u32 }
    }

    /// Where what is behind it begins.
    pub(crate) fn end(self) -> usize {
        (self.start + self.len) as usize
    }

    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        let start = self.start as usize;
        bytes.get(start..start + self.len as usize).unwrap_or_default()
    }

    pub(crate) fn text(self, bytes: &[u8]) -> &str {
        // Invariant: decoders checked the text of every span they hand out.
        std::str::from_utf8(self.of(bytes)).unwrap_or_default()
    }
}

/// Names and values in the order of the wire; no allocation up to 24 fields.
pub(crate) type FieldSpans = SmallVec<[(Span, Span); 24]>;

/// The ext fields of one frame.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    bytes: &'a [u8],
    spans: &'a [(Span, Span)],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a [u8], spans: &'a [(Span, Span)]) -> Self {
        Self { bytes, spans }
    }

    /// The value of a field; of equal names the last one counts, as in Java.
    pub fn field(&self, name: &str) -> Option<&'a str> {
        let found = self.spans.iter().rev().find(|(key, _)| key.of(self.bytes) == name.as_bytes());
        found.map(|(_, value)| value.text(self.bytes))
    }

    /// All fields in the order of the wire, duplicates included.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let bytes = self.bytes;
        self.spans.iter().map(move |(key, value)| (key.text(bytes), value.text(bytes)))
    }

    /// The same as bytes; what derived decoders walk over.
    pub fn raw(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let bytes = self.bytes;
        self.spans.iter().map(move |(key, value)| (key.of(bytes), value.of(bytes)))
    }

    /// The number of fields.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }
}

/// Takes the fields of a header that is being written.
pub trait FieldSink {
    /// Writes one field.
    fn put(&mut self, name: &str, value: &str);

    /// Writes a field of a header that is a number: there is nothing to escape in either.
    fn put_number(&mut self, name: &'static str, digits: &str) {
        self.put(name, digits);
    }
}
