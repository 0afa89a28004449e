//! Revival: what was popped and not acknowledged in time is stored again in a retry topic.
//!
//! One task reads all queues of the revive topic. `Pending` decides what is due; here are its eyes
//! and hands. Nothing polls: the task sleeps until an arrival in the revive topic or the time of
//! the first check point. A queue's offset is committed as Java does (the last one done with), but
//! not before the disk has what it stands for.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use remoting::protocol::message::properties::property;
use remoting::protocol::message::record::{Record, records};
use runtime::clock::now_ms;
use runtime::services::Stop;
use store::{Arrival, GetRequest};
use tokio::sync::Notify;

use crate::broker::Broker;
use crate::metrics::Revival as Kind;
use crate::pop::check_point::{ACK_TAG, BATCH_ACK_TAG, BodyError, CHECK_POINT_TAG};
use crate::pop::pending::{Entry, Pending};
use crate::pop::retry::{self, Revived};
use crate::pop::{Ack, BatchAck, CheckPoint, journal};
use crate::traffic::Counted;

/// The group whose offsets say how far the revive queues are done with.
pub(crate) const REVIVE_GROUP: &str = "CID_RMQ_SYS_REVIVE_GROUP";

/// Records of one read, and reads of one turn.
const RECORDS_MAX: i32 = 32;
const READS_MAX: usize = 64;
const BYTES_MAX: i32 = 1 << 20;

/// Pause after a turn, so that many arrivals share one.
const PAUSE: Duration = Duration::from_millis(10);
/// How soon to look again at what the timer is late with.
const LATE_MS: i64 = 5;
/// Pause before what failed is tried again, and between looks at what the disk has.
const AGAIN_MS: i64 = 1000;
/// A check point that comes so long before its time goes back to the timer.
const EARLY_MS: i64 = 10_000;
/// Interval of log lines about records that nobody can read.
const COMPLAIN_EVERY_MS: i64 = 10_000;

const NEVER: i64 = i64::MAX;

/// Wakes the task that revives.
pub(crate) struct Revive {
    arrived: Vec<AtomicBool>,
    wake: Notify,
    skipped: AtomicI64,
    complained_at: AtomicI64,
}

/// One queue of the revive topic.
struct Queue {
    id: i32,
    pending: Pending,
    look_at: i64,
    /// Offsets that can be committed once the log is flushed up to a position.
    waiting: VecDeque<(i64, i64)>,
    /// Since when something waits for the disk.
    waiting_since: i64,
    /// Log position behind the last copy.
    end: i64,
}

impl Revive {
    /// For a revive topic of so many queues.
    pub(crate) fn new(queues: i32) -> Revive {
        Revive {
            arrived: (0..queues.max(0)).map(|_| AtomicBool::new(true)).collect(),
            wake: Notify::new(),
            skipped: AtomicI64::new(0),
            complained_at: AtomicI64::new(0),
        }
    }

    /// Takes note of a record in the revive topic.
    pub(crate) fn arrived(&self, arrival: &Arrival<'_>) {
        let queue = usize::try_from(arrival.queue_id).ok().and_then(|id| self.arrived.get(id));
        let Some(arrived) = queue else { return };
        if !arrived.swap(true, Ordering::SeqCst) {
            self.wake.notify_one();
        }
    }

    /// Whether there is such a queue.
    pub(crate) fn has_queue(&self, queue_id: i32) -> bool {
        usize::try_from(queue_id).is_ok_and(|id| id < self.arrived.len())
    }

    /// Revives until the broker stops.
    pub(crate) async fn run(self: Arc<Self>, broker: Arc<Broker>, stop: Stop) {
        let mut queues: Vec<Queue> =
            (0..).zip(&self.arrived).map(|(id, _)| Queue::begin(id, &broker)).collect();
        while !stop.stopped() {
            for (queue, arrived) in queues.iter_mut().zip(&self.arrived) {
                // Taken before looking: what arrives from here on sets it again.
                if arrived.swap(false, Ordering::SeqCst) || queue.look_at <= now_ms() {
                    queue.turn(&broker, &self);
                    // Long work shares the thread with the connections of the runtime.
                    tokio::task::yield_now().await;
                }
            }
            flush_for(&queues, &broker).await;
            if stop.pause(PAUSE).await {
                break;
            }
            self.sleep(&queues, &stop).await;
        }
        for queue in &mut queues {
            queue.commit(&broker, i64::MAX);
        }
    }

    async fn sleep(&self, queues: &[Queue], stop: &Stop) {
        let next = queues.iter().map(|queue| queue.look_at).min().unwrap_or(NEVER);
        stop.sleep_until(next, &self.wake).await;
    }

    /// Counts a record nobody can read, and says so now and then.
    fn complain(&self, queue_id: i32, offset: i64, why: &str) {
        let skipped = self.skipped.fetch_add(1, Ordering::Relaxed) + 1;
        let (now, last) = (now_ms(), self.complained_at.load(Ordering::Relaxed));
        if (now - last).abs() < COMPLAIN_EVERY_MS {
            return;
        }
        self.complained_at.store(now, Ordering::Relaxed);
        tracing::warn!(queue_id, offset, why, skipped, "foreign record in the revive topic");
    }
}

impl Queue {
    fn begin(id: i32, broker: &Broker) -> Queue {
        let topic = &broker.revive_topic;
        // Java quirk: the offset of this group is that of the last record done with; pinned by
        // `java_directories_go_on`.
        let done = broker.offsets.query(REVIVE_GROUP, topic, id);
        let wanted = done.map_or(0, |offset| offset.saturating_add(1));
        let min = broker.store.min_offset(topic, id).max(0);
        let next = wanted.clamp(min, broker.store.max_offset(topic, id).max(min));
        if next != wanted {
            tracing::warn!(queue_id = id, wanted, next, "revive offset outside its queue, moved");
        }
        let pending = Pending::new(next, &broker.config.broker_name);
        Queue { id, pending, look_at: 0, waiting: VecDeque::new(), waiting_since: NEVER, end: 0 }
    }

    /// Reads on and revives what is due; sets when to look again.
    fn turn(&mut self, broker: &Broker, revive: &Revive) {
        // The time first: what it covers is in the queue before its end is looked up.
        let delivered = broker.timer_delivered();
        let end = broker.store.max_offset(&broker.revive_topic, self.id);
        self.pending.mark(delivered, end);
        let mut held_up = false;
        for _ in 0..READS_MAX {
            if self.pending.next() >= end {
                break;
            }
            held_up = self.read(broker, revive).is_break() || self.revive(broker).is_break();
            if held_up {
                break;
            }
        }
        held_up = held_up || self.revive(broker).is_break();
        self.note_done();
        self.commit(broker, broker.store.flushed_offset());
        let now = now_ms();
        self.look_at = match self.pending.next_due() {
            _ if held_up => now + AGAIN_MS,
            _ if self.pending.next() < end => now,
            Some(due) => due.max(now + LATE_MS),
            None => NEVER,
        };
        if !self.waiting.is_empty() {
            self.look_at = self.look_at.min(now + AGAIN_MS);
        }
    }

    /// Reads some records; breaks when one of them cannot be dealt with now.
    fn read(&mut self, broker: &Broker, revive: &Revive) -> ControlFlow<()> {
        let request = GetRequest {
            topic: &broker.revive_topic,
            queue_id: self.id,
            queue_offset: self.pending.next(),
            count_max: RECORDS_MAX,
            bytes_max: BYTES_MAX,
        };
        let begun = Instant::now();
        let got = broker.store.get(&request, &|_| true);
        let messages = u64::try_from(got.count).unwrap_or(0);
        let counted = Counted { messages, bytes: got.bytes as u64 };
        broker.count_read(REVIVE_GROUP, &broker.revive_topic, counted, begun.elapsed());
        for slice in &got.slices {
            for record in records(slice.as_ref()) {
                let Ok(record) = record else { continue };
                let offset = record.queue_offset;
                if offset < self.pending.next() {
                    continue;
                }
                self.pending.skip_to(offset);
                self.see(&record, broker, revive)?;
                if self.pending.next() != offset + 1 {
                    // Gone back to what found no room.
                    return ControlFlow::Continue(());
                }
            }
        }
        if got.next_offset > self.pending.next() {
            self.pending.skip_to(got.next_offset);
        } else if got.slices.is_empty() {
            // Neither a record nor a way on: the disk does not answer.
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn see(&mut self, record: &Record<'_>, broker: &Broker, revive: &Revive) -> ControlFlow<()> {
        let (mut tag, mut deliver, mut timed) = ("", None, false);
        for (name, value) in record.properties() {
            match name {
                property::TAGS => tag = value,
                property::TIMER_DELIVER_MS => deliver = value.parse().ok(),
                property::TIMER_OUT_MS => timed = true,
                _ => {}
            }
        }
        let entry = decode(tag, record.body).unwrap_or_else(|error| {
            revive.complain(self.id, record.queue_offset, &error.to_string());
            Entry::Foreign
        });
        if let Entry::CheckPoint(point) = &entry
            && point.revive_time().saturating_sub(now_ms()) > EARLY_MS
            && !point.done()
        {
            self.send_back(point, broker)?;
            self.pending.see(Entry::Foreign, None);
            return ControlFlow::Continue(());
        }
        self.count(&entry, broker);
        self.pending.see(entry, deliver.filter(|_| timed));
        ControlFlow::Continue(())
    }

    fn count(&self, entry: &Entry<'_>, broker: &Broker) {
        if !broker.measures.on {
            return;
        }
        let (kind, group, topic) = match entry {
            Entry::CheckPoint(point) => (Kind::CheckPoint, &point.group, &point.topic),
            Entry::Ack(ack) | Entry::BatchAck(BatchAck { ack, .. }) => {
                (Kind::Ack, &ack.group, &ack.topic)
            }
            Entry::Foreign => return,
        };
        broker.traffic.revived(group, topic, |revived| revived.read(kind, self.id));
    }

    /// Hands a check point that came long before its time to the timer again.
    fn send_back(&self, point: &CheckPoint<'_>, broker: &Broker) -> ControlFlow<()> {
        match journal::put_check_point_early(broker, point, self.id) {
            Ok(_) => ControlFlow::Continue(()),
            Err(error) => {
                tracing::warn!(%error, queue_id = self.id, "an early check point waits");
                ControlFlow::Break(())
            }
        }
    }

    /// Stores again what is due; breaks when the log takes nothing at present.
    fn revive(&mut self, broker: &Broker) -> ControlFlow<()> {
        while let Some((offset, point)) = self.pending.take_due() {
            match retry::revive(broker, point, self.id, now_ms()) {
                Revived::Done { end } => self.end = end.max(self.end),
                Revived::Refused(point) => {
                    self.pending.put_back(offset, *point, now_ms() + AGAIN_MS);
                    return ControlFlow::Break(());
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn note_done(&mut self) {
        let done = self.pending.done_until();
        if done >= 0 && self.waiting.back().is_none_or(|(last, _)| *last < done) {
            self.waiting.push_back((done, self.end));
            self.waiting_since = self.waiting_since.min(now_ms());
        }
    }

    /// Commits what the disk has; the log is flushed up to a position.
    fn commit(&mut self, broker: &Broker, flushed: i64) {
        let mut done = None;
        while let Some((offset, end)) = self.waiting.front().copied()
            && end <= flushed
        {
            done = Some(offset);
            self.waiting.pop_front();
        }
        if self.waiting.is_empty() {
            self.waiting_since = NEVER;
        }
        let topic = &broker.revive_topic;
        if done > broker.offsets.query(REVIVE_GROUP, topic, self.id)
            && let Some(done) = done
        {
            broker.offsets.commit(REVIVE_GROUP, topic, self.id, done, now_ms());
        }
    }
}

/// Puts the log on disk when offsets have waited for it long enough: the regular flush of a broker
/// with little to do comes every ten seconds, and a crash would repeat what was revived since.
async fn flush_for(queues: &[Queue], broker: &Arc<Broker>) {
    if queues.iter().all(|queue| queue.waiting_since > now_ms() - AGAIN_MS) {
        return;
    }
    let flushing = Arc::clone(broker);
    match tokio::task::spawn_blocking(move || flushing.store.flush()).await {
        Ok(Ok(())) => {}
        failed => tracing::error!(?failed, "the log is not flushed, revive offsets wait"),
    }
}

/// Reads the body of a record with this tag.
fn decode<'a>(tag: &str, body: &'a [u8]) -> Result<Entry<'a>, BodyError> {
    Ok(match tag {
        CHECK_POINT_TAG => Entry::CheckPoint(CheckPoint::decode(body)?),
        ACK_TAG => Entry::Ack(Ack::decode(body)?),
        BATCH_ACK_TAG => Entry::BatchAck(BatchAck::decode(body)?),
        _ => return Err(BodyError::Tag(tag.to_owned())),
    })
}

impl Broker {
    /// Until when everything that was due by then has come through the timer.
    fn timer_delivered(&self) -> i64 {
        let now = now_ms();
        self.store.timer().map_or(now, |timer| timer.delivered_until(now))
    }
}
