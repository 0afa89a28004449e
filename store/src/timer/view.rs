//! What waits in the timer's files, for who only looks.

use std::collections::BTreeMap;
use std::path::Path;

use super::check::{Check, CheckFile};
use super::log::TimerLog;
use super::unit::NO_UNIT;
use super::wheel::{self, Wheel};
use crate::OpenError;

/// What the files say.
#[derive(Debug, Default)]
pub struct TimerView {
    /// How far the timer has come; `None` if it never said.
    pub check: Option<Check>,
    /// Log positions of the messages that wait, each with whether it takes another one back.
    pub waiting: BTreeMap<i64, bool>,
    /// Units of the timer log.
    pub units: u64,
    /// What does not fit together.
    pub damage: Vec<OpenError>,
}

impl TimerView {
    /// Reads the files of a store; `precision_ms` is how long a slot is.
    ///
    /// # Errors
    /// What the system refused, or a file that is none of the timer.
    pub fn read(root: &Path, precision_ms: i64) -> Result<TimerView, OpenError> {
        let check = CheckFile::view(root)?;
        let mut view = TimerView { check, ..TimerView::default() };
        let log = TimerLog::view(root)?;
        let (read_ms, flushed) = check.map_or((0, 0), |check| (check.read_ms, check.log_flushed));
        let read_ms = read_ms.div_euclid(precision_ms) * precision_ms;
        let path = root.join("timerwheel");
        let end = log.each(|position, unit| {
            view.units += 1;
            // The wheel need not have what the check does not cover.
            if position >= flushed && unit.slot_ms() >= read_ms {
                view.waiting.insert(unit.physical_offset, unit.deletes);
            }
        });
        if Wheel::missing(&path) {
            return Ok(view);
        }
        let wheel = Wheel::view(&path, precision_ms)?;
        let mut slots = Vec::new();
        wheel
            .each(|slot| slots.push(*slot))
            .map_err(|error| OpenError::io(&path, "read", error))?;
        let ahead = |tick: i64| tick.saturating_mul(precision_ms) >= read_ms;
        for slot in slots.iter().filter(|slot| slot.last != NO_UNIT && ahead(slot.tick)) {
            let (chain, broken) = log.chain(slot.tick * precision_ms, slot.last);
            if let Some(position) = broken {
                view.damage.push(OpenError::Damaged {
                    path: path.clone(),
                    offset: wheel::place_of(slot.tick),
                    expected: format!("a slot whose units are in the timer log before {end}"),
                    got: format!("one that leads to position {position}"),
                });
            }
            let units = chain.into_iter().filter_map(|position| log.unit(position));
            view.waiting.extend(units.map(|unit| (unit.physical_offset, unit.deletes)));
        }
        if end < flushed {
            view.damage.push(OpenError::Damaged {
                path: log.path().to_owned(),
                offset: end.unsigned_abs(),
                expected: format!("units up to position {flushed}, as the timer check says"),
                got: format!("none from {end} on"),
            });
        }
        Ok(view)
    }
}
