//! `mqserver`: name server and broker in one process, without any configuration.
//!
//! Stdout carries one line, a JSON object that says where everything is; logs go to stderr.

use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use broker::{Broker, Running, Settings, program};
use clap::Parser;
use mimalloc::MiMalloc;
use namesrv::{NameServer, NamesrvConfig};
use runtime::failure::{FAILED, StartFailed, cure_of_file};
use runtime::logging::{LogFormat, LogTarget};
use runtime::services::Services;
use runtime::signals::Signals;
use serde::Serialize;
use tokio::runtime::Handle;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Port of a name server unless another is given.
const NAME_SERVER_PORT: u16 = 9876;
/// Time the broker has to appear in its own name server before the ready line is printed anyway.
const REGISTRATION: Duration = Duration::from_secs(5);
/// Time the name server has to stop, after the broker.
const STOP_DEADLINE: Duration = Duration::from_millis(400);

/// Starts a name server and a broker in one process.
#[derive(Parser)]
#[command(name = "mqserver", version, args_override_self = true)]
struct Options {
    /// Port of the broker; 0 takes a free one [default: 10911].
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Port of the name server; 0 takes a free one [default: 9876, and 0 with --port 0].
    #[arg(long, value_name = "PORT")]
    namesrv_port: Option<u16>,
    /// Directory of all data [default: data, or storePathRootDir of the configuration].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// For tests: data in a new directory that is removed at the end, 127.0.0.1 unless --bind.
    #[arg(long, conflicts_with = "data")]
    temp: bool,
    /// Address to listen on [default: all].
    #[arg(long, value_name = "ADDRESS")]
    bind: Option<String>,
    /// Broker configuration in Java's .properties form; of several, later ones count more.
    #[arg(short = 'c', long = "config", alias = "configFile", value_name = "FILE")]
    config: Vec<PathBuf>,
    /// Configuration of the name server in Java's .properties form; of several, later ones count
    /// more.
    #[arg(long, value_name = "FILE")]
    namesrv_config: Vec<PathBuf>,
    /// Prints all settings of the broker and ends.
    #[arg(short = 'p', long = "print-config")]
    print_config: bool,
    /// Log format: plain or json.
    #[arg(long, value_name = "FORMAT", default_value = "plain")]
    log_format: LogFormat,
    /// Where the log goes: stderr, stdout or a file, which SIGHUP opens again.
    #[arg(long, value_name = "TARGET", default_value = "stderr")]
    log: LogTarget,
}

/// The line on stdout once clients can be served.
#[derive(Serialize)]
struct Ready<'a> {
    event: &'static str,
    /// Where this process reaches the name server; clients elsewhere use the broker's host.
    namesrv: String,
    broker: String,
    /// Why the broker is told to clients under this address.
    because: String,
    /// Address of the page of metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<String>,
    name: &'a str,
    data: String,
    pid: u32,
    version: &'static str,
}

fn main() -> ExitCode {
    runtime::process::small_pages();
    let options = match program::options::<Options>() {
        Ok(options) => options,
        Err(code) => return code,
    };
    program::run((options.log_format, options.log.clone()), run(options))
}

/// Serves, in a directory of its own if that is wanted.
async fn run(mut options: Options) -> anyhow::Result<()> {
    if !options.temp || options.print_config {
        return serve(options).await;
    }
    let directory = make_directory().context("--temp: no directory, set TMPDIR to another")?;
    options.data = Some(directory.clone());
    options.bind.get_or_insert_with(|| "127.0.0.1".to_owned());
    let served = serve(options).await;
    let removed = std::fs::remove_dir_all(&directory);
    removed.with_context(|| format!("--temp: {} not removed", directory.display()))?;
    served
}

/// Makes a directory that nobody had before and nobody else can look into.
fn make_directory() -> std::io::Result<PathBuf> {
    let root = std::env::temp_dir();
    let mut number = 0;
    loop {
        let directory = root.join(format!("raptormq-{}-{number}", std::process::id()));
        match std::fs::DirBuilder::new().mode(0o700).create(&directory) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
            made => return made.map(|()| directory),
        }
    }
}

async fn serve(options: Options) -> anyhow::Result<()> {
    let (mut settings, warnings) = settings(&options)?;
    if options.print_config {
        program::print(&settings.entries());
        return Ok(());
    }
    program::warn_about(&warnings);
    let mut signals = Signals::listen()?;
    // Made before the name server, whose files would otherwise be in a place of their own.
    let data = PathBuf::from(&settings.store.store_path_root_dir);
    std::fs::create_dir_all(&data).map_err(|error| {
        StartFailed::new(FAILED, &format!("{}: {error}", data.display()), cure_of_file(&error))
    })?;
    let data = data.canonicalize().with_context(|| data.display().to_string())?;

    let mut services = Services::new(Handle::current());
    let name_server = name_server_settings(&options, &settings, &data)?;
    let (name_server, namesrv) = start_name_server(name_server, &mut services)?;
    let others = settings.name_servers().join(";");
    settings.broker.namesrv_addr = Some(format!("{namesrv};{others}"));
    let running = Broker::start(settings).await.map_err(StartFailed::from)?;
    running.registered(REGISTRATION).await;
    print_ready(&running, &namesrv, &data)?;

    let reload = || {
        name_server.reload();
        running.reload();
    };
    signals.stop_wanted(reload).await;
    let stopping = async {
        let stopped = running.stop().await;
        services.stop(name_server.farewell() + STOP_DEADLINE).await;
        stopped
    };
    signals.stop(stopping).await.context("the store did not stop cleanly")?;
    tracing::info!("stopped");
    Ok(())
}

/// The settings of the broker: defaults, file, options.
fn settings(options: &Options) -> anyhow::Result<(Settings, Vec<String>)> {
    let mut settings = Settings::default();
    // The name server is this process; one of the environment is somebody else's.
    settings.broker.namesrv_addr = None;
    settings.broker.metrics_exporter_type = "PROM".to_owned();
    let mut given = Vec::new();
    if let Some(port) = options.port {
        given.push(("listenPort", port.to_string()));
        if port == 0 {
            given.push(("metricsPromExporterPort", port.to_string()));
        }
    }
    if let Some(data) = &options.data {
        given.push(("storePathRootDir", data.display().to_string()));
    }
    if let Some(bind) = &options.bind {
        given.push(("bindAddress", bind.clone()));
    }
    let warnings = program::configure(&mut settings, &options.config, &given)?;
    settings.validate().map_err(StartFailed::from)?;
    Ok((settings, warnings))
}

/// The settings of the name server: defaults of this program, files, options.
fn name_server_settings(
    options: &Options,
    broker: &Settings,
    data: &Path,
) -> anyhow::Result<namesrv::Settings> {
    let file = |name: &str| data.join("namesrv").join(name).display().to_string();
    let config = NamesrvConfig {
        listen_port: if options.port == Some(0) { 0 } else { NAME_SERVER_PORT },
        bind_address: broker.network.bind_address.clone(),
        kv_config_path: file("kvConfig.json"),
        config_store_path: file("namesrv.properties"),
        ..NamesrvConfig::default()
    };
    let mut settings = namesrv::Settings { config, ..Default::default() };
    for path in &options.namesrv_config {
        let warnings = settings.load(path).map_err(StartFailed::from).context("name server")?;
        program::warn_about(&warnings);
    }
    let given = &mut settings.config;
    given.listen_port = options.namesrv_port.unwrap_or(given.listen_port);
    if let Some(bind) = &options.bind {
        given.bind_address.clone_from(bind);
    }
    Ok(settings)
}

/// Starts the name server and returns it with where this process reaches it.
fn start_name_server(
    settings: namesrv::Settings,
    services: &mut Services,
) -> anyhow::Result<(Arc<NameServer>, String)> {
    let (name_server, listens) = NameServer::open(settings)
        .map_err(namesrv::StartError::from)
        .and_then(|name_server| name_server.start(services).map(|listens| (name_server, listens)))
        .map_err(StartFailed::from)
        .context("name server")?;
    let ip = listens.ip();
    if !ip.is_unspecified() {
        return Ok((name_server, listens.to_string()));
    }
    let loopback = if ip.is_ipv6() { "[::1]" } else { "127.0.0.1" };
    Ok((name_server, format!("{loopback}:{}", listens.port())))
}

fn print_ready(running: &Running, namesrv: &str, data: &Path) -> anyhow::Result<()> {
    let (address, because) = running.address();
    let ready = Ready {
        event: "ready",
        namesrv: namesrv.to_owned(),
        broker: address.to_string(),
        because,
        metrics: running.metrics().map(|address| address.to_string()),
        name: running.name(),
        data: data.display().to_string(),
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION"),
    };
    let mut line = serde_json::to_string(&ready)?;
    line.push('\n');
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).and_then(|()| out.flush()).context("stdout")
}
