//! One unit of the timer log: a message and the slot it waits in.
//!
//! ```text
//! i32 52 @0 | i64 unit before it in the slot, or -1 @4 | i32 magic @12 | i64 write time @16
//! i32 slot minus write time @24 | i64 log position of the message @28 | i32 its length @36
//! i32 hash of its topic @40 | i64 0 @44
//! ```

/// Length of a unit.
pub const UNIT_LEN: usize = 52;
/// Stands for no unit.
pub const NO_UNIT: i64 = -1;
/// Length of the blank that ends a file.
pub const BLANK_LEN: usize = 16;
/// Magic of the blank.
const BLANK_MAGIC: i32 = 0xCBD4_3194_u32.cast_signed();

const MAGIC: i32 = 1;
const MAGIC_ROLL: i32 = 1 << 1;
const MAGIC_DELETE: i32 = 1 << 2;

/// A message that waits in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Position of the unit before it in the same slot, or `NO_UNIT`.
    pub previous: i64,
    /// Whether the message is due later than any slot, and stored anew when this slot comes.
    pub rolls: bool,
    /// Whether it takes back another message of the slot.
    pub deletes: bool,
    /// When the unit was made, in ms, at the start of a slot.
    pub write_ms: i64,
    /// From there to the slot, in ms.
    pub delay_ms: i32,
    /// Log position of the message.
    pub physical_offset: i64,
    /// Length of the message's record.
    pub size: i32,
    /// Hash of the topic the message is for.
    pub topic_hash: i32,
}

/// What stands at a place of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A unit.
    Unit(Unit),
    /// The rest of the file is empty, and another one follows.
    Blank,
    /// Nothing that was ever written whole.
    Nothing,
}

impl Unit {
    /// Start of the slot, in ms.
    pub fn slot_ms(&self) -> i64 {
        self.write_ms.saturating_add(i64::from(self.delay_ms))
    }

    /// Writes the unit.
    pub fn encode(&self) -> [u8; UNIT_LEN] {
        let mut bytes = [0; UNIT_LEN];
        let roll = if self.rolls { MAGIC_ROLL } else { 0 };
        let delete = if self.deletes { MAGIC_DELETE } else { 0 };
        bytes[0..4].copy_from_slice(&(UNIT_LEN as i32).to_be_bytes());
        bytes[4..12].copy_from_slice(&self.previous.to_be_bytes());
        bytes[12..16].copy_from_slice(&(MAGIC | roll | delete).to_be_bytes());
        bytes[16..24].copy_from_slice(&self.write_ms.to_be_bytes());
        bytes[24..28].copy_from_slice(&self.delay_ms.to_be_bytes());
        bytes[28..36].copy_from_slice(&self.physical_offset.to_be_bytes());
        bytes[36..40].copy_from_slice(&self.size.to_be_bytes());
        bytes[40..44].copy_from_slice(&self.topic_hash.to_be_bytes());
        bytes
    }

    /// Reads what stands at the front of `bytes`.
    pub fn decode(bytes: &[u8]) -> Found {
        let Some(head) = bytes.get(..BLANK_LEN) else { return Found::Nothing };
        let magic = i32_at(head, 12);
        if magic == BLANK_MAGIC {
            return Found::Blank;
        }
        let Some(bytes) = bytes.get(..UNIT_LEN) else { return Found::Nothing };
        let unit = Unit {
            previous: i64_at(bytes, 4),
            rolls: magic & MAGIC_ROLL != 0,
            deletes: magic & MAGIC_DELETE != 0,
            write_ms: i64_at(bytes, 16),
            delay_ms: i32_at(bytes, 24),
            physical_offset: i64_at(bytes, 28),
            size: i32_at(bytes, 36),
            topic_hash: i32_at(bytes, 40),
        };
        let whole = i32_at(bytes, 0) == UNIT_LEN as i32
            && magic | 0xF == 0xF
            && unit.previous >= NO_UNIT
            && unit.write_ms >= 0
            && unit.physical_offset >= 0
            && unit.size > 0;
        if whole { Found::Unit(unit) } else { Found::Nothing }
    }
}

/// The blank that fills the last `rest` bytes of a file.
pub fn blank(rest: usize) -> [u8; BLANK_LEN] {
    let mut bytes = [0; BLANK_LEN];
    bytes[..4].copy_from_slice(&(rest as i32).to_be_bytes());
    bytes[12..].copy_from_slice(&BLANK_MAGIC.to_be_bytes());
    bytes
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    let mut field = [0; 8];
    field.copy_from_slice(&bytes[at..at + 8]);
    i64::from_be_bytes(field)
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    let mut field = [0; 4];
    field.copy_from_slice(&bytes[at..at + 4]);
    i32::from_be_bytes(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: Unit = Unit {
        previous: 0,
        rolls: true,
        deletes: false,
        write_ms: 1_795_533_686_000,
        delay_ms: 86_400_000,
        physical_offset: 780_474,
        size: 369,
        topic_hash: -1_093_258_023,
    };

    #[test]
    fn a_unit_is_javas() {
        let bytes = UNIT.encode();
        assert_eq!(bytes[12..16], [0, 0, 0, 3]);
        assert_eq!(bytes[16..24], [0, 0, 1, 0xA2, 0x0E, 0x25, 0xC4, 0xF0]);
        assert_eq!(Unit::decode(&bytes), Found::Unit(UNIT));
        assert_eq!(UNIT.slot_ms(), 1_795_620_086_000);
    }

    #[test]
    fn anything_else_is_nothing() {
        assert_eq!(Unit::decode(&[0; UNIT_LEN]), Found::Nothing);
        assert_eq!(Unit::decode(&[]), Found::Nothing);
        for cut in BLANK_LEN..UNIT_LEN {
            assert_eq!(Unit::decode(&UNIT.encode()[..cut]), Found::Nothing);
        }
        for (at, byte) in [(3, 51), (12, 1), (4, 0x80), (28, 0x80), (36, 0x80), (16, 0x80)] {
            let mut bytes = UNIT.encode();
            bytes[at] = byte;
            assert_eq!(Unit::decode(&bytes), Found::Nothing, "{at}");
        }
    }

    #[test]
    fn a_blank_says_how_much_it_covers() {
        assert_eq!(blank(68)[..4], [0, 0, 0, 68]);
        assert_eq!(Unit::decode(&blank(16)), Found::Blank);
    }
}
