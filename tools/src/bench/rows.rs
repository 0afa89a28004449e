//! The rows of a comparison, in sets that need the same settings of the servers.

use clap::ValueEnum;

/// Rows that can be run against the same servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Set {
    /// Asynchronous flush, few queues.
    Plain,
    /// Synchronous flush.
    Sync,
    /// Asynchronous flush, very many queues: servers that keep them may be slower afterwards.
    Wide,
    /// Name servers instead of brokers.
    Routes,
    /// New topics without end.
    Create,
    /// Thousands of connections, which servers may remember afterwards.
    Crowd,
    /// Writes gigabytes.
    Fill,
    /// Reads them again; for servers that have been started since, because what a process has
    /// mapped and touched cannot be taken out of the page cache.
    Cold,
    /// Asynchronous flush, nobody pinned to a core.
    Free,
}

/// One line of the table.
pub struct Row {
    pub name: &'static str,
    pub set: Set,
    pub kind: Kind,
}

/// What a row does.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Closed loop, single messages.
    Closed { size: usize, connections: usize, window: usize },
    /// Closed loop, batches.
    Batch { size: usize, connections: usize, count: usize },
    /// Open loop at a third of what the first target did in this row of the round.
    Third { size: usize, of: &'static str },
    /// Closed loop over the queues of many topics.
    Spread { topics: usize, queues: u32, zipf: bool },
    /// Closed loop of delayed messages.
    Delay { level: u32 },
    /// Closed loop of half messages and their commits.
    Transaction { size: usize },
    /// Pulls what was stored before.
    Pull { size: usize, filter: Filter },
    /// From the send to the arrival in so many groups.
    E2e { rate: f64, groups: usize },
    /// Creates topics while so many messages a second are sent.
    Create { connections: usize, beside: f64 },
    /// One producer among so many others, and consumers that wait.
    Crowd { producers: usize, consumers: usize },
    /// Stores so many messages of 1 KiB to be read by the catch-up.
    Fill { messages: u64 },
    /// Reads the log from the disk, without the server.
    Read,
    /// Sends messages of 1 KiB at this rate.
    Tail { rate: f64 },
    /// Pulls all that was filled, beside sends at this rate; the latency is theirs.
    CatchUp { beside: f64 },
    /// Asks for the routes of so many topics.
    Routes { topics: usize },
}

/// What consumers want of messages of ten kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// All of them.
    All,
    /// One kind, by its tag.
    Tag,
    /// One kind, by a property.
    Sql,
}

const ONE_OF_A_KIND: Kind = Kind::Closed { size: 128, connections: 1, window: 1 };

/// The row that the fixed rate is a third of.
const CAPACITY: &str = "send 1 KiB, 64 × 1";

/// All rows, in the order of the table.
pub const ROWS: [Row; 34] = [
    plain("send 128 B, 64 × 1", closed(128, 64, 1)),
    plain(CAPACITY, closed(1024, 64, 1)),
    plain("send 4 KiB, 64 × 1", closed(4096, 64, 1)),
    plain("send 128 B, 16 × 16", closed(128, 16, 16)),
    plain("send 1 KiB, 16 × 16", closed(1024, 16, 16)),
    plain("send 128 B, 16 × 1, batch 32", Kind::Batch { size: 128, connections: 16, count: 32 }),
    plain("send 128 B, 1 × 1", ONE_OF_A_KIND),
    plain("send 1 KiB at a third of the floor", Kind::Third { size: 1024, of: CAPACITY }),
    plain("send 128 B, 256 × 1", closed(128, 256, 1)),
    plain("end to end 128 B at 500/s", Kind::E2e { rate: 500.0, groups: 1 }),
    plain("end to end 128 B at 2,000/s, 1 group", Kind::E2e { rate: 2_000.0, groups: 1 }),
    plain("end to end 128 B at 2,000/s, 16 groups", Kind::E2e { rate: 2_000.0, groups: 16 }),
    plain("pull 32 × 128 B, 4 × 1", Kind::Pull { size: 128, filter: Filter::All }),
    plain("pull 32 × 1 KiB, 4 × 1", Kind::Pull { size: 1024, filter: Filter::All }),
    plain("pull one tag of ten, 4 × 1", Kind::Pull { size: 128, filter: Filter::Tag }),
    plain("pull one of ten by SQL92, 4 × 1", Kind::Pull { size: 128, filter: Filter::Sql }),
    plain("delayed by 1 s, 128 B, 64 × 1", Kind::Delay { level: 1 }),
    plain("half and commit, 128 B, 64 × 1", Kind::Transaction { size: 128 }),
    Row { name: "sync flush 1 KiB, 1 × 1", set: Set::Sync, kind: closed(1024, 1, 1) },
    Row { name: "sync flush 1 KiB, 64 × 1", set: Set::Sync, kind: closed(1024, 64, 1) },
    Row { name: "sync flush 1 KiB, 256 × 1", set: Set::Sync, kind: closed(1024, 256, 1) },
    wide("10 queues, 128 B, 64 × 1", 1, 10, false),
    wide("10,000 queues, 128 B, 64 × 1", 10, 1_000, false),
    wide("100,000 queues, 128 B, 64 × 1", 100, 1_000, false),
    wide("100,000 queues, topics by Zipf, 128 B, 64 × 1", 100, 1_000, true),
    Row {
        name: "create topics beside 5,000 sends/s, 16 × 1",
        set: Set::Create,
        kind: Kind::Create { connections: 16, beside: 5_000.0 },
    },
    Row {
        name: "one producer alone, 128 B, 1 × 1",
        set: Set::Crowd,
        kind: Kind::Crowd { producers: 0, consumers: 0 },
    },
    Row {
        name: "the same among 5,000 producers and 5,000 waiting consumers",
        set: Set::Crowd,
        kind: Kind::Crowd { producers: 5_000, consumers: 5_000 },
    },
    Row {
        name: "fill 2 M × 1 KiB, 16 × 16",
        set: Set::Fill,
        kind: Kind::Fill { messages: 2_000_000 },
    },
    Row { name: "sequential read of the log", set: Set::Cold, kind: Kind::Read },
    Row {
        name: "send 1 KiB at 2,000/s, alone",
        set: Set::Cold,
        kind: Kind::Tail { rate: 2_000.0 },
    },
    Row {
        name: "cold catch-up 32 × 1 KiB, 4 × 1, beside 2,000 sends/s",
        set: Set::Cold,
        kind: Kind::CatchUp { beside: 2_000.0 },
    },
    Row { name: "both cores free, 128 B, 256 × 1", set: Set::Free, kind: closed(128, 256, 1) },
    Row {
        name: "routes of 1,000 topics, 64 × 1",
        set: Set::Routes,
        kind: Kind::Routes { topics: 1_000 },
    },
];

const fn plain(name: &'static str, kind: Kind) -> Row {
    Row { name, set: Set::Plain, kind }
}

const fn wide(name: &'static str, topics: usize, queues: u32, zipf: bool) -> Row {
    Row { name, set: Set::Wide, kind: Kind::Spread { topics, queues, zipf } }
}

const fn closed(size: usize, connections: usize, window: usize) -> Kind {
    Kind::Closed { size, connections, window }
}
