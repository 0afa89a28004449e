//! `mqnamesrv`: a name server, with the options of Java's script.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use namesrv::{NameServer, Settings, StartError};
use runtime::config::{check, printed};
use runtime::failure::StartFailed;
use runtime::logging::{LogFormat, LogTarget};
use runtime::process;
use runtime::services::Services;
use runtime::signals::Signals;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long a stop may take.
const STOP_DEADLINE: Duration = Duration::from_millis(1_500);

/// Name server of RaptorMQ.
#[derive(Parser)]
#[command(name = "mqnamesrv", version, args_override_self = true)]
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
    #[arg(
        long = "logFormat",
        alias = "log-format",
        value_name = "FORMAT",
        default_value = "plain"
    )]
    log_format: LogFormat,
    /// Where the log goes: stdout, stderr or a file, which SIGHUP opens again
    #[arg(long = "log", value_name = "TARGET", default_value = "stdout")]
    log: LogTarget,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Says what a start with these files would do: exit code 0 as wanted, 1 it starts but
    /// something should be looked at, 2 it does not start
    CheckConfig {
        /// Configurations in Java's .properties form; later ones count more
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

fn main() -> ExitCode {
    process::small_pages();
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => {
            // Nobody is left to tell when the terminal is gone.
            let _ = error.print();
            let usage = ExitCode::from(process::USAGE);
            return if error.use_stderr() { usage } else { ExitCode::SUCCESS };
        }
    };
    if let Some(Command::CheckConfig { files }) = &options.command {
        let findings = namesrv::check_config(Settings::default(), files);
        print!("{}", check::table(&findings, std::io::stdout().is_terminal()));
        return ExitCode::from(check::exit_code(&findings));
    }
    // What is printed is read by scripts.
    let target = if options.print_config_item { LogTarget::Stderr } else { options.log.clone() };
    process::run((options.log_format, target), run(options))
}

async fn run(options: Options) -> anyhow::Result<()> {
    let mut settings = Settings::default();
    for file in &options.config_file {
        let warnings = settings.load(file).map_err(StartFailed::from)?;
        warnings.iter().for_each(|warning| tracing::warn!("configuration: {warning}"));
        if !options.print_config_item {
            // Word for word as Java says it.
            println!("load config properties file OK, {}", file.display());
        }
    }
    if options.print_config_item {
        print!("{}", printed(&settings.entries()));
        return Ok(());
    }
    serve(settings).await
}

async fn serve(settings: Settings) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let mut services = Services::new(tokio::runtime::Handle::current());
    let name_server =
        NameServer::open(settings).map_err(|error| StartFailed::from(StartError::from(error)))?;
    let address = name_server.start(&mut services).map_err(StartFailed::from)?;
    let mut stdout = std::io::stdout();
    // Scripts of Java's distribution wait for the words before the comma.
    writeln!(stdout, "The Name Server boot success. serializeType=JSON, address {address}")?;
    stdout.flush()?;
    signals.stop_wanted(|| name_server.reload()).await;
    let late = signals.stop(services.stop(name_server.farewell() + STOP_DEADLINE)).await;
    anyhow::ensure!(late.is_empty(), "did not stop in time: {}", late.join(", "));
    tracing::info!("stopped");
    Ok(())
}
