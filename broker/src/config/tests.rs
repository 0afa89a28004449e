//! Settings from texts.

use runtime::config::State;

use super::*;

fn pairs(text: &str) -> Vec<(String, String)> {
    config::parse(text).unwrap()
}

#[test]
fn defaults_are_valid_and_javas() {
    let settings = Settings::default();
    settings.validate().unwrap();
    let entries = settings.entries();
    for (key, value) in [
        ("brokerClusterName", "DefaultCluster"),
        ("listenPort", "10911"),
        ("defaultTopicQueueNums", "8"),
        ("autoCreateTopicEnable", "true"),
        ("maxMessageSize", "4194304"),
        // Without effect here.
        ("brokerRole", "ASYNC_MASTER"),
        ("waitTimeMillsInSendQueue", "200"),
        ("isInBrokerContainer", "false"),
    ] {
        assert_eq!(entries.get(key).map(String::as_str), Some(value), "{key}");
    }
    assert!(entries.contains_key("sendMessageThreadPoolNums"), "computed from the processors");
    assert!(!entries.contains_key("userCacheMaxNum"), "of access control");
    // Java's `-p` prints what is null as nothing; answers to requests leave it out.
    assert_eq!(entries["readOnlyCommitLogStorePaths"], "");
    let mut answered = entries;
    config::without_nulls(Process::Broker, &mut answered);
    assert!(!answered.contains_key("readOnlyCommitLogStorePaths"));
    assert!(answered.contains_key("brokerRole"));
}

#[test]
fn every_key_of_java_is_declared_or_explained() {
    let declared: Vec<&str> = Settings::properties().map(|property| property.key).collect();
    for known in Process::Broker.keys() {
        let applied = declared.contains(&known.key);
        assert_eq!(known.state == State::Applied, applied, "{known:?}");
    }
    for property in Settings::properties() {
        let java = Process::Broker.key(property.key);
        // Keys of ours, and two that Java reads past its classes.
        let ours = property.key.ends_with("FreeBytes")
            || property.key.starts_with("rmqAddressServer")
            || property.key.starts_with("quota")
            || property.key.starts_with("advertised")
            || property.key == "manyQueues";
        assert_eq!(java.is_none(), ours, "{}", property.key);
        let kinds = java.map_or(property.kind, |known| known.kind);
        assert!(kinds.split('|').any(|kind| kind == property.kind), "{property:?} {kinds}");
    }
}

#[test]
fn defaults_are_those_of_a_version_of_java() {
    // Ours on purpose, or found by the process.
    const OWN: [&str; 8] = [
        "brokerIP1",
        "brokerIP2",
        "brokerName",
        "listenPort",
        "namesrvAddr",
        "rocketmqHome",
        "serverSocketBacklog",
        "storePathRootDir",
    ];
    let entries = Settings::default().entries();
    for property in Settings::properties().filter(|property| !OWN.contains(&property.key)) {
        let Some(known) = Process::Broker.key(property.key) else { continue };
        let value = entries.get(property.key).map_or("", String::as_str);
        let value = if value.is_empty() { "\"\"" } else { value };
        let as_null = value == "\"\"" && known.defaults.contains(&"null");
        assert!(as_null || known.defaults.contains(&value), "{value} {known:?}");
    }
}

#[test]
fn keys_reach_all_parts() {
    let mut settings = Settings::default();
    let text = "brokerName=b\nlistenPort=7\nflushDiskType=SYNC_FLUSH\nbrokerIP1=10.0.0.1\n\
                transactionCheckMax=3";
    assert_eq!(settings.apply(&pairs(text)).unwrap(), Vec::<String>::new());
    assert_eq!(settings.broker.broker_name, "b");
    assert_eq!(settings.network.listen_port, 7);
    assert_eq!(settings.store.flush_disk_type, store::FlushDiskType::SyncFlush);
    assert_eq!(settings.broker.broker_ip1.as_deref(), Some("10.0.0.1"));
    assert_eq!(settings.live.transaction_check_max, 3);
}

#[test]
fn an_unknown_key_is_named_with_its_neighbour() {
    let warnings = Settings::default().apply(&pairs("brokerNmae=b")).unwrap();
    assert_eq!(warnings, ["unknown key brokerNmae, did you mean brokerName?"]);
}

#[test]
fn keys_without_effect_are_shown_as_given_and_secrets_are_not() {
    let mut settings = Settings::default();
    let text = "sendMessageThreadPoolNums=3\nmine=1\nmetricsGrpcExporterHeader=token:s3cret";
    settings.apply(&pairs(text)).unwrap();
    let entries = settings.entries();
    assert_eq!(entries["sendMessageThreadPoolNums"], "3");
    assert_eq!(entries["mine"], "1");
    assert_eq!(entries["metricsGrpcExporterHeader"], "******");
}

#[test]
fn safety_that_is_not_there_stops_the_start() {
    let error = Settings::default().apply(&pairs("brokerRole=SLAVE\nbrokerId=0")).unwrap_err();
    assert!(matches!(error, ConfigError::Slave { id: 0 }), "{error}");
    let both = pairs("enableControllerMode=true\nenableDLegerCommitLog=true");
    let error = Settings::default().apply(&both).unwrap_err();
    assert!(matches!(error, ConfigError::TwoReplications), "{error}");
    for text in [
        "brokerRole=MASTER",
        "aclEnable=true",
        "authenticationEnabled=TRUE",
        "inSyncReplicas=2",
        "enableControllerMode=true",
        "enableDLegerCommitLog=true",
        "storeType=defaultRocksDB",
        "timerRocksDBEnable=true",
        "transRocksDBEnable=true",
        "indexRocksDBEnable=true",
        "rocksdbCQDoubleWriteEnable=true",
        "enabledAppendPropCRC=true",
        "popConsumerKVServiceEnable=true",
        "popConsumerKVServiceInit=true",
        "useTLS=true",
        "flushDiskType=SYNC",
        "listenPort=70000",
    ] {
        let error = Settings::default().apply(&pairs(text)).unwrap_err();
        assert!(matches!(error, ConfigError::Stopped(_)), "{text}: {error}");
        assert!(error.to_string().starts_with(&format!("{text}: ")), "{error}");
    }
    for text in
        ["brokerRole=ASYNC_MASTER", "aclEnable=false", "inSyncReplicas=1", "storeType=default"]
    {
        Settings::default().apply(&pairs(text)).unwrap();
    }
}

#[test]
fn names_and_addresses_are_checked() {
    let mut settings = Settings::default();
    settings.broker.broker_name = String::new();
    let error = settings.validate().unwrap_err().to_string();
    assert_eq!(error, "brokerName=: must be a plain name");
    for list in ["a", "a:b", "a:1;b", "a:0", "a:65536"] {
        let mut settings = Settings::default();
        settings.broker.namesrv_addr = Some(list.to_owned());
        let error = settings.validate().unwrap_err().to_string();
        let said = format!("The Name Server Address[{list}] illegal, please set it as follows, ");
        assert!(error.starts_with(&said), "{error}");
    }
}

#[test]
fn a_master_has_number_zero() {
    let mut settings = Settings::default();
    settings.broker.broker_id = 1;
    let said = settings.settle().unwrap();
    assert_eq!(said, "brokerId=1 counts as 0, the number of a master");
    assert_eq!(settings.broker.broker_id, 0);
    assert_eq!(settings.settle(), None);
}

#[test]
fn the_list_of_name_servers_is_split() {
    let mut settings = Settings::default();
    settings.broker.namesrv_addr = Some(" a:1; b:2;;".to_owned());
    assert_eq!(settings.name_servers(), ["a:1", "b:2"]);
}

#[test]
fn live_keys_take_the_text_that_they_show() {
    let mut settings = Settings::default();
    let before = settings.entries();
    let live: Vec<_> = Settings::properties()
        .filter(|property| settings.change(property.key) == Some(Change::Running))
        .map(|property| (property.key.to_owned(), before[property.key].clone()))
        .collect();
    assert!(live.len() > 50, "{}", live.len());
    for outcome in settings.outcomes(&live) {
        assert_eq!(outcome.fate, config::Fate::Applied, "{outcome}");
    }
    assert_eq!(settings.entries(), before);
}

#[test]
fn keys_that_the_file_no_longer_has_are_as_the_start_without_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("broker.conf");
    std::fs::write(&file, "transactionCheckMax=3\nquotaTopics=*:5\nlistenPort=7\nmine=1").unwrap();
    let mut settings = Settings::default();
    // Of the process, not of the file.
    settings.live.broker_permission = 4;
    settings.load(&file).unwrap();
    let current = Current::new(settings);
    current.change(b"brokerPermission=2", |_| {}).unwrap();
    assert!(std::fs::read_to_string(&file).unwrap().ends_with("brokerPermission=2\n"));
    std::fs::write(&file, "transactionCheckMax=-1").unwrap();
    current.reload(|_| panic!("a bad value changes nothing")).unwrap_err();
    std::fs::write(&file, "").unwrap();
    let mut applied = None;
    let reread = current.reload(|settings| applied = Some(settings.live.clone())).unwrap();
    let live = applied.unwrap();
    assert_eq!((live.transaction_check_max, live.broker_permission), (15, 4));
    assert_eq!(live.quota_topics, crate::quotas::Rates::default());
    let (settings, version) = current.look();
    assert_eq!((settings.network.listen_port, version.counter), (7, 2));
    assert!(!settings.entries().contains_key("mine"));
    assert_eq!((reread.later, reread.forgotten), (vec!["listenPort".into()], vec!["mine".into()]));
    assert!(!current.reload(|_| panic!("nothing new")).unwrap().changes());
}

#[test]
fn what_a_request_may_not_change_is_known() {
    let mut settings = Settings::default();
    settings.broker.config_black_list = "traceOn; mine".to_owned();
    for (key, change) in [
        ("configBlackList", Some(Change::Fixed)),
        ("brokerConfigPath", Some(Change::Fixed)),
        ("rocketmqHome", Some(Change::Fixed)),
        ("storePathCommitLog", Some(Change::Fixed)),
        ("storePathEpochFile", Some(Change::Fixed)),
        ("namesrvAddr", Some(Change::Fixed)),
        ("brokerIP1", Some(Change::Fixed)),
        ("messageStorePlugIn", Some(Change::Fixed)),
        ("traceOn", Some(Change::Fixed)),
        ("mine", Some(Change::Fixed)),
        ("flushDiskType", Some(Change::Restart)),
        ("fileReservedTime", Some(Change::Running)),
        ("waitTimeMillsInSendQueue", Some(Change::Running)),
        ("yours", None),
    ] {
        assert_eq!(settings.change(key), change, "{key}");
    }
}
