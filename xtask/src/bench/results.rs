//! What the rounds came to: medians of one server, and ratios of two in the same round.

use serde::Deserialize;

use super::pace::Pace;

/// Everything that was measured.
#[derive(Default)]
pub struct Results {
    /// Load of the machine before.
    pub load: f64,
    /// How steadily it worked before and between the sets.
    pub pace: Pace,
    /// Number of rounds.
    pub rounds: usize,
    /// Of every row, server and round.
    pub runs: Vec<Run>,
}

/// One measurement, as `mqbench compare --json` prints it.
#[derive(Deserialize)]
pub struct Run {
    pub row: String,
    pub target: String,
    pub round: usize,
    pub outcome: Option<Outcome>,
    pub failure: Option<String>,
}

/// See `mqbench`; a figure of 0 was not measured.
#[derive(Deserialize, Default)]
pub struct Outcome {
    pub per_second: f64,
    pub mib_per_second: f64,
    pub latency_us: Latency,
    pub server: Option<Server>,
    pub generator_busy: f64,
    pub errors: Vec<Failed>,
}

#[derive(Deserialize, Default)]
pub struct Latency {
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
}

#[derive(Deserialize, Default)]
pub struct Server {
    pub cpu_us: f64,
    pub switches: f64,
    pub anonymous_mib: f64,
}

#[derive(Deserialize)]
pub struct Failed {
    pub count: u64,
}

/// What is told of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// Messages a second.
    Rate,
    /// MB of bodies, or of records for pulls, a second.
    Bytes,
    /// Microseconds.
    P50,
    P99,
    P999,
    /// Microseconds of the server's time a message.
    Cpu,
    /// The server's a message.
    Switches,
    /// The most anonymous memory of the server, in MB.
    Memory,
    /// The share of its core that the load generator was busy.
    Load,
}

const MB_PER_MIB: f64 = 1.048_576;

impl Figure {
    /// Takes it from a measurement, if that has it.
    pub fn of(self, outcome: &Outcome) -> Option<f64> {
        let Latency { p50, p99, p999 } = outcome.latency_us;
        let server = outcome.server.as_ref();
        let figure = match self {
            Self::Rate => outcome.per_second,
            Self::Bytes => outcome.mib_per_second * MB_PER_MIB,
            Self::P50 => p50,
            Self::P99 => p99,
            Self::P999 => p999,
            Self::Cpu => server?.cpu_us,
            Self::Switches => server?.switches,
            Self::Memory => server?.anonymous_mib * MB_PER_MIB,
            Self::Load => outcome.generator_busy,
        };
        (figure > 0.0).then_some(figure)
    }
}

impl Run {
    /// A measurement that was made here and not by `mqbench`.
    pub fn new(row: &str, target: &str, round: usize, outcome: Outcome) -> Self {
        let (row, target) = (row.to_owned(), target.to_owned());
        Self { row, target, round, outcome: Some(outcome), failure: None }
    }

    fn figure(&self, figure: Figure) -> Option<f64> {
        figure.of(self.outcome.as_ref()?)
    }
}

impl Results {
    /// The rows in the order in which they ran.
    pub fn rows(&self) -> Vec<&str> {
        let mut rows: Vec<&str> = Vec::new();
        for run in &self.runs {
            if !rows.contains(&run.row.as_str()) {
                rows.push(&run.row);
            }
        }
        rows
    }

    /// The measurements of a row with one server.
    pub fn of<'a>(&'a self, row: &'a str, server: &'a str) -> impl Iterator<Item = &'a Run> {
        self.runs.iter().filter(move |run| run.row == row && run.target == server)
    }

    /// A figure in all rounds.
    pub fn all(&self, row: &str, server: &str, figure: Figure) -> Vec<f64> {
        self.of(row, server).filter_map(|run| run.figure(figure)).collect()
    }

    /// The median of a figure over the rounds.
    pub fn median(&self, row: &str, server: &str, figure: Figure) -> Option<f64> {
        median(self.all(row, server, figure))
    }

    /// A figure beside that of another row or server, in every round that has both.
    pub fn pairs(
        &self,
        (row, server): (&str, &str),
        (other_row, other_server): (&str, &str),
        figure: Figure,
    ) -> Vec<(f64, f64)> {
        let pair = |run: &Run| {
            let mut others = self.of(other_row, other_server);
            let other = others.find(|other| other.round == run.round)?;
            Some((run.figure(figure)?, other.figure(figure)?))
        };
        self.of(row, server).filter_map(pair).collect()
    }

    /// The median of a figure's ratios to another server's in the same round.
    pub fn ratio(&self, row: &str, server: &str, other: &str, figure: Figure) -> Option<f64> {
        let pairs = self.pairs((row, server), (row, other), figure);
        median(pairs.into_iter().map(|(own, other)| own / other).collect())
    }

    /// Whether every server but the floor, which only takes sends, was measured in every row.
    pub fn complete(&self) -> bool {
        self.failed().next().is_none()
    }

    /// What was not measured, but for the floor's: it takes nothing but sends.
    pub fn failed(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(|run| run.target != "floor" && run.outcome.is_none())
    }
}

/// The middle one, or between the two middle ones.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        count if count % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}
