//! Wall-clock time; the only reader of it, so that a test of a caller can hand in its own.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use time::UtcOffset;

static ZONE: OnceLock<UtcOffset> = OnceLock::new();

/// What local time is ahead of UTC by, as [`note_zone`] found it; nothing before.
#[must_use]
pub fn zone() -> UtcOffset {
    ZONE.get().copied().unwrap_or(UtcOffset::UTC)
}

/// Finds out about local time. Call it before any thread starts: it can only be asked for then.
pub fn note_zone() {
    ZONE.get_or_init(|| UtcOffset::current_local_offset().unwrap_or(UtcOffset::UTC));
}

/// Milliseconds since 1970, as every timestamp on the wire and on disk.
#[must_use]
pub fn now_ms() -> i64 {
    // A clock before 1970 counts as 1970: no stored timestamp is negative.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::now_ms;

    #[test]
    fn is_later_than_this_code() {
        assert!(now_ms() > 1_700_000_000_000);
    }
}
