//! The name servers this broker tells about itself.
//!
//! Every name server of the list is served by its own loop, so that one that is down delays no
//! other: the whole table at the start and every 30 s, changed topics at once, and a farewell at
//! the stop. After a failure the next registration is a whole one again. Questions for routes go to
//! one name server, and to the others in turn while it does not answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use remoting::net::{CallError, Client, ClientOptions, NameServers};
use remoting::protocol::advertised::{LISTENERS, NETWORKS};
use remoting::protocol::body::{
    Body, BodyError, KVTable, RegisterBrokerBody, TopicConfig,
    TopicConfigAndMappingSerializeWrapper, TopicRouteData,
};
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::header::{
    GetRouteInfoRequestHeader, RegisterBrokerRequestHeader, UnRegisterBrokerRequestHeader,
};
use runtime::services::Stop;
use tokio::sync::watch;
use tracing::{debug, info, warn};

use crate::broker::Broker;
use crate::topics::{Changes, perm};

/// Time a farewell may take; the stop does not wait longer for a name server that is down.
const FAREWELL: Duration = Duration::from_millis(500);
/// Time a question for a route may take, for each name server.
const ROUTE_PATIENCE: Duration = Duration::from_secs(3);
/// Pause before a failed registration is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// Stands for all changes there will be: nobody waits for a name server that is down.
const UNREACHED: u64 = u64::MAX;
/// Tables above this size are registered in parts, as the frame limit is near.
const WHOLE_TABLE_MAX: usize = 20_000;

/// The name servers and how far each has been told.
pub(crate) struct Peers {
    client: Client,
    servers: ArcSwap<Vec<Arc<Server>>>,
    /// Counts the lists of name servers.
    relisted: watch::Sender<u64>,
    /// The same servers, for questions that any of them answers.
    asked: NameServers,
}

struct Server {
    address: String,
    /// Number of topic changes it was told of; [`UNREACHED`] when it could not be told.
    told: watch::Sender<u64>,
}

/// Why nothing is known of a route.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RouteError {
    /// No name server answered.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The answer is not what it should be.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// It answered with another code.
    #[error("refused with code {0}")]
    Refused(i32),
}

/// Why a registration did not happen.
#[derive(Debug, thiserror::Error)]
enum RegisterError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("refused with code {code}: {remark}")]
    Refused { code: i32, remark: String },
}

impl Peers {
    /// Prepares for the name servers of a list.
    pub(crate) fn new(addresses: &[&str]) -> Self {
        let peers = Peers {
            client: Client::new(ClientOptions::default()),
            servers: ArcSwap::default(),
            relisted: watch::Sender::new(0),
            asked: NameServers::default(),
        };
        peers.list(addresses);
        peers
    }

    /// Takes over another list of name servers; returns whether it is another one.
    ///
    /// Those that are no longer listed forget the broker by themselves, as with Java.
    pub(crate) fn list(&self, addresses: &[&str]) -> bool {
        let former = self.servers.load();
        if former.iter().map(|server| server.address.as_str()).eq(addresses.iter().copied()) {
            return false;
        }
        let server = |address: &&str| {
            let known = former.iter().find(|server| server.address == *address);
            known.cloned().unwrap_or_else(|| {
                let address = (*address).to_owned();
                Arc::new(Server { address, told: watch::Sender::new(0) })
            })
        };
        self.servers.store(Arc::new(addresses.iter().map(server).collect()));
        self.asked.update(&addresses.join(";"));
        self.relisted.send_modify(|count| *count += 1);
        true
    }

    /// Asks the name servers who holds a topic; `None` when they know nobody.
    pub(crate) async fn route(&self, topic: &str) -> Result<Option<TopicRouteData>, RouteError> {
        let header =
            GetRouteInfoRequestHeader { topic: topic.to_owned(), accept_standard_json_only: None };
        let code = RequestCode::GetRouteinfoByTopic;
        let answer = self.asked.call(&self.client, code, &header, &[], &[], ROUTE_PATIENCE).await?;
        match ResponseCode::from_i32(answer.code()) {
            Some(ResponseCode::Success) => Ok(Some(TopicRouteData::decode(answer.body())?)),
            Some(ResponseCode::TopicNotExist) => Ok(None),
            _ => Err(RouteError::Refused(answer.code())),
        }
    }

    /// Waits until every name server was told of the topic changes up to the given one.
    ///
    /// A name server that could not be reached is not waited for until it has been.
    pub(crate) async fn told(&self, wanted: u64, timeout: Duration) {
        let servers = self.servers.load_full();
        let all = join_all(servers.iter().map(|server| async move {
            // The sender lives as long as `self`.
            let _ = server.told.subscribe().wait_for(|told| *told >= wanted).await;
        }));
        if tokio::time::timeout(timeout, all).await.is_err() {
            warn!("a name server was not told of a topic in time");
        }
    }
}

/// Keeps every name server informed until the stop, then says goodbye.
pub(crate) async fn run(broker: Arc<Broker>, stop: Stop) {
    let broker = broker.as_ref();
    let mut relisted = broker.peers.relisted.subscribe();
    loop {
        let servers = broker.peers.servers.load_full();
        let informed = join_all(servers.iter().map(|server| inform(broker, server, &stop)));
        tokio::select! {
            // They end at the stop, with a farewell.
            () = async { informed.await; stop.wait().await } => break,
            // The sender lives as long as the broker.
            _ = relisted.changed() => {}
        }
    }
    broker.peers.client.close();
}

async fn inform(broker: &Broker, server: &Server, stop: &Stop) {
    let seconds = broker.live().register_name_server_period.clamp(10_000, 60_000);
    let period = Duration::from_millis(seconds.unsigned_abs().into());
    let mut changes = broker.topics.watch();
    let mut known = None;
    // What was said last in the log: nothing, that it works, that it does not.
    let mut reached = None;
    while !stop.stopped() {
        let now = *changes.borrow_and_update();
        let registration = async {
            match known.map(|known| broker.topics.changes_since(known)) {
                Some(Changes::Topics(topics)) => register(broker, server, &topics).await,
                Some(Changes::Everything) | None => register_all(broker, server).await,
            }
        };
        let registered = tokio::select! {
            registered = registration => registered,
            // A name server that does not answer does not hold up the stop.
            () = stop.wait() => break,
        };
        server.told.send_replace(if registered.is_ok() { now } else { UNREACHED });
        let pause = match registered {
            Ok(()) => {
                if reached != Some(true) {
                    info!(name_server = server.address, "registered");
                }
                (known, reached) = (Some(now), Some(true));
                period
            }
            Err(error) => {
                if reached != Some(false) {
                    warn!(name_server = server.address, %error, "registration failed, trying on");
                }
                (known, reached) = (None, Some(false));
                RETRY
            }
        };
        tokio::select! {
            () = stop.wait() => break,
            // A failed registration waits for its pause; a change would not make it succeed.
            _ = changes.changed(), if known.is_some() => {}
            () = tokio::time::sleep(pause) => known = None,
        }
    }
    if let Err(error) = unregister(broker, server).await {
        warn!(name_server = server.address, %error, "could not unregister");
    }
}

async fn register_all(broker: &Broker, server: &Server) -> Result<(), RegisterError> {
    let all = broker.topics.all();
    if all.len() <= WHOLE_TABLE_MAX {
        return register(broker, server, &all).await;
    }
    let size = usize::try_from(broker.live().split_registration_size).unwrap_or(800);
    for part in all.chunks(size) {
        // A name server takes over known topics only with a version it has not seen.
        broker.topics.next_version();
        register(broker, server, part).await?;
    }
    Ok(())
}

async fn register(
    broker: &Broker,
    server: &Server,
    topics: &[Arc<TopicConfig>],
) -> Result<(), RegisterError> {
    let config = &broker.config;
    let address = broker.store_host();
    let ha_ip = config.broker_ip2.clone().unwrap_or_else(|| address.ip().to_string());
    let ha_port = u32::from(address.port()) + 1;
    let body = registration(broker, topics).encode();
    let header = RegisterBrokerRequestHeader {
        broker_name: config.broker_name.clone(),
        broker_addr: address.to_string(),
        cluster_name: config.broker_cluster_name.clone(),
        ha_server_addr: format!("{ha_ip}:{ha_port}"),
        broker_id: config.broker_id,
        heartbeat_timeout_millis: None,
        // Java sends it always, so that a name server can tell old brokers apart.
        enable_acting_master: Some(false),
        compressed: false,
        body_crc32: crc32_of(&body),
    };
    let timeout = Duration::from_millis(broker.live().register_broker_timeout_mills.max(1) as u64);
    let code = RequestCode::RegisterBroker;
    let client = &broker.peers.client;
    // A Java name server reads the fields that it knows and passes over these.
    let further = [
        (LISTENERS, config.advertised_listeners.as_str()),
        (NETWORKS, config.advertised_networks.as_str()),
    ];
    let further = if config.advertised_listeners.is_empty() { &[][..] } else { &further };
    let answer = client.call(&server.address, code, &header, further, &body, timeout).await?;
    if answer.code() != i32::from(ResponseCode::Success) {
        let remark = answer.remark().unwrap_or("").to_owned();
        return Err(RegisterError::Refused { code: answer.code(), remark });
    }
    debug!(name_server = server.address, topics = topics.len(), "registered");
    take_order(broker, server, answer.body());
    Ok(())
}

/// Takes over which topics the cluster keeps in order, if the name server says.
fn take_order(broker: &Broker, server: &Server, body: &[u8]) {
    if body.is_empty() {
        return;
    }
    match KVTable::decode(body) {
        Ok(ordered) => broker.topics.keep_in_order(ordered.table.keys().map(String::as_str)),
        Err(error) => warn!(name_server = server.address, %error, "order of topics unreadable"),
    }
}

fn crc32_of(body: &[u8]) -> i32 {
    // Wire: the sign bit is cleared, so that it is never negative.
    (crc32fast::hash(body) & 0x7fff_ffff) as i32
}

fn registration(broker: &Broker, topics: &[Arc<TopicConfig>]) -> RegisterBrokerBody {
    let permission = broker.live().broker_permission;
    let restricted = !perm::readable(permission) || !perm::writable(permission);
    let table: BTreeMap<String, TopicConfig> = topics
        .iter()
        .map(|topic| {
            let mut told = topic.as_ref().clone();
            if restricted {
                told.perm &= permission;
            }
            (topic.topic_name.clone(), told)
        })
        .collect();
    RegisterBrokerBody {
        topic_config_serialize_wrapper: TopicConfigAndMappingSerializeWrapper {
            data_version: broker.topics.version(),
            topic_config_table: table,
            ..TopicConfigAndMappingSerializeWrapper::default()
        },
        ..RegisterBrokerBody::default()
    }
}

async fn unregister(broker: &Broker, server: &Server) -> Result<(), CallError> {
    let config = &broker.config;
    let header = UnRegisterBrokerRequestHeader {
        broker_name: config.broker_name.clone(),
        broker_addr: broker.store_host().to_string(),
        cluster_name: config.broker_cluster_name.clone(),
        broker_id: config.broker_id,
    };
    let code = RequestCode::UnregisterBroker;
    let client = &broker.peers.client;
    client.call(&server.address, code, &header, &[], &[], FAREWELL).await.map(|_| ())
}
