//! `Responder`, which writes the answer to one request.

use bytes::BytesMut;

use super::{FLAG_RESPONSE, Frame, FrameWriter, Head};
use crate::protocol::code::ResponseCode;
use crate::protocol::encoding::Encoding;
use crate::protocol::header::{EncodeHeader, NoHeader};

/// Bytes of a remark: a request may have put a megabyte into what it quotes.
const REMARK_MAX: usize = 4096;

/// What an answer repeats of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseTag {
    /// The request's number.
    pub opaque: i32,
    /// The request's encoding, which the answer takes over.
    pub encoding: Encoding,
    /// Whether nobody waits; then nothing is written.
    pub oneway: bool,
}

impl ResponseTag {
    /// What an answer becomes that was written before what it waited for has failed: its fields
    /// and its body with another code and remark.
    pub fn failed(self, answer: BytesMut, code: impl Into<i32>, remark: &str) -> BytesMut {
        let mut bytes = BytesMut::new();
        // Nothing was written where nobody waits.
        if let Ok(written) = Frame::decode(answer) {
            let fields: Vec<_> = written.fields().collect();
            let mut out = Responder::new(self, &mut bytes);
            out.respond(code, Some(remark), &NoHeader, &fields, written.body());
        }
        bytes
    }
}

/// Writes the answer to one request into the output of its connection.
#[derive(Debug)]
pub struct Responder<'o> {
    tag: ResponseTag,
    out: &'o mut BytesMut,
    code: Option<i32>,
    holds: bool,
}

impl<'o> Responder<'o> {
    /// Answers the request of `tag` into `out`.
    pub fn new(tag: ResponseTag, out: &'o mut BytesMut) -> Self {
        Self { tag, out, code: None, holds: false }
    }

    /// Success with a header.
    pub fn ok(&mut self, header: &impl EncodeHeader) {
        self.respond(ResponseCode::Success, None, header, &[], &[]);
    }

    /// Success with nothing else.
    pub fn ok_empty(&mut self) {
        self.respond(ResponseCode::Success, None, &NoHeader, &[], &[]);
    }

    /// Success with a body.
    pub fn ok_body(&mut self, body: &[u8]) {
        self.respond(ResponseCode::Success, None, &NoHeader, &[], body);
    }

    /// Failure.
    pub fn error(&mut self, code: impl Into<i32>, remark: &str) {
        self.respond(code, Some(remark), &NoHeader, &[], &[]);
    }

    /// Any answer; `extra` are free ext fields behind those of the header.
    pub fn respond(
        &mut self,
        code: impl Into<i32>,
        remark: Option<&str>,
        header: &impl EncodeHeader,
        extra: &[(&str, &str)],
        body: &[u8],
    ) {
        let code = code.into();
        self.code = Some(code);
        if self.tag.oneway {
            return;
        }
        let mut writer = self.begin(code, remark, header, extra);
        writer.body().extend_from_slice(body);
        writer.finish();
    }

    /// Begins an answer whose body is written in place.
    pub fn begin(
        &mut self,
        code: impl Into<i32>,
        remark: Option<&str>,
        header: &impl EncodeHeader,
        extra: &[(&str, &str)],
    ) -> FrameWriter<'_> {
        let code = code.into();
        self.code = Some(code);
        let head = Head {
            code,
            opaque: self.tag.opaque,
            flag: FLAG_RESPONSE,
            remark: remark.map(|text| &text[..text.floor_char_boundary(REMARK_MAX)]),
            encoding: self.tag.encoding,
            ..Head::default()
        };
        FrameWriter::begin(self.out, &head, header, extra).answering(self.tag)
    }

    /// The code of the answer, also of one that nobody waits for; none before there is one.
    pub fn code(&self) -> Option<i32> {
        self.code
    }

    /// Notes, for whoever counts, that the answer is held until there is something to say.
    pub fn hold(&mut self) {
        self.holds = true;
    }

    /// Whether the answer is held until there is something to say.
    pub fn holds(&self) -> bool {
        self.holds
    }

    /// What the answer repeats of its request; enough to answer later.
    pub fn tag(&self) -> ResponseTag {
        self.tag
    }

    /// The output of the connection, with the answers written so far.
    pub fn buffer(&mut self) -> &mut BytesMut {
        self.out
    }
}
