//! Permission bits of topics and brokers.

/// New topics may be made after this one.
pub(crate) const INHERIT: i32 = 1;
/// Messages may be sent.
pub(crate) const WRITE: i32 = 2;
/// Messages may be pulled.
pub(crate) const READ: i32 = 4;
/// Both.
pub(crate) const READ_WRITE: i32 = READ | WRITE;

/// Whether reading is permitted.
pub(crate) fn readable(perm: i32) -> bool {
    perm & READ != 0
}

/// Whether writing is permitted.
pub(crate) fn writable(perm: i32) -> bool {
    perm & WRITE != 0
}
