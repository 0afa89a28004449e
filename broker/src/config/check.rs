//! Whether a broker would start with some files, and as what: `mqbroker check-config`.
//!
//! Nothing is changed: ports are bound and let go again, directories only looked at.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use remoting::protocol::advertised::Network;
use runtime::config::Process;
use runtime::config::check::{self, Finding, Level};
use runtime::failure::StartFailed;
use store::disk::DiskSpace;
use store::{MessageStore, StoreConfig};

use super::{ConfigError, Settings, read};
use crate::address::Address;
use crate::groups::Groups;
use crate::offsets::ConsumerOffsets;
use crate::schedule::{self, Schedule};
use crate::start_error::StartError;
use crate::topics::Topics;

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
    // As a start does it: the port for clients, and the one that tools and old clients use.
    let second = port.checked_sub(2).filter(|&port| port > 0);
    let ports = [Some(port), second].into_iter().flatten();
    let mut findings: Vec<Finding> =
        ports.map(|port| check::port(SocketAddr::new(ip, port))).collect();
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
    let advertised = settings.advertised().unwrap_or_default();
    findings.extend(advertised.listeners().iter().map(|listener| {
        let who: Vec<String> = listener.networks.iter().map(Network::to_string).collect();
        let (level, said) = match who.is_empty() {
            true => {
                (Level::Look, "nobody is told it: advertisedNetworks does not name it".to_owned())
            }
            false => (Level::Fine, format!("clients from {} are told it", who.join(", "))),
        };
        let subject = format!("listener {}", listener.name);
        Finding::new(level, subject, listener.address.clone(), said)
    }));
    let fetched = settings.broker.fetch_namesrv_addr_by_address_server;
    if settings.name_servers().is_empty() && !fetched {
        let said = "none: no client finds this broker; set namesrvAddr or NAMESRV_ADDR";
        findings.push(Finding::new(Level::Look, "name servers", "", said));
    }
    findings
}

fn disks(settings: &Settings) -> Vec<Finding> {
    let config = &settings.store;
    let root = config.root();
    let mut directories = vec![root.to_owned()];
    directories.extend(config.commit_log_paths());
    let mut findings: Vec<Finding> = directories.iter().map(|path| disk(path, config)).collect();
    if findings.iter().any(|finding| finding.level == Level::Stops) {
        return findings;
    }
    let mut stops = |said: String| {
        let shown = config.store_path_root_dir.clone();
        findings.push(Finding::new(Level::Stops, "store", shown, said));
    };
    if let Err(error) = MessageStore::look(config) {
        stops(StartFailed::from(StartError::from(error)).line);
    }
    for looked in [
        Topics::loadable(root),
        Groups::loadable(root),
        ConsumerOffsets::loadable(root, config.enable_lmq),
        Schedule::loadable(root),
    ] {
        if let Err(error) = looked {
            stops(StartFailed::from(StartError::from(error)).line);
        }
    }
    findings
}

/// Whether a directory can be written to, and whether its disk has room.
fn disk(path: &Path, config: &StoreConfig) -> Finding {
    let finding = check::directory(path);
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let there = absolute.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    if finding.level == Level::Stops {
        return finding;
    }
    // The store bounds the ratio, too.
    let percent_max = config.disk_space_warning_level_ratio.clamp(35, 90).unsigned_abs();
    let free_min = config.disk_space_warning_level_free_bytes.unsigned_abs();
    let (level, said) = match DiskSpace::of(there) {
        Ok(space) if space.used_percent() > percent_max => {
            let used = space.used_percent();
            (
                Level::Look,
                format!("{used} % of its disk is used: messages are refused above {percent_max}"),
            )
        }
        Ok(space) if space.usable < free_min => {
            let free = space.usable;
            (Level::Look, format!("{free} bytes are free: messages are refused below {free_min}"))
        }
        Ok(space) => {
            (Level::Fine, format!("writable, {} % of its disk is used", space.used_percent()))
        }
        Err(error) => (Level::Stops, format!("{}: {error}", there.display())),
    };
    Finding { level, said, ..finding }
}
