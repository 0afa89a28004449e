//! The settings of a name server, with Java's keys and defaults.

use std::collections::BTreeMap;
use std::path::Path;

use runtime::config::{
    self, BadText, Change, Files, Outcome, Process, Properties, PropertyValue, system_property,
};

use crate::start_error::StartError;

/// Where Java keeps the files of a name server, below the home directory of the user.
const HOME_DIRECTORY: &str = "namesrv";

/// What an operator can set. Keys of Java's thread pools have no meaning here.
#[derive(Clone, Debug, PartialEq, Properties)]
pub struct NamesrvConfig {
    /// TCP port; 0 lets the system choose.
    #[property(default = 9876, fixed)]
    pub listen_port: u16,
    /// Further ports, separated by commas, so that brokers can tell networks apart by the port
    /// that their clients come to (`advertisedNetworks`).
    #[property(default = Ports::default(), fixed)]
    pub further_listen_ports: Ports,
    /// Address to listen on.
    #[property(default = "0.0.0.0", fixed)]
    pub bind_address: String,
    /// Port where `/health/live` and `/health/ready` answer over HTTP; nowhere unless set.
    #[property(fixed)]
    pub health_port: Option<u16>,
    /// File of the key-value configuration.
    #[property(default = in_home("kvConfig.json"), fixed)]
    pub kv_config_path: String,
    /// File that changed settings are written to; with `-c` it is that file.
    #[property(default = in_home("namesrv.properties"), fixed)]
    pub config_store_path: String,
    /// Installation directory; only reported.
    #[property(default = home(), fixed)]
    pub rocketmq_home: Option<String>,
    /// Further keys that nobody may change at run time, separated by semicolons.
    #[property(default = "configBlackList;configStorePath;kvConfigPath", fixed)]
    pub config_black_list: String,
    /// Time after which a silent connection is closed, in seconds.
    #[property(default = 120, restart)]
    pub server_channel_max_idle_time_seconds: u32,
    /// Connections the kernel may queue.
    #[property(default = 1024, restart)]
    pub server_socket_backlog: u32,
    /// Tells clients to go away for a while before the name server stops.
    #[property(default = false, restart)]
    pub enable_shutdown_gracefully: bool,
    /// How long they are told, in seconds.
    #[property(default = 30, restart)]
    pub shutdown_wait_time_seconds: u32,
    /// Ms between two looks for brokers that have gone silent.
    #[property(default = 5_000, restart)]
    pub scan_not_active_broker_interval: u64,
    /// Whether routes carry the order configuration of a topic.
    #[property(default = false)]
    pub order_message_enable: bool,
    /// Whether brokers are told the order configuration when they register.
    #[property(default = true)]
    pub return_order_topic_config_to_broker: bool,
    /// Whether the first slave of a group without master is shown as its master.
    #[property(default = false)]
    pub support_acting_master: bool,
    /// Whether anybody may list all topics.
    #[property(default = true)]
    pub enable_all_topic_list: bool,
    /// Whether anybody may list the topics of a cluster.
    #[property(default = true)]
    pub enable_topic_list: bool,
    /// Whether the brokers of a group are told when its smallest id changes.
    #[property(default = false)]
    pub notify_min_broker_id_changed: bool,
    /// Whether no route is given until brokers had time to register.
    #[property(default = false)]
    pub need_wait_for_service: bool,
    /// Seconds that brokers have for that.
    #[property(default = 45, range = 0..=86_400)]
    pub wait_seconds_for_service: i32,
    /// Whether a registration takes away the topics it does not name.
    #[property(default = false)]
    pub delete_topic_with_broker_registration: bool,
}

/// A list of ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ports(pub Vec<u16>);

impl PropertyValue for Ports {
    const KIND: &'static str = "String";

    fn parse(text: &str) -> Result<Ports, BadText> {
        let ports = text.split(',').map(str::trim).filter(|port| !port.is_empty());
        let ports: Result<_, _> = ports.map(str::parse).collect();
        ports.map(Ports).map_err(|_| BadText::Outside("ports, separated by commas".to_owned()))
    }

    fn show(&self) -> String {
        self.0.iter().map(u16::to_string).collect::<Vec<_>>().join(",")
    }
}

/// The settings with what else was given.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What counts here.
    pub config: NamesrvConfig,
    /// Keys without effect as they were given; lists of settings show them, as Java's do.
    pub kept: BTreeMap<String, String>,
    /// The files they came from; changes are written to the last.
    pub files: Files,
}

impl Settings {
    /// Applies a file of Java properties, which is then the one that changes are written to, as in
    /// Java; returns what someone should read.
    ///
    /// # Errors
    /// Fails when the file cannot be read or a key asks for what cannot be had.
    pub fn load(&mut self, path: &Path) -> Result<Vec<String>, StartError> {
        let pairs = read(path)?;
        self.files.add(path, &pairs, &[&self.config]);
        let outcomes = self.apply(&pairs);
        self.config.config_store_path = path.display().to_string();
        let warnings = config::warnings(&outcomes);
        match outcomes.into_iter().find(|outcome| outcome.fate.stops()) {
            Some(outcome) => Err(StartError::Stopped(outcome)),
            None => Ok(warnings),
        }
    }

    /// Applies keys and values; returns what became of each.
    pub fn apply(&mut self, pairs: &[(String, String)]) -> Vec<Outcome> {
        let outcomes = config::apply_all(Process::NameServer, &mut [&mut self.config], pairs);
        config::keep(&mut self.kept, &outcomes);
        outcomes
    }

    /// Lists every key with its present value.
    #[must_use]
    pub fn entries(&self) -> BTreeMap<String, String> {
        config::shown(Process::NameServer, &[&self.config], &self.kept)
    }

    /// When a change of a key counts; nothing for an unknown key.
    #[must_use]
    pub fn change(&self, key: &str) -> Option<Change> {
        let known = Process::NameServer.key(key);
        let listed = self.config.config_black_list.split(';').any(|name| name.trim() == key);
        let own = NamesrvConfig::PROPERTIES.iter().find(|property| property.key == key);
        match (listed || known.is_some_and(|known| known.fixed), own) {
            (true, _) => Some(Change::Fixed),
            (false, Some(property)) => Some(property.change),
            // Without effect, and so is its change.
            (false, None) => known.map(|_| Change::Running),
        }
    }
}

/// Reads a file of Java properties.
pub(crate) fn read(path: &Path) -> Result<Vec<(String, String)>, StartError> {
    let bytes =
        std::fs::read(path).map_err(|source| StartError::Read { path: path.to_owned(), source })?;
    config::parse_bytes(&bytes).map_err(|source| StartError::Text { path: path.to_owned(), source })
}

fn home() -> Option<String> {
    system_property("rocketmq.home.dir").or_else(|| std::env::var("ROCKETMQ_HOME").ok())
}

/// A file in the directory that Java uses; the working directory stands in for a missing home.
fn in_home(file: &str) -> String {
    let home = std::env::var("HOME").unwrap_or_else(|_| ".".to_owned());
    format!("{home}/{HOME_DIRECTORY}/{file}")
}

#[cfg(test)]
mod tests {
    use runtime::config::{Applied, State};

    use super::*;

    #[test]
    fn every_key_of_java_is_declared_or_explained() {
        let declared: Vec<&str> = NamesrvConfig::PROPERTIES.iter().map(|own| own.key).collect();
        for known in Process::NameServer.keys() {
            let applied = declared.contains(&known.key);
            assert_eq!(known.state == State::Applied, applied, "{known:?}");
        }
        for key in declared {
            let ours = ["healthPort", "furtherListenPorts"].contains(&key);
            assert_eq!(Process::NameServer.key(key).is_none(), ours, "{key}");
        }
        let mut config = NamesrvConfig::default();
        assert_eq!(config.apply("listenPort", "1"), Applied::Applied);
        assert_eq!(config.apply("supportActingMaster", "TRUE"), Applied::Applied);
        assert!(config.support_acting_master);
    }

    #[test]
    fn the_black_list_adds_to_the_fixed_keys() {
        let mut settings = Settings::default();
        settings.config.config_black_list = "a; orderMessageEnable".to_owned();
        for key in ["configStorePath", "rocketmqHome", "a", "orderMessageEnable", "listenPort"] {
            assert_eq!(settings.change(key), Some(Change::Fixed), "{key}");
        }
        assert_eq!(settings.change("supportActingMaster"), Some(Change::Running));
        assert_eq!(settings.change("clusterTest"), Some(Change::Running));
        assert_eq!(settings.change("b"), None);
    }
}
