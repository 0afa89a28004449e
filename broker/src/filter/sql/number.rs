//! Numbers as Java reads them from text and as it orders them.

use std::cmp::Ordering;

/// The zeros of the decimal digits beyond ASCII that fit into one UTF-16 unit.
const ZEROS: [u32; 36] = [
    0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66,
    0x0DE6, 0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90,
    0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10,
];

/// So many decimal digits fit into 64 bits whatever they are.
const DIGITS_SAFE: usize = 18;

/// Reads a whole number: a sign and decimal digits of any script, no blanks.
pub(super) fn whole(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    if digits.len() <= DIGITS_SAFE && digits.iter().all(u8::is_ascii_digit) {
        let add = |number, digit: &u8| number * 10 + i64::from(digit - b'0');
        let number = digits.iter().fold(0, add);
        return Some(if negative { -number } else { number });
    }
    str::from_utf8(digits).ok()?.chars().try_fold(0_i64, |number, digit| {
        let digit = digit_value(digit)?;
        let number = number.checked_mul(10)?;
        if negative { number.checked_sub(digit) } else { number.checked_add(digit) }
    })
}

fn digit_value(digit: char) -> Option<i64> {
    if let Some(value) = digit.to_digit(10) {
        return Some(value.into());
    }
    let code = u32::from(digit);
    let zero = ZEROS.iter().rfind(|zero| **zero <= code)?;
    (code - zero < 10).then_some((code - zero).into())
}

/// Reads a number with a fraction: blanks around it and a suffix of `f` or `d` are passed over.
/// Absent: Java's hexadecimal notation (`0x1p3`) is no number here.
pub(super) fn real(text: &[u8]) -> Option<f64> {
    let text = str::from_utf8(text).ok()?.trim_matches(|blank| blank <= ' ');
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let size = match unsigned {
        "NaN" => return Some(f64::NAN),
        "Infinity" => f64::INFINITY,
        _ => {
            let number = unsigned.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(unsigned);
            // Rust reads the same digits, points and exponents, but also names of its own.
            let plain = |byte: u8| byte.is_ascii_digit() || b".eE+-".contains(&byte);
            let begins = number.starts_with(|first: char| first.is_ascii_digit() || first == '.');
            if !begins || !number.bytes().all(plain) {
                return None;
            }
            number.parse().ok()?
        }
    };
    Some(if text.starts_with('-') { -size } else { size })
}

/// Java's order of all doubles: -0.0 before 0.0, NaN last and equal to itself.
pub(super) fn order(left: f64, right: f64) -> Ordering {
    left.partial_cmp(&right).filter(|order| order.is_ne()).unwrap_or_else(|| {
        let rank = |number: f64| (number.is_nan(), number.is_sign_positive() || number.is_nan());
        rank(left).cmp(&rank(right))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_bounded_and_plain() {
        for (text, number) in [
            ("0", Some(0)),
            ("+7", Some(7)),
            ("-007", Some(-7)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("\u{663}\u{FF15}", Some(35)),
            ("\u{66A}", None),
            ("", None),
            ("+", None),
            (" 1", None),
            ("1L", None),
            ("1.0", None),
        ] {
            assert_eq!(whole(text.as_bytes()), number, "{text:?}");
        }
    }

    #[test]
    fn real_numbers_are_read_as_java_does() {
        for (text, number) in [
            ("1", Some(1.0)),
            (" \t-1.5e3\n", Some(-1500.0)),
            ("1.", Some(1.0)),
            (".5", Some(0.5)),
            ("1f", Some(1.0)),
            ("1.5D", Some(1.5)),
            ("+Infinity", Some(f64::INFINITY)),
            ("1e999", Some(f64::INFINITY)),
            ("inf", None),
            ("infinity", None),
            ("nan", None),
            ("", None),
            (".", None),
            ("1e", None),
            ("f", None),
            ("1 2", None),
            ("--1", None),
            ("1ff", None),
        ] {
            assert_eq!(real(text.as_bytes()), number, "{text:?}");
        }
        assert!(real(b"-NaN").unwrap().is_nan());
    }

    #[test]
    fn nan_and_zeros_have_a_place_in_the_order() {
        let ordered = [f64::NEG_INFINITY, -1.0, -0.0, 0.0, 1.0, f64::INFINITY, f64::NAN];
        for (index, left) in ordered.into_iter().enumerate() {
            for (other, right) in ordered.into_iter().enumerate() {
                assert_eq!(order(left, right), index.cmp(&other), "{left} {right}");
            }
        }
    }
}
