//! Frames: liberties taken on reading, strictness on writing, and no input that breaks the reader.
#![allow(clippy::unwrap_used)] // A test may fail where it stands.

use bytes::{BufMut, BytesMut};
use proptest::prelude::*;
use remoting::protocol::code::ResponseCode;
use remoting::protocol::command::{
    FRAME_SIZE_MAX, Frame, FrameError, FrameTooLarge, FrameWriter, Head, RequestHead, Responder,
    ResponseTag, encode_request, frame_len,
};
use remoting::protocol::encoding::Encoding;
use remoting::protocol::header::{
    GetMinOffsetResponseHeader, NoHeader, PullMessageRequestHeader, SendMessageRequestHeader, Short,
};
use remoting::protocol::lenient_json::to_standard;

const ENCODINGS: [Encoding; 2] = [Encoding::Json, Encoding::Rocketmq];

fn framed(encoding: u8, header: &[u8], body: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    out.put_u32((4 + header.len() + body.len()) as u32);
    out.put_u32(u32::from(encoding) << 24 | header.len() as u32);
    out.put_slice(header);
    out.put_slice(body);
    out
}

fn json(header: &str) -> Result<Frame, FrameError> {
    Frame::decode(framed(0, header.as_bytes(), b"body"))
}

fn tag(encoding: Encoding) -> ResponseTag {
    ResponseTag { opaque: 9, encoding, oneway: false }
}

#[test]
fn liberties_of_fastjson_are_taken() {
    let frame = json(
        " {,code:'11', \"OPAQUE\" : \"-5\",,'flag':2,\"Ext_Fields\":{n:1,b:true,o:{\"k\":[1,\"}\"]},
          s:'it\\'s',z:null,\"e\":\"\"},
          serializeTypeCurrentRPC:\"JSON\",more:{a:[{}]},language:9} ",
    )
    .unwrap();
    assert_eq!((frame.code(), frame.opaque(), frame.flag()), (11, -5, 2));
    assert_eq!((frame.version(), frame.language(), frame.remark()), (0, 9, None));
    let fields: Vec<_> = frame.fields().collect();
    let nested = ("o", "{\"k\":[1,\"}\"]}");
    assert_eq!(fields, [("n", "1"), ("b", "true"), nested, ("s", "it's"), ("e", "")]);
    assert_eq!(frame.body(), b"body");
}

#[test]
fn escapes_are_resolved() {
    let frame = json(
        "{\"remark\":\"\\u0001\\u00e9\\ud83d\\ude00\\ud83d!\\x41\\v\\/\\0\",\
         \"extFields\":{\"k\\n\":\"\\\"\u{e9}\\\\\"}}",
    )
    .unwrap();
    assert_eq!(frame.remark(), Some("\u{1}\u{e9}\u{1f600}?!A\u{b}/\0"));
    assert_eq!(frame.fields().collect::<Vec<_>>(), [("k\n", "\"\u{e9}\\")]);
}

#[test]
fn an_unknown_language_is_no_error() {
    for header in ["{\"language\":\"COBOL\"}", "{\"language\":null}", "{language:x}"] {
        assert_eq!(json(header).unwrap().language(), 7, "{header}");
    }
}

#[test]
fn null_ext_fields_are_none() {
    let frame = json("{\"code\":1,\"extFields\":null,\"remark\":null,\"version\":null}").unwrap();
    assert_eq!((frame.fields().count(), frame.remark(), frame.version()), (0, None, 0));
}

#[test]
fn damaged_headers_are_refused() {
    let nested = format!("{{\"x\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let open = format!("{{\"x\":{}", "{\"a\":".repeat(100_000));
    let cases = [
        "",
        "null",
        "[]",
        "{",
        "{\"code\"",
        "{\"code\":",
        "{\"code\":1",
        "{\"code\":1}x",
        "{\"code\":1}{}",
        "{\"code\":}",
        "{\"code\":1 \"flag\":2}",
        "{\"code\":99999999999}",
        "{\"code\":\"x\"}",
        "{\"code\":1.5}",
        "{\"remark\":\"",
        "{\"remark\":\"\\",
        "{\"remark\":\"\\u12\"}",
        "{\"remark\":\"\\q\"}",
        "{\"extFields\":3}",
        "{\"extFields\":[]}",
        "{\"x\":[}",
        "{\"x\":[1}}",
        "{\"x\":{\"a\":\"}}",
        "{:1}",
        &nested,
        &open,
    ];
    for header in cases {
        let error = json(header).unwrap_err();
        assert!(matches!(error, FrameError::Json { .. }), "{header}");
    }
    let bytes = framed(0, b"{\"remark\":\"\xff\"}", &[]);
    assert!(matches!(Frame::decode(bytes), Err(FrameError::Json { at: 19, .. })));
}

#[test]
fn lengths_are_checked_before_anything_is_read() {
    assert_eq!(frame_len(&[0, 0, 1]), Ok(None));
    assert_eq!(frame_len(&16_777_212u32.to_be_bytes()), Ok(Some(FRAME_SIZE_MAX)));
    let error = FrameError::TooLarge { len: FRAME_SIZE_MAX as u64 + 1 };
    assert_eq!(frame_len(&16_777_213u32.to_be_bytes()), Err(error));
    assert!(frame_len(&u32::MAX.to_be_bytes()).is_err());

    let decode = |bytes: &[u8]| Frame::decode(BytesMut::from(bytes)).map(drop);
    let header = |header, frame| Err(FrameError::HeaderLength { header, frame });
    assert_eq!(decode(&[]), Err(FrameError::Length { len: 0, announced: 4 }));
    assert_eq!(decode(&[0, 0, 0, 9, 0]), Err(FrameError::Length { len: 5, announced: 13 }));
    assert_eq!(decode(&[0, 0, 0, 0]), header(0, 4));
    assert_eq!(decode(&[0, 0, 0, 6, 0, 0, 0, 3, b'{', b'}']), header(3, 10));
    assert_eq!(decode(&[0, 0, 0, 4, 2, 0, 0, 0]), Err(FrameError::Encoding(2)));
}

#[test]
fn damaged_binary_headers_are_refused() {
    let mut out = BytesMut::new();
    let fields = [("topic", "orders"), ("queueId", "3")];
    let head = Head { remark: Some("why"), encoding: Encoding::Rocketmq, ..Head::default() };
    FrameWriter::begin(&mut out, &head, &NoHeader, &fields).finish();
    let header = &out[8..];
    assert_eq!(Frame::decode(framed(1, header, b"x")).unwrap().fields().count(), 2);
    for len in 0..header.len() {
        assert!(Frame::decode(framed(1, &header[..len], b"x")).is_err(), "cut at {len}");
    }
    // Lengths of remark, map, first name and first value, one after the other.
    for (at, width) in [(13, 4), (20, 4), (24, 2), (31, 4)] {
        let mut damaged = header.to_vec();
        damaged[at..at + width].fill(0x7f);
        let error = Frame::decode(framed(1, &damaged, b"x")).unwrap_err();
        assert!(matches!(error, FrameError::Binary { .. }), "{at}: {error}");
    }
}

#[test]
fn the_high_bits_of_pop_codes_come_back() {
    let decode = |code: i32, flag: i32| {
        let mut out = BytesMut::new();
        let head = Head { code, flag, encoding: Encoding::Rocketmq, ..Head::default() };
        FrameWriter::begin(&mut out, &head, &NoHeader, &[]).finish();
        Frame::decode(out).unwrap().code()
    };
    for code in (200_050..=200_056).chain([200_151, 200_070, 310, 0, -1000]) {
        assert_eq!(decode(code, 0), code);
    }
    assert_eq!(decode(200_050, 1), 3442);
}

#[test]
fn answers_are_strict_json_in_alphabetical_order() {
    let mut out = BytesMut::new();
    let header = GetMinOffsetResponseHeader { offset: 7 };
    let extra = [("a\"b", "\u{1}\u{e9}")];
    Responder::new(tag(Encoding::Json), &mut out).respond(
        ResponseCode::SystemError,
        Some("say \"no\"\n"),
        &header,
        &extra,
        b"tail",
    );
    let expected = "{\"code\":1,\"extFields\":{\"offset\":\"7\",\"a\\\"b\":\"\\u0001\u{e9}\"},\
                    \"flag\":1,\"language\":\"JAVA\",\"opaque\":9,\"remark\":\"say \\\"no\\\"\\n\",\
                    \"serializeTypeCurrentRPC\":\"JSON\",\"version\":479}";
    assert_eq!(out, framed(0, expected.as_bytes(), b"tail"));
}

#[test]
fn ext_fields_are_there_only_with_a_header() {
    let mut out = BytesMut::new();
    Responder::new(tag(Encoding::Json), &mut out).ok_empty();
    assert!(!String::from_utf8_lossy(&out).contains("extFields"));
    out.clear();
    Responder::new(tag(Encoding::Json), &mut out)
        .ok(&remoting::protocol::header::EndTransactionResponseHeader {});
    assert!(String::from_utf8_lossy(&out).contains("\"extFields\":{}"));
}

#[test]
fn a_oneway_request_gets_no_answer() {
    let mut out = BytesMut::from(&b"earlier"[..]);
    let mut responder =
        Responder::new(ResponseTag { oneway: true, ..tag(Encoding::Json) }, &mut out);
    responder.ok_empty();
    responder.error(ResponseCode::SystemBusy, "no");
    let mut writer = responder.begin(0, None, &NoHeader, &[]);
    writer.body().extend_from_slice(b"body");
    assert!(!writer.finish_with(10));
    assert_eq!(&out[..], b"earlier");
}

#[test]
fn a_frame_that_is_not_finished_leaves_no_trace() {
    let mut out = BytesMut::from(&b"earlier"[..]);
    drop(FrameWriter::begin(&mut out, &Head::default(), &NoHeader, &[("a", "b")]));
    assert_eq!(&out[..], b"earlier");
}

#[test]
fn a_frame_over_the_limit_is_not_sent() {
    let body = vec![0; FRAME_SIZE_MAX];
    for encoding in ENCODINGS {
        let mut out = BytesMut::new();
        Responder::new(tag(encoding), &mut out).ok_body(&body);
        let answer = Frame::decode(out.split()).unwrap();
        assert_eq!((answer.code(), answer.opaque(), answer.body().len()), (1, 9, 0));
        assert!(answer.remark().unwrap().contains("over the limit"));
        let request = RequestHead { encoding, ..RequestHead::default() };
        let result = encode_request(&mut out, request, &NoHeader, &[], &body);
        assert_eq!((result, out.len()), (Err(FrameTooLarge), 0));
    }
}

#[test]
fn a_tail_from_elsewhere_counts() {
    let mut out = BytesMut::new();
    let mut responder = Responder::new(tag(Encoding::Json), &mut out);
    let mut writer = responder.begin(0, None, &NoHeader, &[]);
    writer.body().extend_from_slice(b"ab");
    assert!(writer.finish_with(3));
    out.extend_from_slice(b"cde");
    assert_eq!(Frame::decode(out).unwrap().body(), b"abcde");
}

fn look_at(frame: &Frame) {
    let fields: Vec<_> = frame.fields().collect();
    for (name, _) in &fields {
        assert!(frame.field(name).is_some());
    }
    // Whatever they say about it, they come back.
    let _ = (frame.remark(), frame.routing());
    let _ = frame.header::<Short<SendMessageRequestHeader<'_>>>();
    let _ = frame.header::<PullMessageRequestHeader<'_>>();
}

proptest! {
    #[test]
    fn random_bytes_never_break_the_reader(encoding in 0u8..3, header: Vec<u8>, body: Vec<u8>) {
        if let Ok(frame) = Frame::decode(framed(encoding, &header, &body)) {
            look_at(&frame);
            prop_assert_eq!(frame.body(), &body);
        }
        let _ = frame_len(&header);
        let _ = Frame::decode(BytesMut::from(&header[..]));
    }

    #[test]
    fn json_like_text_never_breaks_the_reader(text in "[\\[\\]{}\"':,\\\\ux0-9a-f \u{e9}]{0,60}") {
        if let Ok(frame) = json(&text) {
            look_at(&frame);
        }
        if let Ok(frame) = json(&format!("{{extFields:{{a:{text}}},remark:{text}}}")) {
            look_at(&frame);
        }
        to_standard(text.as_bytes());
    }

    #[test]
    fn damage_never_breaks_the_reader(at: prop::sample::Index, byte: u8, binary: bool) {
        let encoding = ENCODINGS[usize::from(binary)];
        let mut out = BytesMut::new();
        let head = Head { encoding, remark: Some("remark \u{e9}\n"), ..Head::default() };
        let fields = [("topic", "\u{1}orders"), ("queueId", "3"), ("empty", "")];
        FrameWriter::begin(&mut out, &head, &NoHeader, &fields).finish();
        let at = at.index(out.len());
        out[at] = byte;
        if let Ok(frame) = Frame::decode(out) {
            look_at(&frame);
        }
    }

    #[test]
    fn any_text_survives(
        remark: Option<String>,
        fields in prop::collection::vec((".+", ".*"), 0..40),
        body: Vec<u8>,
        opaque: i32,
        code in 0i32..3000,
        flag in 0i32..4,
    ) {
        for encoding in ENCODINGS {
            let head = Head {
                code, opaque, flag, encoding, remark: remark.as_deref(), ..Head::default()
            };
            let pairs: Vec<_> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
            let mut out = BytesMut::new();
            let mut writer = FrameWriter::begin(&mut out, &head, &NoHeader, &pairs);
            writer.body().extend_from_slice(&body);
            writer.finish();
            let frame = Frame::decode(out).unwrap();
            let kept = |text: &str| encoding == Encoding::Json || !text.is_empty();
            prop_assert_eq!((frame.code(), frame.opaque(), frame.flag()), (code, opaque, flag));
            prop_assert_eq!(frame.remark(), remark.as_deref().filter(|text| kept(text)));
            let pairs: Vec<_> = pairs.into_iter().filter(|(_, value)| kept(value)).collect();
            prop_assert_eq!(frame.fields().collect::<Vec<_>>(), pairs);
            prop_assert_eq!(frame.body(), &body);
        }
    }

    #[test]
    fn what_another_json_writer_makes_is_read(remark: String, key: String, value: String) {
        let header = serde_json::json!({ "remark": remark, "extFields": { key.clone(): value } });
        for text in [header.to_string(), serde_json::to_string_pretty(&header).unwrap()] {
            let frame = json(&text).unwrap();
            prop_assert_eq!(frame.remark(), Some(&*remark));
            prop_assert_eq!(frame.fields().collect::<Vec<_>>(), [(&*key, &*value)]);
        }
    }

    #[test]
    fn what_our_writer_makes_another_reader_takes(remark: String, key: String, value: String) {
        let mut out = BytesMut::new();
        let extra = [(&*key, &*value)];
        let mut responder = Responder::new(tag(Encoding::Json), &mut out);
        responder.respond(3, Some(&remark), &NoHeader, &extra, b"");
        let read: serde_json::Value = serde_json::from_slice(&out[8..]).unwrap();
        prop_assert_eq!(&read["remark"], &remark);
        prop_assert_eq!(&read["extFields"][&*key], &value);
    }
}
