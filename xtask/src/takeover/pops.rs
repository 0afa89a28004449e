//! Popped messages on their way: what one broker hid comes again from the next, what was
//! acknowledged does not, and a queue in order goes on with the first that was not.
//!
//! Topic and group are so long that the retry topic is longer than 127 bytes: what comes again
//! has a record of version 2.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::command::Frame;
use remoting::protocol::header::{
    AckMessageRequestHeader, PopMessageRequestHeader, PopMessageResponseHeader,
    QueryConsumerOffsetRequestHeader,
};
use remoting::protocol::message::record::records;
use tokio::time::sleep;

use super::content::{self, PATIENCE};
use super::link::{Link, number};

const TOPIC: &str = "TakeoverPopWithANameThatIsLongEnoughForTheRetryTopicToNeedTwoBytes";
const GROUP: &str = "takeover-pop-with-a-name-that-is-long-enough-for-the-retry-topic";
const ORDERED_TOPIC: &str = "TakeoverPopOrdered";
const ORDERED_GROUP: &str = "takeover-pop-ordered";
const QUEUES: i32 = 2;
/// Messages of each kind that a broker is sent.
const COUNT: usize = 10;
/// Messages of the queue in order that are popped at once; the first is acknowledged.
const ORDERED_POP: i32 = 4;
const HIDDEN: Duration = Duration::from_secs(10);
/// What comes again is hidden for so long that it comes once.
const HIDDEN_LONG: Duration = Duration::from_secs(600);
const PAUSE: Duration = Duration::from_millis(200);

/// The popped messages of a directory.
#[derive(Default)]
pub struct Pops {
    /// Name of the broker, which is in a receipt.
    broker: String,
    /// Bodies that are to come again.
    hidden: BTreeSet<String>,
    /// Bodies of the queue in order that were not acknowledged, in order.
    ordered: Vec<String>,
}

struct Popped {
    body: String,
    topic: String,
    queue_id: i32,
    offset: i64,
    receipt: String,
}

/// Creates the topics.
pub async fn create(link: &Link) -> Result<()> {
    content::create_topic(link, TOPIC, QUEUES, None).await?;
    content::create_topic(link, ORDERED_TOPIC, 1, Some("+message.type=FIFO")).await
}

/// An offset of a group: topic, group, queue, offset.
pub type Offset = (&'static str, &'static str, i32, i64);

impl Pops {
    /// None yet.
    pub fn of(broker: &str) -> Self {
        Self { broker: broker.to_owned(), ..Self::default() }
    }

    /// Sends messages, pops them and acknowledges some.
    pub async fn go_on(&mut self, link: &Link, word: &str) -> Result<()> {
        for number in 0..COUNT {
            let (plain, ordered) =
                (format!("{word} {number}"), format!("{word} in order {number}"));
            content::send_body(link, TOPIC, number as i32 % QUEUES, plain.as_bytes()).await?;
            content::send_body(link, ORDERED_TOPIC, 0, ordered.as_bytes()).await?;
            self.ordered.push(ordered);
        }
        let mut popped = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        while popped.len() < COUNT {
            popped.extend(self.pop(link, HIDDEN, false).await?);
            ensure!(Instant::now() < deadline, "{} of {COUNT} messages popped", popped.len());
        }
        for (at, message) in popped.into_iter().enumerate() {
            if at % 2 == 0 {
                ack(link, GROUP, &message).await?;
            } else {
                self.hidden.insert(message.body);
            }
        }
        let popped = self.pop(link, HIDDEN, true).await?;
        let first = popped.first().context("nothing popped in order")?;
        ensure!(first.body == self.ordered[0], "{:?} popped before {:?}", first.body, self.ordered);
        ack(link, ORDERED_GROUP, first).await?;
        self.ordered.remove(0);
        Ok(())
    }

    /// The offsets of the groups.
    pub async fn offsets(&self, link: &Link) -> Result<Vec<Offset>> {
        let plain = (0..QUEUES).map(|queue_id| (TOPIC, GROUP, queue_id));
        let mut offsets = Vec::new();
        for (topic, consumer_group, queue_id) in plain.chain([(ORDERED_TOPIC, ORDERED_GROUP, 0)]) {
            let set_zero_if_not_found = Some(false);
            let header = QueryConsumerOffsetRequestHeader {
                consumer_group,
                topic,
                queue_id,
                set_zero_if_not_found,
            };
            let answer = link.ok(RequestCode::QueryConsumerOffset, &header, &[]).await?;
            offsets.push((topic, consumer_group, queue_id, number(&answer, "offset")?));
        }
        Ok(offsets)
    }

    /// Waits until everything came again that was hidden, and nothing else, each once; then the
    /// queue in order.
    pub async fn check(&mut self, link: &Link) -> Result<usize> {
        let count = self.hidden.len() + self.ordered.len();
        let deadline = Instant::now() + HIDDEN + PATIENCE;
        while !self.hidden.is_empty() {
            for message in self.pop(link, HIDDEN_LONG, false).await? {
                ensure!(self.hidden.remove(&message.body), "{:?} popped again", message.body);
                ack(link, GROUP, &message).await?;
            }
            ensure!(Instant::now() < deadline, "popped, hidden and lost: {:?}", self.hidden);
            sleep(PAUSE).await;
        }
        let again = self.pop(link, HIDDEN_LONG, false).await?;
        ensure!(again.is_empty(), "{:?} popped once more", again[0].body);
        let mut ordered = VecDeque::from(std::mem::take(&mut self.ordered));
        while !ordered.is_empty() {
            for message in self.pop(link, HIDDEN_LONG, true).await? {
                let next = ordered.pop_front().unwrap_or_default();
                ensure!(message.body == next, "{:?} popped, not {next:?}", message.body);
                ack(link, ORDERED_GROUP, &message).await?;
            }
            ensure!(Instant::now() < deadline, "not popped in order: {ordered:?}");
            sleep(PAUSE).await;
        }
        Ok(count)
    }

    async fn pop(&self, link: &Link, hidden: Duration, order: bool) -> Result<Vec<Popped>> {
        let (topic, consumer_group) =
            if order { (ORDERED_TOPIC, ORDERED_GROUP) } else { (TOPIC, GROUP) };
        let header = PopMessageRequestHeader {
            consumer_group,
            topic,
            queue_id: if order { 0 } else { -1 },
            max_msg_nums: if order { ORDERED_POP } else { 32 },
            invisible_time: hidden.as_millis() as i64,
            born_time: content::now_ms()?,
            order,
            ..PopMessageRequestHeader::default()
        };
        let answer = link.ask(RequestCode::PopMessage, &header, &[], &[]).await?;
        let nothing = [ResponseCode::PollingTimeout, ResponseCode::PullNotFound].map(i32::from);
        if nothing.contains(&answer.code()) {
            return Ok(Vec::new());
        }
        let (code, remark) = (answer.code(), answer.remark().unwrap_or_default());
        ensure!(code == i32::from(ResponseCode::Success), "pop: {code} {remark}");
        self.messages(&answer)
    }

    /// The messages of an answer; receipts are made as Java's client makes them.
    fn messages(&self, answer: &Frame) -> Result<Vec<Popped>> {
        let header: PopMessageResponseHeader<'_> = answer.header()?;
        let starts = header.start_offset_info.unwrap_or_default();
        let mut popped = Vec::new();
        for record in records(answer.body()) {
            let record = record?;
            let (queue_id, offset) = (record.queue_id, record.queue_offset);
            let receipt = match record.properties().get("POP_CK") {
                Some(receipt) => receipt.to_owned(),
                None => {
                    let key = format!("0 {queue_id} ");
                    let start = starts.split(';').find_map(|place| place.strip_prefix(&key));
                    let start = start.context("a pop without the start of a queue")?;
                    let PopMessageResponseHeader { pop_time, invisible_time, revive_qid, .. } =
                        header;
                    let broker = &self.broker;
                    format!(
                        "{start} {pop_time} {invisible_time} {revive_qid} 0 {broker} {queue_id} {offset}"
                    )
                }
            };
            let topic = match receipt.split(' ').nth(4) {
                Some("1") => format!("%RETRY%{GROUP}_{}", record.topic),
                Some("2") => format!("%RETRY%{GROUP}+{}", record.topic),
                _ => record.topic.to_owned(),
            };
            let body = String::from_utf8(record.body.to_vec())?;
            popped.push(Popped { body, topic, queue_id, offset, receipt });
        }
        Ok(popped)
    }
}

async fn ack(link: &Link, consumer_group: &str, message: &Popped) -> Result<()> {
    let header = AckMessageRequestHeader {
        consumer_group,
        topic: &message.topic,
        queue_id: message.queue_id,
        extra_info: &message.receipt,
        offset: message.offset,
        lite_topic: None,
    };
    let acked = link.ok(RequestCode::AckMessage, &header, &[]).await;
    acked.map(|_| ()).with_context(|| format!("the ack of {:?}", message.body))
}
