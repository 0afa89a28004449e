//! A name server in this process.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::net::SocketAddr;
use std::path::Path;

use namesrv::{NameServer, NamesrvConfig, Settings};
use runtime::services::Services;
use tokio::runtime::Handle;

/// Starts a name server on a free port (0), or on a given one.
pub fn start(root: &Path, port: u16) -> (SocketAddr, Services) {
    let file = |name: &str| root.join(name).display().to_string();
    let config = NamesrvConfig {
        listen_port: port,
        bind_address: "127.0.0.1".to_owned(),
        kv_config_path: file("kvConfig.json"),
        config_store_path: file("namesrv.properties"),
        ..NamesrvConfig::default()
    };
    let mut services = Services::new(Handle::current());
    let address = NameServer::open(Settings { config, ..Settings::default() })
        .unwrap()
        .start(&mut services)
        .unwrap();
    (address, services)
}
