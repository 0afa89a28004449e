//! `mqserver`: name server and broker in one process, without any configuration.
//!
//! Stdout carries one line, a JSON object that says where everything is; logs go to stderr.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use broker::{Broker, Running, Settings, program};
use clap::Parser;
use mimalloc::MiMalloc;
use namesrv::{NameServer, NamesrvConfig};
use runtime::logging::{self, LogFormat};
use runtime::services::Services;
use serde::Serialize;
use tokio::runtime::Handle;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Time the broker has to appear in its own name server before the ready line is printed anyway.
const REGISTRATION: Duration = Duration::from_secs(5);
/// Time the name server has to stop, after the broker.
const STOP_DEADLINE: Duration = Duration::from_millis(400);

/// Starts a name server and a broker in one process.
#[derive(Parser)]
#[command(name = "mqserver", version)]
struct Options {
    /// Port of the broker; 0 takes a free one [default: 10911].
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Port of the name server; 0 takes a free one.
    #[arg(long, value_name = "PORT", default_value_t = 9876)]
    namesrv_port: u16,
    /// Directory of all data [default: data, or storePathRootDir of the configuration].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address to listen on [default: all].
    #[arg(long, value_name = "ADDRESS")]
    bind: Option<String>,
    /// Broker configuration in Java's .properties form; of several, later ones count more.
    #[arg(short = 'c', long = "config", alias = "configFile", value_name = "FILE")]
    config: Vec<PathBuf>,
    /// Prints all settings of the broker and ends.
    #[arg(short = 'p', long = "print-config")]
    print_config: bool,
    /// Log format: plain or json.
    #[arg(long, value_name = "FORMAT", default_value = "plain")]
    log_format: LogFormat,
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
    let options = Options::parse();
    logging::start(options.log_format, "info");
    program::run(serve(options))
}

async fn serve(options: Options) -> anyhow::Result<()> {
    let (mut settings, warnings) = settings(&options)?;
    if options.print_config {
        program::print(&settings.entries());
        return Ok(());
    }
    program::warn_about(&warnings);
    let mut termination = program::Termination::listen()?;
    // Made before the name server, whose files would otherwise be in a place of their own.
    let data = PathBuf::from(&settings.store.store_path_root_dir);
    std::fs::create_dir_all(&data).with_context(|| data.display().to_string())?;
    let data = data.canonicalize().with_context(|| data.display().to_string())?;

    let mut services = Services::new(Handle::current());
    let namesrv = start_name_server(&options, &settings, &data, &mut services)?;
    let others = settings.name_servers().join(";");
    settings.broker.namesrv_addr = Some(format!("{namesrv};{others}"));
    let running = Broker::start(settings).await?;
    running.registered(REGISTRATION).await;
    print_ready(&running, &namesrv, &data)?;

    termination.wait().await;
    let stopped = running.stop().await;
    services.stop(STOP_DEADLINE).await;
    stopped.context("the store did not stop cleanly")
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
    settings.validate()?;
    Ok((settings, warnings))
}

/// Starts the name server and returns where this process reaches it.
fn start_name_server(
    options: &Options,
    settings: &Settings,
    data: &std::path::Path,
    services: &mut Services,
) -> anyhow::Result<String> {
    let file = |name: &str| data.join("namesrv").join(name).display().to_string();
    let config = NamesrvConfig {
        listen_port: options.namesrv_port,
        bind_address: settings.network.bind_address.clone(),
        kv_config_path: file("kvConfig.json"),
        config_store_path: file("namesrv.properties"),
        ..NamesrvConfig::default()
    };
    let name_server: Arc<NameServer> =
        NameServer::open(namesrv::Settings { config, ..Default::default() }, None)?;
    let listens = name_server.start(services).context("name server: cannot listen")?;
    let ip = listens.ip();
    if !ip.is_unspecified() {
        return Ok(listens.to_string());
    }
    let loopback = if ip.is_ipv6() { "[::1]" } else { "127.0.0.1" };
    Ok(format!("{loopback}:{}", listens.port()))
}

fn print_ready(running: &Running, namesrv: &str, data: &std::path::Path) -> anyhow::Result<()> {
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
