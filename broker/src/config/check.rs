//! Whether a broker would start with some files, and as what: `mqbroker check-config`.
//!
//! Nothing is changed: ports are bound and let go again, directories only looked at.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use runtime::config::Process;
use runtime::config::check::{Finding, Level};
use rustix::fs::Access;
use store::disk::DiskSpace;
use store::foreign;

use super::{ConfigError, Settings, read};
use crate::address::Address;
use crate::schedule;

/// Reads the files as a start would, and looks at addresses, ports and disks.
#[must_use]
pub fn check(mut settings: Settings, files: &[PathBuf]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        match read(file) {
            Ok(pairs) => {
                let outcomes = settings.outcomes(&pairs);
                findings.extend(outcomes.iter().map(|o| Finding::of(Process::Broker, o)));
            }
            Err(error) => findings.push(file_finding(file, &error)),
        }
    }
    if let Some(said) = settings.settle() {
        findings.push(Finding::new(Level::Look, "brokerId", "", said));
    }
    let mut stops = |subject: &str, said: String| {
        findings.push(Finding::new(Level::Stops, subject, "", said));
    };
    if let Err(error) = settings.validate() {
        stops("settings", error.to_string());
    }
    if let Err(error) = settings.store.validate() {
        stops("settings", error.to_string());
    }
    if let Err(error) = schedule::parse_levels(&settings.store.message_delay_level) {
        stops("messageDelayLevel", error.to_string());
    }
    findings.extend(network(&settings));
    findings.extend(disks(&settings));
    findings
}

fn file_finding(file: &Path, error: &ConfigError) -> Finding {
    Finding::new(Level::Stops, "file", file.display().to_string(), error.to_string())
}

fn network(settings: &Settings) -> Vec<Finding> {
    let bind = settings.network.bind_address.trim();
    let port = settings.network.listen_port;
    let Ok(ip) = bind.parse::<IpAddr>() else {
        return vec![Finding::new(Level::Stops, "bindAddress", bind, "is no IP address")];
    };
    let mut findings = Vec::new();
    // As a start does it: the port for clients, and the one that tools and old clients use.
    for port in [port, port.saturating_sub(2)].into_iter().filter(|&port| port > 0) {
        let address = SocketAddr::new(ip, port);
        let (level, said) = match TcpListener::bind(address) {
            Ok(_) => (Level::Fine, "free".to_owned()),
            Err(error) => (Level::Stops, error.to_string()),
        };
        findings.push(Finding::new(level, "port", address.to_string(), said));
    }
    let configured = settings.broker.broker_ip1.as_deref();
    let bound = SocketAddr::new(ip, port);
    findings.push(match Address::choose(configured, bound, &settings.name_servers()) {
        Ok(address) => {
            let local = address.socket.ip().is_loopback();
            let level = if local { Level::Look } else { Level::Fine };
            let reach = if local { "; only this machine reaches it" } else { "" };
            let said = format!("clients are told it: {}{reach}", address.why());
            Finding::new(level, "advertised address", address.socket.to_string(), said)
        }
        Err(name) => Finding::new(Level::Stops, "brokerIP1", name, "no such address"),
    });
    let fetched = settings.broker.fetch_namesrv_addr_by_address_server;
    if settings.name_servers().is_empty() && !fetched {
        let said = "none: no client finds this broker; set namesrvAddr or NAMESRV_ADDR";
        findings.push(Finding::new(Level::Look, "name servers", "", said));
    }
    findings
}

fn disks(settings: &Settings) -> Vec<Finding> {
    let config = &settings.store;
    let mut directories = vec![config.root().to_owned()];
    directories.extend(config.commit_log_paths());
    let mut findings: Vec<Finding> =
        directories.iter().map(|path| disk(path, config.disk_space_warning_level_ratio)).collect();
    if let Err(error) = foreign::refuse(config.root()) {
        let root = config.store_path_root_dir.clone();
        findings.push(Finding::new(Level::Stops, "store", root, error.to_string()));
    }
    findings
}

/// Whether a directory, or the nearest one above it that is there, can be written to.
fn disk(path: &Path, percent_max: i32) -> Finding {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let there = absolute.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let shown = path.display().to_string();
    let problem = |said: String| Finding::new(Level::Stops, "directory", shown.clone(), said);
    if !there.is_dir() {
        return problem(format!("{} is no directory", there.display()));
    }
    if let Err(error) = rustix::fs::access(there, Access::WRITE_OK | Access::EXEC_OK) {
        return problem(format!("{}: {}", there.display(), std::io::Error::from(error)));
    }
    match DiskSpace::of(there) {
        Ok(space) => {
            let used = space.used_percent();
            let said = format!("writable, {used} % of its disk is used");
            // The store bounds the ratio, too.
            if i64::from(used) > i64::from(percent_max.clamp(35, 90)) {
                let said =
                    format!("{said}: messages are refused above {}", percent_max.clamp(35, 90));
                return Finding::new(Level::Look, "directory", shown, said);
            }
            Finding::new(Level::Fine, "directory", shown, said)
        }
        Err(error) => problem(format!("{}: {error}", there.display())),
    }
}
