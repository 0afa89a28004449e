//! Generated stores: a seed decides what is stored, how large the files are and when the broker
//! is ended in the middle of it; the other broker must hold everything that was acknowledged.

use std::cell::RefCell;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::join_all;
use remoting::protocol::message::PropertiesBuf;
use remoting::protocol::message::record::Record;
use tokio::time::sleep;

use super::content::{self, Ack};
use super::link::Link;
use super::round::Side;
use super::site::{End, NameServer, Site, Special};

const TOPICS: [&str; 3] = ["GeneratedOne", "GeneratedTwo", "GeneratedThree"];
const WORK_MAX_MS: u64 = 1_500;
const MORE: usize = 3;

/// Numbers that a seed decides.
struct Dice(u64);

impl Dice {
    /// A number below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % bound
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// What a seed asks for.
struct Plan {
    end: End,
    special: Special,
    settings: Vec<(&'static str, String)>,
    queues: Vec<(&'static str, i32)>,
    body_len_max: u64,
    work: Duration,
}

fn plan(dice: &mut Dice) -> Plan {
    let log_file_len = dice.pick(&[128 << 10, 512 << 10, 1 << 20]);
    let settings = [
        ("mappedFileSizeCommitLog", log_file_len),
        ("mappedFileSizeConsumeQueue", 20 * (5 + dice.below(300))),
        ("maxIndexNum", dice.pick(&[50, 500, 5_000])),
        ("maxHashSlotNum", dice.pick(&[10, 1_000])),
    ];
    let mut settings = settings.map(|(key, value)| (key, value.to_string())).to_vec();
    let flush = dice.pick(&["ASYNC_FLUSH", "SYNC_FLUSH"]);
    settings.push(("flushDiskType", flush.to_owned()));
    let topics = &TOPICS[..1 + dice.below(TOPICS.len() as u64) as usize];
    let queues = topics.iter().flat_map(|topic| {
        let count = 1 + dice.below(4) as i32;
        (0..count).map(move |queue_id| (*topic, queue_id))
    });
    let queues = queues.collect();
    Plan {
        end: dice.pick(&[End::Kill, End::Kill, End::Kill, End::Clean]),
        special: Special { two_logs: dice.below(3) == 0, ..Special::default() },
        settings,
        queues,
        body_len_max: dice.pick(&[40, 2_000, 20_000]),
        work: Duration::from_millis(20 + dice.below(WORK_MAX_MS)),
    }
}

/// Takes one generated store from `first` to `second`; returns what to say about it.
pub fn run(
    seed: u64,
    first: Side<'_>,
    second: Side<'_>,
    name_server: &NameServer,
    keep: bool,
) -> Result<String> {
    let name = format!("generated-{seed}-{}", first.word);
    let plan = plan(&mut Dice(seed));
    let mut site = Site::prepare(&name, name_server, plan.special, &plan.settings)?;
    let taken = take(seed, &plan, (first, second), &mut site);
    if taken.is_err() && keep {
        // It may not run any more.
        let _ = site.end(End::Kill);
        println!("the directory is kept: {}", site.keep()?.display());
    } else {
        drop(site.end(End::Clean));
        std::fs::remove_dir_all(site.store())?;
    }
    taken
}

fn take(
    seed: u64,
    plan: &Plan,
    (first, second): (Side<'_>, Side<'_>),
    site: &mut Site,
) -> Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    site.start(first.servers)?;
    let link = Link::new(site.broker);
    let acks = RefCell::new(Vec::new());
    runtime.block_on(async {
        for topic in TOPICS {
            content::create_topic(&link, topic, 4, None).await?;
        }
        let lanes = plan.queues.iter().map(|queue| work(&link, plan, *queue, seed, &acks));
        tokio::select! {
            _ = join_all(lanes) => {}
            () = sleep(plan.work) => site.end(plan.end)?,
        }
        anyhow::Ok(())
    })?;
    let acks = acks.into_inner();

    let started = site.start(second.servers)?;
    let link = Link::new(site.broker);
    let mut unacknowledged = 0;
    runtime.block_on(async {
        for queue in &plan.queues {
            let of_queue: Vec<&Ack> = acks.iter().filter(|ack| ack.queue() == *queue).collect();
            unacknowledged += check(&link, *queue, &of_queue).await?;
        }
        anyhow::Ok(())
    })?;
    Ok(format!(
        "seed {seed}: {} → {}, {} after {} ms: {} acknowledged in {} queues held, {unacknowledged} \
         more; start {:.1} s",
        first.word,
        second.word,
        plan.end.word(),
        plan.work.as_millis(),
        acks.len(),
        plan.queues.len(),
        started.as_secs_f64(),
    ))
}

/// Sends to one queue, one message after the other, until the broker is gone.
async fn work(
    link: &Link,
    plan: &Plan,
    (topic, queue_id): (&'static str, i32),
    seed: u64,
    acks: &RefCell<Vec<Ack>>,
) {
    let mut dice = Dice(seed ^ (queue_id as u64 + 1) << 32 ^ topic.len() as u64);
    for number in 0_u64.. {
        let mut properties = PropertiesBuf::new();
        if dice.below(3) > 0 {
            properties.push("KEYS", &format!("k{} k{number}", dice.below(50)));
        }
        if dice.below(3) > 0 {
            properties.push("TAGS", dice.pick(&["TagA", "TagB", "標籤"]));
        }
        let len = 1 + dice.below(plan.body_len_max);
        let body: Vec<u8> = (0..len).map(|at| (at * 7 + number) as u8).collect();
        let sent = content::send_with(link, topic, queue_id, &properties, &body).await;
        let Ok(sent) = sent else { return };
        acks.borrow_mut().extend(sent);
    }
}

/// Compares a queue with what was acknowledged, and sends more; returns how many messages are
/// there whose answer was not seen.
async fn check(
    link: &Link,
    (topic, queue_id): (&'static str, i32),
    acks: &[&Ack],
) -> Result<usize> {
    let place = format!("{topic}-{queue_id}");
    let (min, max) = link.bounds(topic, queue_id).await?;
    ensure!(min == 0, "{place}: starts at {min}");
    let held = link.read(topic, queue_id, min, max).await?;
    ensure!(held.len() as i64 == max, "{place}: {} of {max} messages", held.len());
    for (bytes, offset) in held.iter().zip(0..) {
        let record = Record::decode(bytes)?;
        ensure!(record.queue_offset == offset, "{place}: {} at {offset}", record.queue_offset);
        ensure!(record.verify_crc().is_ok(), "{place} at {offset}: bad CRC");
    }
    for ack in acks {
        let bytes = usize::try_from(ack.queue_offset).ok().and_then(|at| held.get(at));
        let bytes = bytes.with_context(|| format!("{place} lost {}", ack.queue_offset))?;
        ack.check(&Record::decode(bytes)?).with_context(|| place.clone())?;
    }
    // One send waits at a time.
    let unacknowledged = held.len() - acks.len();
    ensure!(unacknowledged <= 1, "{place}: {unacknowledged} messages that nobody sent");
    for at in 0..MORE {
        let properties = PropertiesBuf::new();
        let more = content::send_with(link, topic, queue_id, &properties, b"more").await?;
        let offset = more.first().context("no acknowledgement")?.queue_offset;
        ensure!(offset == max + at as i64, "{place}: the next offset is {offset}, not {max}");
    }
    Ok(unacknowledged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_everything() {
        let once: Vec<u64> = (0..50).map(|seed| plan(&mut Dice(seed)).body_len_max).collect();
        let again: Vec<u64> = (0..50).map(|seed| plan(&mut Dice(seed)).body_len_max).collect();
        assert_eq!(once, again);
        assert!(once.contains(&40) && once.contains(&20_000));
        let clean = (0..200).filter(|seed| plan(&mut Dice(*seed)).end == End::Clean).count();
        assert!((20..80).contains(&clean), "{clean}");
    }
}
