//! [`NameServer`], what a name server is made of, and its start.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use remoting::net::{Outcome, Peer, Server, ServerConfig, Service};
use remoting::protocol::code::RequestCode;
use remoting::protocol::command::{Frame, Responder};
use remoting::protocol::header::NotifyMinBrokerIdChangeRequestHeader;
use runtime::clock::now_ms;
use runtime::config::{Process, all_or_nothing};
use runtime::services::Services;
use tracing::{debug, error, info};

use crate::brokers::MinBrokerChanged;
use crate::config::{self, Settings};
use crate::dispatch;
use crate::health;
use crate::kv::{Kv, KvError};
use crate::route_table::RouteTable;
use crate::start_error::StartError;

/// A name server; it serves nobody before [`NameServer::start`].
#[derive(Debug)]
pub struct NameServer {
    pub(crate) settings: RwLock<Settings>,
    pub(crate) kv: Kv,
    pub(crate) started_ms: i64,
    routes: RwLock<RouteTable>,
}

impl NameServer {
    /// Reads the key-value configuration.
    pub fn open(settings: Settings) -> Result<Arc<Self>, KvError> {
        Ok(Arc::new(NameServer {
            kv: Kv::open(&settings.config.kv_config_path)?,
            settings: RwLock::new(settings),
            started_ms: now_ms(),
            routes: RwLock::default(),
        }))
    }

    /// Listens and serves until the services are stopped; returns the address it listens on.
    ///
    /// # Errors
    /// Says which address cannot be listened on.
    pub fn start(self: &Arc<Self>, services: &mut Services) -> Result<SocketAddr, StartError> {
        let config = self.settings().config.clone();
        let bind = config.bind_address.trim();
        let ip: IpAddr = bind.parse().map_err(|_| StartError::Bind(bind.to_owned()))?;
        let mut on = ServerConfig::on(SocketAddr::new(ip, config.listen_port));
        let further = config.further_listen_ports.0.iter();
        on.listen.extend(further.map(|&port| SocketAddr::new(ip, port)));
        on.backlog = i32::try_from(config.server_socket_backlog).unwrap_or(i32::MAX);
        on.limits.idle = Duration::from_secs(config.server_channel_max_idle_time_seconds.into());
        let server =
            Server::bind(on, Arc::clone(self)).map_err(|source| StartError::Listen { source })?;
        let address = server.local_addr();
        let further = server.local_addrs()[1..].to_vec();
        let name_server = Arc::clone(self);
        let period = Duration::from_millis(config.scan_not_active_broker_interval.max(1));
        services.every("broker-expiry", period, move || name_server.expire(now_ms()));
        let farewell = self.farewell();
        services.run("name-server", move |stop| async move {
            let ended = async {
                stop.wait().await;
                if !farewell.is_zero() {
                    server.drain();
                    tokio::time::sleep(farewell).await;
                }
            };
            server.serve(ended).await;
        });
        info!(%address, ?further, "name server listens");
        if let Some(port) = config.health_port {
            health::start(self, SocketAddr::new(ip, port), services)?;
        }
        Ok(address)
    }

    /// Reads the files of the settings again and says in the log which keys have changed.
    pub fn reload(&self) {
        // Held over the look, so that no request writes to a file in between.
        let mut settings = self.settings.write().unwrap_or_else(PoisonError::into_inner);
        if settings.files.last().is_none() {
            return;
        }
        let mut changed = settings.clone();
        let reread = match changed.files.look(config::read, |key| settings.change(key)) {
            Ok(reread) => reread,
            Err(error) => return error!(%error, "settings not read again"),
        };
        match all_or_nothing(Process::NameServer, changed.apply(&reread.live)) {
            Ok(()) => changed.kept.retain(|key, _| !reread.forgotten.contains(key)),
            Err(error) => return error!(%error, "settings not read again"),
        }
        *settings = changed;
        drop(settings);
        reread.tell("name server");
    }

    /// How long clients are told to go away before the name server stops.
    pub fn farewell(&self) -> Duration {
        let settings = self.settings();
        let seconds = settings.config.shutdown_wait_time_seconds;
        match settings.config.enable_shutdown_gracefully {
            true => Duration::from_secs(seconds.into()),
            false => Duration::ZERO,
        }
    }

    /// Whether brokers still have time to register before routes are given.
    pub(crate) fn waits_for_brokers(&self, now_ms: i64) -> bool {
        let settings = self.settings();
        let wait_ms = i64::from(settings.config.wait_seconds_for_service) * 1000;
        settings.config.need_wait_for_service && now_ms - self.started_ms < wait_ms
    }

    /// Takes out brokers that have been silent for too long at `now_ms`.
    pub fn expire(&self, now_ms: i64) {
        let changes = self.routes_mut().expire(now_ms);
        self.notify(&changes);
    }

    /// Tells the brokers of a group that its smallest id has changed, if that is wanted.
    pub(crate) fn notify(&self, changes: &[MinBrokerChanged]) {
        if changes.is_empty() || !self.settings().config.notify_min_broker_id_changed {
            return;
        }
        for change in changes {
            let header = NotifyMinBrokerIdChangeRequestHeader {
                min_broker_id: Some(change.min_broker_id),
                broker_name: Some(change.broker_name.clone()),
                min_broker_addr: Some(change.min_broker_addr.clone()),
                offline_broker_addr: change.offline_broker_addr.clone(),
                ha_broker_addr: change.ha_broker_addr.clone(),
            };
            let peers: Vec<_> = {
                let routes = self.routes();
                change.brokers.iter().filter_map(|key| routes.peer(key)).collect()
            };
            for peer in peers {
                if let Err(error) = peer.oneway(RequestCode::NotifyMinBrokerIdChange, &header, &[])
                {
                    debug!(?peer, %error, "not told of the smallest broker id");
                }
            }
        }
    }

    pub(crate) fn settings(&self) -> RwLockReadGuard<'_, Settings> {
        // Settings are replaced as a whole, so a panic leaves no half of them.
        self.settings.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn routes(&self) -> RwLockReadGuard<'_, RouteTable> {
        // Every entry of the table is renewed by registrations, whatever a panic left behind.
        self.routes.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn routes_mut(&self) -> RwLockWriteGuard<'_, RouteTable> {
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        routes.version += 1;
        routes
    }
}

impl Service for NameServer {
    fn call(&self, peer: &Arc<Peer>, frame: Frame, out: &mut Responder<'_>) -> Outcome {
        dispatch::dispatch(self, peer, &frame, out);
        Outcome::Done
    }

    fn closed(&self, peer: &Arc<Peer>) {
        // Most connections are of clients.
        if self.routes().has_peer(peer) {
            let changes = self.routes_mut().peer_closed(peer);
            self.notify(&changes);
        }
    }
}
