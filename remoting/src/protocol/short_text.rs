//! Searches in short text, eight bytes at a time: for names and values of some ten bytes, this
//! beats calling a vectorised search.

/// Each byte of a word is 1.
pub(crate) const ONES: u64 = 0x0101_0101_0101_0101;

/// Behind so many bytes the vectorised search is worth its call.
const SHORT: usize = 32;

/// Sets the high bit of the first zero byte, and of none before it.
pub(crate) fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & (ONES << 7)
}

/// Sets the high bit of the first byte that is `byte`, and of none before it.
pub(crate) fn bytes_like(word: u64, byte: u8) -> u64 {
    zero_bytes(word ^ (ONES * u64::from(byte)))
}

/// Where a byte is first.
#[inline(always)]
pub(crate) fn find(byte: u8, text: &[u8]) -> Option<usize> {
    let mut rest = text;
    while let Some((chunk, behind)) = rest.split_first_chunk() {
        let found = bytes_like(u64::from_le_bytes(*chunk), byte);
        if found != 0 {
            return Some(text.len() - rest.len() + found.trailing_zeros() as usize / 8);
        }
        rest = behind;
        if text.len() - rest.len() == SHORT {
            return memchr::memchr(byte, rest).map(|at| SHORT + at);
        }
    }
    let at = rest.iter().position(|other| *other == byte)?;
    Some(text.len() - rest.len() + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_a_plain_search_finds() {
        for len in 0..80 {
            let mut text: Vec<u8> = (0..len).map(|at| (at as u8).wrapping_mul(37) | 4).collect();
            assert_eq!(find(1, &text), None, "{len}");
            for at in (0..len).rev() {
                text[at] = 1;
                assert_eq!(find(1, &text), Some(at), "{len}");
                // A byte beside it that differs in the lowest bit only.
                if at > 0 {
                    text[at - 1] = 0;
                    assert_eq!(find(1, &text), Some(at), "{len}");
                }
            }
        }
    }
}
