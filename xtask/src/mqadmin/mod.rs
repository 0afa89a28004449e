//! `cargo xtask mqadmin`: Java's `mqadmin`, unmodified, of several releases, goes through one
//! script against the servers of Java 5.3.3 and against ours; what it says of both is compared,
//! line by line and with its exit code, while the same clients are connected to both.
//!
//! A difference is explained by a row of `docs/quirks.md`, or it is a failure.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};

use crate::compare::{Differences, Quirks, Section};
use crate::compat::{Client, Servers, Toolchain};
use crate::workspace;

mod doctor;
mod driver;
mod noise;
mod script;
mod servers;
mod setup;

use driver::{Driver, Said};
use script::Line;
use servers::Site;

/// Releases whose tool is run, the one of the servers first.
const RELEASES: [&str; 4] = ["5.3.3", "4.9.7", "5.1.4", "5.5.0"];

/// Options of `cargo xtask mqadmin`.
#[derive(clap::Args)]
pub struct Args {
    /// Release whose mqadmin is run, or `all`
    #[arg(long, default_value = "5.3.3")]
    version: String,
    /// Folder that holds mqnamesrv and mqbroker; without it they are built
    #[arg(long, conflicts_with = "control")]
    server_bin: Option<PathBuf>,
    /// Compare the Java servers with others of their kind: what differs there is noise
    #[arg(long)]
    control: bool,
    /// Compare our own mqadmin with Java's, each against servers of ours
    #[arg(long, conflicts_with = "control")]
    native: bool,
    /// Show every difference, explained or not, and how long commands took
    #[arg(long)]
    all: bool,
    /// Run only lines of the script that contain this text
    #[arg(long)]
    only: Option<String>,
}

/// What the commands said of one pair of servers.
struct Side {
    said: Vec<Said>,
    names: Vec<(String, &'static str)>,
}

/// Runs the script; true if every difference is explained.
pub fn run(args: &Args) -> Result<bool> {
    let releases: Vec<&str> = RELEASES
        .into_iter()
        .filter(|name| args.version == "all" || *name == args.version)
        .collect();
    ensure!(!releases.is_empty(), "unknown release {}; known: {RELEASES:?}, all", args.version);
    let tools = Toolchain::find();
    if let Some((_, tool)) = tools.missing(true, &[Client::Java("5.3.3")]).first() {
        ensure!(!workspace::is_ci(), "CI needs {tool}");
        println!("left out: mqadmin of Java, because {tool} is not installed");
        return Ok(true);
    }
    let mut lines = script::lines()?;
    lines.retain(|line| args.only.as_ref().is_none_or(|only| line.name.contains(only)));
    let section = if args.native { Section::Native } else { Section::Commands };
    let quirks = Quirks::load(section)?;
    let java = match args.native {
        true => Servers::ours(args.server_bin.as_deref())?,
        false => Servers::control(&tools)?,
    };
    let tool = args.native.then(|| native_tool(args.server_bin.as_deref())).transpose()?;
    let ours = match args.control {
        true => Servers::control(&tools)?,
        false => Servers::ours(args.server_bin.as_deref())?,
    };
    let mut differences = Differences::default();
    for release in releases {
        let start = Instant::now();
        let argv = tools.prepare(Client::Java(release))?.argv;
        let (theirs, own) = thread::scope(|scope| {
            let theirs = scope.spawn(|| Side::take(&java, &argv, &lines, ("java", None), args));
            let own = Side::take(&ours, &argv, &lines, ("ours", tool.as_deref()), args);
            let own = own.context("our servers");
            let theirs = theirs.join().map_err(|_| anyhow!("a thread of the run panicked"))?;
            anyhow::Ok((theirs.context("the Java servers")?, own?))
        })?;
        let word = if args.native { "native" } else { "mqadmin" };
        let mut count = 0;
        let mut identical = 0;
        for (at, line) in lines.iter().enumerate() {
            let (theirs, own) = ((&theirs.said[at], &theirs.names), (&own.said[at], &own.names));
            let name = format!("{word} {release} {}", line.name);
            let differing = match args.native {
                true => compare_native(&name, line, theirs, own),
                false => compare(&name, line, theirs, own),
            };
            let exists = [theirs, own].iter().all(|told| !told.0.out.ends_with(" not exist.\n"));
            let exists = exists || line.is_bare;
            if !exists && args.native {
                continue;
            }
            count += usize::from(exists);
            identical += usize::from(exists && differing.is_empty());
            for difference in differing {
                differences.add_kind(difference, String::new());
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        println!("mqadmin {release}: {count} command lines, {identical} alike, {seconds:.0} s");
    }
    let is_whole = args.version == "all" && args.only.is_none() && !args.control;
    Ok(differences.report(&quirks, args.all, is_whole))
}

impl Side {
    fn take(
        servers: &Servers,
        argv: &[String],
        lines: &[Line],
        (label, tool): (&str, Option<&Path>),
        args: &Args,
    ) -> Result<Side> {
        let mut site = Site::start(servers, label)?;
        setup::prepare(&site)?;
        let mut driver = Driver::start(argv, &site, label)?;
        let mut said = Vec::new();
        for line in lines {
            let start = Instant::now();
            let told = match tool {
                Some(tool) => driver::run_native(tool, line, &driver, &site),
                None => driver.run(line, &site),
            };
            let told = told.with_context(|| line.name.clone())?;
            said.push(if args.native { told.without_usage() } else { told });
            if args.all {
                println!("{label} {:4} ms {}", start.elapsed().as_millis(), line.name);
            }
        }
        let wanted = args.only.as_ref().is_none_or(|only| only == "doctor");
        if let Some(tool) = tool.filter(|_| wanted) {
            doctor::check(tool, argv, &site).context("doctor")?;
        }
        site.check()?;
        let names = vec![
            (site.broker.to_string(), "<broker>"),
            (site.name_server.to_string(), "<name server>"),
            (site.home().to_string_lossy().into_owned(), "<home>"),
        ];
        Ok(Side { said, names })
    }
}

/// Our own mqadmin: that of a folder, or built now.
fn native_tool(folder: Option<&Path>) -> Result<PathBuf> {
    if let Some(folder) = folder {
        return Ok(folder.join("mqadmin"));
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(workspace::root()).args(["build", "-p", "tools", "--bin", "mqadmin"]);
    workspace::run(&mut cargo).context("mqadmin does not build")?;
    Ok(workspace::target().join("debug/mqadmin"))
}

type Told<'a> = (&'a Said, &'a Vec<(String, &'static str)>);

/// Every difference of what a command said, each a short text.
fn compare(name: &str, line: &Line, java: Told<'_>, ours: Told<'_>) -> Vec<String> {
    let mut all = Vec::new();
    let (theirs, own) = (java.0.exit, ours.0.exit);
    if theirs != own {
        all.push(format!("{name}: exit {theirs} → {own}"));
    }
    let text = |text: &str, told: Told<'_>| {
        let lines = noise::lines(text, told.1, line.has_rates);
        if line.is_endless { noise::without_repetition(lines) } else { lines }
    };
    for (what, theirs, own) in
        [("", &java.0.out, &ours.0.out), ("error ", &java.0.err, &ours.0.err)]
    {
        let differing = of_lines(text(theirs, java), text(own, ours), line.is_unordered);
        all.extend(differing.into_iter().map(|difference| format!("{name}: {what}{difference}")));
    }
    let file = |told: Told<'_>| match &told.0.file {
        Some(text) => noise::json(text, told.1, line.has_rates),
        None => vec!["no file".to_owned()],
    };
    let differing = of_lines(file(java), file(ours), false);
    all.extend(differing.into_iter().map(|difference| format!("{name}: file {difference}")));
    all
}

/// The same of two tools. Of a failure it counts that there is one, and where Java tells one on
/// standard output, that is one difference.
fn compare_native(name: &str, line: &Line, java: Told<'_>, ours: Told<'_>) -> Vec<String> {
    let (theirs, own) = (java.0.err.is_empty(), ours.0.err.is_empty());
    if theirs && !own {
        let said = noise::lines(&ours.0.err, ours.1, false).join(" ");
        return vec![format!("{name}: refused: {said}")];
    }
    let silent = |told: Told<'_>| {
        let err = if told.0.err.is_empty() { "" } else { "an error" };
        Said { err: err.to_owned(), ..told.0.clone() }
    };
    compare(name, line, (&silent(java), java.1), (&silent(ours), ours.1))
}

/// Lines that only one has; those that begin with the same word together.
fn of_lines(java: Vec<String>, ours: Vec<String>, is_unordered: bool) -> Vec<String> {
    let (mut missing, mut surplus) = (java.clone(), ours.clone());
    for line in &ours {
        if let Some(at) = missing.iter().position(|other| other == line) {
            missing.remove(at);
        }
    }
    for line in &java {
        if let Some(at) = surplus.iter().position(|other| other == line) {
            surplus.remove(at);
        }
    }
    let mut all = Vec::new();
    for line in missing {
        let first = line.split(' ').next();
        match surplus.iter().position(|own| own.split(' ').next() == first) {
            Some(at) => all.push(format!("{line} → {}", surplus.remove(at))),
            None => all.push(format!("{line} missing")),
        }
    }
    all.extend(surplus.into_iter().map(|line| format!("{line} too many")));
    if all.is_empty() && !is_unordered && java != ours {
        all.push("another order of lines".to_owned());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::of_lines;

    #[test]
    fn lines_differ_by_what_only_one_has() {
        let of = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(of_lines(of("a b c"), of("a x c"), false), ["b missing", "x too many"]);
        let one = |text: &str| vec![text.to_owned()];
        assert_eq!(of_lines(one("a 1"), one("a 2"), true), ["a 1 → a 2"]);
        assert_eq!(of_lines(of("a b"), of("a b b"), false), ["b too many"]);
        assert_eq!(of_lines(of("a b b"), of("b a"), true), ["b missing"]);
        assert_eq!(of_lines(of("a b"), of("b a"), false), ["another order of lines"]);
        assert!(of_lines(of("a b"), of("b a"), true).is_empty());
    }
}
