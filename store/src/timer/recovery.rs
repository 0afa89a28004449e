//! Opening the timer's files, and making them agree with each other and with the timer topic.
//!
//! The check says up to which unit the wheel on disk is complete; units behind are added to it.
//! A wheel that is missing, or points behind the log of units, is made again from the whole log.
//! The check also says up to which message of the timer topic all is done; those behind are read
//! again, and skipped if they have a unit. If units are lost, all messages are read again.

use std::collections::HashSet;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicUsize};
use std::sync::{Arc, Mutex};

use runtime::clock::now_ms;
use tracing::{info, warn};

use super::check::{Check, CheckFile};
use super::copies::Copies;
use super::counts::Counts;
use super::flow::Flow;
use super::log::TimerLog;
use super::rates::Rates;
use super::told::Told;
use super::unit::Unit;
use super::wheel::{ROUND, Slot, Wheel};
use super::worker::{MARGIN, Restart, Worker};
use super::{NEVER, Progress, Saved, TIMER_TOPIC, Timer};
use crate::commit_log::CommitLog;
use crate::consume_queue::{Queue, Queues};
use crate::watermark::Signal;
use crate::{OpenError, StoreConfig};

/// What the files said together.
#[derive(Default)]
struct Found {
    last_slot: Option<i64>,
    /// Whether messages the check counts as enqueued have no unit any more.
    units_lost: bool,
    /// Log positions of the messages that have a unit behind those of the check.
    with_unit: HashSet<i64>,
}

impl Timer {
    /// Opens the files; the log and its queues are recovered.
    pub(crate) fn open(
        config: &StoreConfig,
        commit_log: &CommitLog,
        queues: &Queues,
    ) -> Result<Timer, OpenError> {
        let root = config.root();
        let precision_ms = i64::from(config.timer_precision_ms);
        let (file, check) = CheckFile::open(root)?;
        let known = check.is_some();
        let check = check.unwrap_or_default();
        let path = root.join("timerwheel");
        let made = Wheel::missing(&path);
        if made {
            begin_anew(&file, &check, false)?;
        }
        let wheel = Wheel::open(&path, precision_ms)?;
        let log = TimerLog::open(config)?;
        let counts = Counts::load(root)?;
        let read_ms = match known {
            true => wheel.slot_start(check.read_ms),
            // Unknown: as far back as a wheel reaches.
            false => wheel.slot_start(now_ms()) - (ROUND - MARGIN) * precision_ms,
        };
        let found = recover((&wheel, &log, &file), &check, read_ms, made || !known)?;
        let queue = queues.find(TIMER_TOPIC, 0);
        let (min, max) = bounds(queue.as_deref());
        let whole = !known || found.units_lost;
        let queue_offset = if whole { min } else { check.queue_offset.clamp(min, max) };
        let mut worker = Worker::new(queue_offset, read_ms, found.last_slot);
        worker.first_to = max;
        let (log_end, last_stored_ms) = commit_log.mark();
        worker.restart = Restart {
            with_unit: behind(queue.as_ref(), queue_offset, found.with_unit)?,
            lost_before: if whole { max } else { 0 },
            done_before: if known { (check.queue_offset, read_ms) } else { (0, 0) },
            copies: Copies::until(last_stored_ms, log_end),
        };
        let save_from = worker.restart.lost_before;
        info!(read_ms, queue_offset, units_to = log.end(), "recovered the timer");
        let progress = Progress {
            read_ms: AtomicI64::new(read_ms),
            queue_offset: AtomicI64::new(queue_offset),
            applied: AtomicI64::new(if whole { 0 } else { check.log_flushed }),
            durable: AtomicI64::new(0),
        };
        Ok(Timer {
            log,
            wheel,
            saved: Mutex::new(Saved { file, check }),
            save_from,
            worker: Mutex::new(worker),
            progress,
            counts,
            rates: Rates::new(now_ms()),
            flow: Flow::default(),
            told: Told::default(),
            roll_window: config.timer_roll_window_slot,
            congestion: config.timer_congest_num_each_slot,
            dice: AtomicU32::new(1),
            wake: Signal::default(),
            sleeps_until: AtomicI64::new(NEVER),
            unread: AtomicUsize::new(0),
            open_from: AtomicI64::new(i64::MIN),
        })
    }
}

/// Finds the end of the log of units and completes the wheel.
fn recover(
    (wheel, log, file): (&Wheel, &TimerLog, &CheckFile),
    check: &Check,
    read_ms: i64,
    anew: bool,
) -> Result<Found, OpenError> {
    let mut found = Found::default();
    if !anew && (1..=log.end()).contains(&check.log_flushed) {
        let mut units = Vec::new();
        log.recover(check.log_flushed, |position, unit| units.push((position, *unit)))?;
        found.units_lost = log.end() < check.log_flushed;
        if !found.units_lost && found.look_at(wheel, read_ms, log.end())? {
            for (position, unit) in &units {
                found.add(wheel, read_ms, *position, unit)?;
            }
            return Ok(found);
        }
    }
    let empty = log.end() == 0 && check.queue_offset > 0;
    let units_lost = found.units_lost || log.end() < check.log_flushed || empty;
    found = Found { units_lost, ..Found::default() };
    if log.end() > 0 {
        warn!(path = %wheel.path().display(), "making the timer wheel anew from the timer log");
    }
    begin_anew(file, check, units_lost)?;
    wheel.clear().map_err(|error| OpenError::io(wheel.path(), "clear", error))?;
    let mut added = Ok(());
    log.recover(0, |position, unit| {
        if added.is_ok() {
            added = found.add(wheel, read_ms, position, unit);
        }
    })?;
    added.map(|()| found)
}

/// Makes sure that the next start begins anew as well, should this one be cut short: the check on
/// disk says that the wheel has no units, or nothing at all if units are lost.
fn begin_anew(file: &CheckFile, check: &Check, units_lost: bool) -> Result<(), OpenError> {
    let told = if units_lost { Check::default() } else { Check { log_flushed: 0, ..*check } };
    file.save(&told).map_err(|error| OpenError::io(file.path(), "write", error))
}

impl Found {
    /// Looks at the slots that are not done; false when one points behind the units.
    fn look_at(&mut self, wheel: &Wheel, read_ms: i64, end: i64) -> Result<bool, OpenError> {
        let precision_ms = wheel.precision_ms();
        let mut sound = true;
        let look = |slot: &Slot| {
            let slot_ms = slot.tick.saturating_mul(precision_ms);
            if slot_ms >= read_ms {
                sound &= slot.last < end;
                self.last_slot = self.last_slot.max(Some(slot_ms));
            }
        };
        wheel.each(look).map_err(|error| OpenError::io(wheel.path(), "read", error))?;
        Ok(sound)
    }

    /// Adds a unit to the wheel, unless its slot is done or has it.
    fn add(
        &mut self,
        wheel: &Wheel,
        read_ms: i64,
        position: i64,
        unit: &Unit,
    ) -> Result<(), OpenError> {
        let io = |error| OpenError::io(wheel.path(), "read", error);
        let slot_ms = unit.slot_ms();
        self.with_unit.insert(unit.physical_offset);
        if slot_ms < read_ms {
            return Ok(());
        }
        self.last_slot = self.last_slot.max(Some(slot_ms));
        let before = wheel.slot(slot_ms).map_err(io)?;
        if before.is_none_or(|slot| slot.last < position) {
            wheel.add(slot_ms, position, unit.deletes).map_err(io)?;
        }
        Ok(())
    }
}

fn bounds(queue: Option<&Queue>) -> (i64, i64) {
    queue.map_or((0, 0), |queue| {
        let min = queue.min_offset().max(0);
        (min, queue.next_offset().max(min))
    })
}

/// Those of the messages that stand at or behind an offset of the timer topic.
fn behind(
    queue: Option<&Arc<Queue>>,
    queue_offset: i64,
    mut positions: HashSet<i64>,
) -> Result<HashSet<i64>, OpenError> {
    let Some(queue) = queue else { return Ok(HashSet::new()) };
    let unit = queue.unit(queue_offset).map_err(|error| OpenError::Io {
        path: TIMER_TOPIC.into(),
        action: "read the queue",
        source: std::io::Error::other(error.to_string()),
    })?;
    let Some(unit) = unit else { return Ok(HashSet::new()) };
    positions.retain(|position| *position >= unit.physical_offset);
    positions.shrink_to_fit();
    Ok(positions)
}
