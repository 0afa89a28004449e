//! Messages that become visible at a given millisecond.

/// Where timer messages wait, in queue 0.
pub const TIMER_TOPIC: &str = "rmq_sys_wheel_timer";

/// `TIMER_OUT_MS` of a message that is to be delivered at a time: the slot it waits in.
///
/// The slot is the one before the time, so that whoever delivers a slot when it has passed is
/// never early.
pub fn slot_of(deliver_ms: i64, precision_ms: i64) -> i64 {
    (deliver_ms - 1).div_euclid(precision_ms) * precision_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_lies_before_the_times_of_its_messages() {
        for (deliver, slot) in [(1, 0), (999, 0), (1000, 0), (1001, 1000), (2000, 1000)] {
            assert_eq!(slot_of(deliver, 1000), slot, "{deliver}");
        }
        assert_eq!(slot_of(1000, 100), 900);
    }
}
