//! `cargo xtask compare`: one script goes to the Java broker and to ours, each on an empty store
//! at the same address; what they answered and what they stored is compared field by field.
//!
//! A difference is explained by a row of `docs/quirks.md`, or it is a failure.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use remoting::protocol::header::NoHeader;

use crate::compat::{Client, Servers, Toolchain, cache};
use crate::takeover::link::Link;
use crate::takeover::site::{End, NameServer, Site, Special};
use crate::workspace;

mod answer;
mod cleaning;
mod files;
mod messages;
mod metrics;
mod noise;
mod quirks;
mod request;
mod requests;
mod scrape;
mod stores;

use answer::Answer;
use files::Files;
use messages::Step;
pub use quirks::{Quirks, Section};
pub use request::Request;

/// How long after the last message the brokers may still write: batches of op messages, and what
/// was sent back without a delay comes back after 10 s.
const SETTLE: Duration = Duration::from_secs(13);
/// How long after the last request: messages that were popped for no time are stored again, by
/// Java within 10 s.
const REVIVAL: Duration = Duration::from_secs(15);
/// Java answers a pop a moment before it gives the queue back; the next one would find nothing.
const BETWEEN_POPS: Duration = Duration::from_millis(100);
const POP: i32 = 200_050;
const SLOTS: usize = 500;
const EXAMPLES_MAX: usize = 4;

/// Options of `cargo xtask compare`.
#[derive(clap::Args)]
pub struct Args {
    /// Folder that holds mqnamesrv and mqbroker; without it they are built
    #[arg(long)]
    server_bin: Option<PathBuf>,
    /// Compare the Java broker with itself: what differs there is noise
    #[arg(long)]
    control: bool,
    /// Compare what requests to delete what has expired leave, and not the script
    #[arg(long)]
    cleaning: bool,
    /// Compare the pages of metrics after the same requests, and not the script
    #[arg(long, conflicts_with = "cleaning")]
    metrics: bool,
    /// Show every difference, explained or not
    #[arg(long)]
    all: bool,
}

/// What one broker answered and left behind.
struct Side {
    answers: Vec<(String, Answer)>,
    files: Files,
}

/// Runs the script on both; true if every difference is explained.
pub fn run(args: &Args) -> Result<bool> {
    let tools = Toolchain::find();
    if let Some((_, tool)) = tools.missing(true, &[Client::Java("5.3.3")]).first() {
        ensure!(!workspace::is_ci(), "CI needs {tool}");
        println!("left out: the comparison with Java, because {tool} is not installed");
        return Ok(true);
    }
    let section = match () {
        () if args.cleaning => Section::Cleaning,
        () if args.metrics => Section::Metrics,
        () => Section::Script,
    };
    let quirks = Quirks::load(section)?;
    let java = Servers::control(&tools)?;
    let ours = match args.control {
        true => Servers::control(&tools)?,
        false => Servers::ours(args.server_bin.as_deref())?,
    };
    let mut differences = Differences::default();
    if args.cleaning {
        let facts = cleaning::compare(&java, &ours, &mut differences)?;
        println!("{facts} facts compared");
        return Ok(differences.report(&quirks, args.all, !args.control));
    }
    if args.metrics {
        let samples = metrics::compare(&java, &ours, &mut differences)?;
        println!("{samples} samples compared");
        return Ok(differences.report(&quirks, args.all, !args.control));
    }
    let name_server = NameServer::start(&ours)?;
    let mut site = Site::prepare("broker", &name_server, Special::default(), &settings())?;
    let soon = two_hours_ahead()?;
    let java = Side::take(&mut site, &java, soon).context("the Java broker")?;
    let ours = Side::take(&mut site, &ours, soon).context("our broker")?;
    compare_answers(&ours, &java, &mut differences);
    stores::compare(&ours.files, &java.files, &mut differences);
    let (records, units) = (java.files.records.len(), java.files.queues.len());
    println!(
        "{} answers, {records} records, {units} queues, {} index entries compared",
        java.answers.len(),
        java.files.index.len(),
    );
    Ok(differences.report(&quirks, args.all, !args.control))
}

/// What both brokers are told beyond their addresses.
fn settings() -> Vec<(&'static str, String)> {
    let on = || "true".to_owned();
    vec![
        ("enablePropertyFilter", on()),
        ("recallMessageEnable", on()),
        ("enableLmq", on()),
        ("enableMultiDispatch", on()),
        // Half messages stay as they are.
        ("transactionCheckInterval", "3600000".to_owned()),
        ("transactionTimeOut", "3600000".to_owned()),
        // Timers of one second come in one order.
        ("timerGetMessageThreadNum", "1".to_owned()),
        ("timerPutMessageThreadNum", "1".to_owned()),
    ]
}

fn two_hours_ahead() -> Result<i64> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(now.as_millis() as i64 + 7_200_123)
}

impl Side {
    /// Runs the script on an empty store, then reads it and moves it away.
    fn take(site: &mut Site, servers: &Servers, soon: i64) -> Result<Side> {
        site.start(servers)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let link = Link::new(site.broker);
        let answers = runtime.block_on(async {
            let mut answers = Vec::new();
            for request in preparation() {
                answers.push((request.name.clone(), ask(&link, &request).await?));
            }
            send_all(&link, soon, &mut answers).await?;
            tokio::time::sleep(SETTLE).await;
            for request in requests::varied() {
                answers.push((format!("request {}", request.name), ask(&link, &request).await?));
                if request.code == POP {
                    tokio::time::sleep(BETWEEN_POPS).await;
                }
            }
            tokio::time::sleep(REVIVAL).await;
            anyhow::Ok(answers)
        })?;
        site.end(End::Clean)?;
        let files = Files::read(&site.store(), SLOTS)?;
        let kept = cache().join(format!("compare-{}", servers.word()));
        if kept.exists() {
            fs::remove_dir_all(&kept)?;
        }
        fs::rename(site.store(), &kept)?;
        Ok(Side { answers, files })
    }
}

/// Topics and groups of the script.
fn preparation() -> Vec<Request> {
    let mut all = Vec::new();
    for (topic, queues, attributes) in messages::TOPICS {
        let perm = if *topic == "CompareReadOnly" { 4 } else { 6 };
        let request = Request::topic(topic, *queues, attributes).with("perm", perm);
        all.push(request.with("order", *topic == "CompareOrder"));
    }
    all.extend(messages::GROUPS.iter().map(|group| Request::group(group)));
    all
}

async fn ask(link: &Link, request: &Request) -> Result<Answer> {
    let fields: Vec<(&str, &str)> =
        request.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let answer = link.ask_raw(request.code, &NoHeader, &fields, &request.body).await;
    Ok(match answer {
        Ok(frame) => Answer::of(&frame),
        Err(error) => Answer { code: -1, remark: error.to_string(), ..Answer::default() },
    })
}

/// Sends the messages of the script; the answers of earlier steps are what later ones name.
async fn send_all(link: &Link, soon: i64, out: &mut Vec<(String, Answer)>) -> Result<()> {
    let mut done: Vec<Answer> = Vec::new();
    for step in messages::script(soon) {
        let request = match step {
            Step::Ask(request) => request,
            Step::End { of, kind } => {
                let half = &done[of];
                Request::new(&format!("end {kind}"), 37)
                    .with("topic", "ComparePlain")
                    .with("producerGroup", "compare-producer")
                    .with("tranStateTableOffset", half.number("queueOffset").unwrap_or(-1))
                    .with("commitLogOffset", half.position.unwrap_or(-1))
                    .with("commitOrRollback", kind)
                    .with("fromTransactionCheck", false)
                    .with("msgId", "x")
            }
            Step::Back { of, level } => Request::new(&format!("send back at level {level}"), 36)
                .with("offset", done[of].position.unwrap_or(-1))
                .with("group", "compare-group")
                .with("delayLevel", level)
                .with("originMsgId", "x")
                .with("originTopic", "ComparePlain"),
        };
        let answer = ask(link, &request).await?;
        out.push((format!("message {}", request.name), answer.clone()));
        done.push(answer);
    }
    Ok(())
}

fn compare_answers(ours: &Side, java: &Side, out: &mut Differences) {
    for ((name, own), (_, theirs)) in ours.answers.iter().zip(&java.answers) {
        for difference in own.differences(theirs) {
            out.add(format!("{name}: {difference}"));
        }
    }
}

/// The differences, those of one kind together: what stands in brackets is an example.
#[derive(Default)]
pub struct Differences {
    kinds: BTreeMap<String, (usize, Vec<String>)>,
}

impl Differences {
    /// Adds one.
    pub fn add(&mut self, text: String) {
        match text.split_once(" [") {
            Some((kind, example)) => {
                self.add_kind(kind.to_owned(), example.trim_end_matches(']').to_owned());
            }
            None => self.add_kind(text, String::new()),
        }
    }

    /// Adds one of a kind.
    pub fn add_kind(&mut self, kind: String, example: String) {
        let (count, examples) = self.kinds.entry(kind).or_default();
        *count += 1;
        if examples.len() < EXAMPLES_MAX && !examples.contains(&example) {
            examples.push(example);
        }
    }

    /// Prints what is not explained, or `all`, and with `shows_idle` what explained nothing; true
    /// if nothing is left unexplained.
    pub fn report(&self, quirks: &Quirks, all: bool, shows_idle: bool) -> bool {
        let mut open = 0;
        let mut explained = 0;
        for (kind, (count, examples)) in &self.kinds {
            let is_known = quirks.explain(kind);
            open += usize::from(!is_known);
            explained += usize::from(is_known);
            if !is_known || all {
                let word = if is_known { "explained" } else { "OPEN" };
                println!("{word}: {kind} ({count} times)");
                for example in examples.iter().filter(|example| !example.is_empty()) {
                    println!("    {example}");
                }
            }
        }
        for row in quirks.idle().filter(|_| shows_idle) {
            println!("no difference matches {row:?} of docs/quirks.md");
        }
        println!("{open} kinds of difference open, {explained} explained");
        open == 0
    }
}
