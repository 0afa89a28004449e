//! Commands that Java does not have.

use remoting::net::{Client, ClientOptions};
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::ConsumerSendMsgBackRequestHeader;

use crate::site::{PATIENCE, Site};

/// Gives a message of a topic up in the name of a group.
async fn give_up(site: &Site, group: &str, topic: &str, physical_offset: i64) {
    let header = ConsumerSendMsgBackRequestHeader {
        offset: physical_offset,
        group: group.to_owned(),
        delay_level: -1,
        origin_topic: Some(topic.to_owned()),
        ..Default::default()
    };
    let client = Client::new(ClientOptions::default());
    let code = RequestCode::ConsumerSendMsgBack;
    let answer = client.call(&site.broker, code, &header, &[], &[], PATIENCE).await.unwrap();
    assert_eq!(answer.code(), 0, "{:?}", answer.remark());
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_replayed_once_and_purged() {
    let site = Site::start().await;
    site.ok("updateTopic -t T -b @ -r 1 -w 1").await;
    site.ok("updateSubGroup -b @ -g g").await;
    site.ok("sendMessage -t T -p lost -k k -c Tag").await;
    site.registered().await;
    // The retry topic is made when a member comes.
    let member = site.member("g", "T").await;
    let message = site.ok("queryMsgByOffset -t T -b b -i 0 -o 0 --output json").await;
    let message: serde_json::Value = serde_json::from_str(&message).unwrap();
    give_up(&site, "g", "T", message["commitLogOffset"].as_i64().unwrap()).await;
    site.registered().await;
    let groups = site.json("dlq list").await;
    assert_eq!((&groups[0]["messages"], &groups[0]["notReplayed"]), (&1.into(), &1.into()));
    let letters = site.json("dlq list g").await;
    assert_eq!((&letters[0]["topic"], &letters[0]["keys"]), (&"T".into(), &"k".into()));

    assert_eq!(site.json("dlq replay g --dry-run").await["sent"], 1);
    let replayed = site.ok("dlq replay g --yes").await;
    assert_eq!(replayed, "1 messages sent to %RETRY%g\n");
    assert_eq!(site.json("dlq replay g --yes").await["sent"], 0, "only once");
    assert_eq!(site.json("dlq list").await[0]["notReplayed"], 0);
    let retried = site.ok("printMsg -t %RETRY%g").await;
    assert!(retried.contains("RETRY_TOPIC=T") && retried.contains("BODY: lost\n"), "{retried}");
    assert_eq!(site.json("dlq replay g --to-topic --from-start --yes").await["sent"], 1);
    let status = site.json("topicStatus -t T").await;
    assert_eq!(status["queues"][0]["maxOffset"], 2);
    assert_eq!(site.run("dlq replay g --id missing --yes").await.code, 2);

    site.ok("dlq purge g --yes").await;
    assert_eq!(site.json("dlq list").await, serde_json::json!([]));
    member.close();
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_keep_their_messages_for_their_own_time() {
    let site = Site::start().await;
    site.ok("updateTopic -t T -b @ -r 3 -w 5 -a +message.type=FIFO").await;
    site.registered().await;
    assert_eq!(site.json("topic retention").await, serde_json::json!([]));
    let set = site.ok("topic retention T --hours 24").await;
    assert_eq!(set, format!("T keeps its messages for 24 hours on {}\n", site.broker));
    let shown = site.json("topic retention").await;
    assert_eq!((&shown[0]["hours"], &shown[0]["ofBroker"]), (&24.into(), &72.into()));
    let route = site.json("topicRoute -t T").await;
    let queues = &route["queueDatas"][0];
    assert_eq!((&queues["readQueueNums"], &queues["writeQueueNums"]), (&3.into(), &5.into()));
    site.ok("topic retention T --default").await;
    assert_eq!(site.json("topic retention T").await[0]["hours"], serde_json::Value::Null);
    assert_eq!(site.run("topic retention T --hours 0").await.code, 2);
    assert_eq!(site.run("topic retention missing").await.code, 2);
    site.stop().await;
}

/// What the doctor finds; it ends with 3 if that is anything.
async fn findings(site: &Site) -> Vec<serde_json::Value> {
    let ended = site.run("doctor --output json").await;
    let diagnosis: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    let findings = diagnosis["findings"].as_array().unwrap().clone();
    assert_eq!(ended.code, if findings.is_empty() { 0 } else { 3 }, "{ended:?}");
    findings
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_names_cause_and_cure() {
    let site = Site::start().await;
    let others = findings(&site).await;
    // How full the disk of the machine is does not depend on the broker.
    assert!(others.iter().all(|one| one["what"].as_str().unwrap().contains("disk")), "{others:?}");
    site.ok("updateTopic -t T -b @ -r 1 -w 2").await;
    site.ok("updateTopic -t Closed -b @ -p 0").await;
    site.ok("updateSubGroup -b @ -g g -s false").await;
    site.ok("updateBrokerConfig -b @ -k brokerPermission -v 4").await;
    site.registered().await;
    let member = site.member("g", "T").await;
    let ended = site.run("doctor").await;
    assert_eq!(ended.code, 3, "{ended:?}");
    for cure in [
        "mqadmin updateTopic -b @ -t T -r 2 -w 2",
        "mqadmin updateTopicPerm -b @ -t Closed -p 6",
        "mqadmin updateSubGroup -b @ -g g -s true",
        "mqadmin updateBrokerConfig -b @ -k brokerPermission -v 6",
    ] {
        let cure = cure.replace('@', &site.broker);
        assert!(ended.out.contains(&format!("        cure:  {cure}\n")), "{cure}: {}", ended.out);
        // The cure is a command of this tool, and cures.
        site.ok(cure.strip_prefix("mqadmin ").unwrap()).await;
    }
    site.registered().await;
    let cured = findings(&site).await;
    assert_eq!(cured.len(), others.len(), "{cured:?}");
    let unreachable = site.run("doctor -n 127.0.0.1:1").await;
    assert_eq!(unreachable.code, 3, "{unreachable:?}");
    assert!(unreachable.out.contains("connect to 127.0.0.1:1 failed"), "{unreachable:?}");
    member.close();
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_look_at_the_top_shows_brokers_and_groups() {
    let site = Site::start().await;
    site.ok("updateTopic -t T -b @ -r 1 -w 1").await;
    site.ok("updateSubGroup -b @ -g g").await;
    site.ok("sendMessage -t T -p x -b b -i 0").await;
    site.ok("resetOffsetByTime -g g -t T -s 0").await;
    let view = site.ok("top --once -i 1").await;
    assert!(!view.contains('\u{1b}'), "{view}");
    let row = view.lines().find(|line| line.trim_start().starts_with("g ")).unwrap();
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(cells, ["g", "T", "1", "0", "0.0", "0.0"], "{view}");
    assert!(view.contains(&site.broker), "{view}");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_topics_and_groups_than_a_page_holds_are_all_there() {
    const COUNT: usize = 10_500;
    let site = Site::start().await;
    for (command, name, member) in [
        ("updateTopicList", "topics.json", "topicName"),
        ("updateSubGroupList", "groups.json", "groupName"),
    ] {
        let entries = (0..COUNT).map(|n| serde_json::json!({ member: format!("many-{n:05}") }));
        let list = serde_json::Value::Array(entries.collect());
        std::fs::write(site.file(name), list.to_string()).unwrap();
        site.ok(&format!("{command} -b @ -f {}", site.file(name))).await;
    }
    site.registered().await;
    let listed = site.ok("topicList").await;
    assert_eq!(listed.lines().filter(|line| line.starts_with("many-")).count(), COUNT);
    let done = site.ok(&format!("exportMetadata -c DefaultCluster -f {}", site.file("out"))).await;
    assert!(done.starts_with("export ") && done.ends_with("metadata.json success\n"), "{done}");
    let exported = std::fs::read(site.file("out/metadata.json")).unwrap();
    let exported: serde_json::Value = serde_json::from_slice(&exported).unwrap();
    for table in ["topicConfigTable", "subscriptionGroupTable"] {
        let names = exported[table].as_object().unwrap().keys();
        assert_eq!(names.filter(|name| name.starts_with("many-")).count(), COUNT, "{table}");
    }
    let config = site.ok("getConsumerConfig -g many-10499").await;
    assert!(config.contains("=  many-10499\n"), "{config}");
    site.stop().await;
}
