//! Counts of a measurement.

use anyhow::Result;
use hdrhistogram::Histogram;

/// Latencies up to here are told apart.
const LATENCY_MAX_NS: u64 = 60_000_000_000;

/// What was counted since the last reset.
pub struct Tally {
    /// Messages sent or received with success.
    pub messages: u64,
    /// Bytes of their bodies, or of the records for pulls.
    pub bytes: u64,
    /// Answers.
    pub answers: u64,
    /// Latencies in nanoseconds.
    pub latency: Histogram<u64>,
    /// Answers with other codes.
    pub errors: Vec<CodeCount>,
}

/// What of its successes a load counts where several run at once; failures always are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    messages: bool,
    latency: bool,
}

impl Counts {
    /// Both.
    pub const ALL: Self = Self { messages: true, latency: true };
    /// How many and how large they are.
    pub const MESSAGES: Self = Self { messages: true, latency: false };
    /// How long they take.
    pub const LATENCY: Self = Self { messages: false, latency: true };
    /// Neither.
    pub const NOTHING: Self = Self { messages: false, latency: false };
}

/// How often a code came.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct CodeCount {
    /// The code.
    pub code: i32,
    /// How often.
    pub count: u64,
    /// The remark of the first.
    pub remark: String,
}

impl Tally {
    /// Nothing counted.
    pub fn new() -> Result<Self> {
        let latency = Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3)?;
        Ok(Self { messages: 0, bytes: 0, answers: 0, latency, errors: Vec::new() })
    }

    /// Begins again; errors are kept.
    pub fn reset(&mut self) {
        self.messages = 0;
        self.bytes = 0;
        self.answers = 0;
        self.latency.reset();
    }

    /// Counts messages.
    pub fn add(&mut self, messages: u64, bytes: u64) {
        self.messages += messages;
        self.bytes += bytes;
    }

    /// Counts a latency.
    pub fn took(&mut self, latency_ns: u64) {
        self.latency.saturating_record(latency_ns.max(1));
    }

    /// Counts what a load counts of a success.
    pub fn succeeded(&mut self, counts: Counts, messages: u64, bytes: u64, latency_ns: u64) {
        if counts.messages {
            self.add(messages, bytes);
        }
        if counts.latency {
            self.took(latency_ns);
        }
    }

    /// Counts an answer that is no success.
    pub fn failed(&mut self, code: i32, remark: impl FnOnce() -> String) {
        match self.errors.iter_mut().find(|known| known.code == code) {
            Some(known) => known.count += 1,
            None => self.errors.push(CodeCount { code, count: 1, remark: remark() }),
        }
    }
}
