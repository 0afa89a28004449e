//! `mqnamesrv`: a name server, with the options of Java's script.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use namesrv::{NameServer, Settings};
use runtime::config::{parse_bytes, to_text, warnings};
use runtime::logging::{self, LogFormat};
use runtime::services::Services;
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long a stop may take.
const STOP_DEADLINE: Duration = Duration::from_millis(1_500);

/// Name server of RaptorMQ.
#[derive(Parser)]
#[command(name = "mqnamesrv", version)]
struct Options {
    /// Name server config properties file; of several, later ones count more
    #[arg(short = 'c', long = "configFile", value_name = "FILE")]
    config_file: Vec<PathBuf>,
    /// Print all config items
    #[arg(short = 'p', long = "printConfigItem")]
    print_config_item: bool,
    /// Name server address list; accepted and not used
    #[arg(short = 'n', long = "namesrvAddr", value_name = "LIST")]
    namesrv_addr: Option<String>,
    /// Form of log lines: plain or json
    #[arg(long, default_value = "plain", value_parser = parse_format)]
    log_format: LogFormat,
}

fn parse_format(text: &str) -> Result<LogFormat, String> {
    text.parse().map_err(|_| "expected plain or json".to_owned())
}

fn main() -> ExitCode {
    let options = Options::parse();
    logging::start(options.log_format, "info");
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mqnamesrv: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> anyhow::Result<()> {
    let settings = read_settings(&options)?;
    if options.print_config_item {
        let entries = settings.entries();
        print!("{}", to_text(&entries.iter().collect::<Vec<_>>()));
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(settings, options.config_file.last().cloned()))
}

fn read_settings(options: &Options) -> anyhow::Result<Settings> {
    let mut settings = Settings::default();
    for file in &options.config_file {
        let text = std::fs::read(file).with_context(|| file.display().to_string())?;
        let pairs = parse_bytes(&text).with_context(|| file.display().to_string())?;
        let outcomes = settings.apply(&pairs);
        if let Some(outcome) = outcomes.iter().find(|outcome| outcome.fate.stops()) {
            anyhow::bail!("{outcome}");
        }
        warnings(&outcomes).iter().for_each(|warning| tracing::warn!("{warning}"));
        // As in Java: the file that was read is the one that changes are written to.
        settings.config.config_store_path = file.display().to_string();
    }
    Ok(settings)
}

async fn serve(settings: Settings, config_file: Option<PathBuf>) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut services = Services::new(tokio::runtime::Handle::current());
    let name_server = NameServer::open(settings, config_file)?;
    let address = name_server.start(&mut services)?;
    let mut stdout = std::io::stdout();
    // Scripts of Java's distribution wait for the words before the comma.
    writeln!(stdout, "The Name Server boot success. serializeType=JSON, address {address}")?;
    stdout.flush()?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let late = services.stop(name_server.farewell() + STOP_DEADLINE).await;
    anyhow::ensure!(late.is_empty(), "did not stop in time: {}", late.join(", "));
    Ok(())
}
