//! The broker: everything it consists of, how it starts and how it stops.
//!
//! The order of the start is the order of what depends on what: tables, store, socket, services.
//! The order of the stop: unregister, refuse connections, wake held requests, drain, services
//! backwards, then flush, checkpoint, and only then no abort marker.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use remoting::net::{Limits, Server, ServerConfig};
use remoting::protocol::body::SubscriptionGroupConfig;
use remoting::protocol::message::PropertiesBuf;
use remoting::protocol::message::id::UniqueKeys;
use remoting::protocol::message::properties::property;
use runtime::clock::now_ms;
use runtime::services::{Services, Stop};
use store::json_file::JsonFileError;
use store::{MessageStore, StopError, retention};
use tokio::runtime::Handle;
use tracing::{error, info};

use crate::address::Address;
use crate::address_server;
use crate::admission::Admission;
use crate::arrivals::Arrivals;
use crate::clients::{Consumers, Producers};
use crate::cold_reads::{self, ColdReads};
use crate::config::{BrokerConfig, Current, LiveConfig, NetworkConfig, Settings};
use crate::dispatch::Frontend;
use crate::filter::ConsumerFilters;
use crate::groups::{self, Groups};
use crate::locks::QueueLocks;
use crate::metrics::{self, Measures};
use crate::offsets::ConsumerOffsets;
use crate::peers::{self, Peers};
use crate::pop::{self, Orders, PopBuffer, Pops, Revive};
use crate::quotas::Quotas;
use crate::refusals::Refusals;
use crate::request_modes::RequestModes;
use crate::routes::{self, Routes};
use crate::schedule::{self, Schedule};
use crate::start_error::StartError;
use crate::stats::Stats;
use crate::topics::{SCHEDULE_TOPIC, Topics, revive_topic};
use crate::traffic::Traffic;
use crate::transaction::{self, Transactions};

/// Time the farewell to the name servers may take.
const FAREWELL_DEADLINE: Duration = Duration::from_millis(600);
/// Time between rounds of telling groups of their changes, where they do not hear at once.
const TELL_INTERVAL: Duration = Duration::from_secs(15);
/// Time all services together may take to stop.
const STOP_DEADLINE: Duration = Duration::from_millis(1000);
/// Time held requests and unsent answers may take at the stop.
const DRAIN_DEADLINE: Duration = Duration::from_millis(500);

/// A broker: its tables, its store and its view of the world.
pub struct Broker {
    pub(crate) config: BrokerConfig,
    live: ArcSwap<LiveConfig>,
    /// All settings, for those who ask for them or change them.
    pub(crate) settings: Current,
    pub(crate) store: Arc<MessageStore>,
    pub(crate) topics: Arc<Topics>,
    pub(crate) groups: Groups,
    pub(crate) offsets: ConsumerOffsets,
    pub(crate) producers: Producers,
    pub(crate) consumers: Consumers,
    pub(crate) filters: Arc<ConsumerFilters>,
    pub(crate) admission: Admission,
    pub(crate) refusals: Refusals,
    pub(crate) quotas: Quotas,
    pub(crate) cold_reads: Arc<ColdReads>,
    pub(crate) locks: QueueLocks,
    pub(crate) arrivals: Arc<Arrivals>,
    pub(crate) schedule: Arc<Schedule>,
    pub(crate) orders: Orders,
    pub(crate) pop_buffer: PopBuffer,
    pub(crate) pops: Pops,
    pub(crate) revive: Arc<Revive>,
    /// Where check points and acknowledgements of pops go.
    pub(crate) revive_topic: String,
    pub(crate) request_modes: RequestModes,
    pub(crate) routes: Routes,
    pub(crate) transactions: Transactions,
    pub(crate) peers: Peers,
    pub(crate) stats: Stats,
    pub(crate) traffic: Traffic,
    pub(crate) measures: Measures,
    /// Properties that every stored message gets.
    pub(crate) stamp: String,
    address: OnceLock<Address>,
    unique_keys: OnceLock<UniqueKeys>,
    turn: AtomicU32,
}

/// A started broker; `stop` it, or the store will recover at its next start.
pub struct Running {
    broker: Arc<Broker>,
    server: Arc<Server<Frontend>>,
    services: Services,
    /// Stops before all others, and long before them when clients are asked to go away.
    registration: Services,
    network: NetworkConfig,
    metrics: Option<SocketAddr>,
}

impl Broker {
    /// Opens the store, listens, starts every service.
    ///
    /// # Errors
    /// Says in one line what is wrong; nothing on disk has been replaced then.
    pub async fn start(settings: Settings) -> Result<Running, StartError> {
        settings.validate()?;
        let listen = listen_addresses(&settings.network)?;
        let broker = Arc::new(Broker::open(&settings)?);
        let frontend = Arc::new(Frontend::new(Arc::clone(&broker)));
        let network = settings.network.clone();
        let config = ServerConfig {
            listen,
            backlog: i32::try_from(network.server_socket_backlog).unwrap_or(i32::MAX),
            limits: Limits {
                idle: Duration::from_secs(network.server_channel_max_idle_time_seconds.into()),
                ..Limits::default()
            },
            stop_deadline: DRAIN_DEADLINE,
        };
        let server = Server::bind(config, frontend).map_err(|source| StartError::Listen { source });
        let server = match server {
            Ok(server) => Arc::new(server),
            Err(error) => {
                broker.close_store();
                return Err(error);
            }
        };
        if let Err(error) = broker.choose_address(&settings, server.local_addr()) {
            broker.close_store();
            return Err(error);
        }
        let mut services = start_services(&broker, &server);
        let metrics = metrics::start(&broker, &mut services);
        let mut registration = Services::new(Handle::current());
        let registered = Arc::clone(&broker);
        registration.run("register", |stop| peers::run(registered, stop));
        if settings.broker.fetch_namesrv_addr_by_address_server
            && settings.name_servers().is_empty()
        {
            let told = Arc::clone(&broker);
            registration.run("address-server", |stop| address_server::follow(told, stop));
        }
        Ok(Running { broker, server, services, registration, network, metrics })
    }

    /// Loads the tables and the store, under the lock of the store: another broker on the same
    /// directory may be in the middle of replacing a table.
    fn open(settings: &Settings) -> Result<Broker, StartError> {
        let lock = MessageStore::lock(&settings.store)?;
        let config = settings.broker.clone();
        let root = PathBuf::from(&settings.store.store_path_root_dir);
        let light = settings.store.enable_lmq;
        let topics = Arc::new(
            Topics::load(&root, &config, settings.live.auto_create_topic_enable)?.with_light(light),
        );
        let step = u64::try_from(config.consumer_offset_update_version_step).unwrap_or(1);
        let offsets = ConsumerOffsets::load(&root, step, light)?;
        let groups = Groups::load(&root)?.with_light(light);
        let orders = Orders::load(&root)?;
        let request_modes = RequestModes::load(&root)?;
        let (error_rate, expected) =
            (config.max_error_rate_of_bloom_filter, config.expect_consumer_num_use_filter);
        let filters = ConsumerFilters::load(&root, error_rate, expected, now_ms())?;
        let arrivals = Arc::new(Arrivals::new(config.pop_long_polling_force_notify_interval));
        let step = u64::try_from(config.delay_offset_update_version_step).unwrap_or(1);
        let levels = schedule::parse_levels(&settings.store.message_delay_level)?;
        let schedule = Arc::new(Schedule::load(&root, levels, step)?);
        let reviving = revive_topic(&config.broker_cluster_name);
        let revive_queues = topics.look(&reviving).map_or(0, |facts| facts.read_queues);
        // A topic made with more queues than there are now may still have something in them.
        let revive = Arc::new(Revive::new(revive_queues.max(config.revive_queue_num)));
        let (kinds, waiters, parked) =
            (Arc::clone(&topics), Arc::clone(&arrivals), Arc::clone(&schedule));
        let (revived, revived_topic) = (Arc::clone(&revive), reviving.clone());
        let store = MessageStore::open_locked(
            lock,
            settings.store.clone(),
            Box::new(move |topic| kinds.queue_kind(topic)),
            Box::new(move |arrival| {
                if arrival.topic == SCHEDULE_TOPIC {
                    parked.arrived(arrival);
                } else if arrival.topic == revived_topic {
                    revived.arrived(arrival);
                }
                waiters.arrived(arrival);
            }),
        )?;
        let timed = Arc::clone(&topics);
        store.ask_for_topic_times(Box::new(move || timed.times()));
        retention::pass_over(&store, now_ms());
        let op_len_max = config.op_len_max();
        let transactions = match Transactions::open(&root, &store, &offsets, op_len_max) {
            Ok(transactions) => transactions,
            Err(error) => {
                close(&store);
                return Err(error.into());
            }
        };
        Ok(Broker {
            transactions,
            stamp: stamp(&config),
            peers: Peers::new(&settings.name_servers()),
            store: Arc::new(store),
            topics,
            groups,
            request_modes,
            routes: Routes::default(),
            offsets,
            producers: Producers::default(),
            consumers: Consumers::default(),
            filters: Arc::new(filters),
            admission: Admission::new(config.send_thread_pool_queue_capacity),
            refusals: Refusals::default(),
            quotas: Quotas::new(&settings.live),
            cold_reads: Arc::new(ColdReads::new(&config)),
            locks: QueueLocks::default(),
            arrivals,
            schedule,
            orders,
            pops: Pops::new(&config, now_ms()),
            pop_buffer: PopBuffer::new(&config),
            revive,
            revive_topic: reviving,
            stats: Stats::new(now_ms()),
            measures: Measures::new(&config),
            traffic: Traffic::new(&config.broker_cluster_name),
            config,
            live: ArcSwap::from_pointee(settings.live.clone()),
            settings: Current::new(settings.clone()),
            address: OnceLock::new(),
            unique_keys: OnceLock::new(),
            turn: AtomicU32::new(0),
        })
    }

    fn choose_address(&self, settings: &Settings, bound: SocketAddr) -> Result<(), StartError> {
        let configured = settings.broker.broker_ip1.as_deref();
        let address = Address::choose(configured, bound, &settings.name_servers())
            .map_err(StartError::Advertised)?;
        info!(address = %address.socket, why = address.why(), "advertised address");
        let process = std::process::id();
        let keys = UniqueKeys::new(address.socket.ip(), process, now_ms() as i32);
        // Invariant: called once, before anything serves or stores.
        assert!(self.unique_keys.set(keys).is_ok() && self.address.set(address).is_ok());
        Ok(())
    }

    /// Leaves a store that never served as clean as it was found.
    fn close_store(&self) {
        close(&self.store);
    }

    /// The settings that may change while the broker runs, as they are now.
    pub(crate) fn live(&self) -> Guard<Arc<LiveConfig>> {
        self.live.load()
    }

    /// Takes over changed settings.
    pub(crate) fn reconfigure(&self, settings: &Settings) {
        let permission = self.live().broker_permission;
        self.topics.permit_auto_create(settings.live.auto_create_topic_enable, &self.config);
        self.store.reconfigure(settings.store.clone());
        self.quotas.change(&settings.live);
        self.live.store(Arc::new(settings.live.clone()));
        if settings.live.broker_permission != permission {
            // Routes carry it.
            self.topics.all_changed();
        }
    }

    /// The address of this broker in routes, records and message ids.
    pub(crate) fn store_host(&self) -> SocketAddr {
        const NOT_YET: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        self.address.get().map_or(NOT_YET, |address| address.socket)
    }

    /// A group, made on its first use if the settings permit.
    pub(crate) fn group(&self, name: &str) -> Option<Arc<SubscriptionGroupConfig>> {
        if let Some(known) = self.groups.find(name) {
            return Some(known);
        }
        let live = self.live();
        let system = live.enable_create_sys_group && groups::is_system_name(name);
        let create = live.auto_create_subscription_group || system;
        self.groups.find_or_create(name, create, now_ms())
    }

    /// One of `queues` queues, each in its turn.
    pub(crate) fn next_queue(&self, queues: i32) -> i32 {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) & 0x7fff_ffff;
        turn as i32 % queues.max(1)
    }

    /// Appends a new unique key as a property; returns where its value stands.
    pub(crate) fn push_unique_key(&self, now_ms: i64, out: &mut PropertiesBuf) -> Range<usize> {
        let mut key = String::with_capacity(56);
        if let Some(keys) = self.unique_keys.get() {
            keys.append_next(now_ms, &mut key);
        }
        let start = out.len() + property::UNIQ_KEY.len() + 1;
        out.push(property::UNIQ_KEY, &key);
        start..start + key.len()
    }

    /// Forgets ordered pops of topics, groups and queues that are gone, and old ones.
    fn tidy_orders(&self) {
        self.orders.tidy(now_ms(), |topic, group| {
            let facts = self.topics.look(topic)?;
            self.groups.contains(group).then_some(facts.read_queues)
        });
    }

    /// Writes every table that changed.
    pub(crate) fn save_tables(&self) {
        let report = |table: &str, saved: Result<(), JsonFileError>| {
            if let Err(error) = saved {
                error!(table, %error, "not saved, trying again");
            }
        };
        report("topics", self.topics.save());
        report("groups", self.groups.persist());
        self.tend_filters(now_ms());
        report("filters", self.filters.persist());
        report("offsets", self.offsets.persist(|| self.store.flush()));
        report("orders", self.orders.persist());
    }
}

fn close(store: &MessageStore) {
    if let Err(error) = store.stop() {
        error!(%error, "the store did not close");
    }
}

/// What the broker adds to the properties of every message.
fn stamp(config: &BrokerConfig) -> String {
    let mut stamp = PropertiesBuf::new();
    stamp.push(property::MSG_REGION, &config.region_id);
    stamp.push(property::TRACE_ON, if config.trace_on { "true" } else { "false" });
    stamp.push(property::CLUSTER, &config.broker_cluster_name);
    stamp.into_string()
}

/// The port for clients, and the second one that tools and old clients use.
fn listen_addresses(network: &NetworkConfig) -> Result<Vec<SocketAddr>, StartError> {
    let text = &network.bind_address;
    let ip: IpAddr = text.parse().map_err(|_| StartError::Bind(text.clone()))?;
    let port = network.listen_port;
    let mut listen = vec![SocketAddr::new(ip, port)];
    if port > 2 {
        listen.push(SocketAddr::new(ip, port - 2));
    }
    Ok(listen)
}

/// Starts everything that runs beside requests, in the order of what depends on what.
///
/// Registration follows when all of this serves.
fn start_services(broker: &Arc<Broker>, server: &Arc<Server<Frontend>>) -> Services {
    let mut services = Services::new(Handle::current());
    let millis = |ms: i64| Duration::from_millis(ms.max(1).unsigned_abs());
    let own = || Arc::clone(broker);

    MessageStore::start(&broker.store, &mut services);
    let (topics, changes) = (Arc::clone(&broker.topics), broker.topics.watch());
    services.run("save-topics", |stop| save_topics(topics, changes, stop));
    let interval = millis(broker.config.flush_consumer_offset_interval.into());
    let b = own();
    services.every("save-tables", interval, move || b.save_tables());
    let b = own();
    services.every("save-delay-offsets", Duration::from_secs(1), move || {
        let period = b.config.flush_delay_offset_interval;
        if let Err(error) = b.schedule.persist_when_durable(period, &b.store) {
            error!(%error, "delay offsets not saved, trying again");
        }
    });
    let b = own();
    services.every("cold-reads", cold_reads::ROUND, move || b.cold_reads.begin_round(now_ms()));
    let b = own();
    services.every("stats", Duration::from_secs(1), move || {
        b.stats.sample(now_ms(), b.traffic.by_users());
        b.traffic.tick(now_ms());
    });
    let b = own();
    services.every("clients", Duration::from_secs(10), move || {
        b.expire_clients();
        b.arrivals.tidy();
    });
    if !broker.config.real_time_notify_consumer_change {
        let b = own();
        services.every("tell-groups", TELL_INTERVAL, move || b.consumers.tell_round());
    }
    let b = own();
    services.run("routes", |stop| routes::refresh(b, stop));
    let (schedule, store, b) = (Arc::clone(&broker.schedule), Arc::clone(&broker.store), own());
    let delivered = move |topic: &str, put: &store::Put, took| b.count_scheduled(topic, put, took);
    services.run("schedule", |stop| schedule.run(store, delivered, stop));
    if let Some(timer) = broker.store.timer() {
        let b = Arc::downgrade(broker);
        timer.tell_stored(move |topic, put, took| {
            if let Some(broker) = b.upgrade() {
                broker.count_due(topic, put, took);
            }
        });
    }
    start_pop_services(broker, &mut services);
    start_transactions(broker, &mut services);
    let (b, server) = (own(), Arc::clone(server));
    services.run("serve", |stop| async move {
        server
            .serve(async {
                stop.wait().await;
                b.arrivals.close();
            })
            .await;
    });
    services
}

/// Starts what keeps the state of popping.
fn start_pop_services(broker: &Arc<Broker>, services: &mut Services) {
    let b = Arc::clone(broker);
    services.every("tidy-pop-order", Duration::from_secs(60), move || b.tidy_orders());
    if !broker.store.config().timer_wheel_enable {
        // Java quirk: without the timer nothing is popped and nothing comes back.
        return;
    }
    let (b, revive) = (Arc::clone(broker), Arc::clone(&broker.revive));
    services.run("revive", |stop| revive.run(b, stop));
    let b = Arc::clone(broker);
    services.run("pop-buffer", |stop| pop::run_buffer(b, stop));
}

fn start_transactions(broker: &Arc<Broker>, services: &mut Services) {
    let own = || Arc::clone(broker);
    let millis = |ms: i64| Duration::from_millis(ms.max(1).unsigned_abs());
    let b = own();
    let interval = broker.config.transaction_op_batch_interval.clamp(50, 1_000);
    services.every("transactions", millis(interval.into()), move || b.transactions.tick(&b));
    let b = own();
    let interval = millis(broker.config.transaction_metric_flush_interval);
    services.every("transaction-metrics", interval, move || b.transactions.save_metrics());
    let b = own();
    services.thread("transaction-check", move |stop| transaction::run(&b, &stop));
}

/// Writes the topics at once after one was created or changed; those that come meanwhile wait for
/// the next round, together.
///
/// A whole file that took long, as that of a large table for a topic that changed does, is followed
/// by a pause, unless it has room now: the next save adds to it.
async fn save_topics(
    topics: Arc<Topics>,
    mut changes: tokio::sync::watch::Receiver<u64>,
    stop: Stop,
) {
    const PAUSE_MAX: Duration = Duration::from_secs(1);
    const LONG: Duration = Duration::from_millis(50);
    changes.mark_changed();
    loop {
        tokio::select! {
            () = stop.wait() => return,
            changed = changes.changed() => if changed.is_err() { return },
        }
        let begun = Instant::now();
        let saving = Arc::clone(&topics);
        let save = move || saving.save().map(|()| saving.has_room());
        let pause = match tokio::task::spawn_blocking(save).await {
            Ok(Ok(true)) => continue,
            Ok(Ok(false)) => begun.elapsed().saturating_sub(LONG).min(PAUSE_MAX),
            failed => {
                error!(?failed, "topics not saved, trying again");
                changes.mark_changed();
                PAUSE_MAX
            }
        };
        if stop.pause(pause).await {
            return;
        }
    }
}

impl Running {
    /// The address clients are told, and why it is this one.
    pub fn address(&self) -> (SocketAddr, String) {
        let why = self.broker.address.get().map(Address::why).unwrap_or_default();
        (self.broker.store_host(), why)
    }

    /// Reads the files of the settings again and says in the log which keys have changed.
    pub fn reload(&self) {
        let reloaded = self.broker.settings.reload(|settings| self.broker.reconfigure(settings));
        match reloaded {
            Ok(reread) => reread.tell("broker"),
            Err(error) => error!(%error, "settings not read again"),
        }
    }

    /// The address it listens on.
    pub fn listens_on(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Where metrics are served, if they are.
    pub fn metrics(&self) -> Option<SocketAddr> {
        self.metrics
    }

    /// The name of the broker.
    pub fn name(&self) -> &str {
        &self.broker.config.broker_name
    }

    /// Waits until every name server was told of the topics there are.
    pub async fn registered(&self, timeout: Duration) {
        self.broker.peers.told(self.broker.topics.change_count(), timeout).await;
    }

    /// Stops in order; afterwards the store is clean.
    ///
    /// # Errors
    /// Says why the store will have to recover at its next start.
    pub async fn stop(self) -> Result<(), StopError> {
        let mut late = self.registration.stop(FAREWELL_DEADLINE).await;
        if self.network.enable_shutdown_gracefully {
            self.server.drain();
            let seconds = self.network.shutdown_wait_time_seconds;
            tokio::time::sleep(Duration::from_secs(seconds.into())).await;
        }
        late.extend(self.services.stop(STOP_DEADLINE).await);
        if !late.is_empty() {
            error!(?late, "services did not stop in time");
        }
        let broker = self.broker;
        let stopped = tokio::task::spawn_blocking(move || {
            broker.transactions.close(&broker);
            broker.save_tables();
            if let Err(error) = broker.topics.close() {
                error!(%error, "topics not written as a whole");
            }
            let stopped = broker.store.stop();
            // Behind the log: what is delivered must be on disk before the progress says so.
            if let Err(error) = broker.schedule.persist() {
                error!(%error, "delay offsets not saved");
            }
            stopped
        });
        match stopped.await {
            Ok(stopped) => stopped,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
}
