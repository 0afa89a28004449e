//! Positions in Java's bloom filter, which `consumerFilter.json` keeps for each subscription.
//!
//! They are written so that a Java broker takes the file over; nothing here looks them up.

/// The size of the bloom filter, from the settings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bloom {
    /// Number of hash functions.
    hashes: i32,
    /// Number of bits.
    bits: i32,
}

impl Bloom {
    /// Sizes a filter for so many subscriptions and an error rate in percent.
    pub(super) fn new(error_rate: i32, expected: i32) -> Bloom {
        let rate = f64::from(error_rate) / 100.0;
        let log = |base: f64, number: f64| number.ln() / base.ln();
        let hashes = log(0.5, rate).ceil() as i32;
        let bits = f64::from(expected) * log(2.0, 1.0 / rate) * log(2.0, std::f64::consts::E);
        // A whole number of bytes.
        let bits = 8 * (bits.ceil() / 8.0).ceil() as i32;
        Bloom { hashes: hashes.max(1), bits: bits.max(8) }
    }

    /// Number of bits.
    pub(super) fn bits(&self) -> i32 {
        self.bits
    }

    /// The bits that stand for a group's subscription to a topic.
    pub(super) fn positions(&self, group: &str, topic: &str) -> Vec<i32> {
        let hash = murmur3(format!("{group}#{topic}").as_bytes());
        let (low, high) = (hash as i32, (hash >> 32) as i32);
        let position = |index: i32| {
            let combined = low.wrapping_add(index.wrapping_mul(high));
            (if combined < 0 { !combined } else { combined }) % self.bits
        };
        (1..=self.hashes).map(position).collect()
    }
}

/// The first half of the 128-bit Murmur3 hash with seed 0.
fn murmur3(bytes: &[u8]) -> u64 {
    const C1: u64 = 0x87c3_7b91_1142_53d5;
    const C2: u64 = 0x4cf5_ad43_2745_937f;
    let mix1 = |word: u64| word.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2);
    let mix2 = |word: u64| word.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1);
    let word = |bytes: &[u8]| {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(word)
    };
    let (mut h1, mut h2) = (0_u64, 0_u64);
    let mut blocks = bytes.chunks_exact(16);
    for block in &mut blocks {
        h1 = (h1 ^ mix1(word(&block[..8]))).rotate_left(27).wrapping_add(h2);
        h1 = h1.wrapping_mul(5).wrapping_add(0x52dc_e729);
        h2 = (h2 ^ mix2(word(&block[8..]))).rotate_left(31).wrapping_add(h1);
        h2 = h2.wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    let (first, second) = blocks.remainder().split_at(blocks.remainder().len().min(8));
    h1 ^= mix1(word(first));
    h2 ^= mix2(word(second));
    let len = bytes.len() as u64;
    (h1, h2) = (h1 ^ len, h2 ^ len);
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    avalanche(h1).wrapping_add(avalanche(h2))
}

fn avalanche(mut word: u64) -> u64 {
    word = (word ^ (word >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    word = (word ^ (word >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    word ^ (word >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `BloomFilter.createByFn` of Java 5.3.3.
    #[test]
    fn sizes_and_positions_are_javas() {
        type Row = (i32, i32, i32, &'static [i32], &'static [i32]);
        let rows: [Row; 5] = [
            (20, 32, 112, &[103, 32, 24], &[91, 27, 109]),
            (1, 32, 312, &[127, 160, 192, 87, 200, 232, 47], &[283, 203, 189, 297, 95, 79, 1]),
            (99, 1, 8, &[7], &[3]),
            (10, 128, 616, &[607, 536, 136, 263], &[595, 531, 501, 9]),
            (50, 100, 152, &[31], &[43]),
        ];
        for (rate, expected, bits, short, long) in rows {
            let bloom = Bloom::new(rate, expected);
            assert_eq!(bloom.bits(), bits, "{rate} {expected}");
            assert_eq!(bloom.positions("GroupB", "TopicA"), short, "{rate} {expected}");
            let topic = "a-rather-long-topic-name-of-many-bytes";
            assert_eq!(bloom.positions("消费者", topic), long, "{rate} {expected}");
        }
    }
}
