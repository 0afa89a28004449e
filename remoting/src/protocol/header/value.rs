//! The values of header fields, as text on the wire.

use crate::protocol::ext_fields::FieldSink;

/// A type that a header field can have.
pub trait FieldValue<'a>: Sized {
    /// Reads the value, by Java's rules; `None` where Java's parser throws.
    fn parse(text: &'a [u8]) -> Option<Self>;

    /// Writes the value as Java's `toString` does.
    fn put<S: FieldSink>(&self, name: &'static str, sink: &mut S);
}

impl<'a> FieldValue<'a> for &'a str {
    fn parse(text: &'a [u8]) -> Option<Self> {
        std::str::from_utf8(text).ok()
    }

    fn put<S: FieldSink>(&self, name: &'static str, sink: &mut S) {
        sink.put(name, self);
    }
}

impl FieldValue<'_> for String {
    fn parse(text: &[u8]) -> Option<Self> {
        std::str::from_utf8(text).ok().map(str::to_owned)
    }

    fn put<S: FieldSink>(&self, name: &'static str, sink: &mut S) {
        sink.put(name, self);
    }
}

impl FieldValue<'_> for bool {
    // Java quirk: only `true`, in any case, is true; everything else is false, not an error.
    fn parse(text: &[u8]) -> Option<Self> {
        Some(text.eq_ignore_ascii_case(b"true"))
    }

    fn put<S: FieldSink>(&self, name: &'static str, sink: &mut S) {
        sink.put(name, if *self { "true" } else { "false" });
    }
}

macro_rules! integers {
    ($($kind:ty),*) => {
        $(impl FieldValue<'_> for $kind {
            fn parse(text: &[u8]) -> Option<Self> {
                integer(text).and_then(|value| value.try_into().ok())
            }

            #[inline(always)]
            fn put<S: FieldSink>(&self, name: &'static str, sink: &mut S) {
                sink.put_number(name, itoa::Buffer::new().format(*self));
            }
        })*
    };
}

integers!(u8, u16, u32, i32, i64);

/// So many digits are no number of more than 64 bits.
const DIGITS_SAFE: usize = 18;

/// Reads an optional sign and digits, nothing else, as `Long.parseLong` does.
pub(crate) fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    if digits.len() <= DIGITS_SAFE {
        let mut value = 0;
        for digit in digits {
            let digit = digit.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            value = value * 10 + i64::from(digit);
        }
        return Some(if negative { -value } else { value });
    }
    // Counted downwards, because the smallest number has no positive counterpart.
    let mut value = 0i64;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_sub(i64::from(digit))?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}
