//! The Java program that runs mqadmin of one release, and what a command said.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::script::{Line, fill};
use super::servers::Site;
use crate::compat::{self, Process};

/// How often it is asked whether a command has ended.
const POLL: Duration = Duration::from_millis(2);

/// What a command said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Exit code; -1 if it was cut off.
    pub exit: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
    /// The file that it wrote.
    pub file: Option<String>,
}

/// The running program.
pub struct Driver {
    /// What command lines may name, the longest name first.
    pub values: Vec<(String, String)>,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    _process: Process,
}

impl Said {
    /// What two tools have in common: no usage text.
    pub fn without_usage(mut self) -> Said {
        if self.out.contains("Usage: mqadmin") {
            self.out.clear();
        } else if let Some(at) = self.out.find("usage: mqadmin") {
            self.out.truncate(at);
        }
        self
    }
}

/// Runs one command of our own tool, a process each.
pub fn run_native(tool: &Path, line: &Line, driver: &Driver, site: &Site) -> Result<Said> {
    thread::sleep(line.wait);
    let mut command = Command::new(tool);
    command.args(driver.words(line, site)).current_dir(site.home());
    if line.words.first().is_some_and(|word| word != "help") {
        command.arg("--java-exit");
    }
    command.envs(environment(site)).stdin(Stdio::null());
    let paths = ["tool.out", "tool.err"].map(|name| site.home().join(name));
    let [out, err] = &paths;
    command.stdout(std::fs::File::create(out)?).stderr(std::fs::File::create(err)?);
    let mut child = command.spawn().with_context(|| tool.display().to_string())?;
    let begun = Instant::now();
    let exit = loop {
        if let Some(status) = child.try_wait()? {
            break status.code().unwrap_or(-1);
        }
        if begun.elapsed() > line.limit {
            child.kill()?;
            child.wait()?;
            break -1;
        }
        thread::sleep(POLL);
    };
    let text = |path: &PathBuf| -> Result<String> {
        Ok(String::from_utf8_lossy(&std::fs::read(path)?).into_owned())
    };
    Ok(Said { exit, out: text(out)?, err: text(err)?, file: written(line, site) })
}

/// The file that a command has written; it does not stay for the next.
fn written(line: &Line, site: &Site) -> Option<String> {
    let file = site.out().join(line.file.as_ref()?);
    let text = std::fs::read_to_string(&file).ok();
    drop(std::fs::remove_file(&file));
    text
}

fn environment(site: &Site) -> [(&'static str, String); 2] {
    [
        ("ROCKETMQ_HOME", site.home().to_string_lossy().into_owned()),
        ("NAMESRV_ADDR", site.name_server.to_string()),
    ]
}

impl Driver {
    /// Starts the program; returns when messages are sent and clients are connected. `argv` is the
    /// scenario program's.
    pub fn start(argv: &[String], site: &Site, label: &str) -> Result<Self> {
        let mut argv = argv.to_vec();
        let main = argv.last_mut().context("no Java command")?;
        *main = "compat.MqAdmin".to_owned();
        let offsets = site.home().join("offsets");
        argv.insert(1, "-Djava.security.manager=allow".to_owned());
        argv.insert(1, format!("-Drocketmq.client.localOffsetStoreDir={}", offsets.display()));
        argv.extend([site.name_server.to_string(), site.broker.to_string()]);
        let env = environment(site);
        let log = compat::cache().join(format!("mqadmin-{label}-driver.log"));
        let mut process = Process::start_in(site.home(), &argv, &env, &log, true)?;
        let input = process.child.stdin.take().context("no standard input")?;
        let mut output = BufReader::new(process.child.stdout.take().context("no standard output")?);
        let mut values = vec![
            ("B".to_owned(), site.broker.to_string()),
            ("OUT".to_owned(), site.out().to_string_lossy().into_owned()),
        ];
        loop {
            let mut line = String::new();
            output.read_line(&mut line)?;
            match line.trim_end().split_once(' ') {
                Some(("VALUE", rest)) => {
                    let (name, value) = rest.split_once(' ').context("value without text")?;
                    values.push((name.to_owned(), value.to_owned()));
                }
                _ if line == "READY\n" => break,
                _ => bail!("the driver of {label}: {line:?}\n{}", compat::log_tail(&log)),
            }
        }
        values.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        Ok(Self { values, input, output, _process: process })
    }

    /// Runs one command.
    pub fn run(&mut self, line: &Line, site: &Site) -> Result<Said> {
        thread::sleep(line.wait);
        let tabbed: String =
            self.words(line, site).iter().map(|word| format!("\t{word}")).collect();
        writeln!(self.input, "{}{tabbed}", line.limit.as_secs())?;
        self.input.flush()?;
        let mut head = String::new();
        self.output.read_line(&mut head)?;
        let mut fields = head.trim_end().split(' ');
        ensure!(fields.next() == Some("RESULT"), "the driver said {head:?}");
        let mut number = || -> Result<i64> { Ok(fields.next().context("short head")?.parse()?) };
        let (exit, out, err) = (number()?, number()?, number()?);
        let mut said = Said { exit: i32::try_from(exit)?, ..Said::default() };
        said.out = self.text(out)?;
        said.err = self.text(err)?;
        said.file = written(line, site);
        Ok(said)
    }

    /// The words of a line, with what they stand for.
    fn words(&self, line: &Line, site: &Site) -> Vec<String> {
        let mut words: Vec<String> =
            line.words.iter().map(|word| fill(word, &self.values)).collect();
        if !line.is_bare {
            words.extend(["-n".to_owned(), site.name_server.to_string()]);
        }
        words
    }

    fn text(&mut self, len: i64) -> Result<String> {
        let mut bytes = vec![0; usize::try_from(len)?];
        self.output.read_exact(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
