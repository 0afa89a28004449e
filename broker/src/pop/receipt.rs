//! Texts that travel between a pop and its acknowledgement.
//!
//! ```text
//! receipt          startOffset popTime invisibleTime reviveQueue flag broker queue [offset]
//! startOffsetInfo  flag queue startOffset;...
//! msgOffsetInfo    flag queue o1,o2,...;...
//! orderCountInfo   flag qo<queue>%<offset> count;flag queue count;...
//! ```
//!
//! The flag tells the topic (0), its first kind of retry topic (1) and the second (2) apart. The
//! client brings a receipt back unread, so one may be of another broker, older, or made up.

use std::fmt::Write as _;

use crate::pop::ORDER_REVIVE_QUEUE;
use crate::topics::{PopRetry, pop_retry_of};

/// Separates the items of a text.
const ITEM_END: char = ' ';

/// What a client must show to acknowledge a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Receipt<'a> {
    /// Offset the check point of the pop begins at.
    pub start_offset: i64,
    /// When it was popped.
    pub pop_time: i64,
    /// For how long it is hidden, in ms.
    pub invisible_time: i64,
    /// Where its check point is; see [`ORDER_REVIVE_QUEUE`].
    pub revive_queue: i32,
    /// Name of the broker that popped.
    pub broker_name: &'a str,
}

/// A text that is no receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the receipt has no readable {0}")]
pub(crate) struct NoReceipt(&'static str);

impl<'a> Receipt<'a> {
    /// Reads a receipt; what stands behind the name of the broker is for clients.
    pub(crate) fn decode(text: &'a str) -> Result<Receipt<'a>, NoReceipt> {
        let mut items = text.split(ITEM_END);
        let mut number = |name| {
            let item = items.next().unwrap_or_default();
            item.parse::<i64>().map_err(|_| NoReceipt(name))
        };
        let start_offset = number("start offset")?;
        let pop_time = number("pop time")?;
        let invisible_time = number("invisible time")?;
        let revive_queue = number("revive queue")?;
        // The flag is skipped: the request names the topic itself.
        let broker_name = items.nth(1).filter(|name| !name.is_empty());
        if pop_time.checked_add(invisible_time).is_none() {
            return Err(NoReceipt("time"));
        }
        Ok(Receipt {
            start_offset,
            pop_time,
            invisible_time,
            revive_queue: i32::try_from(revive_queue).map_err(|_| NoReceipt("revive queue"))?,
            broker_name: broker_name.ok_or(NoReceipt("broker name"))?,
        })
    }

    /// Appends the receipt of a message of `topic`.
    pub(crate) fn append(&self, topic: &str, queue_id: i32, offset: i64, out: &mut String) {
        let Receipt { start_offset, pop_time, invisible_time, revive_queue, broker_name } = self;
        let flag = flag_of(topic);
        put(
            out,
            format_args!(
                "{start_offset} {pop_time} {invisible_time} {revive_queue} {flag} {broker_name} \
                 {queue_id} {offset}"
            ),
        );
    }

    /// Whether the message was popped in order.
    pub(crate) fn is_orderly(&self) -> bool {
        self.revive_queue == ORDER_REVIVE_QUEUE
    }
}

/// Where the popped messages of an answer stand, as its header tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Places {
    /// `startOffsetInfo`.
    pub starts: String,
    /// `msgOffsetInfo`.
    pub offsets: String,
}

impl Places {
    /// Adds the messages of one queue.
    pub(crate) fn add(&mut self, topic: &str, queue_id: i32, start_offset: i64, offsets: &[i64]) {
        let flag = flag_of(topic);
        separate(&mut self.starts);
        put(&mut self.starts, format_args!("{flag} {queue_id} {start_offset}"));
        separate(&mut self.offsets);
        put(&mut self.offsets, format_args!("{flag} {queue_id} "));
        for (index, offset) in offsets.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            put(&mut self.offsets, format_args!("{comma}{offset}"));
        }
    }
}

/// Adds how often one message of an orderly pop was delivered before.
pub(crate) fn count_of_message(
    topic: &str,
    queue_id: i32,
    offset: i64,
    count: i32,
    out: &mut String,
) {
    let flag = flag_of(topic);
    separate(out);
    put(out, format_args!("{flag} qo{queue_id}%{offset} {count}"));
}

/// Adds how often all messages of a queue were delivered before, at least.
pub(crate) fn count_of_queue(topic: &str, queue_id: i32, count: i32, out: &mut String) {
    let flag = flag_of(topic);
    separate(out);
    put(out, format_args!("{flag} {queue_id} {count}"));
}

/// The flag of a topic.
fn flag_of(topic: &str) -> char {
    match pop_retry_of(topic) {
        None => '0',
        Some(PopRetry::V1) => '1',
        Some(PopRetry::V2) => '2',
    }
}

/// Which retry topic a flag of a batch acknowledgement means; `None` for the topic itself.
pub(crate) fn retry_of_flag(flag: &str) -> Result<Option<PopRetry>, NoReceipt> {
    match flag {
        "0" => Ok(None),
        "1" => Ok(Some(PopRetry::V1)),
        "2" => Ok(Some(PopRetry::V2)),
        _ => Err(NoReceipt("retry flag")),
    }
}

fn separate(out: &mut String) {
    if !out.is_empty() {
        out.push(';');
    }
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    const HANDLE: &str = "10 1700000000000 60000 3 0 broker-a 1 12";

    fn receipt() -> Receipt<'static> {
        Receipt {
            start_offset: 10,
            pop_time: 1_700_000_000_000,
            invisible_time: 60_000,
            revive_queue: 3,
            broker_name: "broker-a",
        }
    }

    #[test]
    fn a_receipt_is_written_and_read() {
        let mut text = String::new();
        receipt().append("T", 1, 12, &mut text);
        assert_eq!(text, HANDLE);
        assert_eq!(Receipt::decode(HANDLE), Ok(receipt()));
        // Very old clients leave the last item out.
        assert_eq!(Receipt::decode("10 1700000000000 60000 3 0 broker-a 1"), Ok(receipt()));
        assert!(!receipt().is_orderly());
        assert!(Receipt::decode("0 1 2 999 0 b 0 0").unwrap().is_orderly());
    }

    #[test]
    fn the_flag_tells_the_retry_topics_apart() {
        for (topic, flag) in [("T", '0'), ("%RETRY%g_T", '1'), ("%RETRY%g+T", '2')] {
            let mut text = String::new();
            receipt().append(topic, 0, 0, &mut text);
            assert_eq!(text.split(' ').nth(4), Some(flag.to_string().as_str()));
        }
        assert_eq!(retry_of_flag("2"), Ok(Some(PopRetry::V2)));
        assert!(retry_of_flag("3").is_err() && retry_of_flag("").is_err());
    }

    #[test]
    fn foreign_texts_are_errors() {
        for text in [
            "",
            " ",
            "10",
            "a b c d e f g h",
            "10 1700000000000 60000 3 0",
            "10 1700000000000 60000 3 0 ",
            "10 1700000000000 60000 3 0  1 12",
            "10 1700000000000 60000 99999999999 0 b 1 12",
            "10 9223372036854775807 60000 3 0 b 1 12",
            "99999999999999999999 1 60000 3 0 b 1 12",
            "10  1700000000000 60000 3 0 b 1 12",
        ] {
            assert!(Receipt::decode(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn places_list_queue_after_queue() {
        let mut places = Places::default();
        places.add("T", 1, 10, &[10, 12]);
        places.add("%RETRY%g_T", 0, 4, &[4]);
        assert_eq!(places.starts, "0 1 10;1 0 4");
        assert_eq!(places.offsets, "0 1 10,12;1 0 4");
        let mut counts = String::new();
        count_of_message("T", 1, 10, 2, &mut counts);
        count_of_queue("T", 1, 0, &mut counts);
        assert_eq!(counts, "0 qo1%10 2;0 1 0");
    }
}
