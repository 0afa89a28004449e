//! A model of popping: the real deciding code in a world of lists and a clock that is set.
//!
//! The world has one topic, two groups with their retry topics, a timer that is late, stands still
//! and mixes up what is due together, and a log that survives crashes while memory does not. It
//! checks the invariants of `pop` at every step. Steps: `POP_MODEL_STEPS` (a million unless set);
//! seeds are fixed, and a failure names its own.

mod log;
mod random;
mod world;

use crate::pop::buffer::BufferLimits;

use random::Random;
use world::{Settings, World};

/// Steps of one world: what is kept of every message ever sent grows with them.
const STEPS_OF_A_WORLD: u64 = 100_000;

fn steps() -> u64 {
    std::env::var("POP_MODEL_STEPS").ok().and_then(|steps| steps.parse().ok()).unwrap_or(1_000_000)
}

/// Plain, with next to no room for check points, with a buffer, and with a small buffer.
fn settings(seed: u64) -> Settings {
    let limits = |points_max, per_queue_max| BufferLimits {
        stay_ms: 4000,
        leave_ms: 800,
        points_max,
        per_queue_max,
    };
    match seed % 4 {
        0 => Settings { room: 20_000, buffer: None },
        1 => Settings { room: 25, buffer: None },
        2 => Settings { room: 20_000, buffer: Some(limits(2000, 500)) },
        _ => Settings { room: 40, buffer: Some(limits(20, 4)) },
    }
}

#[test]
fn nothing_is_lost_early_or_stuck() {
    let worlds = steps().div_ceil(STEPS_OF_A_WORLD);
    let mut consumed = 0;
    for seed in 0..worlds {
        let mut world = World::new(seed, settings(seed));
        for _ in 0..STEPS_OF_A_WORLD {
            world.step();
        }
        consumed += world.consume_everything();
    }
    // Steps that do nothing would prove nothing.
    assert!(consumed > steps() / 10, "{consumed} messages consumed");
}
