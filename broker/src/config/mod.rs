//! Settings of the broker under Java's names and defaults.
//!
//! A file may list hundreds of Java's keys. One that we know is applied; one that only Java knows
//! is named once in the log; an unknown one is warned about with its nearest neighbour. A key that
//! asks for safety we do not provide (replicas, access control) stops the start.

mod broker;
pub(crate) mod check;
mod current;
pub(crate) mod docs;
mod live;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use remoting::protocol::advertised::{Advertised, AdvertisedError};
use runtime::config::{self, Change, Files, Outcome, Process, Properties, Property};
use store::StoreConfig;

pub use broker::{BrokerConfig, NetworkConfig};
pub(crate) use current::Current;
pub use live::LiveConfig;

/// Keys of which Java refuses a start with both.
const TWO_REPLICATIONS: [&str; 2] = ["enableControllerMode", "enableDLegerCommitLog"];

/// All settings of a broker process.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The broker itself.
    pub broker: BrokerConfig,
    /// What may change while it runs.
    pub live: LiveConfig,
    /// The listening side.
    pub network: NetworkConfig,
    /// The store.
    pub store: StoreConfig,
    /// Keys without effect as they were given; lists of settings show them, as Java's do.
    pub kept: BTreeMap<String, String>,
    /// The files they came from; changes are written to the last.
    pub files: Files,
}

/// Why settings stop the start.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The file is no property text.
    #[error("{path}: {source}")]
    Text {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: config::PropertiesError,
    },
    /// A key asks for something that would silently be missing, or has a value that cannot be
    /// worked with.
    #[error("{0}")]
    Stopped(Outcome),
    /// The role and the number of a slave, of which Java does not take the number.
    #[error(
        "brokerRole=SLAVE: replication is not supported, and a slave's brokerId must be > 0, not {id}"
    )]
    Slave {
        /// The number.
        id: i64,
    },
    /// Two ways of replication at a time.
    #[error("The config enableControllerMode and enableDLegerCommitLog cannot both be true.")]
    TwoReplications,
    /// The list of name servers is none.
    #[error(
        "The Name Server Address[{list}] illegal, please set it as follows, \
         \"127.0.0.1:9876;192.168.0.1:9876\""
    )]
    NameServers {
        /// As it was given.
        list: String,
    },
    /// The addresses for several networks make no sense.
    #[error(transparent)]
    Advertised(#[from] AdvertisedError),
    /// A value contradicts another.
    #[error("{key}={value}: must be {expected}")]
    Illegal {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        expected: &'static str,
    },
}

impl Settings {
    /// Applies a file of Java properties; returns what someone should read.
    ///
    /// # Errors
    /// Fails when the file cannot be read or asks for safety that is not there.
    pub fn load(&mut self, path: &Path) -> Result<Vec<String>, ConfigError> {
        let pairs = read(path)?;
        let Settings { broker, live, network, store, files, .. } = self;
        files.add(path, &pairs, &[&*broker, &*live, &*network, &*store]);
        self.apply(&pairs)
    }

    /// Applies keys and values; returns what someone should read.
    ///
    /// # Errors
    /// Fails when a key asks for safety that is not there or has a value that cannot be worked
    /// with.
    pub fn apply(&mut self, pairs: &[(String, String)]) -> Result<Vec<String>, ConfigError> {
        let outcomes = self.outcomes(pairs);
        let warnings = config::warnings(&outcomes);
        let stopping = outcomes.into_iter().filter(|outcome| outcome.fate.stops());
        match why_stopped(stopping.collect(), self.broker.broker_id) {
            Some(error) => Err(error),
            None => Ok(warnings),
        }
    }

    /// Applies keys and values; returns what became of each.
    pub fn outcomes(&mut self, pairs: &[(String, String)]) -> Vec<Outcome> {
        let Settings { broker, live, network, store, kept, .. } = self;
        let targets: &mut [&mut dyn Properties] = &mut [broker, live, network, store];
        let outcomes = config::apply_all(Process::Broker, targets, pairs);
        config::keep(kept, &outcomes);
        outcomes
    }

    /// Checks what two settings say together, and names.
    ///
    /// # Errors
    /// Names the first key that cannot be worked with.
    pub fn validate(&self) -> Result<(), ConfigError> {
        // Both names become topics and parts of topics; routes could not be asked for otherwise.
        for (key, name) in [
            ("brokerName", &self.broker.broker_name),
            ("brokerClusterName", &self.broker.broker_cluster_name),
        ] {
            if name.is_empty() || name.contains(['\u{1}', '\u{2}', ';']) {
                let value = name.clone();
                return Err(ConfigError::Illegal { key, value, expected: "a plain name" });
            }
        }
        self.advertised()?;
        for server in self.name_servers() {
            if !is_address(server) {
                let list = self.broker.namesrv_addr.clone().unwrap_or_default();
                return Err(ConfigError::NameServers { list });
            }
        }
        Ok(())
    }

    /// The addresses for several networks.
    ///
    /// # Errors
    /// Says which part of the settings makes no sense.
    pub fn advertised(&self) -> Result<Advertised, AdvertisedError> {
        let BrokerConfig { advertised_listeners, advertised_networks, .. } = &self.broker;
        Advertised::parse(advertised_listeners, advertised_networks)
    }

    /// Counts a master as what it is; returns what someone should read.
    pub fn settle(&mut self) -> Option<String> {
        // Java quirk: a master has number 0, whatever its file says.
        let given = std::mem::take(&mut self.broker.broker_id);
        (given != 0).then(|| format!("brokerId={given} counts as 0, the number of a master"))
    }

    /// Every key of the structs.
    pub fn properties() -> impl Iterator<Item = &'static Property> {
        let own = BrokerConfig::PROPERTIES.iter().chain(LiveConfig::PROPERTIES);
        own.chain(NetworkConfig::PROPERTIES).chain(StoreConfig::PROPERTIES)
    }

    /// Lists every key with its present value, sorted, as Java lists them: those without effect
    /// with what was given or Java's default, secrets masked.
    #[must_use]
    pub fn entries(&self) -> BTreeMap<String, String> {
        let parts: [&dyn Properties; 4] = [&self.broker, &self.live, &self.network, &self.store];
        config::shown(Process::Broker, &parts, &self.kept)
    }

    /// Lists the keys that Java calls important, and the few without which no broker is told from
    /// another.
    #[must_use]
    pub fn important_entries(&self) -> BTreeMap<String, String> {
        const OURS: [&str; 4] =
            ["defaultTopicQueueNums", "fileReservedTime", "flushDiskType", "storePathRootDir"];
        let important: Vec<&str> = Process::Broker
            .keys()
            .filter(|known| known.important)
            .map(|known| known.key)
            .chain(OURS)
            .collect();
        let mut entries = self.entries();
        entries.retain(|key, _| important.contains(&key.as_str()));
        entries
    }

    /// The name servers of the list, in order.
    pub fn name_servers(&self) -> Vec<&str> {
        split_name_servers(self.broker.namesrv_addr.as_deref().unwrap_or(""))
    }

    /// When a change of a key counts; nothing for an unknown key.
    pub fn change(&self, key: &str) -> Option<Change> {
        let listed = self.broker.config_black_list.split(';').any(|name| name.trim() == key);
        let known = Process::Broker.key(key);
        let fixed = known.is_some_and(|known| known.fixed) || listed;
        let own = Settings::properties().find(|property| property.key == key);
        match (fixed, own) {
            (true, _) => Some(Change::Fixed),
            (false, Some(property)) => Some(property.change),
            // Without effect, and so is its change.
            (false, None) => known.map(|_| Change::Running),
        }
    }
}

/// The error of the first key that stops the start; what Java refuses, too, is told apart.
fn why_stopped(mut stopping: Vec<Outcome>, id: i64) -> Option<ConfigError> {
    let both = TWO_REPLICATIONS.iter().all(|key| stopping.iter().any(|o| o.key == *key));
    let first = stopping.drain(..).next()?;
    let slave = first.key == "brokerRole" && first.value.trim() == "SLAVE";
    Some(match first.key.as_str() {
        key if both && TWO_REPLICATIONS.contains(&key) => ConfigError::TwoReplications,
        _ if slave && id <= 0 => ConfigError::Slave { id },
        _ => ConfigError::Stopped(first),
    })
}

/// The addresses of a list as Java writes it.
pub(crate) fn split_name_servers(list: &str) -> Vec<&str> {
    list.split(';').map(str::trim).filter(|server| !server.is_empty()).collect()
}

/// Tells whether a text is a host with a port.
pub(crate) fn is_address(text: &str) -> bool {
    let parts = text.rsplit_once(':');
    parts.is_some_and(|(host, port)| !host.is_empty() && matches!(port.parse::<u16>(), Ok(1..)))
}

/// Reads a file of Java properties.
pub(crate) fn read(path: &Path) -> Result<Vec<(String, String)>, ConfigError> {
    let bytes = std::fs::read(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    config::parse_bytes(&bytes)
        .map_err(|source| ConfigError::Text { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
