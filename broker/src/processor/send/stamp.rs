//! The properties of a message on its way into the store: what the sender set, read once, and what
//! the broker adds.
//!
//! Region, trace switch and cluster are the broker's to say, a receipt handle is nobody's; a
//! unique key is made when there is none. In a batch these stand behind every message's own
//! properties, and no key is made.

use std::ops::Range;

use remoting::protocol::header::SendMessageRequestHeader;
use remoting::protocol::message::properties::property;
use remoting::protocol::message::{Properties, PropertiesBuf};
use runtime::clock::now_ms;

use crate::broker::Broker;
use crate::put::Timing;
use crate::reject::Reject;

/// What the properties of a send say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamped<'a> {
    /// When it is to be visible.
    pub timing: Timing<'a>,
    /// Whether it says that it is a half message.
    pub transactional: bool,
    /// Whether the sender waits for the disk.
    pub waits: bool,
    /// Whether it has keys.
    pub has_keys: bool,
    /// Whether it has a sharding key.
    pub ordered: bool,
    /// Number of messages it says it holds; 0 for what is no such number.
    pub inner_num: Option<i16>,
    /// Where the unique key stands in the stamped properties; empty if there is none.
    pub unique_key: Range<usize>,
}

impl Stamped<'_> {
    /// Whether the message waits for the end of a transaction: not in a batch, and not when a
    /// consumer has it back with a delay.
    pub(super) fn is_half(&self, header: &SendMessageRequestHeader<'_>) -> bool {
        let delayed_retry = header.reconsume_times.unwrap_or(0) > 0 && self.timing.level() > 0;
        self.transactional && !header.batch && !delayed_retry
    }
}

/// Writes the properties to store into `out` and says what they mean.
///
/// A dead letter loses its delay.
pub(super) fn stamp<'a>(
    broker: &Broker,
    raw: &'a str,
    make_key: bool,
    dead_letter: bool,
    out: &mut PropertiesBuf,
) -> Result<Stamped<'a>, Reject> {
    use property as name;
    let mut stamped = Stamped {
        timing: Timing::default(),
        transactional: false,
        waits: true,
        has_keys: false,
        ordered: false,
        inner_num: None,
        unique_key: 0..0,
    };
    out.clear();
    for (key, value) in Properties::new(raw) {
        stamped.timing.see(key, value)?;
        match key {
            // The broker's own, and a receipt handle, which no sender has.
            name::MSG_REGION | name::TRACE_ON | name::CLUSTER | name::POP_CK => continue,
            name::UNIQ_KEY => {
                let start = out.len() + key.len() + 1;
                stamped.unique_key = start..start + value.len();
            }
            name::DELAY if dead_letter => continue,
            name::TRANSACTION_PREPARED => stamped.transactional = is_true(value),
            name::WAIT => stamped.waits = is_true(value),
            name::KEYS => stamped.has_keys = true,
            name::SHARDING_KEY => stamped.ordered = true,
            name::INNER_NUM => stamped.inner_num = Some(value.parse().unwrap_or(0)),
            _ => {}
        }
        out.push(key, value);
    }
    if make_key && stamped.unique_key.is_empty() {
        stamped.unique_key = broker.push_unique_key(now_ms(), out);
    }
    if dead_letter {
        stamped.timing.drop_level();
        out.push(name::DELAY, "-1");
    }
    out.append_raw(&broker.stamp);
    Ok(stamped)
}

fn is_true(value: &str) -> bool {
    value.eq_ignore_ascii_case("true")
}
