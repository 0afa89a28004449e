//! Refusals and the codes they take on the wire.
//!
//! Only this file knows both the errors of the store and the response codes. A handler returns a
//! `Reject`; `dispatch.rs` writes it. What Java answers by throwing has code 1 and no fields.

use std::borrow::Cow;

use remoting::protocol::body::BodyError;
use remoting::protocol::code::ResponseCode;
use remoting::protocol::command::Responder;
use remoting::protocol::header::{EncodeHeader, HeaderError, NoHeader};
use smallvec::SmallVec;
use store::PutError;

use crate::pop::JournalError;
use crate::pop::receipt::NoReceipt;
use crate::put::DueError;

/// Extra response fields of a refusal.
type Fields = SmallVec<[(&'static str, Cow<'static, str>); 2]>;

/// A request that is answered with an error.
#[derive(Debug)]
pub(crate) struct Reject {
    code: ResponseCode,
    remark: Cow<'static, str>,
    fields: Fields,
    thrown: bool,
}

impl Reject {
    /// Refuses with `code` and a remark for people.
    pub(crate) fn new(code: ResponseCode, remark: impl Into<Cow<'static, str>>) -> Self {
        Reject { code, remark: remark.into(), fields: Fields::new(), thrown: false }
    }

    /// Refuses as Java does when a handler throws: code 1, never any fields.
    pub(crate) fn thrown(remark: impl Into<Cow<'static, str>>) -> Self {
        Reject { thrown: true, ..Self::new(ResponseCode::SystemError, remark) }
    }

    /// Refuses a request this broker does not serve.
    pub(crate) fn not_supported(code: i32) -> Self {
        // Java quirk: the leading blank, which tools show.
        let remark = format!(" request type {code} not supported");
        Reject::new(ResponseCode::RequestCodeNotSupported, remark)
    }

    /// The code of the answer.
    pub(crate) fn code(&self) -> ResponseCode {
        self.code
    }

    /// What it says to people.
    pub(crate) fn remark(&self) -> &str {
        &self.remark
    }

    /// Adds a response field, unless the refusal stands for an exception.
    pub(crate) fn with(mut self, key: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        if !self.thrown {
            self.fields.push((key, value.into()));
        }
        self
    }

    /// Writes the refusal with the fields of a response header, unless it stands for an exception.
    pub(crate) fn write_with(&self, header: &impl EncodeHeader, out: &mut Responder<'_>) {
        if self.thrown {
            return self.write(out);
        }
        out.respond(self.code, Some(&self.remark), header, &[], &[]);
    }

    /// Writes the refusal as the answer.
    pub(crate) fn write(&self, out: &mut Responder<'_>) {
        let fields: SmallVec<[(&str, &str); 2]> =
            self.fields.iter().map(|(key, value)| (*key, value.as_ref())).collect();
        out.respond(self.code, Some(&self.remark), &NoHeader, &fields, &[]);
    }
}

impl From<HeaderError> for Reject {
    fn from(error: HeaderError) -> Self {
        Reject::thrown(error.to_string())
    }
}

impl From<BodyError> for Reject {
    fn from(error: BodyError) -> Self {
        Reject::thrown(error.to_string())
    }
}

impl From<PutError> for Reject {
    fn from(error: PutError) -> Self {
        let code = match &error {
            // Java takes a batch apart before anything else, and ends in an exception.
            PutError::Malformed(_) => return Reject::thrown(error.to_string()),
            PutError::MessageIllegal(_) | PutError::PropertiesSizeExceeded { .. } => {
                ResponseCode::MessageIllegal
            }
            PutError::Busy => ResponseCode::SystemBusy,
            PutError::Stopped | PutError::Poisoned | PutError::DiskFull => {
                ResponseCode::ServiceNotAvailable
            }
            PutError::CreateSegmentFailed
            | PutError::QueueUnavailable
            | PutError::LightQueuesExceeded { .. } => ResponseCode::SystemError,
        };
        Reject::new(code, error.to_string())
    }
}

impl From<DueError> for Reject {
    fn from(error: DueError) -> Self {
        let code = match &error {
            DueError::NoLevel(_) => return Reject::thrown(error.to_string()),
            DueError::NotEnabled | DueError::Congested => ResponseCode::SystemError,
            DueError::Illegal(_) => ResponseCode::MessageIllegal,
        };
        Reject::new(code, error.to_string())
    }
}

impl From<JournalError> for Reject {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Put(error) => error.into(),
            JournalError::Due(error) => error.into(),
            // The receipt is of a broker with more revive queues, or made up.
            JournalError::NoQueue(_) => Reject::thrown(error.to_string()),
        }
    }
}

impl From<NoReceipt> for Reject {
    fn from(error: NoReceipt) -> Self {
        Reject::thrown(error.to_string())
    }
}
