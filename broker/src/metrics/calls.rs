//! How long requests took, by what was asked and how it was answered.
//!
//! A look-up on the way of every request: two places of arrays that are made at their first use.
//! Nothing is locked or allocated after that.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use remoting::net::Outcome;
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::command::{Responder, written_code};

use super::Measures;
use super::family::{Families, Labels, label};
use super::tally::Tally;
use crate::broker::Broker;
use crate::reject::Reject;

/// Upper bounds of the time a request takes, in ms.
const LATENCIES: [u64; 9] = [1, 3, 5, 7, 10, 100, 1000, 2000, 3000];

/// How an answer left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// At once.
    AtOnce,
    /// After it was held until there was something to say.
    Held,
    /// Without a label for that: Java's answers that hold records and go from the page cache.
    Transferred,
    /// Nobody waited for it.
    Oneway,
}

/// Every manner with its label of `is_long_polling` and of `result`.
const MANNERS: [(Manner, Option<&str>, &str); 4] = [
    (Manner::AtOnce, Some("false"), "success"),
    (Manner::Held, Some("true"), "success"),
    (Manner::Transferred, None, "success"),
    (Manner::Oneway, Some("false"), "oneway"),
];

type Latency = Tally<{ LATENCIES.len() }>;
/// The answers to one kind of request: by place of the code, then by manner.
type Answers = Box<[OnceLock<Box<Latency>>]>;

/// The latencies of all requests.
pub(super) struct Calls(Box<[OnceLock<Answers>]>);

/// One request under way.
pub(crate) struct Measured {
    request: i32,
    oneway: bool,
    begun: Instant,
}

impl Calls {
    /// None yet.
    pub(super) fn new() -> Calls {
        // The last place is for codes that nobody knows.
        Calls((0..=RequestCode::ALL.len()).map(|_| OnceLock::new()).collect())
    }

    fn add(&self, request: i32, response: i32, manner: Manner, took: Duration) {
        let request = RequestCode::ALL.binary_search_by_key(&request, |(code, _)| *code as i32);
        let answers = self.0[request.unwrap_or(RequestCode::ALL.len())].get_or_init(|| {
            (0..ResponseCode::ALL.len() * MANNERS.len()).map(|_| OnceLock::new()).collect()
        });
        let known = ResponseCode::ALL.binary_search_by_key(&response, |(code, _)| *code as i32);
        // Invariant: handlers answer with codes of the table.
        let Ok(response) = known else { return };
        let latency = &answers[response * MANNERS.len() + manner as usize];
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        latency.get_or_init(|| Box::new(Tally::new(&LATENCIES))).add(millis);
    }
}

impl Measured {
    /// A request that has just come.
    pub(crate) fn begin(request: i32, oneway: bool) -> Measured {
        Measured { request, oneway, begun: Instant::now() }
    }

    /// Counts the request when it is answered; one that is not answered at all is not counted, as
    /// in Java.
    pub(crate) fn end(
        self,
        broker: &Arc<Broker>,
        outcome: Outcome,
        out: &Responder<'_>,
    ) -> Outcome {
        let answer = match (outcome, out.code()) {
            (Outcome::Done, Some(code)) => {
                let manner = self.manner(code);
                broker.measures.calls.add(self.request, code, manner, self.begun.elapsed());
                return Outcome::Done;
            }
            (Outcome::Done, None) => return Outcome::Done,
            (Outcome::Later(answer), _) => answer,
        };
        let (broker, holds) = (Arc::clone(broker), out.holds());
        Outcome::Later(Box::pin(async move {
            let bytes = answer.await;
            if let Some(code) = written_code(&bytes) {
                let manner = if holds { Manner::Held } else { self.manner(code) };
                broker.measures.calls.add(self.request, code, manner, self.begun.elapsed());
            }
            bytes
        }))
    }

    fn manner(&self, code: i32) -> Manner {
        const TRANSFERRED: [i32; 2] =
            [RequestCode::QueryMessage as i32, RequestCode::ViewMessageById as i32];
        if self.oneway {
            Manner::Oneway
        } else if code == ResponseCode::Success as i32 && TRANSFERRED.contains(&self.request) {
            Manner::Transferred
        } else {
            Manner::AtOnce
        }
    }
}

/// Tells `note` when a request to make something is answered: whether it was made, and how long
/// that took from `begun` on.
pub(crate) fn creation(
    broker: &Arc<Broker>,
    begun: Instant,
    outcome: Result<Outcome, Reject>,
    note: impl FnOnce(&Measures, bool, Duration) + Send + 'static,
) -> Result<Outcome, Reject> {
    if !broker.measures.on {
        return outcome;
    }
    let Ok(Outcome::Later(answer)) = outcome else {
        note(&broker.measures, outcome.is_ok(), begun.elapsed());
        return outcome;
    };
    let broker = Arc::clone(broker);
    Ok(Outcome::Later(Box::pin(async move {
        let bytes = answer.await;
        let made = written_code(&bytes) == Some(ResponseCode::Success.into());
        note(&broker.measures, made, begun.elapsed());
        bytes
    })))
}

/// Collects the latencies.
pub(super) fn collect(broker: &Broker, families: &mut Families) {
    let mut series = Vec::new();
    for (at, answers) in broker.measures.calls.0.iter().enumerate() {
        let request = RequestCode::ALL.get(at).map_or("unknown", |(_, name)| name);
        for (at, latency) in answers.get().into_iter().flatten().enumerate() {
            let Some(latency) = latency.get() else { continue };
            let (_, response) = ResponseCode::ALL[at / MANNERS.len()];
            let (_, polling, result) = MANNERS[at % MANNERS.len()];
            let mut labels: Labels = vec![
                label("protocol_type", "remoting"),
                label("request_code", request.to_lowercase()),
                label("response_code", response.to_lowercase()),
                label("result", result),
            ];
            labels.extend(polling.map(|polling| label("is_long_polling", polling)));
            series.push((labels, latency.read()));
        }
    }
    let help = "Time from a request to its answer";
    families.histogram(("rocketmq_rpc_latency", "milliseconds"), help, series);
}
