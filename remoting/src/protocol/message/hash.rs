//! Java's `String.hashCode`, on which tag filters and the key index stand.

/// Hashes as Java does: `h = 31 * h + unit` over UTF-16 units, wrapping.
pub fn java_string_hash(text: &str) -> i32 {
    if text.is_ascii() {
        let step = |hash: i32, byte: u8| hash.wrapping_mul(31).wrapping_add(i32::from(byte));
        return text.bytes().fold(0, step);
    }
    let step = |hash: i32, unit: u16| hash.wrapping_mul(31).wrapping_add(i32::from(unit));
    text.encode_utf16().fold(0, step)
}

/// Returns the code a consume queue keeps for the TAGS property; 0 without tags.
pub fn tags_code(tags: Option<&str>) -> i64 {
    tags.map_or(0, |tags| i64::from(java_string_hash(tags)))
}

/// Hashes a key of the message index: the absolute value of the string hash.
pub fn index_key_hash(key: &str) -> i32 {
    // Java quirk: the absolute value of the smallest int is negative and becomes 0.
    java_string_hash(key).checked_abs().unwrap_or(0)
}

/// Hashes an index key made of a topic, `#` and a key, without joining them.
pub fn index_hash_of(topic: &str, key: &str) -> i32 {
    let units = topic.encode_utf16().chain([u16::from(b'#')]).chain(key.encode_utf16());
    let step = |hash: i32, unit: u16| hash.wrapping_mul(31).wrapping_add(i32::from(unit));
    units.fold(0, step).checked_abs().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_joined_key_hashes_like_its_parts() {
        for (topic, key) in [("T", "k"), ("%RETRY%g", "🚀"), ("", ""), ("中", "文")] {
            assert_eq!(index_hash_of(topic, key), index_key_hash(&format!("{topic}#{key}")));
        }
    }

    #[test]
    fn the_smallest_hash_has_no_absolute_value() {
        assert_eq!(java_string_hash("polygenelubricants"), i32::MIN);
        assert_eq!(index_key_hash("polygenelubricants"), 0);
    }
}
