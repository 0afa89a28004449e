//! One request in the hands of its handler.

use std::sync::Arc;

use remoting::net::Peer;
use remoting::protocol::command::Frame;
use remoting::protocol::header::Header;

use crate::reject::Reject;

/// A request and the connection it came on.
#[derive(Clone, Copy)]
pub(crate) struct Call<'c> {
    /// The connection that asked.
    pub peer: &'c Arc<Peer>,
    /// The request.
    pub frame: &'c Frame,
}

impl<'c> Call<'c> {
    /// Decodes the request header, or rejects with Java's remark for a missing field.
    pub(crate) fn header<H: Header<'c>>(&self) -> Result<H, Reject> {
        self.frame.header().map_err(Reject::from)
    }

    /// Returns the request body.
    pub(crate) fn body(&self) -> &'c [u8] {
        self.frame.body()
    }
}
