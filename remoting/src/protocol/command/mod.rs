//! Commands: one frame is one request or one answer.
//!
//! ```text
//! length:u32 of what follows | encoding:u8 | header length:u24 | header | body
//! ```

mod frame;
mod responder;
mod writer;

pub use frame::{Frame, FrameError, frame_len};
pub use responder::{Responder, ResponseTag};
pub use writer::{FrameTooLarge, FrameWriter, Head, RequestHead, encode_request, written_code};

/// The largest frame, length prefix included.
pub const FRAME_SIZE_MAX: usize = 16 * 1024 * 1024;

/// Bit 0 of the flag: the frame is an answer.
pub const FLAG_RESPONSE: i32 = 1;

/// Bit 1 of the flag: nobody waits for an answer.
pub const FLAG_ONEWAY: i32 = 2;
