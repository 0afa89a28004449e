//! Every key of Java's configuration classes, and what becomes of those that no struct declares.
//!
//! `java_keys.tsv` has one row for each class and key: the type, the default in each of four
//! versions (`-` where the version lacks the key), flags, and the state. A state of `-` says that
//! a settings struct declares the key; the others carry the reason why none does.

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

/// One key of one Java configuration class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JavaKey {
    /// The class.
    pub class: &'static str,
    /// The key.
    pub key: &'static str,
    /// Java's name of its type.
    pub kind: &'static str,
    /// Its defaults in [`VERSIONS`], `-` where it does not exist.
    pub defaults: [&'static str; 4],
    /// Whether Java's `-m` shows it.
    pub important: bool,
    /// Whether no request may change it: it names a path, an address, a role or code.
    pub fixed: bool,
    /// Whether its value is shown to nobody.
    pub secret: bool,
    /// Its name in lists of settings, where Java's field is called otherwise.
    pub shown: &'static str,
    /// What becomes of it.
    pub state: State,
}

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A settings struct declares it.
    Applied,
    /// It means nothing here, and why.
    Unused(&'static str),
    /// To leave it out would change safety; only the harmless values are taken.
    Refused(Unsafe, &'static str),
}

/// The values of a key that cannot be honoured and must not be ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsafe {
    /// `true`.
    On,
    /// A number above one.
    AboveOne,
    /// Any text at all.
    Text,
    /// Any text but this one.
    Unlike(&'static str),
}

/// The versions of [`JavaKey::defaults`].
pub const VERSIONS: [&str; 4] = ["4.9.7", "5.1.4", "5.3.3", "5.5.0"];

/// The version whose defaults are shown for keys without a meaning here.
const SHOWN_VERSION: usize = 2;

/// Fields of Java that no key sets and that its lists of settings show all the same.
pub(super) const FIELDS_ALONE: [(&str, &str, &str); 5] = [
    ("BrokerConfig", "isBrokerContainer", "false"),
    ("MessageStoreConfig", "timerCheckMetricsWhen", "05"),
    ("MessageStoreConfig", "timerEnableDisruptor", "false"),
    ("MessageStoreConfig", "timerStopDequeue", "false"),
    ("MessageStoreConfig", "timerWarmEnable", "false"),
];

/// Keys that Java read before 4.6, and their present names. None of the four versions reads them,
/// and files that were written under their successors have the sizes of those.
const FORMER_KEYS: [(&str, &str); 2] = [
    ("mapedFileSizeCommitLog", "mappedFileSizeCommitLog"),
    ("mapedFileSizeConsumeQueue", "mappedFileSizeConsumeQueue"),
];

/// A process of Java's and the classes it fills from its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// `mqbroker`.
    Broker,
    /// `mqnamesrv`.
    NameServer,
}

impl Process {
    /// The classes whose keys the file of this process sets.
    #[must_use]
    pub fn classes(self) -> &'static [&'static str] {
        match self {
            Process::Broker => &[
                "BrokerConfig",
                "MessageStoreConfig",
                "NettyServerConfig",
                "NettyClientConfig",
                "AuthConfig",
            ],
            Process::NameServer => &["NamesrvConfig", "NettyServerConfig", "NettyClientConfig"],
        }
    }

    /// The classes that Java's lists of settings show; of the others it shows nothing.
    pub(super) fn shown_classes(self) -> &'static [&'static str] {
        match self {
            Process::Broker => {
                &["BrokerConfig", "MessageStoreConfig", "NettyServerConfig", "NettyClientConfig"]
            }
            Process::NameServer => &["NamesrvConfig", "NettyServerConfig"],
        }
    }

    /// The keys this process reads, one for each class that has it.
    pub fn keys(self) -> impl Iterator<Item = JavaKey> {
        java_keys().filter(move |known| self.classes().contains(&known.class))
    }

    /// Looks a key of this process up; letter case counts, as in Java.
    #[must_use]
    pub fn key(self, key: &str) -> Option<JavaKey> {
        let found = ROWS.get(key)?.iter();
        found.copied().find(|known| self.classes().contains(&known.class))
    }
}

impl JavaKey {
    /// Its default where one is shown: Java 5.3.3's, unless that is nothing or found elsewhere
    /// than in the number of processors.
    #[must_use]
    pub fn shown_default(&self) -> Option<String> {
        match self.defaults[SHOWN_VERSION] {
            "-" | "?" | "null" => None,
            "\"\"" => Some(String::new()),
            computed if computed.starts_with("dynamic:") => {
                let cpus = std::thread::available_parallelism().map_or(1, usize::from);
                by_processors(computed, cpus).map(|count| count.to_string())
            }
            text => Some(text.to_owned()),
        }
    }

    /// The versions that have it, when not all do.
    #[must_use]
    pub fn versions(&self) -> Option<String> {
        let there = VERSIONS.iter().zip(self.defaults).filter(|(_, default)| *default != "-");
        let there: Vec<&str> = there.map(|(version, _)| *version).collect();
        (there.len() < VERSIONS.len()).then(|| there.join(", "))
    }
}

/// What a default comes to that the table gives as `dynamic:4 (FORMULA, shown for cpus=4)`.
fn by_processors(default: &str, cpus: usize) -> Option<usize> {
    let (_, formula) = default.split_once(" (")?;
    Some(match formula.strip_suffix(", shown for cpus=4)")? {
        "cpus" => cpus,
        "min(cpus,4)" => cpus.min(4),
        "min(32,cpus)" => cpus.min(32),
        "8+cpus" => 8 + cpus,
        "16+2*cpus" => 16 + 2 * cpus,
        "max(8+2*cpus,4*sendMessageThreadPoolNums)" => (8 + 2 * cpus).max(4 * cpus.min(4)),
        _ => return None,
    })
}

impl fmt::Display for Unsafe {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unsafe::On => out.write_str("`true`"),
            Unsafe::AboveOne => out.write_str("above 1"),
            Unsafe::Text => out.write_str("any text"),
            Unsafe::Unlike(safe) => write!(out, "all but `{safe}`"),
        }
    }
}

impl Unsafe {
    /// Tells whether a value is one of them.
    #[must_use]
    pub fn includes(self, value: &str) -> bool {
        let value = value.trim();
        match self {
            Unsafe::On => value.eq_ignore_ascii_case("true"),
            Unsafe::AboveOne => value.parse::<i64>().is_ok_and(|count| count > 1),
            Unsafe::Text => !value.is_empty(),
            Unsafe::Unlike(safe) => !value.is_empty() && !value.eq_ignore_ascii_case(safe),
        }
    }

    fn parse(text: &'static str) -> Option<Unsafe> {
        match text {
            "true" => Some(Unsafe::On),
            ">1" => Some(Unsafe::AboveOne),
            "set" => Some(Unsafe::Text),
            _ => text.strip_prefix('!').map(Unsafe::Unlike),
        }
    }
}

/// The present name of a key of Java before 4.6.
#[must_use]
pub fn present_name(key: &str) -> Option<&'static str> {
    FORMER_KEYS.iter().find(|(former, _)| *former == key).map(|(_, present)| *present)
}

/// The first line names the columns.
const TABLE: &str = include_str!("java_keys.tsv");

/// Every row of the table.
pub fn java_keys() -> impl Iterator<Item = JavaKey> {
    TABLE.lines().skip(1).filter_map(row)
}

/// The rows of each key.
static ROWS: LazyLock<HashMap<&str, Vec<JavaKey>>> = LazyLock::new(|| {
    let mut rows: HashMap<&str, Vec<JavaKey>> = HashMap::new();
    java_keys().for_each(|known| rows.entry(known.key).or_default().push(known));
    rows
});

/// Looks a key up in all classes; letter case counts, as in Java.
#[must_use]
pub fn java_key(key: &str) -> Option<JavaKey> {
    ROWS.get(key)?.first().copied()
}

fn row(line: &'static str) -> Option<JavaKey> {
    let mut columns = line.split('\t');
    let mut next = || columns.next();
    let (class, key, kind) = (next()?, next()?, next()?);
    let defaults = [next()?, next()?, next()?, next()?];
    let (flags, state, reason) = (next()?, next()?, next()?);
    let has = |flag: &str| flags.split(',').any(|known| known == flag);
    let state = match state {
        "-" => State::Applied,
        "unused" => State::Unused(reason),
        _ => State::Refused(Unsafe::parse(state.strip_prefix("refused:")?)?, reason),
    };
    Some(JavaKey {
        class,
        key,
        kind,
        defaults,
        important: has("important"),
        fixed: has("fixed"),
        secret: has("secret"),
        shown: flags.split(',').find_map(|flag| flag.strip_prefix("as:")).unwrap_or(key),
        state,
    })
}

#[cfg(test)]
mod tests {
    use super::{Process, SHOWN_VERSION, State, TABLE, Unsafe, by_processors, java_key, java_keys};

    #[test]
    fn every_line_is_a_key() {
        assert_eq!(java_keys().count(), TABLE.lines().count() - 1);
        let keys: Vec<_> = java_keys().map(|known| (known.class, known.key)).collect();
        assert!(keys.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(keys.len() > 800);
        for known in java_keys() {
            if let State::Unused(reason) | State::Refused(_, reason) = known.state {
                assert!(reason.len() > 10 && !reason.ends_with('.'), "{known:?}");
            }
        }
    }

    /// What reflection on the released classes says.
    #[test]
    fn the_table_is_what_the_releases_have() {
        let facts = include_str!("../../../compat-tests/facts/config-keys.tsv");
        let mut rows = facts.lines();
        let header = "class\tkey\ttype\tdefault_4.9.7\tdefault_5.1.4\tdefault_5.3.3\t\
                      default_5.5.0\tnote";
        assert_eq!(rows.next(), Some(header));
        let mut table = java_keys();
        for row in rows {
            let known = table.next().expect(row);
            let columns: Vec<&str> = row.split('\t').collect();
            assert_eq!(columns[..3], [known.class, known.key, known.kind]);
            assert_eq!(columns[3..7], known.defaults, "{row}");
            let named = columns[7].strip_prefix("field is named ").unwrap_or(known.key);
            assert_eq!(named, known.shown, "{row}");
        }
        assert_eq!(table.next(), None);
    }

    #[test]
    fn a_key_has_one_state_in_all_classes_of_a_process() {
        for process in [Process::Broker, Process::NameServer] {
            for known in process.keys() {
                assert_eq!(process.key(known.key).map(|first| first.state), Some(known.state));
            }
        }
    }

    #[test]
    fn knows_keys_of_every_process() {
        for (key, class) in [
            ("brokerName", "BrokerConfig"),
            ("flushDiskType", "MessageStoreConfig"),
            ("kvConfigPath", "NamesrvConfig"),
            ("serverWorkerThreads", "NettyServerConfig"),
        ] {
            assert_eq!(java_key(key).expect(key).class, class);
        }
        assert_eq!(java_key("brokername"), None);
        assert_eq!(Process::Broker.key("kvConfigPath"), None);
        let port = Process::Broker.key("haListenPort").expect("haListenPort");
        assert!(port.fixed && !port.secret);
        assert_eq!(port.shown_default().as_deref(), Some("10912"));
    }

    #[test]
    fn thread_pools_are_sized_by_the_processors() {
        for process in [Process::Broker, Process::NameServer] {
            for known in process.keys().filter(|known| known.key.ends_with("ThreadPoolNums")) {
                let default = known.defaults[SHOWN_VERSION];
                let Some(example) = default.strip_prefix("dynamic:") else { continue };
                let example = example.split(' ').next().and_then(|count| count.parse().ok());
                assert_eq!(by_processors(default, 4), example, "{}", known.key);
            }
        }
        assert_eq!(by_processors("dynamic:12 (8+cpus, shown for cpus=4)", 2), Some(10));
    }

    #[test]
    fn unsafe_values_are_told_from_harmless_ones() {
        for (kind, value, included) in [
            (Unsafe::On, "TRUE", true),
            (Unsafe::On, "yes", false),
            (Unsafe::AboveOne, "2", true),
            (Unsafe::AboveOne, "1", false),
            (Unsafe::Text, " ", false),
            (Unsafe::Unlike("default"), "defaultRocksDB", true),
            (Unsafe::Unlike("default"), "Default", false),
            (Unsafe::Unlike("default"), "", false),
        ] {
            assert_eq!(kind.includes(value), included, "{kind:?} {value:?}");
        }
    }
}
