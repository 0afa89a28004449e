//! What the revive topic holds: check points and acknowledgements, as Java writes them.
//!
//! A check point lists the messages one pop took from one queue and when they come back; an
//! acknowledgement names a check point by its merge key and offsets of it. The text is what
//! Java's JSON library makes of its classes: members sorted by name, absent ones left out.
//! Decoding takes anything: what no broker can have written is an error, never a panic.

use std::borrow::Cow;

use serde::Deserialize;
use smallvec::SmallVec;

use crate::pop::MESSAGES_MAX;

/// Tag of a check point.
pub(crate) const CHECK_POINT_TAG: &str = "ck";
/// Tag of an acknowledgement of one message.
pub(crate) const ACK_TAG: &str = "ack";
/// Tag of an acknowledgement of several messages.
pub(crate) const BATCH_ACK_TAG: &str = "bAck";

/// Separates the parts of a unique key.
const SPLIT: char = '@';

/// Pauses before messages that could not be delivered again are tried once more.
const AGAIN_AFTER_SECONDS: [i64; 17] =
    [10, 20, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1200, 1800, 3600, 7200];

/// Java keeps the number of tries as a byte.
const RE_PUTS_MAX: u8 = i8::MAX.unsigned_abs();

/// Distances of popped messages from the first offset of their check point.
pub(crate) type Differences = SmallVec<[i32; MESSAGES_MAX]>;

/// The messages that one pop took from one queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CheckPoint<'a> {
    /// Offset the pop began at.
    pub start_offset: i64,
    /// Time of the pop.
    pub pop_time: i64,
    /// How long the messages are hidden, in ms.
    pub invisible_time: i64,
    /// Which messages are acknowledged; bit i is the i-th.
    pub acked: u32,
    /// Number of messages.
    pub count: u8,
    /// Queue of the topic.
    pub queue_id: i32,
    /// Topic popped from; may be a retry topic.
    pub topic: Cow<'a, str>,
    /// Group that popped.
    pub group: Cow<'a, str>,
    /// Distance of each message from `start_offset`; empty when they are consecutive.
    pub differences: Differences,
    /// Broker the messages are on; very old ones do not say.
    pub broker_name: Option<Cow<'a, str>>,
    /// How often it was written again because its messages could not be read or stored.
    pub re_puts: u8,
}

/// The acknowledgement of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ack<'a> {
    /// Offset of the message in its queue.
    pub offset: i64,
    /// Offset the check point of the message begins at.
    pub start_offset: i64,
    /// Group that popped.
    pub group: Cow<'a, str>,
    /// Topic popped from; may be a retry topic.
    pub topic: Cow<'a, str>,
    /// Queue of the topic.
    pub queue_id: i32,
    /// Time of the pop.
    pub pop_time: i64,
    /// Broker the message is on.
    pub broker_name: Option<Cow<'a, str>>,
}

/// The acknowledgement of several messages of one check point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BatchAck<'a> {
    /// Everything but the offsets; its own offset is -1.
    pub ack: Ack<'a>,
    /// Offsets of the messages in their queue.
    pub offsets: Vec<i64>,
}

/// Why a body of the revive topic is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// No JSON of the wanted shape.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// Topic or group are missing.
    #[error("no topic or group")]
    Nameless,
    /// More messages than a pop can take, or fewer than none.
    #[error("{0} messages")]
    Count(i64),
    /// Times that do not add up to one.
    #[error("no time: popped at {0}, hidden for {1} ms")]
    Time(i64, i64),
    /// Not one of the three kinds.
    #[error("tag {0:?}")]
    Tag(String),
    /// Longer than any broker writes.
    #[error("a body of {0} bytes")]
    Long(usize),
}

/// Longest body that is looked at.
const BODY_LEN_MAX: usize = 64 * 1024;

impl CheckPoint<'_> {
    /// When the messages come back.
    pub(crate) fn revive_time(&self) -> i64 {
        self.pop_time.saturating_add(self.invisible_time)
    }

    /// Offset of the i-th message; none when it lies outside of what an offset can be.
    pub(crate) fn offset(&self, index: u8) -> Option<i64> {
        if index >= self.count {
            return None;
        }
        let difference = match self.differences.get(usize::from(index)) {
            Some(difference) => i64::from(*difference),
            None => i64::from(index),
        };
        self.start_offset.checked_add(difference).filter(|offset| *offset >= 0)
    }

    /// Which message has the offset.
    fn index_of(&self, offset: i64) -> Option<u8> {
        (0..self.count).find(|index| self.offset(*index) == Some(offset))
    }

    /// Marks a message as acknowledged; returns whether it is one of these.
    pub(crate) fn ack(&mut self, offset: i64) -> bool {
        let Some(index) = self.index_of(offset) else { return false };
        self.acked |= 1 << index;
        true
    }

    /// Lists the messages that nobody acknowledged.
    pub(crate) fn open(&self) -> impl Iterator<Item = i64> {
        (0..self.count)
            .filter(|index| self.acked & (1 << index) == 0)
            .filter_map(|index| self.offset(index))
    }

    /// Whether every message is acknowledged.
    pub(crate) fn done(&self) -> bool {
        self.open().next().is_none()
    }

    /// Writes what an acknowledgement must name to mean this check point.
    pub(crate) fn write_merge_key(&self, own_broker: &str, out: &mut String) {
        let broker = named(self.broker_name.as_deref(), own_broker);
        let (start, popped) = (self.start_offset, self.pop_time);
        merge_key(&self.topic, &self.group, self.queue_id, start, popped, broker, out);
    }

    /// Writes the unique key of the message that carries it.
    pub(crate) fn write_unique_key(&self, out: &mut String) {
        let parts = KeyParts {
            topic: &self.topic,
            queue_id: self.queue_id,
            offset: self.start_offset,
            group: &self.group,
            pop_time: self.pop_time,
            broker: self.broker_name.as_deref(),
        };
        parts.write(CHECK_POINT_TAG, out);
    }

    /// Writes the body.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let mut object = Object::new(out);
        // Java writes an int, so the last bit is the sign.
        object.number("bm", i64::from(self.acked.cast_signed()));
        object.text("bn", self.broker_name.as_deref());
        object.text("c", Some(&self.group));
        if !self.differences.is_empty() {
            object.numbers("d", self.differences.iter().map(|difference| i64::from(*difference)));
        }
        object.number("it", self.invisible_time);
        object.number("n", i64::from(self.count));
        object.number("pt", self.pop_time);
        object.number("q", i64::from(self.queue_id));
        object.number("reviveTime", self.revive_time());
        object.number("ro", 0);
        if self.re_puts > 0 {
            let mut digits = itoa::Buffer::new();
            object.text("rp", Some(digits.format(self.re_puts)));
        }
        object.number("so", self.start_offset);
        object.text("t", Some(&self.topic));
        object.end();
    }

    /// The check point of one of its messages that could not be delivered again at `now`: the same,
    /// to be looked at later and later.
    pub(crate) fn for_another_try(&self, offset: i64, now_ms: i64) -> CheckPoint<'static> {
        let last = AGAIN_AFTER_SECONDS.len() - 1;
        let pause = AGAIN_AFTER_SECONDS[usize::from(self.re_puts).min(last)];
        let late = self.revive_time() <= now_ms;
        CheckPoint {
            start_offset: offset,
            pop_time: self.pop_time,
            invisible_time: self.invisible_time.saturating_add(if late { pause * 1000 } else { 0 }),
            acked: 0,
            count: 1,
            queue_id: self.queue_id,
            topic: Cow::Owned(self.topic.clone().into_owned()),
            group: Cow::Owned(self.group.clone().into_owned()),
            differences: Differences::from_slice(&[0]),
            broker_name: self.broker_name.clone().map(|name| Cow::Owned(name.into_owned())),
            re_puts: self.re_puts.saturating_add(1).min(RE_PUTS_MAX),
        }
    }

    /// Whether Java would give its messages up, were it told to.
    pub(crate) fn tried_enough(&self) -> bool {
        usize::from(self.re_puts) >= AGAIN_AFTER_SECONDS.len()
    }

    /// Takes the names along.
    pub(crate) fn into_owned(self) -> CheckPoint<'static> {
        CheckPoint {
            topic: Cow::Owned(self.topic.into_owned()),
            group: Cow::Owned(self.group.into_owned()),
            broker_name: self.broker_name.map(|name| Cow::Owned(name.into_owned())),
            ..self
        }
    }
}

impl<'a> CheckPoint<'a> {
    /// Reads a body.
    pub(crate) fn decode(body: &'a [u8]) -> Result<CheckPoint<'a>, BodyError> {
        let json: CheckPointJson<'a> = parse(body)?;
        let (Some(Text(topic)), Some(Text(group))) = (json.t, json.c) else {
            return Err(BodyError::Nameless);
        };
        let listed = json.d.unwrap_or_default();
        // Java's byte may say more messages than there are differences.
        let most = if listed.is_empty() { MESSAGES_MAX } else { listed.len() };
        let count = u8::try_from(json.n).ok().filter(|count| usize::from(*count) <= most);
        let Some(count) = count.filter(|_| listed.len() <= MESSAGES_MAX) else {
            return Err(BodyError::Count(json.n));
        };
        if json.pt.checked_add(json.it).is_none() {
            return Err(BodyError::Time(json.pt, json.it));
        }
        let re_puts = json.rp.map_or(0, |Text(times)| re_puts(&times));
        Ok(CheckPoint {
            start_offset: json.so,
            pop_time: json.pt,
            invisible_time: json.it,
            acked: json.bm.cast_unsigned(),
            count,
            queue_id: json.q,
            topic,
            group,
            differences: Differences::from_vec(listed),
            broker_name: json.bn.map(|Text(name)| name),
            re_puts,
        })
    }
}

impl Ack<'_> {
    /// Writes what a check point must have for this to mean it.
    pub(crate) fn write_merge_key(&self, own_broker: &str, out: &mut String) {
        let broker = named(self.broker_name.as_deref(), own_broker);
        let (start, popped) = (self.start_offset, self.pop_time);
        merge_key(&self.topic, &self.group, self.queue_id, start, popped, broker, out);
    }

    /// Writes the unique key of the message that carries it, or a batch of which it is the head.
    pub(crate) fn write_unique_key(&self, out: &mut String) {
        let parts = KeyParts {
            topic: &self.topic,
            queue_id: self.queue_id,
            offset: self.offset,
            group: &self.group,
            pop_time: self.pop_time,
            broker: self.broker_name.as_deref(),
        };
        // Java quirk: a batch has the key of a single one, with offset -1; pinned by
        // `a_batch_has_the_key_of_a_single_ack`.
        parts.write(ACK_TAG, out);
    }

    /// Writes the body.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        self.encode_with(None, out);
    }

    fn encode_with(&self, offsets: Option<&[i64]>, out: &mut Vec<u8>) {
        let mut object = Object::new(out);
        object.number("ao", self.offset);
        if let Some(offsets) = offsets {
            object.numbers("aol", offsets.iter().copied());
        }
        object.text("bn", self.broker_name.as_deref());
        object.text("c", Some(&self.group));
        object.number("pt", self.pop_time);
        object.number("q", i64::from(self.queue_id));
        object.number("so", self.start_offset);
        object.text("t", Some(&self.topic));
        object.end();
    }
}

impl<'a> Ack<'a> {
    /// Reads a body.
    pub(crate) fn decode(body: &'a [u8]) -> Result<Ack<'a>, BodyError> {
        Ok(Ack::from_json(parse(body)?)?.ack)
    }

    fn from_json(json: AckJson<'a>) -> Result<BatchAck<'a>, BodyError> {
        let (Some(Text(topic)), Some(Text(group))) = (json.t, json.c) else {
            return Err(BodyError::Nameless);
        };
        let ack = Ack {
            offset: json.ao,
            start_offset: json.so,
            group,
            topic,
            queue_id: json.q,
            pop_time: json.pt,
            broker_name: json.bn.map(|Text(name)| name),
        };
        Ok(BatchAck { ack, offsets: json.aol.unwrap_or_default() })
    }
}

impl<'a> BatchAck<'a> {
    /// Writes the body.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        self.ack.encode_with(Some(&self.offsets), out);
    }

    /// Reads a body.
    pub(crate) fn decode(body: &'a [u8]) -> Result<BatchAck<'a>, BodyError> {
        Ack::from_json(parse(body)?)
    }
}

/// The body of a check point.
#[derive(Deserialize)]
struct CheckPointJson<'a> {
    #[serde(default)]
    bm: i32,
    #[serde(default, borrow)]
    bn: Option<Text<'a>>,
    #[serde(default, borrow)]
    c: Option<Text<'a>>,
    #[serde(default)]
    d: Option<Vec<i32>>,
    #[serde(default)]
    it: i64,
    #[serde(default)]
    n: i64,
    #[serde(default)]
    pt: i64,
    #[serde(default)]
    q: i32,
    #[serde(default, borrow)]
    rp: Option<Text<'a>>,
    #[serde(default)]
    so: i64,
    #[serde(default, borrow)]
    t: Option<Text<'a>>,
}

/// The body of an acknowledgement; brokers before 5.2 wrote the long names.
#[derive(Deserialize)]
struct AckJson<'a> {
    #[serde(default, alias = "ackOffset")]
    ao: i64,
    #[serde(default, alias = "ackOffsetList")]
    aol: Option<Vec<i64>>,
    #[serde(default, borrow, alias = "brokerName")]
    bn: Option<Text<'a>>,
    #[serde(default, borrow, alias = "consumerGroup")]
    c: Option<Text<'a>>,
    #[serde(default, alias = "popTime")]
    pt: i64,
    #[serde(default, alias = "queueId")]
    q: i32,
    #[serde(default, alias = "startOffset")]
    so: i64,
    #[serde(default, borrow, alias = "topic")]
    t: Option<Text<'a>>,
}

/// A string that is borrowed from the body unless something in it is escaped.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, BodyError> {
    if body.len() > BODY_LEN_MAX {
        return Err(BodyError::Long(body.len()));
    }
    Ok(serde_json::from_slice(body)?)
}

/// Reads how often a check point was written again; what is no number counts as very often.
fn re_puts(text: &str) -> u8 {
    text.parse().map_or(RE_PUTS_MAX, |times: u8| times.min(RE_PUTS_MAX))
}

fn named<'a>(broker: Option<&'a str>, own: &'a str) -> &'a str {
    broker.filter(|name| !name.trim().is_empty()).unwrap_or(own)
}

fn merge_key(
    topic: &str,
    group: &str,
    queue_id: i32,
    start_offset: i64,
    pop_time: i64,
    broker: &str,
    out: &mut String,
) {
    let mut digits = itoa::Buffer::new();
    out.clear();
    // Java has nothing between the parts, so that different check points can look the same.
    out.push_str(topic);
    out.push(SPLIT);
    out.push_str(group);
    out.push(SPLIT);
    out.push_str(digits.format(queue_id));
    out.push(SPLIT);
    out.push_str(digits.format(start_offset));
    out.push(SPLIT);
    out.push_str(digits.format(pop_time));
    out.push(SPLIT);
    out.push_str(broker);
}

struct KeyParts<'a> {
    topic: &'a str,
    queue_id: i32,
    offset: i64,
    group: &'a str,
    pop_time: i64,
    broker: Option<&'a str>,
}

impl KeyParts<'_> {
    fn write(&self, tag: &str, out: &mut String) {
        let mut digits = itoa::Buffer::new();
        out.clear();
        out.push_str(self.topic);
        out.push(SPLIT);
        out.push_str(digits.format(self.queue_id));
        out.push(SPLIT);
        out.push_str(digits.format(self.offset));
        out.push(SPLIT);
        out.push_str(self.group);
        out.push(SPLIT);
        out.push_str(digits.format(self.pop_time));
        out.push(SPLIT);
        out.push_str(self.broker.unwrap_or("null"));
        out.push(SPLIT);
        out.push_str(tag);
    }
}

/// Writes the members of a JSON object in the order they come.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    digits: itoa::Buffer,
}

impl<'a> Object<'a> {
    fn new(out: &'a mut Vec<u8>) -> Self {
        out.clear();
        out.push(b'{');
        Object { out, digits: itoa::Buffer::new() }
    }

    fn name(&mut self, name: &str) {
        if self.out.len() > 1 {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn number(&mut self, name: &str, value: i64) {
        self.name(name);
        self.out.extend_from_slice(self.digits.format(value).as_bytes());
    }

    fn numbers(&mut self, name: &str, values: impl Iterator<Item = i64>) {
        self.name(name);
        self.out.push(b'[');
        for (index, value) in values.enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            self.out.extend_from_slice(self.digits.format(value).as_bytes());
        }
        self.out.push(b']');
    }

    fn text(&mut self, name: &str, value: Option<&str>) {
        let Some(value) = value else { return };
        self.name(name);
        // Invariant: text is written to memory, which takes everything.
        let written = serde_json::to_writer(&mut *self.out, value);
        assert!(written.is_ok(), "a string became no JSON");
    }

    fn end(self) {
        self.out.push(b'}');
    }
}

#[cfg(test)]
mod tests;
