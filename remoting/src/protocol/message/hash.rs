//! Java's `String.hashCode`, on which tag filters and the key index stand.

/// What four characters on multiply a hash by.
const FOUR_STEPS: i32 = 31 * 31 * 31 * 31;

/// Hashes as Java does: `h = 31 * h + unit` over UTF-16 units, wrapping.
pub fn java_string_hash(text: &str) -> i32 {
    go_on(0, text)
}

/// Hashes a text that follows one with this hash.
fn go_on(hash: i32, text: &str) -> i32 {
    let step = |hash: i32, unit: i32| hash.wrapping_mul(31).wrapping_add(unit);
    if !text.is_ascii() {
        return text.encode_utf16().fold(hash, |hash, unit| step(hash, i32::from(unit)));
    }
    let (eights, rest) = text.as_bytes().as_chunks::<8>();
    let hash = eights.iter().fold(hash, |hash, bytes| {
        // The same eight steps: first for pairs side by side, then for pairs of pairs.
        let fours = neighbours(neighbours(u64::from_le_bytes(*bytes), 8, 31), 16, 31 * 31);
        let [first, second] = [fours as i32, (fours >> 32) as i32];
        let before = hash.wrapping_mul(FOUR_STEPS).wrapping_add(first);
        before.wrapping_mul(FOUR_STEPS).wrapping_add(second)
    });
    rest.iter().fold(hash, |hash, &byte| step(hash, i32::from(byte)))
}

/// Of each two neighbours of `bits` bits, lower first: `factor` times the first and the second, in
/// twice as many bits. Those of ASCII text fit.
fn neighbours(lanes: u64, bits: u32, factor: u64) -> u64 {
    let low = if bits == 8 { 0x00ff_00ff_00ff_00ff } else { 0x0000_ffff_0000_ffff };
    (lanes & low) * factor + (lanes >> bits & low)
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
    IndexTopic::of(topic).hash_of(key)
}

/// A topic, hashed once for many index keys.
#[derive(Clone, Copy, Debug)]
pub struct IndexTopic(i32);

impl IndexTopic {
    /// Hashes the topic and `#`.
    pub fn of(topic: &str) -> IndexTopic {
        IndexTopic(go_on(go_on(0, topic), "#"))
    }

    /// Hashes the index key made of this topic and a key.
    pub fn hash_of(self, key: &str) -> i32 {
        go_on(self.0, key).checked_abs().unwrap_or(0)
    }
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
    fn any_length_hashes_as_unit_by_unit() {
        let highest = "\u{7f}".repeat(8);
        let text = format!("0A1B2C3D7F000001000018B4AAC200000000~key{highest}");
        for len in 0..=text.len() {
            let by_unit = text[..len]
                .encode_utf16()
                .fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
            assert_eq!(java_string_hash(&text[..len]), by_unit);
        }
    }

    #[test]
    fn the_smallest_hash_has_no_absolute_value() {
        assert_eq!(java_string_hash("polygenelubricants"), i32::MIN);
        assert_eq!(index_key_hash("polygenelubricants"), 0);
    }
}
