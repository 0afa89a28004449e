//! The unit of a batch queue: 46 bytes, one per record.
//!
//! ```text
//! 0  physical offset  i64      28 first queue offset  i64
//! 8  size             i32      36 number of messages  i16
//! 12 tags code        i64      38 compacted offset    i32  always -1
//! 20 store time       i64      42 reserved            i32  0
//! ```
//!
//! File names are byte positions and say nothing about queue offsets: a queue offset is found by
//! binary search.

use super::Unit;

/// Length of a unit.
pub(super) const LEN: usize = 46;

pub(super) fn encode(unit: &Unit) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    bytes[..8].copy_from_slice(&unit.physical_offset.to_be_bytes());
    bytes[8..12].copy_from_slice(&unit.size.to_be_bytes());
    bytes[12..20].copy_from_slice(&unit.tags_code.to_be_bytes());
    bytes[20..28].copy_from_slice(&unit.store_timestamp.unwrap_or(0).to_be_bytes());
    bytes[28..36].copy_from_slice(&unit.queue_offset.to_be_bytes());
    bytes[36..38].copy_from_slice(&unit.batch_size.to_be_bytes());
    bytes[38..42].copy_from_slice(&(-1_i32).to_be_bytes());
    bytes
}

/// Reads a unit; `None` when the bytes are none.
pub(super) fn decode(bytes: &[u8; LEN]) -> Option<Unit> {
    let (physical_offset, rest) = bytes.split_first_chunk()?;
    let (size, rest) = rest.split_first_chunk()?;
    let (tags_code, rest) = rest.split_first_chunk()?;
    let (store_timestamp, rest) = rest.split_first_chunk()?;
    let (queue_offset, rest) = rest.split_first_chunk()?;
    let unit = Unit {
        queue_offset: i64::from_be_bytes(*queue_offset),
        physical_offset: i64::from_be_bytes(*physical_offset),
        size: i32::from_be_bytes(*size),
        tags_code: i64::from_be_bytes(*tags_code),
        batch_size: i16::from_be_bytes(*rest.first_chunk()?),
        store_timestamp: Some(i64::from_be_bytes(*store_timestamp)),
    };
    let valid =
        unit.physical_offset >= 0 && unit.size > 0 && unit.queue_offset >= 0 && unit.batch_size > 0;
    valid.then_some(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_laid_out_as_java_does() {
        let unit = Unit {
            queue_offset: 0x0102,
            physical_offset: 0x1122_3344_5566,
            size: 300,
            tags_code: -2,
            batch_size: 5,
            store_timestamp: Some(1_700_000_000_456),
        };
        let hex: String = encode(&unit).iter().map(|byte| format!("{byte:02x}")).collect();
        let expected = "0000112233445566\
                        0000012c\
                        fffffffffffffffe\
                        0000018bcfe569c8\
                        0000000000000102\
                        0005\
                        ffffffff\
                        00000000";
        assert_eq!(hex, expected);
        assert_eq!(decode(&encode(&unit)), Some(unit));
        assert_eq!(decode(&[0; LEN]), None);
    }
}
