//! Acknowledgements of popped messages.

use super::bodies;

bodies! {
    /// Acknowledges messages of several pops at once (200151).
    Standard BatchAckMessageRequestBody {
        acks: Vec<BatchAck>,
        broker_name: String,
    }

    /// Acknowledges messages that one pop took from one queue.
    Standard BatchAck {
        #[serde(rename = "b")]
        bits: String,
        #[serde(rename = "c")]
        consumer_group: String,
        #[serde(rename = "it")]
        invisible_time: i64,
        #[serde(rename = "pt")]
        pop_time: i64,
        #[serde(rename = "q")]
        queue_id: i32,
        #[serde(rename = "r")]
        retry: String,
        #[serde(rename = "rq")]
        revive_queue_id: i32,
        #[serde(rename = "so")]
        start_offset: i64,
        #[serde(rename = "t")]
        topic: String,
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Values of the letters of Base64; other bytes are none.
const LETTERS: [u8; 256] = letters();
const NO_LETTER: u8 = 0xff;

const fn letters() -> [u8; 256] {
    let mut letters = [NO_LETTER; 256];
    let mut value = 0;
    while value < ALPHABET.len() {
        letters[ALPHABET[value] as usize] = value as u8;
        value += 1;
    }
    letters
}

impl BatchAck {
    /// Lists the distances from the start offset that are acknowledged, ascending; nothing if the
    /// text of the bits is not Base64.
    pub fn distances(&self) -> Option<impl Iterator<Item = u32> + '_> {
        let text = self.bits.trim_end_matches('=').as_bytes();
        if text.len() % 4 == 1 || text.iter().any(|c| LETTERS[*c as usize] == NO_LETTER) {
            return None;
        }
        // Wire: Base64 puts the first bits of a byte first, a bit set the last bit of a byte.
        let bit = |index: u32| {
            let at = (index / 8) * 8 + (7 - index % 8);
            let letter = LETTERS[text[(at / 6) as usize] as usize];
            letter >> (5 - at % 6) & 1 == 1
        };
        let bytes = text.len() * 6 / 8;
        Some((0..u32::try_from(bytes * 8).unwrap_or(u32::MAX)).filter(move |index| bit(*index)))
    }

    /// Writes distances as bits.
    pub fn set_distances(&mut self, distances: &[u32]) {
        let bytes = distances.iter().max().map_or(0, |last| last / 8 + 1);
        let is_set = |at: u32| distances.contains(&(at / 8 * 8 + 7 - at % 8));
        let letter = |letter: u32| {
            let bits = (0..6).map(|bit| u8::from(is_set(letter * 6 + bit)) << (5 - bit));
            ALPHABET[usize::from(bits.sum::<u8>())]
        };
        let letters = (0..(bytes * 8).div_ceil(6)).map(|at| letter(at) as char);
        self.bits = letters.collect();
        while !self.bits.len().is_multiple_of(4) {
            self.bits.push('=');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distances(bits: &str) -> Option<Vec<u32>> {
        let ack = BatchAck { bits: bits.to_owned(), ..BatchAck::default() };
        ack.distances().map(Iterator::collect)
    }

    #[test]
    fn bits_are_read_as_java_writes_them() {
        assert_eq!(distances("AAI="), Some(vec![9]));
        assert_eq!(distances("AQI="), Some(vec![0, 9]));
        assert_eq!(distances("/w=="), Some((0..8).collect()));
        assert_eq!(distances(""), Some(vec![]));
        for text in ["A", "AA I", "ä", "A=A="] {
            assert_eq!(distances(text), None, "{text:?}");
        }
    }

    #[test]
    fn bits_that_were_written_are_read() {
        for wanted in [vec![], vec![0], vec![0, 9], vec![3, 17, 31], vec![800]] {
            let mut ack = BatchAck::default();
            ack.set_distances(&wanted);
            assert_eq!(distances(&ack.bits), Some(wanted));
        }
        let mut ack = BatchAck::default();
        ack.set_distances(&[0, 9]);
        assert_eq!(ack.bits, "AQI=");
    }
}
