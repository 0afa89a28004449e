//! What a header does with missing and damaged fields.
#![allow(elided_lifetimes_in_paths)] // The macro names headers without their lifetimes.
#![allow(clippy::unwrap_used)] // A test may fail where it stands.

mod facts;

use std::collections::BTreeSet;

use bytes::BytesMut;
use remoting::protocol::command::{Frame, RequestHead, encode_request};
use remoting::protocol::header::*;
use remoting::with_every_header;

fn frame_of(fields: &[(&str, &str)]) -> Frame {
    let mut out = BytesMut::new();
    encode_request(&mut out, RequestHead::default(), &NoHeader, fields, &[]).unwrap();
    Frame::decode(out).unwrap()
}

macro_rules! outcomes {
    ($($header:ident,)*) => {
        fn outcome(name: &str, frame: &Frame) -> Option<Result<(), HeaderError>> {
            Some(match name {
                $(stringify!($header) => frame.header::<$header>().map(drop),)*
                "SendMessageRequestHeaderV2" => {
                    frame.header::<Short<SendMessageRequestHeader>>().map(drop)
                }
                _ => return None,
            })
        }
    };
}

with_every_header!(outcomes);

/// Required fields whose absence the handlers answer themselves.
const ANSWERED: [(&str, &str); 5] = [
    ("GetAllSubscriptionGroupRequestHeader", "groupSeq"),
    ("GetAllSubscriptionGroupResponseHeader", "totalGroupNum"),
    ("GetAllTopicConfigRequestHeader", "topicSeq"),
    ("UpdateConsumerOffsetRequestHeader", "commitOffset"),
    ("UpdateConsumerOffsetRequestHeader", "queueId"),
];

#[test]
fn a_missing_required_field_is_an_error_unless_java_has_a_value_for_it() {
    let mut checked = BTreeSet::new();
    let table = facts::rows("headers.tsv");
    for golden in facts::rows("golden-frames.tsv") {
        let header = golden.text("header");
        let fields = golden.fields("fields");
        for row in table.iter().filter(|row| row.text("header") == header) {
            let field = row.text("field");
            if row.text("in_5.3.3") != "y" || row.text("required") != "yes" {
                continue;
            }
            let rest: Vec<_> = fields
                .iter()
                .filter(|(name, _)| *name != field)
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            let result = outcome(header, &frame_of(&rest)).unwrap();
            let valued = row.text("default") != "null" || ANSWERED.contains(&(header, field));
            if valued {
                assert_eq!(result, Ok(()), "{header}.{field}");
            } else {
                let error = result.unwrap_err();
                assert!(matches!(error, HeaderError::Missing { .. }), "{header}.{field}");
            }
            checked.insert((header.to_owned(), field.to_owned()));
        }
    }
    assert!(checked.len() > 180, "only {} fields were checked", checked.len());
}

#[test]
fn the_remark_of_a_missing_field_is_javas() {
    let frame = frame_of(&[("consumerGroup", "g"), ("topic", "t")]);
    let error = frame.header::<QueryConsumerOffsetRequestHeader>().unwrap_err();
    assert_eq!(error.to_string(), "the custom field <queueId> is null");
}

#[test]
fn an_unparsable_number_counts_as_missing() {
    let frame = frame_of(&[("topic", "t"), ("queueId", "1"), ("timestamp", "soon")]);
    let error = frame.header::<SearchOffsetRequestHeader>().unwrap_err();
    assert_eq!(error, HeaderError::Missing { field: "timestamp" });
    let frame = frame_of(&[("topic", "t"), ("checkStoreTime", "12x")]);
    let header: CheckRocksdbCqWriteProgressRequestHeader = frame.header().unwrap();
    assert_eq!(header.check_store_time, 0);
}

#[test]
fn an_unparsable_number_fails_the_fast_headers() {
    let mut fields = vec![("consumerGroup", "g"), ("topic", "t"), ("queueOffset", "5")];
    fields.extend([("maxMsgNums", "32"), ("sysFlag", "0"), ("commitOffset", "0")]);
    fields.extend([("suspendTimeoutMillis", "1"), ("subVersion", "1"), ("queueId", "1")]);
    assert!(frame_of(&fields).header::<PullMessageRequestHeader>().is_ok());
    fields.push(("maxMsgBytes", "many"));
    let error = frame_of(&fields).header::<PullMessageRequestHeader>().unwrap_err();
    assert_eq!(error, HeaderError::Unparsable { field: "maxMsgBytes" });
}

#[test]
fn numbers_are_read_like_javas_parsers_do() {
    let queue_id = |text: &str| {
        let frame = frame_of(&[("topic", "t"), ("queueId", text)]);
        frame.header::<GetMinOffsetRequestHeader>().ok().map(|header| header.queue_id)
    };
    for (text, value) in [("-1", -1), ("+7", 7), ("007", 7), ("-2147483648", i32::MIN)] {
        assert_eq!(queue_id(text), Some(value), "{text}");
    }
    for text in ["", "-", "+", " 1", "1 ", "1.0", "0x1", "2147483648", "9223372036854775808"] {
        assert_eq!(queue_id(text), None, "{text}");
    }
}

#[test]
fn only_true_is_true() {
    for (text, value) in [("true", true), ("TRUE", true), ("1", false), ("", false)] {
        let frame = frame_of(&[("changed", text)]);
        assert_eq!(frame.header::<QueryDataVersionResponseHeader>().unwrap().changed, value);
    }
}

#[test]
fn of_equal_names_the_last_one_counts() {
    let frame = frame_of(&[("topic", "a"), ("topic", "b")]);
    assert_eq!(frame.header::<DeleteTopicRequestHeader>().unwrap().topic, "b");
    assert_eq!(frame.field("topic"), Some("b"));
}

#[test]
fn headers_with_a_closed_set_of_values_refuse_others() {
    let mut fields = vec![("topic", "t"), ("defaultTopic", "d"), ("readQueueNums", "1")];
    fields.extend([("writeQueueNums", "1"), ("perm", "6"), ("topicFilterType", "SINGLE_TAG")]);
    assert!(frame_of(&fields).header::<CreateTopicRequestHeader>().is_ok());
    fields.push(("topicFilterType", "single"));
    let error = frame_of(&fields).header::<CreateTopicRequestHeader>().unwrap_err();
    assert_eq!(error, HeaderError::Illegal { field: "topicFilterType" });

    for (text, legal) in [("0", true), ("8", true), ("12", true), ("4", false)] {
        let fields = [
            ("producerGroup", "g"),
            ("tranStateTableOffset", "1"),
            ("commitLogOffset", "2"),
            ("commitOrRollback", text),
            ("msgId", "m"),
        ];
        let frame = frame_of(&fields);
        assert_eq!(frame.header::<EndTransactionRequestHeader>().is_ok(), legal, "{text}");
    }
}

#[test]
fn boundary_is_upper_only_if_it_says_so() {
    for (text, boundary) in [
        ("UPPER", BoundaryType::Upper),
        ("upper", BoundaryType::Upper),
        ("LOWER", BoundaryType::Lower),
        ("middle", BoundaryType::Lower),
    ] {
        let fields = [("topic", "t"), ("queueId", "0"), ("timestamp", "1"), ("boundaryType", text)];
        let frame = frame_of(&fields);
        let header: SearchOffsetRequestHeader = frame.header().unwrap();
        assert_eq!(header.boundary_type, Some(boundary), "{text}");
    }
}
