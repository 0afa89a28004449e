//! Strings of JSON: escapes in both directions.

use bytes::BufMut;

use crate::protocol::short_text::{ONES, bytes_like};

/// Reads what stands behind a backslash: the character, and the bytes taken.
///
/// Takes fastjson's escapes: beside the standard ones `\'`, `\v`, `\xHH` and `\0` to `\7`.
pub(crate) fn unescape(bytes: &[u8]) -> Option<(char, usize)> {
    let character = match bytes.first()? {
        b'"' => '"',
        b'\'' => '\'',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b't' => '\t',
        b'n' => '\n',
        b'v' => '\u{b}',
        b'f' | b'F' => '\u{c}',
        b'r' => '\r',
        digit @ b'0'..=b'7' => char::from(digit - b'0'),
        b'x' => return Some((char::from(hex(bytes.get(1..3)?)? as u8), 3)),
        b'u' => return unicode(bytes),
        _ => return None,
    };
    Some((character, 1))
}

fn unicode(bytes: &[u8]) -> Option<(char, usize)> {
    // What separates properties.
    if let [_, b'0', b'0', b'0', digit @ b'0'..=b'7', ..] = bytes {
        return Some((char::from(digit - b'0'), 5));
    }
    let unit = hex(bytes.get(1..5)?)?;
    if let Some(character) = char::from_u32(unit) {
        return Some((character, 5));
    }
    let low = match bytes.get(5..11) {
        Some([b'\\', b'u', digits @ ..]) => hex(digits)?,
        _ => 0,
    };
    if unit < 0xdc00 && (0xdc00..0xe000).contains(&low) {
        let scalar = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
        return char::from_u32(scalar).map(|character| (character, 11));
    }
    // Java quirk: half a surrogate pair becomes a question mark once it is written as UTF-8.
    Some(('?', 5))
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits
        .iter()
        .try_fold(0, |value, digit| char::from(*digit).to_digit(16).map(|digit| value << 4 | digit))
}

/// Where the next `quote` or backslash is.
#[inline(always)]
pub(crate) fn find_end(bytes: &[u8], quote: u8) -> Option<usize> {
    let mut rest = bytes;
    while let Some((chunk, behind)) = rest.split_first_chunk() {
        let word = u64::from_le_bytes(*chunk);
        let found = bytes_like(word, quote) | bytes_like(word, b'\\');
        if found != 0 {
            return Some(bytes.len() - rest.len() + found.trailing_zeros() as usize / 8);
        }
        rest = behind;
    }
    let at = rest.iter().position(|byte| *byte == quote || *byte == b'\\')?;
    Some(bytes.len() - rest.len() + at)
}

/// Where the first byte is that a string has as an escape only.
fn find_escaped(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    while let Some((chunk, behind)) = rest.split_first_chunk() {
        let word = u64::from_le_bytes(*chunk);
        // A byte below 0x20 has none of the three upper bits.
        let upper = (word | word << 1 | word << 2) & (ONES << 7);
        let found = bytes_like(word, b'"') | bytes_like(word, b'\\');
        if found != 0 || upper != ONES << 7 {
            break;
        }
        rest = behind;
    }
    let is_escaped = |byte: &u8| *byte < 0x20 || matches!(byte, b'"' | b'\\');
    Some(bytes.len() - rest.len() + rest.iter().position(is_escaped)?)
}

/// Writes text as a JSON string, quotes included.
pub(crate) fn put_string(out: &mut impl BufMut, text: &[u8]) {
    out.put_u8(b'"');
    let mut rest = text;
    while let Some(at) = find_escaped(rest) {
        out.put_slice(&rest[..at]);
        put_escape(out, rest[at]);
        rest = &rest[at + 1..];
    }
    out.put_slice(rest);
    out.put_u8(b'"');
}

fn put_escape(out: &mut impl BufMut, byte: u8) {
    let letter = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x8 => b'b',
        0xc => b'f',
        _ => {
            let hex = b"0123456789abcdef";
            out.put_slice(b"\\u00");
            out.put_u8(hex[usize::from(byte >> 4)]);
            return out.put_u8(hex[usize::from(byte & 15)]);
        }
    };
    out.put_slice(&[b'\\', letter]);
}
