//! The tables of codes and headers of four Java releases: all of it is known, nothing is invented.
#![allow(clippy::unwrap_used)] // A test may fail where it stands.

mod facts;

use std::collections::{BTreeMap, BTreeSet};

use remoting::protocol::code::{RequestCode, ResponseCode, former};
use remoting::protocol::header::{Describe, HEADERS, SendMessageRequestHeader};

#[test]
fn request_codes_are_those_of_the_table() {
    let table: BTreeSet<_> = facts::rows("request-codes.tsv")
        .iter()
        .map(|row| (row.number("code"), row.text("name").to_owned()))
        .collect();
    let ours: BTreeSet<_> =
        RequestCode::ALL.iter().map(|(code, name)| (*code as i32, (*name).to_owned())).collect();
    assert_eq!(ours, table);
    for (code, _) in RequestCode::ALL {
        assert_eq!(RequestCode::from_i32(*code as i32), Some(*code));
    }
}

#[test]
fn response_codes_are_those_of_the_table() {
    let former = [
        (former::UPDATE_AND_CREATE_ACL_CONFIG_FAILED, "UPDATE_AND_CREATE_ACL_CONFIG_FAILED"),
        (former::DELETE_ACL_CONFIG_FAILED, "DELETE_ACL_CONFIG_FAILED"),
        (
            former::UPDATE_GLOBAL_WHITE_ADDRS_CONFIG_FAILED,
            "UPDATE_GLOBAL_WHITE_ADDRS_CONFIG_FAILED",
        ),
    ];
    let table: BTreeSet<_> = facts::rows("response-codes.tsv")
        .iter()
        .map(|row| (row.number("code"), row.text("name").to_owned()))
        .collect();
    let ours: BTreeSet<_> = ResponseCode::ALL
        .iter()
        .map(|(code, name)| (*code as i32, *name))
        .chain(former)
        .map(|(code, name)| (code, name.to_owned()))
        .collect();
    assert_eq!(ours, table);
    for (code, name) in ResponseCode::ALL {
        assert_eq!(ResponseCode::from_i32(*code as i32), Some(*code));
        assert_eq!(code.java_name(), *name);
    }
}

/// Headers of 5.3.3 and 5.5.0: field -> required in the newest of them.
fn headers_of_the_table() -> BTreeMap<String, BTreeMap<String, bool>> {
    let mut headers = BTreeMap::<String, BTreeMap<String, bool>>::new();
    for row in facts::rows("headers.tsv") {
        let current = row.text("in_5.3.3") == "y" || row.text("in_5.5.0") == "y";
        let internal = row.text("package_tail") == "controller.impl.task";
        if !current || internal || row.text("codec").contains("abstract") {
            continue;
        }
        let fields = headers.entry(row.text("header").to_owned()).or_default();
        // The routing fields any request may carry are `Routing`.
        let routing = matches!(row.text("declared_in"), "RpcRequestHeader" | "TopicRequestHeader");
        if row.text("field") != "-" && !routing {
            fields.insert(row.text("field").to_owned(), row.text("required") == "yes");
        }
    }
    headers
}

#[test]
fn headers_and_their_fields_are_those_of_the_table() {
    let table = headers_of_the_table();
    let mut ours = BTreeMap::new();
    for (name, fields) in HEADERS {
        let fields: BTreeMap<_, _> =
            fields.iter().map(|field| (field.name.to_owned(), field.required)).collect();
        assert!(ours.insert((*name).to_owned(), fields).is_none(), "{name} occurs twice");
    }
    // One struct has both spellings of the send header: `n` is the routing field `bname` there.
    let send = SendMessageRequestHeader::FIELDS;
    let short = send.iter().map(|field| (field.short.unwrap().to_owned(), field.required));
    ours.insert("SendMessageRequestHeaderV2".to_owned(), short.collect());
    ours.get_mut("SendMessageRequestHeader").unwrap().remove("bname");
    assert_eq!(ours.keys().collect::<Vec<_>>(), table.keys().collect::<Vec<_>>());
    for (name, fields) in table {
        assert_eq!(ours[&name], fields, "{name}");
    }
}
