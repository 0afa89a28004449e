//! The JSON header.

use bytes::BytesMut;

use super::Parsed;
use crate::protocol::command::{FrameError, Head};
use crate::protocol::header::EncodeHeader;

/// Reads the header in `bytes[at..]`, resolving escapes in place.
pub(crate) fn read(bytes: &mut [u8], at: usize, into: &mut Parsed) -> Result<(), FrameError> {
    let _ = (bytes, at, into);
    todo!()
}

/// Writes the header.
pub(crate) fn write(
    out: &mut BytesMut,
    head: &Head<'_>,
    header: &impl EncodeHeader,
    extra: &[(&str, &str)],
) {
    let _ = (out, head, header, extra);
    todo!()
}
