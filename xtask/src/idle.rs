//! `cargo xtask idle`: what a server with many topics and waiting Java consumers costs while
//! nothing is sent: processor time, wake-ups, memory.
//!
//! All three come from `/proc`: the time that its threads ran, how often they were switched away
//! from, and the anonymous part of the resident memory.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use comfy_table::{Table, presets};
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::CreateTopicRequestHeader;
use tempfile::TempDir;

use crate::compat::{self, Client, MqServer, Process, Servers, Toolchain};
use crate::takeover::link::Link;
use crate::workspace;

/// The client whose consumers wait.
const CLIENT: &str = "5.3.3";
const TOPIC: &str = "Idle";
const QUEUES: i32 = 8;
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// What must hold.
const CPU_PERCENT_MAX: f64 = 0.2;
const SWITCHES_MAX: f64 = 50.0;
const ANONYMOUS_KIB_MAX: u64 = 30 << 10;

/// Options of `cargo xtask idle`.
#[derive(clap::Args)]
pub struct Args {
    /// Folder that holds mqserver; without it it is built, without optimisation
    #[arg(long)]
    server_bin: Option<PathBuf>,
    /// Topics
    #[arg(long, default_value_t = 1_000)]
    topics: u32,
    /// Java consumers
    #[arg(long, default_value_t = 50)]
    consumers: u32,
    /// Seconds before it is measured: rebalances end, buffers of the start are given back
    #[arg(long, default_value_t = 30)]
    settle: u64,
    /// Seconds it is measured
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

/// Measures; true if everything that must hold does.
pub fn run(args: &Args) -> Result<bool> {
    let tools = Toolchain::find();
    let client = Client::Java(CLIENT);
    if let Some((_, tool)) = tools.missing(false, &[client]).first() {
        ensure!(!workspace::is_ci(), "CI needs {tool}");
        println!("left out: waiting Java consumers, because {tool} is not installed");
        return Ok(true);
    }
    let Servers::Ours(folder) = Servers::ours(args.server_bin.as_deref())? else {
        return Ok(false);
    };
    let program = tools.prepare(client)?;
    fs::create_dir_all(compat::cache())?;
    let data = TempDir::with_prefix_in("idle-", compat::cache())?;
    let start = || MqServer::start(&folder, data.path(), &compat::cache().join("idle-server.log"));
    let server = start()?;
    create_topics(&server, args.topics)?;
    // What it took to make them is not what it costs to have them.
    server.process.stop(STOP_PATIENCE)?;
    let server = start()?;
    let consumers = start_consumers(&program.argv, &server, args.consumers)?;
    thread::sleep(Duration::from_secs(args.settle));

    let pid = server.process.child.id();
    let (before, begun) = (threads(pid)?, Instant::now());
    thread::sleep(Duration::from_secs(args.seconds));
    let (after, seconds) = (threads(pid)?, begun.elapsed().as_secs_f64());
    let anonymous = anonymous_kib(pid)?;
    drop(consumers);
    Ok(report(args, &spent(&before, &after), seconds, anonymous))
}

fn create_topics(server: &MqServer, count: u32) -> Result<()> {
    let link = Link::new(server.broker);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        for number in 0..count {
            let header = CreateTopicRequestHeader {
                topic: format!("{TOPIC}{number}"),
                default_topic: "TBW102".to_owned(),
                read_queue_nums: QUEUES,
                write_queue_nums: QUEUES,
                perm: 6,
                topic_filter_type: "SINGLE_TAG".to_owned(),
                ..CreateTopicRequestHeader::default()
            };
            link.ok(RequestCode::UpdateAndCreateTopic, &header, &[]).await?;
        }
        Ok(())
    })
}

fn start_consumers(argv: &[String], server: &MqServer, count: u32) -> Result<Process> {
    let mut argv = argv.to_vec();
    let main = argv.last_mut().context("no Java command")?;
    *main = "compat.IdleConsumers".to_owned();
    argv.extend([server.namesrv.to_string(), count.to_string(), TOPIC.to_owned()]);
    let log = compat::cache().join("idle-consumers.log");
    let mut process = Process::start(&argv, &[], &log, true)?;
    let output = process.child.stdout.take().context("no standard output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    ensure!(line.trim() == "READY", "the consumers said {line:?}; {}", compat::log_tail(&log));
    Ok(process)
}

/// What a thread has used so far.
#[derive(Clone, Debug, Default)]
struct Thread {
    name: String,
    ran_ns: u64,
    switches: u64,
}

/// The threads of a process by their number.
fn threads(pid: u32) -> Result<BTreeMap<u32, Thread>> {
    let mut threads = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
        let path = entry?.path();
        let number = path.file_name().and_then(|name| name.to_str()).context("a task")?.parse()?;
        let status = fs::read_to_string(path.join("status"))?;
        let switches = ["voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"]
            .map(|name| field(&status, name).unwrap_or(0));
        let ran = fs::read_to_string(path.join("schedstat"))?;
        let ran_ns = ran.split(' ').next().unwrap_or_default().parse()?;
        let name = fs::read_to_string(path.join("comm"))?.trim().to_owned();
        threads.insert(number, Thread { name, ran_ns, switches: switches.iter().sum() });
    }
    Ok(threads)
}

fn anonymous_kib(pid: u32) -> Result<u64> {
    let path = PathBuf::from(format!("/proc/{pid}/status"));
    let status = fs::read_to_string(Path::new(&path))?;
    field(&status, "RssAnon").context("no RssAnon")
}

/// The number behind `name:` in a status.
fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

/// What threads of one name used in between.
fn spent(before: &BTreeMap<u32, Thread>, after: &BTreeMap<u32, Thread>) -> Vec<Thread> {
    let mut by_name: BTreeMap<&str, Thread> = BTreeMap::new();
    for (number, now) in after {
        let then = before.get(number).cloned().unwrap_or_default();
        let sum = by_name.entry(&now.name).or_default();
        sum.name.clone_from(&now.name);
        sum.ran_ns += now.ran_ns.saturating_sub(then.ran_ns);
        sum.switches += now.switches.saturating_sub(then.switches);
    }
    let mut all: Vec<Thread> = by_name.into_values().collect();
    all.sort_by_key(|thread| std::cmp::Reverse(thread.switches));
    all
}

fn report(args: &Args, threads: &[Thread], seconds: f64, anonymous_kib: u64) -> bool {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(["threads", "wake-ups/s", "CPU %"]);
    let cpu = |ran_ns: u64| ran_ns as f64 / seconds / 1e7;
    for thread in threads {
        let switches = thread.switches as f64 / seconds;
        let cpu = cpu(thread.ran_ns);
        table.add_row([thread.name.clone(), format!("{switches:.1}"), format!("{cpu:.3}")]);
    }
    println!("{table}");
    let cpu = cpu(threads.iter().map(|thread| thread.ran_ns).sum());
    let switches = threads.iter().map(|thread| thread.switches).sum::<u64>() as f64 / seconds;
    let Args { topics, consumers, .. } = args;
    println!(
        "{topics} topics, {consumers} consumers, {seconds:.0} s: {cpu:.3} % of a core, \
         {switches:.1} wake-ups/s, {:.1} MiB anonymous",
        anonymous_kib as f64 / 1024.0
    );
    cpu < CPU_PERCENT_MAX && switches < SWITCHES_MAX && anonymous_kib < ANONYMOUS_KIB_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_of_one_name_are_summed_from_their_first_look() {
        let thread =
            |name: &str, ran_ns, switches| Thread { name: name.to_owned(), ran_ns, switches };
        let before = BTreeMap::from([(1, thread("a", 5, 10)), (2, thread("gone", 9, 9))]);
        let after = BTreeMap::from([
            (1, thread("a", 7, 15)),
            (3, thread("a", 1, 2)),
            (4, thread("b", 0, 9)),
        ]);
        let spent = spent(&before, &after);
        let sums: Vec<_> = spent.iter().map(|t| (t.name.as_str(), t.ran_ns, t.switches)).collect();
        assert_eq!(sums, [("b", 0, 9), ("a", 3, 7)]);
    }

    #[test]
    fn a_field_of_a_status_is_its_number() {
        let status = "RssAnon:\t    1234 kB\nvoluntary_ctxt_switches:\t7\n\
                      nonvoluntary_ctxt_switches:\t3\n";
        assert_eq!(field(status, "RssAnon"), Some(1234));
        assert_eq!(field(status, "voluntary_ctxt_switches"), Some(7));
        assert_eq!(field(status, "Rss"), None);
    }
}
