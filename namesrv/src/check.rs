//! Whether a name server would start with some files: `mqnamesrv check-config`.
//!
//! Nothing is changed: ports are bound and let go again, files only looked at.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use runtime::config::Process;
use runtime::config::check::{Finding, Level, directory, port};

use crate::config::{Settings, read};
use crate::kv::Kv;

/// Reads the files as a start would, and looks at address, port and directory.
#[must_use]
pub fn check(mut settings: Settings, files: &[PathBuf]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        match read(file) {
            Ok(pairs) => {
                let outcomes = settings.apply(&pairs);
                findings.extend(outcomes.iter().map(|o| Finding::of(Process::NameServer, o)));
                settings.config.config_store_path = file.display().to_string();
            }
            Err(error) => {
                let shown = file.display().to_string();
                findings.push(Finding::new(Level::Stops, "file", shown, error.to_string()));
            }
        }
    }
    let config = &settings.config;
    let bind = config.bind_address.trim();
    findings.push(match bind.parse::<IpAddr>() {
        Ok(ip) => port(SocketAddr::new(ip, config.listen_port)),
        Err(_) => Finding::new(Level::Stops, "bindAddress", bind, "is no IP address"),
    });
    let further = config.further_listen_ports.0.iter().chain(&config.health_port);
    if let Ok(ip) = bind.parse::<IpAddr>() {
        findings.extend(further.map(|&further| port(SocketAddr::new(ip, further))));
    }
    let path = config.kv_config_path.clone();
    if let Some(parent) = Path::new(&path).parent() {
        findings.push(directory(parent));
    }
    findings.push(match Kv::open(&path) {
        Ok(_) => Finding::new(Level::Fine, "kvConfigPath", path, "readable, or not there yet"),
        Err(error) => Finding::new(Level::Stops, "kvConfigPath", path, error.to_string()),
    });
    findings
}
