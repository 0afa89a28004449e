//! Tests of the topic table.

use super::*;

fn open(root: &Path) -> Topics {
    Topics::load(root, &config(), true).unwrap()
}

fn config() -> BrokerConfig {
    BrokerConfig { broker_name: "b".to_owned(), ..BrokerConfig::default() }
}

fn after(name: &str, queues: i32) -> Template<'_> {
    Template { name, queues, sys_flag: 0 }
}

#[test]
fn a_fresh_broker_has_the_system_topics() {
    let root = tempfile::tempdir().unwrap();
    let topics = open(root.path());
    let facts = topics.look("TBW102").unwrap();
    assert_eq!((facts.perm, facts.write_queues), (7, 8));
    assert_eq!(topics.look("SCHEDULE_TOPIC_XXXX").unwrap().write_queues, 18);
    assert_eq!(topics.look("DefaultCluster").unwrap().perm, 7);
    assert_eq!(topics.look("b").unwrap().write_queues, 1);
    assert_eq!(topics.look("rmq_sys_SYNC_BROKER_MEMBER_b").unwrap().perm, 1);
    assert!(topics.is_system("rmq_sys_anything") && topics.is_system("b"));
    assert!(!topics.is_system("T"));
}

#[test]
fn a_topic_is_made_after_its_template() {
    let root = tempfile::tempdir().unwrap();
    let topics = open(root.path());
    let facts = topics.find_or_create("T", after("TBW102", 4)).unwrap();
    assert_eq!((facts.perm, facts.read_queues, facts.write_queues), (6, 4, 4));
    assert_eq!(topics.find_or_create("U", after("TBW102", 99)).unwrap().write_queues, 8);
    // The first one stays as it is, whatever a later send asks for.
    assert_eq!(topics.find_or_create("T", after("TBW102", 1)).unwrap().write_queues, 4);
    assert_eq!(topics.find_or_create("V", after("T", 4)), Err(NoSuchTopic));
    assert_eq!(topics.find_or_create("V", after("nothing", 4)), Err(NoSuchTopic));
    let retry = topics.find_or_create("%RETRY%g", after("nothing", 4)).unwrap();
    assert_eq!((retry.perm, retry.write_queues), (6, 1));
}

#[test]
fn without_auto_creation_the_template_is_withdrawn() {
    let root = tempfile::tempdir().unwrap();
    open(root.path()).save().unwrap();
    let topics = Topics::load(root.path(), &config(), false).unwrap();
    assert_eq!(topics.find_or_create("T", after("TBW102", 4)), Err(NoSuchTopic));
}

#[test]
fn what_is_saved_is_loaded() {
    let root = tempfile::tempdir().unwrap();
    let topics = open(root.path());
    topics.find_or_create("T", after("TBW102", 3)).unwrap();
    let version = topics.version();
    topics.save().unwrap();
    let again = open(root.path());
    assert_eq!(again.look("T").unwrap().write_queues, 3);
    assert_eq!(again.version(), version);
    assert_eq!(again.change_count(), 0);
}

#[test]
fn a_damaged_file_is_not_replaced() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("config").join(file::FILE_NAME);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "{\"topicConfigTable\":{\"T\"").unwrap();
    assert!(Topics::load(root.path(), &config(), true).is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"topicConfigTable\":{\"T\"");
}

#[test]
fn changes_are_listed_until_there_are_too_many() {
    let root = tempfile::tempdir().unwrap();
    let topics = open(root.path());
    let start = topics.change_count();
    topics.find_or_create("T", after("TBW102", 1)).unwrap();
    topics.set(TopicConfig { perm: 4, ..plain("T", 1, 6, 0) });
    topics.find_or_create("U", after("TBW102", 1)).unwrap();
    topics.remove("U");
    let Changes::Topics(changed) = topics.changes_since(start) else { panic!("few changes") };
    assert_eq!(changed.len(), 1);
    assert_eq!((changed[0].topic_name.as_str(), changed[0].perm), ("T", 4));
    for number in 0..=recent::RECENT_MIN {
        topics.find_or_create(&format!("T{number}"), after("TBW102", 1)).unwrap();
    }
    assert!(matches!(topics.changes_since(start), Changes::Everything));
    let Changes::Topics(none) = topics.changes_since(topics.change_count()) else { panic!() };
    assert!(none.is_empty());
}

#[test]
fn an_equal_configuration_changes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let topics = open(root.path());
    assert!(topics.set(plain("T", 2, 6, 0)));
    let (version, changes) = (topics.version(), topics.change_count());
    assert!(!topics.set(plain("T", 2, 6, 0)));
    assert_eq!((topics.version(), topics.change_count()), (version, changes));
    assert!(topics.remove("T") && !topics.remove("T"));
}

#[test]
fn known_topics_are_kept_in_order() {
    let root = tempfile::tempdir().unwrap();
    let topics = open(root.path());
    topics.set(plain("T", 2, 6, 0));
    let changes = topics.change_count();
    topics.keep_in_order(["T", "unknown"].into_iter());
    topics.keep_in_order(["T"].into_iter());
    assert!(topics.look("T").unwrap().order);
    assert_eq!(topics.look("T").unwrap().write_queues, 2);
    assert_eq!(topics.look("unknown"), None);
    assert_eq!(topics.change_count(), changes + 1);
}

#[test]
fn light_queues_are_topics_without_being_made() {
    let root = tempfile::tempdir().unwrap();
    let topics = open(root.path());
    assert_eq!(topics.look("%LMQ%a"), None);
    let topics = topics.with_light(true);
    let facts = topics.look("%LMQ%a").unwrap();
    assert_eq!((facts.perm, facts.read_queues, facts.write_queues), (6, 1, 1));
    assert!(!topics.set(plain("%LMQ%a", 9, 6, 0)));
    assert_eq!(topics.find("%LMQ%a").unwrap().read_queue_nums, 1);
    assert!(topics.all().iter().all(|topic| topic.topic_name != "%LMQ%a"));
}

fn text(root: &Path) -> String {
    std::fs::read_to_string(root.join("config").join(file::FILE_NAME)).unwrap()
}

/// How often each topic stands in the file and behind its head.
fn times_of(topic: &str, text: &str) -> (usize, usize) {
    let entry = format!("\"{topic}\":{{");
    (text.matches(&entry).count(), text.matches(&format!("\n,{entry}")).count())
}

#[test]
fn a_file_of_java_is_written_as_a_whole_before_topics_are_added_to_it() {
    let root = tempfile::tempdir().unwrap();
    let java = "{\n\t\"dataVersion\":{\n\t\t\"counter\":3,\n\t\t\"stateVersion\":0,\n\t\t\
                \"timestamp\":1\n\t},\n\t\"more\":{1:2},\n\t\"topicConfigTable\":{\n\t\t\"J\":{\n\t\t\t\
                \"perm\":4,\n\t\t\t\"topicName\":\"J\"\n\t\t}\n\t}\n}";
    std::fs::create_dir_all(root.path().join("config")).unwrap();
    std::fs::write(root.path().join("config").join(file::FILE_NAME), java).unwrap();
    let topics = open(root.path());
    let made = ["A", "B", "C", "D"];
    let mut files = vec![java.to_owned()];
    for name in made {
        topics.find_or_create(name, after("TBW102", 3)).unwrap();
        topics.save().unwrap();
        files.push(text(root.path()));
        let again = open(root.path());
        assert_eq!(again.version(), topics.version());
        assert_eq!(again.look("J").unwrap().perm, 4);
        assert!(text(root.path()).contains("\"more\""));
    }
    assert_eq!(made.map(|name| times_of(name, &files[4])), [(1, 0), (1, 0), (1, 1), (1, 1)]);
    assert_eq!(
        std::fs::read_to_string(root.path().join("config/topics.json.bak")).unwrap(),
        files[1]
    );
    topics.close().unwrap();
    assert_eq!(made.map(|name| times_of(name, &text(root.path()))), [(1, 0); 4]);
    assert!(text(root.path()).len() < files[4].len() / 4, "no room is left");
    let same = text(root.path());
    topics.close().unwrap();
    assert_eq!(text(root.path()), same);
}

#[test]
fn changed_and_deleted_topics_have_the_file_written_as_a_whole() {
    let root = tempfile::tempdir().unwrap();
    let topics = open(root.path());
    let make = |name: &str| topics.find_or_create(name, after("TBW102", 3)).unwrap();
    for name in ["A", "B", "C", "D"] {
        make(name);
        topics.save().unwrap();
    }
    assert_eq!(times_of("D", &text(root.path())), (1, 1));
    make("E");
    assert!(topics.remove("D"));
    topics.save().unwrap();
    assert_eq!(
        (times_of("D", &text(root.path())), times_of("E", &text(root.path()))),
        ((0, 0), (1, 0))
    );
    make("D");
    topics.save().unwrap();
    make("F");
    topics.set(TopicConfig { perm: 4, ..plain("F", 1, 6, 0) });
    topics.save().unwrap();
    for name in ["A", "D", "F"] {
        assert_eq!(times_of(name, &text(root.path())), (1, 0), "{name}");
    }
    assert_eq!(open(root.path()).find("F").unwrap().perm, 4);
}

#[test]
fn whoever_makes_topics_beside_a_save_finds_each_in_the_file_once() {
    const EACH: usize = 400;
    let root = tempfile::tempdir().unwrap();
    let topics = open(root.path());
    std::thread::scope(|scope| {
        let makers: Vec<_> = (0..4)
            .map(|maker| {
                let topics = &topics;
                scope.spawn(move || {
                    for number in 0..EACH {
                        topics.set(plain(&format!("T{maker}-{number}"), 2, 6, 0));
                        if number % 40 == 0 {
                            topics.remove(&format!("T{maker}-{number}"));
                        }
                    }
                })
            })
            .collect();
        while makers.iter().any(|maker| !maker.is_finished()) {
            topics.save().unwrap();
            let read: serde_json::Value = serde_json::from_str(&text(root.path())).unwrap();
            assert!(read["topicConfigTable"].is_object());
        }
    });
    topics.save().unwrap();
    let (text, again) = (text(root.path()), open(root.path()));
    for topic in topics.all() {
        assert_eq!(times_of(&topic.topic_name, &text).0, 1, "{}", topic.topic_name);
        assert_eq!(again.find(&topic.topic_name), Some(topic));
    }
    assert_eq!(again.all().len(), topics.all().len());
}

#[tokio::test]
async fn whoever_waits_for_a_save_that_fails_is_told_why_and_the_next_save_has_it() {
    let root = tempfile::tempdir().unwrap();
    let topics = open(root.path());
    topics.save().unwrap();
    topics.find_or_create("A", after("TBW102", 1)).unwrap();
    let change = topics.unsaved("A").unwrap();
    let in_the_way = root.path().join("config/topics.json.tmp");
    std::fs::create_dir(&in_the_way).unwrap();
    assert!(topics.save().is_err());
    let error = topics.saved(change).await.unwrap_err();
    assert!(error.contains("topics.json.tmp: cannot write"), "{error}");
    std::fs::remove_dir(&in_the_way).unwrap();
    topics.find_or_create("B", after("TBW102", 1)).unwrap();
    topics.save().unwrap();
    topics.saved(change).await.unwrap();
    assert_eq!((topics.unsaved("A"), topics.unsaved("B")), (None, None));
    assert!(open(root.path()).look("A").is_some());
}

#[test]
fn of_many_topics_more_changes_are_remembered() {
    let root = tempfile::tempdir().unwrap();
    let topics = open(root.path());
    for number in 0..8 * recent::RECENT_MIN {
        topics.find_or_create(&format!("T{number}"), after("TBW102", 1)).unwrap();
    }
    let now = topics.change_count();
    let behind = |changes: usize| topics.changes_since(now - changes as u64);
    let Changes::Topics(changed) = behind(2 * recent::RECENT_MIN) else { panic!("remembered") };
    assert_eq!(changed.len(), 2 * recent::RECENT_MIN);
    assert!(matches!(behind(3 * recent::RECENT_MIN), Changes::Everything));
}

#[test]
fn attributes_decide_the_kind_of_queue() {
    let root = tempfile::tempdir().unwrap();
    let topics = open(root.path());
    let mut config = plain("T", 1, 6, 0);
    config.attributes.insert("queue.type".to_owned(), "BatchCQ".to_owned());
    topics.set(config);
    assert_eq!(topics.queue_kind("T"), QueueKind::Batch);
    assert_eq!(topics.queue_kind("unknown"), QueueKind::Simple);
}
