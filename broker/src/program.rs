//! What the two programs share: command line, settings, and how they run.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use runtime::failure::StartFailed;
use runtime::logging::{LogFormat, LogTarget};
use runtime::{config, process};
use tracing::warn;

use crate::{Settings, check_config};

/// Reads the command line, or says how it should look.
///
/// # Errors
/// Returns the exit code of a program that has nothing more to do.
pub fn options<T: clap::Parser>() -> Result<T, ExitCode> {
    T::try_parse().map_err(|error| {
        // Nobody is left to tell when the terminal is gone.
        let _ = error.print();
        if error.use_stderr() { ExitCode::from(process::USAGE) } else { ExitCode::SUCCESS }
    })
}

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
        warnings.extend(settings.load(path).map_err(StartFailed::from)?);
    }
    let given: Vec<_> = given.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
    warnings.extend(settings.apply(&given).map_err(StartFailed::from)?);
    warnings.extend(settings.settle());
    Ok(warnings)
}

/// Prints settings as `key=value` lines, in Java's order.
pub fn print(entries: &BTreeMap<String, String>) {
    print!("{}", config::printed(entries));
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

/// Starts logging and runs a program to its end; an error is one line on stderr.
pub fn run(
    log: (LogFormat, LogTarget),
    program: impl Future<Output = anyhow::Result<()>>,
) -> ExitCode {
    #[cfg(feature = "faults")]
    let program = async {
        // Once the log is there, which says so.
        store::faults::from_environment().map_err(anyhow::Error::msg)?;
        program.await
    };
    process::run(log, program)
}
