//! What command lines may look like, and how they end.

use crate::site::Site;

#[tokio::test(flavor = "multi_thread")]
async fn failures_have_their_exit_codes() {
    let site = Site::start().await;
    for (line, code, text) in [
        ("topicRoute -t missing", 2, "CODE: 17  DESC: No topic route info"),
        ("topicRoute -t missing --java-exit", 0, "CODE: 17  DESC: No topic route info"),
        ("topicRoute", 1, "--topic <TOPIC>"),
        ("topicRoute --java-exit", 1, "--topic <TOPIC>"),
        ("topicRoute -t T -z 1", 1, "-z"),
        ("brokerStatus -b 127.0.0.1:1", 2, "connect to 127.0.0.1:1 failed"),
        ("clusterList -n 127.0.0.1:1", 2, "connect to 127.0.0.1:1 failed"),
        ("brokerStatus -c missing", 2, "Make sure the specified clusterName exists"),
        ("updateTopic -t a/b -b @", 2, "contains illegal characters"),
    ] {
        let ended = site.run(line).await;
        assert_eq!(ended.code, code, "{line}: {ended:?}");
        assert!(ended.err.contains(text), "{line}: {ended:?}");
    }
    let unknown = site.run("nothing -t T").await;
    assert_eq!((unknown.code, unknown.out.as_str()), (1, "The sub command nothing not exist.\n"));
    assert_eq!(site.run("nothing --java-exit").await.code, 0);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn command_lines_of_java_are_read() {
    let site = Site::start().await;
    for line in [
        "updatetopic -tA -b=@",
        "UPDATETOPIC -topic A -brokerAddr @",
        "updateTopic --top A --brokerAddr=@ word --output table",
    ] {
        assert!(site.ok(line).await.contains("topicName=A,"), "{line}");
    }
    for (value, order) in [("true", true), ("TRUE", true), ("false", false), ("x", false)] {
        let made = site.ok(&format!("updateTopic -t A -b @ -o {value}")).await;
        assert!(made.contains(&format!("order={order},")), "{value}: {made}");
    }
    site.registered().await;
    assert!(site.ok("topicList").await.lines().any(|line| line == "A"));
    assert!(site.ok("help topicRoute").await.contains("--topic"));
    assert!(site.ok("topicRoute -h").await.contains("--topic"));
    assert!(site.ok("completions bash").await.contains("updateTopic"));
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_changes_nothing() {
    let site = Site::start().await;
    site.ok("updateTopic -t T -c DefaultCluster").await;
    site.ok("updateSubGroup -c DefaultCluster -g g").await;
    site.ok("sendMessage -t T -p x -b b -i 0").await;
    site.registered().await;
    let before = (site.ok("topicStatus -t T").await, site.ok("getConsumerConfig -g g").await);
    for line in [
        "deleteTopic -t T -c DefaultCluster",
        "deleteSubGroup -g g -c DefaultCluster -r true",
        "updateTopic -t U -c DefaultCluster",
        "updateTopicPerm -t T -p 4 -b @",
        "resetOffsetByTime -g g -t T -s now",
        "updateBrokerConfig -b @ -k fileReservedTime -v 1",
        "wipeWritePerm -b b",
        "sendMessage -t T -p y",
    ] {
        site.ok(&format!("{line} --dry-run")).await;
    }
    let after = (site.ok("topicStatus -t T").await, site.ok("getConsumerConfig -g g").await);
    assert_eq!(before, after);
    assert!(site.ok("brokerConsumeStats -b @").await.ends_with("\nDiff Total: 0\n"));
    assert_eq!(site.run("topicRoute -t U").await.code, 2);
    assert!(site.ok("getBrokerConfig -b @").await.contains("fileReservedTime      "));
    assert!(site.ok("topicRoute -t T").await.contains("\"perm\":6"));
    site.stop().await;
}
