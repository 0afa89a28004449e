//! The properties of a message on its way into the store: what the sender set, read once, and what
//! the broker adds.
//!
//! Region, trace switch and cluster are the broker's to say, a receipt handle is nobody's; a
//! unique key is made when there is none. In a batch these stand behind every message's own
//! properties, and no key is made.

use std::ops::Range;

use remoting::protocol::message::properties::property;
use remoting::protocol::message::{Properties, PropertiesBuf};
use runtime::clock::now_ms;

use crate::broker::Broker;
use crate::reject::Reject;

/// Whether and how far a message is delayed by level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delay {
    /// Not at all; a level of 0 or below means the same.
    None,
    /// By this level, from 1.
    Level(i32),
}

/// What the properties of a send say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamped {
    /// Delay level.
    pub delay: Delay,
    /// Whether it is a half message.
    pub transactional: bool,
    /// Whether it asks for the timer.
    pub timed: bool,
    /// Whether the sender waits for the disk.
    pub waits: bool,
    /// Whether it has keys.
    pub has_keys: bool,
    /// Where the unique key stands in the stamped properties; empty if there is none.
    pub unique_key: Range<usize>,
}

/// Writes the properties to store into `out` and says what they mean.
///
/// A dead letter loses its delay.
pub(super) fn stamp(
    broker: &Broker,
    raw: &str,
    make_key: bool,
    dead_letter: bool,
    out: &mut PropertiesBuf,
) -> Result<Stamped, Reject> {
    use property as name;
    let mut stamped = Stamped {
        delay: Delay::None,
        transactional: false,
        timed: false,
        waits: true,
        has_keys: false,
        unique_key: 0..0,
    };
    let mut already_timed = false;
    out.clear();
    for (key, value) in Properties::new(raw) {
        match key {
            // The broker's own, and a receipt handle, which no sender has.
            name::MSG_REGION | name::TRACE_ON | name::CLUSTER | name::POP_CK => continue,
            name::UNIQ_KEY => {
                let start = out.len() + key.len() + 1;
                stamped.unique_key = start..start + value.len();
            }
            name::DELAY => {
                stamped.delay = delay(value)?;
                if dead_letter {
                    continue;
                }
            }
            name::TRANSACTION_PREPARED => stamped.transactional = is_true(value),
            name::WAIT => stamped.waits = is_true(value),
            name::KEYS => stamped.has_keys = true,
            name::TIMER_DELAY_SEC | name::TIMER_DELAY_MS | name::TIMER_DELIVER_MS => {
                stamped.timed = true;
            }
            name::TIMER_OUT_MS => already_timed = true,
            _ => {}
        }
        out.push(key, value);
    }
    // A message that comes back from the timer is not timed again.
    stamped.timed &= !already_timed;
    if make_key && stamped.unique_key.is_empty() {
        stamped.unique_key = broker.push_unique_key(now_ms(), out);
    }
    if dead_letter {
        stamped.delay = Delay::None;
        out.push(name::DELAY, "-1");
    }
    out.append_raw(&broker.stamp);
    Ok(stamped)
}

fn delay(value: &str) -> Result<Delay, Reject> {
    // Java quirk: text that is no number is an exception, not an illegal message.
    match value.parse() {
        Ok(level) if level > 0 => Ok(Delay::Level(level)),
        Ok(_) => Ok(Delay::None),
        Err(_) => Err(Reject::thrown(format!("the delay level {value:?} is no number"))),
    }
}

fn is_true(value: &str) -> bool {
    value.eq_ignore_ascii_case("true")
}
