//! Wall-clock time; the only reader of it, so that a test of a caller can hand in its own.

use std::time::{SystemTime, UNIX_EPOCH};

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
