//! Frames written by Java's own encoders: each decodes to what it was made of, and survives being
//! decoded and written again in both encodings.
#![allow(elided_lifetimes_in_paths)] // The macros name headers without their lifetimes.
#![allow(clippy::unwrap_used)] // A test may fail where it stands.

mod facts;

use std::collections::BTreeMap;

use bytes::BytesMut;
use facts::Row;
use remoting::protocol::code::LanguageCode;
use remoting::protocol::command::{Frame, FrameWriter, Head, frame_len};
use remoting::protocol::encoding::Encoding;
use remoting::protocol::header::*;
use remoting::with_every_header;

fn decoded(row: &Row) -> Frame {
    let bytes = row.bytes("frame_hex");
    assert_eq!(frame_len(&bytes), Ok(Some(bytes.len())));
    Frame::decode(BytesMut::from(&bytes[..])).unwrap()
}

fn owned_fields(frame: &Frame) -> BTreeMap<String, String> {
    frame.fields().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The fields that are on the wire: the binary form cannot carry empty text, and the notes say
/// what the encoders leave out.
fn expected_fields(row: &Row, encoding: Encoding) -> BTreeMap<String, String> {
    let mut fields = row.fields("fields");
    if encoding == Encoding::Rocketmq {
        fields.retain(|_, value| !value.is_empty());
    }
    if let Some(absent) = row.text("note").strip_prefix("not written by the fast encoder: ") {
        absent.split(',').for_each(|name| assert!(fields.remove(name).is_some()));
    }
    fields
}

#[test]
fn every_frame_decodes_to_what_it_was_made_of() {
    for row in facts::rows("golden-frames.tsv") {
        let id = row.text("id");
        let frame = decoded(&row);
        let encoding = match row.text("serialization") {
            "JSON" => Encoding::Json,
            _ => Encoding::Rocketmq,
        };
        assert_eq!(frame.encoding(), encoding, "{id}");
        assert_eq!(frame.code(), row.number("code"), "{id}");
        assert_eq!(frame.opaque(), row.number("opaque"), "{id}");
        assert_eq!(frame.flag(), row.number("flag"), "{id}");
        assert_eq!(frame.version(), row.number("version"), "{id}");
        let language = LanguageCode::from_i32(i32::from(frame.language())).unwrap();
        assert_eq!(language.java_name(), row.text("language"), "{id}");
        assert_eq!(frame.is_response(), row.text("direction") == "response", "{id}");
        let remark = row.json("remark");
        let remark = remark.as_str().filter(|text| encoding == Encoding::Json || !text.is_empty());
        assert_eq!(frame.remark(), remark, "{id}");
        assert_eq!(owned_fields(&frame), expected_fields(&row, encoding), "{id}");
        assert_eq!(frame.body(), row.bytes("body_hex"), "{id}");
    }
}

/// Writes the frame again, with this header and what the header left of the fields.
fn rewritten(
    frame: &Frame,
    header: &impl EncodeHeader,
    known: fn(&FieldFact) -> Option<&'static str>,
    facts: &[FieldFact],
    encoding: Encoding,
) -> Frame {
    let rest: Vec<_> = frame
        .fields()
        .filter(|(name, _)| !facts.iter().any(|fact| known(fact) == Some(name)))
        .collect();
    let head = Head {
        code: frame.code(),
        opaque: frame.opaque(),
        flag: frame.flag(),
        remark: frame.remark(),
        encoding,
        language: LanguageCode::from_i32(i32::from(frame.language())).unwrap(),
        version: frame.version(),
    };
    let mut out = BytesMut::from(&b"before"[..]);
    let mut writer = FrameWriter::begin(&mut out, &head, header, &rest);
    writer.body().extend_from_slice(frame.body());
    writer.finish();
    let again = Frame::decode(out.split_off(6)).unwrap();
    assert_eq!(&out[..], b"before");
    let fixed = |frame: &Frame| (frame.opaque(), frame.flag(), frame.version(), frame.language());
    assert_eq!(fixed(&again), fixed(frame));
    assert_eq!(again.code(), frame.code());
    assert_eq!(again.remark().unwrap_or_default(), frame.remark().unwrap_or_default());
    assert_eq!(again.body(), frame.body());
    for (name, value) in frame.fields() {
        let again = again.field(name);
        assert!(again == Some(value) || (again.is_none() && value.is_empty()), "{name}");
    }
    again
}

macro_rules! check_header {
    ($row:ident, $frame:ident, $header:ty, $facts:expr, $known:expr) => {{
        let id = $row.text("id");
        let first: $header = $frame.header().unwrap_or_else(|error| panic!("{id}: {error}"));
        for encoding in [Encoding::Json, Encoding::Rocketmq] {
            let again = rewritten(&$frame, &first, $known, $facts, encoding);
            let second: $header = again.header().unwrap();
            assert_eq!(first, second, "{id}");
            assert_eq!($frame.routing(), again.routing(), "{id}");
        }
    }};
}

macro_rules! check_row {
    ($($header:ident,)*) => {
        fn check_row(row: &Row) {
            let frame = decoded(row);
            match row.text("header") {
                $(stringify!($header) => check_header!(
                    row,
                    frame,
                    $header,
                    <$header as Describe>::FIELDS,
                    |fact| Some(fact.name)
                ),)*
                "SendMessageRequestHeaderV2" => check_header!(
                    row,
                    frame,
                    Short<SendMessageRequestHeader>,
                    <SendMessageRequestHeader as Describe>::FIELDS,
                    |fact| fact.short
                ),
                "-" => check_header!(row, frame, NoHeader, &[], |_| None),
                unknown => panic!("{}: unknown header {unknown}", row.text("id")),
            }
        }
    };
}

with_every_header!(check_row);

#[test]
fn every_header_survives_both_encodings() {
    facts::rows("golden-frames.tsv").iter().for_each(check_row);
}

#[test]
fn the_short_and_the_long_send_header_mean_the_same() {
    let rows = facts::rows("golden-frames.tsv");
    let frame = |id: &str| decoded(rows.iter().find(|row| row.text("id") == id).unwrap());
    let (long, short) = (frame("req-10"), frame("req-310"));
    let long: SendMessageRequestHeader = long.header().unwrap();
    let Short(short): Short<SendMessageRequestHeader> = short.header().unwrap();
    assert_eq!((long.topic, short.topic), ("topic-value", "b-value"));
    assert_eq!(long.born_timestamp, short.born_timestamp);
    assert_eq!((long.sys_flag, long.flag), (short.sys_flag, short.flag));
    assert_eq!((long.batch, short.batch), (false, true));
    assert_eq!((long.max_reconsume_times, short.max_reconsume_times), (Some(143), Some(132)));
    assert_eq!((long.broker_name, short.broker_name), (Some("bname-value"), Some("n-value")));
}
