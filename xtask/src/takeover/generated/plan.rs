//! What a seed decides: the files, the settings, the content, and when which broker ends.

use std::time::Duration;

use crate::takeover::site::{End, Special};

/// Topics of the messages.
pub const TOPICS: [&str; 3] = ["GeneratedOne", "GeneratedTwo", "GeneratedThree"];

const WORK_MAX_MS: u64 = 1_500;

/// Numbers that a seed decides.
pub struct Dice(u64);

impl Dice {
    /// Those of a seed.
    pub fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % bound
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// What a seed asks for.
pub struct Plan {
    /// How the first broker ends.
    pub end: End,
    /// How long after its start the second broker is killed and started once more.
    pub again: Option<Duration>,
    pub special: Special,
    pub settings: Vec<(&'static str, String)>,
    /// `enableAcceleratedRecovery`, which is among the settings.
    pub accelerated: bool,
    /// Topics and queues that are sent to.
    pub queues: Vec<(&'static str, i32)>,
    pub body_len_max: u64,
    /// How long the first broker takes messages.
    pub work: Duration,
}

impl Plan {
    /// The one of a seed; starts of the second broker take up to `start_ms`.
    pub fn of(seed: u64, start_ms: u64) -> Self {
        let mut dice = Dice::of(seed);
        let log_file_len = dice.pick(&[128 << 10, 512 << 10, 1 << 20]);
        let settings = [
            ("mappedFileSizeCommitLog", log_file_len),
            ("mappedFileSizeConsumeQueue", 20 * (5 + dice.below(300))),
            // Java names two index files alike that it makes within a millisecond.
            ("maxIndexNum", dice.pick(&[500, 1_000, 5_000])),
            ("maxHashSlotNum", dice.pick(&[10, 1_000])),
        ];
        let mut settings = settings.map(|(key, value)| (key, value.to_string())).to_vec();
        let flush = dice.pick(&["ASYNC_FLUSH", "SYNC_FLUSH"]);
        settings.push(("flushDiskType", flush.to_owned()));
        // Of 5.5.0: its recovery starts where our checkpoint says.
        let accelerated = dice.pick(&[true, false]);
        settings.push(("enableAcceleratedRecovery", accelerated.to_string()));
        let topics = &TOPICS[..1 + dice.below(TOPICS.len() as u64) as usize];
        let queues = topics.iter().flat_map(|topic| {
            let count = 1 + dice.below(4) as i32;
            (0..count).map(move |queue_id| (*topic, queue_id))
        });
        let queues = queues.collect();
        Self {
            end: dice.pick(&[End::Kill, End::Kill, End::Kill, End::Clean]),
            again: (dice.below(5) == 0).then(|| Duration::from_millis(dice.below(start_ms))),
            special: Special {
                two_logs: dice.below(3) == 0,
                light: dice.below(3) == 0,
                v6: dice.below(4) == 0,
                extended: dice.below(4) == 0,
            },
            settings,
            accelerated,
            queues,
            body_len_max: dice.pick(&[40, 2_000, 20_000]),
            work: Duration::from_millis(20 + dice.below(WORK_MAX_MS)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_everything() {
        let all = || (0..200).map(|seed| Plan::of(seed, 100));
        let lens: Vec<u64> = all().map(|plan| plan.body_len_max).collect();
        let again: Vec<u64> = all().map(|plan| plan.body_len_max).collect();
        assert_eq!(lens, again);
        assert!(lens.contains(&40) && lens.contains(&20_000));
        let clean = all().filter(|plan| plan.end == End::Clean).count();
        assert!((20..80).contains(&clean), "{clean}");
        let again = all().filter(|plan| plan.again.is_some()).count();
        assert!((20..70).contains(&again), "{again}");
    }
}
