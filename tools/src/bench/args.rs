//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, ValueEnum};
use remoting::protocol::encoding::Encoding;

use super::rows::Set;

/// Load generator for RocketMQ remoting brokers.
#[derive(Parser, Debug)]
#[command(name = "mqbench", version)]
pub enum Command {
    /// Sends: closed loop of connections × window, or open loop at a fixed rate.
    Send(SendArgs),
    /// Pulls stored messages, again and again or once to the end.
    Pull(PullArgs),
    /// Measures from the send to the arrival at a long-polling consumer.
    E2e(E2eArgs),
    /// Asks a name server for the routes of topics.
    Routes(RoutesArgs),
    /// Creates topics while a producer sends at a fixed rate.
    Create(CreateArgs),
    /// Sends one message at a time while thousands of others are connected.
    Crowd(CrowdArgs),
    /// Pulls a topic that is not in memory while a producer sends at a fixed rate.
    Cold(ColdArgs),
    /// Stores half messages and commits them.
    Transaction(TransactionArgs),
    /// Runs the rows of the short matrix against several servers in turns.
    Compare(CompareArgs),
    /// Serves the stub that does the least a broker must do.
    #[command(long_flag = "floor")]
    Floor(FloorArgs),
}

/// What every measurement needs.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// The broker, instead of asking a name server.
    #[arg(long, value_name = "HOST:PORT")]
    pub broker: Option<String>,
    /// The name server that knows the broker.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9876")]
    pub namesrv: String,
    /// The topic; created if it is not there.
    #[arg(long, default_value = "mqbench")]
    pub topic: String,
    /// Its number of queues.
    #[arg(long, default_value_t = 16)]
    pub queues: u32,
    /// The encoding of the headers.
    #[arg(long, value_enum, default_value = "json")]
    pub encoding: Codec,
    /// Seconds before the measurement.
    #[arg(long, default_value_t = 2.0)]
    pub warmup: f64,
    /// Seconds of measurement.
    #[arg(long, default_value_t = 10.0)]
    pub duration: f64,
    /// The server's process, for its CPU time and memory.
    #[arg(long)]
    pub pid: Option<u32>,
    /// Prints figures every so many seconds, and fails if the server's memory grows to the end.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0)]
    pub soak: f64,
    /// Prints one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// The encodings by their names on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Codec {
    /// JSON.
    Json,
    /// The binary encoding.
    Rocketmq,
}

impl Codec {
    /// The wire's encoding.
    pub fn encoding(self) -> Encoding {
        match self {
            Self::Json => Encoding::Json,
            Self::Rocketmq => Encoding::Rocketmq,
        }
    }
}

/// How to send.
#[derive(Args, Clone, Debug)]
pub struct SendArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
    /// Connections.
    #[arg(long, short, default_value_t = 64)]
    pub connections: usize,
    /// Requests in flight per connection.
    #[arg(long, short, default_value_t = 1)]
    pub window: usize,
    /// Bytes of a message body.
    #[arg(long, short, default_value_t = 1024)]
    pub size: usize,
    /// Messages per request.
    #[arg(long, default_value_t = 1)]
    pub batch: usize,
    /// Messages per second; 0 sends as fast as answers come.
    #[arg(long, short, default_value_t = 0.0)]
    pub rate: f64,
    /// Topics, named after the first with a number behind.
    #[arg(long, default_value_t = 1)]
    pub topics: usize,
    /// Stops after so many messages; 0 goes by time.
    #[arg(long, default_value_t = 0)]
    pub messages: u64,
    /// Kinds of messages, each with a tag `t0`, `t1`... and the number as property `kind`.
    #[arg(long, default_value_t = 0)]
    pub kinds: usize,
    /// The delay level of every message; 0 is none.
    #[arg(long, default_value_t = 0)]
    pub delay_level: u32,
    /// Topics by a Zipf distribution instead of in turns.
    #[arg(long)]
    pub zipf: bool,
}

impl SendArgs {
    /// A closed loop of single messages of 1 KiB, one in flight a connection.
    pub fn closed(common: Common, connections: usize) -> Self {
        Self {
            common,
            connections,
            window: 1,
            size: 1024,
            batch: 1,
            rate: 0.0,
            topics: 1,
            messages: 0,
            kinds: 0,
            delay_level: 0,
            zipf: false,
        }
    }
}

/// How to pull.
#[derive(Args, Clone, Debug)]
pub struct PullArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
    /// Connections.
    #[arg(long, short, default_value_t = 1)]
    pub connections: usize,
    /// Queues pulled at a time per connection.
    #[arg(long, short, default_value_t = 1)]
    pub window: usize,
    /// Messages per call.
    #[arg(long, default_value_t = 32)]
    pub count: i32,
    /// Sends so many messages first.
    #[arg(long, default_value_t = 0)]
    pub fill: u64,
    /// Bytes of their bodies.
    #[arg(long, short, default_value_t = 1024)]
    pub size: usize,
    /// Stops at the end of the queues instead of beginning again.
    #[arg(long)]
    pub once: bool,
    /// Kinds of the messages sent first; see `send --kinds`.
    #[arg(long, default_value_t = 0)]
    pub kinds: usize,
    /// Tags or, with `--sql`, the expression of the subscription. The messages that are looked at
    /// count, not those that match.
    #[arg(long, default_value = "*")]
    pub subscription: String,
    /// The subscription is an SQL92 expression.
    #[arg(long)]
    pub sql: bool,
}

impl PullArgs {
    /// All messages, 32 a call, one queue at a time a connection, again and again.
    pub fn all(common: Common, connections: usize) -> Self {
        Self {
            common,
            connections,
            window: 1,
            count: 32,
            fill: 0,
            size: 1024,
            once: false,
            kinds: 0,
            subscription: "*".to_owned(),
            sql: false,
        }
    }
}

/// How to measure end to end.
#[derive(Args, Clone, Debug)]
pub struct E2eArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
    /// Messages per second.
    #[arg(long, short, default_value_t = 500.0)]
    pub rate: f64,
    /// Bytes of a message body.
    #[arg(long, short, default_value_t = 128)]
    pub size: usize,
    /// Consumer groups, each of which gets every message.
    #[arg(long, default_value_t = 1)]
    pub groups: usize,
}

/// How to ask for routes.
#[derive(Args, Clone, Debug)]
pub struct RoutesArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
    /// Connections.
    #[arg(long, short, default_value_t = 64)]
    pub connections: usize,
    /// Requests in flight per connection.
    #[arg(long, short, default_value_t = 1)]
    pub window: usize,
    /// Topics that are registered before, for a broker that nobody reaches.
    #[arg(long, default_value_t = 1_000)]
    pub topics: usize,
}

/// How to create topics.
#[derive(Args, Clone, Debug)]
pub struct CreateArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
    /// Connections, each with one creation in flight.
    #[arg(long, short, default_value_t = 16)]
    pub connections: usize,
    /// Messages per second sent meanwhile, which are not counted.
    #[arg(long, default_value_t = 5_000.0)]
    pub beside: f64,
}

/// How many others there are.
#[derive(Args, Clone, Debug)]
pub struct CrowdArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
    /// Connections of producers that send their heartbeat and nothing else.
    #[arg(long, default_value_t = 5_000)]
    pub producers: usize,
    /// Connections of consumers that wait for messages.
    #[arg(long, default_value_t = 5_000)]
    pub consumers: usize,
}

/// How to read what is not in memory.
#[derive(Args, Clone, Debug)]
pub struct ColdArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub pull: PullArgs,
    /// The server's store, whose files are taken out of the page cache first.
    #[arg(long)]
    pub store: PathBuf,
    /// Messages per second sent meanwhile.
    #[arg(long, default_value_t = 2_000.0)]
    pub beside: f64,
    /// Fills the memory that this frees with page cache: of holes of this file.
    #[arg(long, value_name = "FILE")]
    pub ballast: Option<PathBuf>,
}

/// How to make transactions.
#[derive(Args, Clone, Debug)]
pub struct TransactionArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
    /// Connections, each with one transaction at a time.
    #[arg(long, short, default_value_t = 64)]
    pub connections: usize,
    /// Bytes of a message body.
    #[arg(long, short, default_value_t = 1024)]
    pub size: usize,
}

/// Which servers to compare, and how long.
#[derive(Args, Clone, Debug)]
pub struct CompareArgs {
    /// A running server; the first is what the ratios refer to.
    #[arg(long = "target", value_name = "NAME=HOST:PORT[,PID[,STORE]]", required = true)]
    pub targets: Vec<String>,
    /// Rounds; each runs every row against every target.
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// Seconds before each measurement.
    #[arg(long, default_value_t = 1.0)]
    pub warmup: f64,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 3.0)]
    pub duration: f64,
    /// Which rows: those that need the same settings of the servers.
    #[arg(long, value_enum, default_value = "plain")]
    pub set: Set,
    /// Of these, the rows whose name contains this.
    #[arg(long, default_value = "")]
    pub rows: String,
    /// Stops the processes of the other targets (SIGSTOP) while one is measured.
    #[arg(long)]
    pub freeze: bool,
    /// Before each measurement, fills the free memory with page cache: of holes of this file.
    #[arg(long, value_name = "FILE")]
    pub ballast: Option<PathBuf>,
    /// Prints JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Where the floor listens and writes.
#[derive(Args, Clone, Debug)]
pub struct FloorArgs {
    /// The address; port 0 lets the system choose.
    #[arg(long, default_value = "127.0.0.1:10911")]
    pub listen: SocketAddr,
    /// The log file; begun again after a GiB, removed at no time.
    #[arg(long, default_value = "floor.log")]
    pub file: PathBuf,
    /// Syncs the file once per batch before it answers.
    #[arg(long)]
    pub sync: bool,
}
