//! `mqbroker`: the broker as a process of its own, with the options of Java's start script.

use std::path::PathBuf;
use std::process::ExitCode;

use broker::{Broker, Settings, program};
use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;
use runtime::failure::StartFailed;
use runtime::logging::{LogFormat, LogTarget};
use runtime::signals::Signals;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Starts a RocketMQ-compatible broker.
#[derive(Parser)]
#[command(name = "mqbroker", version, args_override_self = true)]
struct Options {
    /// Broker configuration in Java's .properties form; of several, later ones count more.
    #[arg(short = 'c', long = "configFile", value_name = "FILE")]
    config_file: Vec<PathBuf>,
    /// Name servers, for example 192.168.0.1:9876;192.168.0.2:9876.
    #[arg(short = 'n', long = "namesrvAddr", value_name = "LIST")]
    namesrv_addr: Option<String>,
    /// Prints all settings and ends.
    #[arg(short = 'p', long = "printConfigItem")]
    print_config_item: bool,
    /// Prints the important settings and ends.
    #[arg(short = 'm', long = "printImportantConfig")]
    print_important_config: bool,
    /// Log format: plain or json.
    #[arg(long = "logFormat", value_name = "FORMAT", default_value = "plain")]
    log_format: LogFormat,
    /// Where the log goes: stdout, stderr or a file, which SIGHUP opens again.
    #[arg(long = "log", value_name = "TARGET", default_value = "stdout")]
    log: LogTarget,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Prints the reference of all settings, in Markdown.
    DescribeConfig,
    /// Says what a start with these files would do: exit code 0 as wanted, 1 it starts but
    /// something should be looked at, 2 it does not start.
    CheckConfig {
        /// Broker configurations in Java's .properties form; later ones count more.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

fn main() -> ExitCode {
    runtime::process::small_pages();
    let options = match program::options::<Options>() {
        Ok(options) => options,
        Err(code) => return code,
    };
    match &options.command {
        Some(Command::CheckConfig { files }) => return program::check(defaults(), files),
        Some(Command::DescribeConfig) => {
            print!("{}", broker::configuration_page());
            return ExitCode::SUCCESS;
        }
        None => {}
    }
    // What is printed is read by scripts.
    let prints = options.print_config_item || options.print_important_config;
    let target = if prints { LogTarget::Stderr } else { options.log.clone() };
    program::run((options.log_format, target), broker(options))
}

fn defaults() -> Settings {
    let mut settings = Settings::default();
    // Java's default, so that a store is found where Java left it.
    if let Ok(home) = std::env::var("HOME") {
        settings.store.store_path_root_dir = format!("{home}/store");
    }
    settings
}

async fn broker(options: Options) -> anyhow::Result<()> {
    let mut settings = defaults();
    let given: Vec<_> =
        options.namesrv_addr.map(|list| ("namesrvAddr", list)).into_iter().collect();
    let warnings = program::configure(&mut settings, &options.config_file, &given)?;
    if options.print_config_item {
        program::print(&settings.entries());
        return Ok(());
    }
    if options.print_important_config {
        program::print(&settings.important_entries());
        return Ok(());
    }
    program::warn_about(&warnings);
    let mut signals = Signals::listen()?;
    let name_servers = settings.name_servers().join(";");
    let running = Broker::start(settings).await.map_err(StartFailed::from)?;
    let (address, _why) = running.address();
    let name = running.name();
    // Scripts wait for this line, word for word as Java prints it.
    let known = if name_servers.is_empty() {
        String::new()
    } else {
        format!(" and name server is {name_servers}")
    };
    println!("The broker[{name}, {address}] boot success. serializeType=JSON{known}");
    signals.stop_wanted(|| running.reload()).await;
    signals.stop(running.stop()).await?;
    tracing::info!("stopped");
    Ok(())
}
