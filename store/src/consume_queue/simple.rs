//! The unit of a simple queue: 20 bytes, one per message.
//!
//! ```text
//! 0  physical offset  i64      position of the unit in the queue = queue offset x 20
//! 8  size             i32
//! 12 tags code        i64
//! ```

use super::Unit;

/// Length of a unit.
pub(super) const LEN: usize = 20;

/// Size of a unit that stands for no message: it fills a queue up to its first offset.
const FILLER_SIZE: i32 = i32::MAX;

/// A unit that stands for no message.
// Disk: physical offset 0, the largest size, tags code 0.
pub(super) const FILLER: [u8; LEN] =
    [0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0];

/// The filler at an offset.
pub(super) fn filler(queue_offset: i64) -> Unit {
    Unit {
        queue_offset,
        physical_offset: 0,
        size: FILLER_SIZE,
        tags_code: 0,
        batch_size: 1,
        store_timestamp: None,
    }
}

pub(super) fn encode(unit: &Unit) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    bytes[..8].copy_from_slice(&unit.physical_offset.to_be_bytes());
    bytes[8..12].copy_from_slice(&unit.size.to_be_bytes());
    bytes[12..].copy_from_slice(&unit.tags_code.to_be_bytes());
    bytes
}

/// Physical offset, size and tags code, whatever they are.
pub(super) fn fields(bytes: &[u8; LEN]) -> Option<(i64, i32, i64)> {
    let (physical_offset, rest) = bytes.split_first_chunk()?;
    let (size, rest) = rest.split_first_chunk()?;
    let physical_offset = i64::from_be_bytes(*physical_offset);
    let tags_code = i64::from_be_bytes(*rest.first_chunk()?);
    Some((physical_offset, i32::from_be_bytes(*size), tags_code))
}

/// Reads the unit at `queue_offset`; `None` when the bytes are no unit.
pub(super) fn decode(bytes: &[u8; LEN], queue_offset: i64) -> Option<Unit> {
    let (physical_offset, size, tags_code) = fields(bytes)?;
    (physical_offset >= 0 && size > 0).then_some(Unit {
        queue_offset,
        physical_offset,
        size,
        tags_code,
        batch_size: 1,
        store_timestamp: None,
    })
}

pub(super) fn is_filler(unit: &Unit) -> bool {
    unit.physical_offset == 0 && unit.size == FILLER_SIZE && unit.tags_code == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filler_is_a_valid_unit_and_zeros_are_none() {
        let unit = decode(&FILLER, 7).unwrap();
        assert_eq!(unit, filler(7));
        assert!(is_filler(&unit));
        assert_eq!(encode(&unit), FILLER);
        assert_eq!(decode(&[0; LEN], 0), None);
    }
}
