//! Command headers: ordinary structs that travel as ext fields.
//!
//! `#[derive(Header)]` makes the codec. A plain field is required, an `Option` optional. Headers of
//! the hot path borrow from the frame, the others own their strings. The routing fields any request
//! may carry are no header fields: see [`Routing`].
#![allow(missing_docs)] // The fields carry the wire's names; protocol.md is their reference.

mod auth;
mod broker;
mod consumer;
mod controller;
mod group;
mod ha;
mod list;
mod lite;
mod message;
mod namesrv;
mod offset;
mod pop;
mod pull;
mod reset;
mod send;
mod topic;
mod transaction;
mod value;

pub use auth::*;
pub use broker::*;
pub use consumer::*;
pub use controller::*;
pub use group::*;
pub use ha::*;
pub use list::HEADERS;
pub use lite::*;
pub use message::*;
pub use namesrv::*;
pub use offset::*;
pub use pop::*;
pub use pull::*;
pub use reset::*;
pub use send::*;
pub use topic::*;
pub use transaction::*;
pub use value::FieldValue;
pub(crate) use value::integer;

use crate::protocol::ext_fields::{FieldSink, Fields};

/// Decoding of a header from the ext fields of a frame.
pub trait Header<'a>: Sized {
    /// Reads the header in one pass over the fields; unknown fields are left alone.
    fn decode(fields: Fields<'a>) -> Result<Self, HeaderError>;
}

/// Encoding of a header into ext fields.
pub trait EncodeHeader {
    /// Whether the frame has ext fields at all, be they empty.
    const PRESENT: bool = true;

    /// Writes every field that has a value.
    fn encode<S: FieldSink>(&self, sink: &mut S);
}

impl<H: EncodeHeader> EncodeHeader for &H {
    const PRESENT: bool = H::PRESENT;

    fn encode<S: FieldSink>(&self, sink: &mut S) {
        (**self).encode(sink);
    }
}

/// A header that has a second spelling with one-letter names.
pub trait ShortHeader<'a>: Sized {
    /// Reads the header under its short names.
    fn decode_short(fields: Fields<'a>) -> Result<Self, HeaderError>;
}

/// Encoding under the one-letter names.
pub trait EncodeShort {
    /// Writes the header under its short names.
    fn encode_short<S: FieldSink>(&self, sink: &mut S);
}

/// A header in its short spelling: `frame.header::<Short<SendMessageRequestHeader>>()`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Short<H>(pub H);

impl<'a, H: ShortHeader<'a>> Header<'a> for Short<H> {
    fn decode(fields: Fields<'a>) -> Result<Self, HeaderError> {
        H::decode_short(fields).map(Self)
    }
}

impl<H: EncodeShort> EncodeHeader for Short<H> {
    fn encode<S: FieldSink>(&self, sink: &mut S) {
        self.0.encode_short(sink);
    }
}

/// No header: the frame carries no ext fields of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoHeader;

impl Header<'_> for NoHeader {
    fn decode(_fields: Fields<'_>) -> Result<Self, HeaderError> {
        Ok(Self)
    }
}

impl EncodeHeader for NoHeader {
    const PRESENT: bool = false;

    fn encode<S: FieldSink>(&self, _sink: &mut S) {}
}

/// Why ext fields do not make the header; displays as Java words it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// A required field is absent.
    #[error("the custom field <{field}> is null")]
    Missing { field: &'static str },
    /// The value of a field is no number, and the header does not overlook that.
    #[error("the custom field <{field}> is not a number")]
    Unparsable { field: &'static str },
    /// The value of a field is none of the allowed ones.
    #[error("the custom field <{field}> has an illegal value")]
    Illegal { field: &'static str },
}

/// What is known of a header field, for tables and documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldFact {
    /// The name on the wire.
    pub name: &'static str,
    /// The name in the short spelling.
    pub short: Option<&'static str>,
    /// Whether Java marks it as required.
    pub required: bool,
}

/// The facts of a header.
pub trait Describe {
    /// Java's class name.
    const NAME: &'static str;
    /// The fields in their order of declaration.
    const FIELDS: &'static [FieldFact];
}

/// Fields any request may carry beside its header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Routing<'a> {
    /// `ns`: the namespace.
    pub namespace: Option<&'a str>,
    /// `nsd`: names are already wrapped in the namespace.
    pub namespaced: Option<bool>,
    /// `bname`: the broker that is meant.
    pub broker_name: Option<&'a str>,
    /// `oway`: the caller waits for no answer.
    pub oneway: Option<bool>,
    /// `lo`: the queue id is a logical one, of a static topic.
    pub logical: Option<bool>,
}

impl<'a> Routing<'a> {
    pub(crate) fn of(fields: Fields<'a>) -> Self {
        let mut routing = Self::default();
        for (name, value) in fields.raw() {
            match name {
                b"ns" => routing.namespace = FieldValue::parse(value),
                b"nsd" => routing.namespaced = FieldValue::parse(value),
                b"bname" => routing.broker_name = FieldValue::parse(value),
                b"oway" => routing.oneway = FieldValue::parse(value),
                b"lo" => routing.logical = FieldValue::parse(value),
                _ => {}
            }
        }
        routing
    }
}
