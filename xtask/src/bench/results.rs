//! What the rounds came to.

use serde::Deserialize;

use super::bars::Bar;

/// Everything that was measured.
#[derive(Default)]
pub struct Results {
    /// Load of the machine before.
    pub load: f64,
    /// Number of rounds.
    pub rounds: usize,
    /// Of every row, server and round.
    pub runs: Vec<Run>,
    /// How each server started.
    pub starts: Vec<Start>,
}

/// The start of a server.
pub struct Start {
    /// Which.
    pub name: String,
    /// Until it accepted a connection.
    pub seconds: f64,
    /// Anonymous memory two seconds later.
    pub anonymous_mib: f64,
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

/// See `mqbench`.
#[derive(Deserialize)]
pub struct Outcome {
    pub per_second: f64,
    pub latency_us: Latency,
    pub server: Option<Server>,
    pub generator_busy: f64,
    pub errors: Vec<Failed>,
}

#[derive(Deserialize)]
pub struct Latency {
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
}

#[derive(Deserialize)]
pub struct Server {
    pub cpu_us: f64,
    pub switches: f64,
    pub anonymous_mib: f64,
}

#[derive(Deserialize)]
pub struct Failed {
    pub count: u64,
}

/// The medians of a row for one server.
#[derive(Clone, Default)]
pub struct Line {
    pub rate: f64,
    pub rate_min: f64,
    pub rate_max: f64,
    /// Of the floor's rate in the same round.
    pub share: Option<f64>,
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    /// Of the floor's in the same round.
    pub p50_to_floor: Option<f64>,
    pub p99_to_floor: Option<f64>,
    pub cpu_us: f64,
    pub switches: f64,
    pub anonymous_mib: f64,
    /// How busy the load generator was.
    pub generator: f64,
    pub errors: u64,
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

    /// The servers.
    pub fn servers(&self) -> impl Iterator<Item = &str> {
        self.starts.iter().map(|start| start.name.as_str())
    }

    /// The medians of a row; `None` where the server does not serve it.
    pub fn line(&self, row: &str, server: &str) -> Option<Line> {
        let of = |server: &str| {
            let wanted: Vec<_> =
                self.runs.iter().filter(|run| run.row == row && run.target == server).collect();
            wanted
        };
        let (own, floor) = (of(server), of("floor"));
        let outcomes: Vec<&Outcome> = own.iter().filter_map(|run| run.outcome.as_ref()).collect();
        if outcomes.is_empty() {
            return None;
        }
        let all = |what: &dyn Fn(&Outcome) -> f64| {
            median(outcomes.iter().map(|outcome| what(outcome)).collect()).unwrap_or_default()
        };
        let used = |what: &dyn Fn(&Server) -> f64| {
            all(&|outcome| outcome.server.as_ref().map_or(0.0, what))
        };
        let to_floor = |what: &dyn Fn(&Outcome) -> f64| {
            let ratios = own.iter().filter_map(|run| {
                let floor = floor.iter().find(|floor| floor.round == run.round)?;
                Some(what(run.outcome.as_ref()?) / what(floor.outcome.as_ref()?))
            });
            median(ratios.collect())
        };
        let rates = || outcomes.iter().map(|outcome| outcome.per_second);
        Some(Line {
            rate: all(&|outcome| outcome.per_second),
            rate_min: rates().fold(f64::INFINITY, f64::min),
            rate_max: rates().fold(0.0, f64::max),
            share: to_floor(&|outcome| outcome.per_second),
            p50: all(&|outcome| outcome.latency_us.p50),
            p99: all(&|outcome| outcome.latency_us.p99),
            p999: all(&|outcome| outcome.latency_us.p999),
            p50_to_floor: to_floor(&|outcome| outcome.latency_us.p50),
            p99_to_floor: to_floor(&|outcome| outcome.latency_us.p99),
            cpu_us: used(&|server| server.cpu_us),
            switches: used(&|server| server.switches),
            anonymous_mib: used(&|server| server.anonymous_mib),
            generator: all(&|outcome| outcome.generator_busy),
            errors: outcomes.iter().flat_map(|outcome| &outcome.errors).map(|e| e.count).sum(),
        })
    }

    /// Whether every server but the floor, which only takes sends, was measured in every row.
    pub fn complete(&self) -> bool {
        self.runs.iter().all(|run| run.target == "floor" || run.outcome.is_some())
    }

    /// Whether our line is above a bar; `None` without the lines that it compares.
    pub fn holds(&self, bar: &Bar) -> Option<bool> {
        let ours = self.line(bar.row, "ours")?;
        bar.holds(&ours, self.line(bar.row, "java").as_ref())
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
