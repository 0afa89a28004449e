//! What the two programs share: settings from file and command line, and the life of a process.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use runtime::config;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use crate::{Settings, check_config};

/// Exit code of a start that failed; scripts of Java's broker see 255.
const START_FAILED: u8 = 255;

/// Applies the files of `-c`, later ones over earlier ones, and then keys of the command line.
///
/// # Errors
/// Fails when the file cannot be read or a key asks for safety that is not there.
pub fn configure(
    settings: &mut Settings,
    files: &[PathBuf],
    given: &[(&str, String)],
) -> anyhow::Result<Vec<String>> {
    let mut warnings = Vec::new();
    for path in files {
        warnings.extend(settings.load(path)?);
    }
    let given: Vec<_> = given.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
    warnings.extend(settings.apply(&given)?);
    warnings.extend(settings.settle());
    Ok(warnings)
}

/// Prints settings as `key=value` lines.
pub fn print(entries: &BTreeMap<String, String>) {
    let pairs: Vec<_> = entries.iter().collect();
    print!("{}", config::to_text(&pairs));
}

/// Prints what a start with these files would do; 0, 1 or 2 says how well.
pub fn check(settings: Settings, files: &[PathBuf]) -> ExitCode {
    let findings = check_config(settings, files);
    print!("{}", config::check::table(&findings, std::io::stdout().is_terminal()));
    ExitCode::from(config::check::exit_code(&findings))
}

/// Logs what someone should know about the settings.
pub fn warn_about(warnings: &[String]) {
    for warning in warnings {
        warn!("configuration: {warning}");
    }
}

/// Runs a program to its end on all processors; an error is one line on stderr.
pub fn run(program: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    #[cfg(feature = "faults")]
    if let Err(error) = store::faults::from_environment() {
        eprintln!("{error}");
        return ExitCode::from(START_FAILED);
    }
    let ended = match runtime.context("cannot start the runtime") {
        Ok(runtime) => runtime.block_on(program),
        Err(error) => Err(error),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(START_FAILED)
        }
    }
}

/// Signals that end a process; listens from the moment it is made.
pub struct Termination {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Termination {
    /// Starts listening.
    ///
    /// # Errors
    /// Fails when the system refuses the handlers.
    pub fn listen() -> anyhow::Result<Self> {
        Ok(Termination {
            terminate: signal(SignalKind::terminate()).context("SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("SIGINT")?,
        })
    }

    /// Waits for SIGTERM or SIGINT.
    pub async fn wait(&mut self) {
        let name = tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        };
        info!(signal = name, "stopping");
    }
}
