//! The settings of a name server, with Java's keys and defaults.

use runtime::config::Properties;

/// Where Java keeps the files of a name server, below the home directory of the user.
const HOME_DIRECTORY: &str = "namesrv";

/// What an operator can set. Keys of Java's thread pools have no meaning here.
#[derive(Clone, Debug, PartialEq, Properties)]
pub struct NamesrvConfig {
    /// TCP port; 0 lets the system choose.
    #[property(default = 9876, restart)]
    pub listen_port: u16,
    /// Address to listen on.
    #[property(default = "0.0.0.0", restart)]
    pub bind_address: String,
    /// File of the key-value configuration.
    #[property(default = in_home("kvConfig.json"), restart)]
    pub kv_config_path: String,
    /// File that changed settings are written to; with `-c` it is that file.
    #[property(default = in_home("namesrv.properties"), restart)]
    pub config_store_path: String,
    /// Installation directory; only reported.
    #[property(default = std::env::var("ROCKETMQ_HOME").ok(), restart)]
    pub rocketmq_home: Option<String>,
    /// Further keys that nobody may change at run time, separated by semicolons.
    #[property(default = "configBlackList;configStorePath;kvConfigPath", restart)]
    pub config_black_list: String,
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
    #[property(default = 45)]
    pub wait_seconds_for_service: i32,
    /// Whether a registration takes away the topics it does not name.
    #[property(default = false)]
    pub delete_topic_with_broker_registration: bool,
}

/// Keys that are never changed at run time, whatever the settings say.
const FIXED_KEYS: [&str; 4] =
    ["configBlackList", "configStorePath", "kvConfigPath", "rocketmqHome"];

impl NamesrvConfig {
    /// Tells whether a key must not be changed by a request.
    pub fn is_fixed(&self, key: &str) -> bool {
        FIXED_KEYS.contains(&key)
            || self.config_black_list.split(';').any(|name| name.trim() == key)
    }
}

/// A file in the directory that Java uses; the working directory stands in for a missing home.
fn in_home(file: &str) -> String {
    let home = std::env::var("HOME").unwrap_or_else(|_| ".".to_owned());
    format!("{home}/{HOME_DIRECTORY}/{file}")
}

#[cfg(test)]
mod tests {
    use runtime::config::Applied;

    use super::*;

    #[test]
    fn keys_are_those_of_java() {
        let mut config = NamesrvConfig::default();
        for (key, text) in config.entries() {
            // The address to listen on is known to Java's network settings.
            let java = runtime::config::java_key(key);
            assert!(java.is_some(), "{key}={text}");
        }
        assert_eq!(config.apply("listenPort", "1"), Applied::Applied);
        assert_eq!(config.apply("supportActingMaster", "TRUE"), Applied::Applied);
        assert!(config.support_acting_master);
    }

    #[test]
    fn the_black_list_adds_to_the_fixed_keys() {
        let config = NamesrvConfig {
            config_black_list: "a; orderMessageEnable".to_owned(),
            ..NamesrvConfig::default()
        };
        for key in ["configStorePath", "rocketmqHome", "a", "orderMessageEnable"] {
            assert!(config.is_fixed(key), "{key}");
        }
        assert!(!config.is_fixed("supportActingMaster"));
    }
}
