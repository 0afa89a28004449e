//! Tables, column by column, and the same facts as JSON.

use crate::site::Site;

/// The widths of the columns that a head line shows, the last one aside.
fn starts(line: &str) -> Vec<usize> {
    line.match_indices('#').map(|(at, _)| at).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_shown_as_java_shows_them() {
    let site = Site::start().await;
    let made = site.ok("updateTopic -t T -c DefaultCluster -r 2 -w 2 -a +message.type=FIFO").await;
    let config = "TopicConfig [topicName=T, readQueueNums=2, writeQueueNums=2, perm=RW-, \
                  topicFilterType=SINGLE_TAG, topicSysFlag=0, order=false, \
                  attributes={+message.type=FIFO}]\n";
    assert_eq!(made, format!("create topic to {} success.\n{config}", site.broker));
    site.registered().await;
    let status = site.ok("topicStatus -t T").await;
    let lines: Vec<&str> = status.lines().collect();
    assert_eq!(starts(lines[0]), [0, 34, 40, 62, 86]);
    assert_eq!(lines[1], format!("{:<32}  0     {:<20}  {:<20}    ", "b", 0, 0));
    assert_eq!(lines[3..], ["", "Topic Put TPS: 0.0"]);
    let route = site.ok("topicRoute -t T -l").await;
    let row = route.lines().nth(1).unwrap();
    let addresses = format!("{{0={}}}", site.broker);
    let expected = format!(
        "{:<45} {:<32} {addresses:<50} 2          2           6    ",
        "DefaultCluster", "b"
    );
    assert_eq!(row, expected);
    assert_eq!(site.ok("topicClusterList -t T").await, "DefaultCluster\n");
    let row = format!("{:<20}  {:<64}  {:<64}", "DefaultCluster", "T", "");
    assert!(site.ok("topicList -c").await.lines().any(|line| line == row));
    let json = site.json("topicRoute -t T").await;
    assert_eq!(json["queueDatas"][0]["writeQueueNums"], 2);
    let deleted = site.ok("deleteTopic -t T -c DefaultCluster").await;
    assert_eq!(
        deleted,
        "delete topic [T] from cluster [DefaultCluster] success.\n\
         delete topic [T] from NameServer success.\n"
    );
    assert_eq!(site.run("topicRoute -t T").await.code, 2);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_are_shown_as_java_shows_them() {
    let site = Site::start().await;
    let list = site.ok("clusterList").await;
    let mut lines = list.lines();
    assert_eq!(
        starts(lines.next().unwrap()),
        [0, 24, 48, 54, 77, 99, 130, 145, 169, 182, 196, 206]
    );
    let row = lines.next().unwrap();
    let start = format!("{:<22}  {:<22}  0     {:<22} ", "DefaultCluster", "b", site.broker);
    assert!(row.starts_with(&start) && row.ends_with("      true"), "{row}");
    let status = site.ok("brokerStatus -b @").await;
    assert!(
        status.lines().any(|line| line == "brokerActive                    : true"),
        "{status}"
    );
    let of_cluster = site.ok("brokerStatus -c DefaultCluster").await;
    let line = format!("{:<24} {:<32}: true", site.broker, "brokerActive");
    assert!(of_cluster.lines().any(|other| other == line), "{of_cluster}");
    let config = site.ok("getBrokerConfig -b @").await;
    assert!(config.starts_with(&format!("============{}============\n", site.broker)));
    assert!(config.contains(&format!("{:<50}=  b\n", "brokerName")), "{config}");
    let update = site.ok("updateBrokerConfig -b @ -k fileReservedTime -v 48").await;
    assert_eq!(update, format!("update broker config success, {}\n", site.broker));
    let config = site.ok("getBrokerConfig -c DefaultCluster").await;
    assert!(config.contains(&format!("{:<50}=  48\n", "fileReservedTime")), "{config}");
    assert!(config.starts_with(&format!("============Master: {}============\n", site.broker)));
    assert_eq!(site.ok("cleanUnusedTopic -b @").await, "success");
    for (option, dry_run) in [("-d false", true), ("--dry-run", true), ("-d true", false)] {
        let exported = site.ok(&format!("exportPopRecord -b @ {option}")).await;
        let start = format!("Export broker records, brokerName=b, brokerAddr={}", site.broker);
        assert_eq!(exported, format!("{start}, dryRun={dry_run}\n"));
    }
    let cold = site.ok("getColdDataFlowCtrInfo -b @").await;
    assert!(
        cold.starts_with(&format!(" ============{}============\n{{\n\t\"", site.broker)),
        "{cold}"
    );
    site.ok("updateColdDataFlowCtrGroupConfig -b @ -g g -v 1000").await;
    assert!(site.ok("getColdDataFlowCtrInfo -b @").await.contains("\t\t\"g\":1000\n"));
    site.ok("removeColdDataFlowCtrGroupConfig -b @ -g g").await;
    assert!(site.ok("getColdDataFlowCtrInfo -b @").await.contains("\"configTable\":{}"));
    let wiped = site.ok("wipeWritePerm -b b").await;
    assert!(wiped.contains(&format!("] in name server[{}] OK, ", site.name_server)), "{wiped}");
    site.ok("addWritePerm -b b").await;
    site.ok("updateKvConfig -s n -k k -v v").await;
    site.ok("deleteKvConfig -s n -k k").await;
    site.ok("updateOrderConf -t T -m put -v b:4").await;
    let order = site.ok("updateOrderConf -t T -m get").await;
    assert_eq!(order, "get orderConf success. topic=[T], orderConf=[b:4] ");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_shown_as_java_shows_them() {
    let site = Site::start().await;
    site.ok("updateTopic -t T -b @ -r 1 -w 1").await;
    let made = site.ok("updateSubGroup -b @ -g g").await;
    assert!(made.contains("consumeFromMinEnable=false, consumeBroadcastEnable=false"), "{made}");
    site.ok("sendMessage -t T -p x").await;
    let member = site.member("g", "T").await;
    site.ok("resetOffsetByTime -g g -t T -s 0").await;
    let connection = site.ok("consumerConnection -g g").await;
    let lines: Vec<&str> = connection.lines().collect();
    assert_eq!(starts(lines[0]), [0, 37, 60, 71]);
    assert!(lines[1].starts_with(&format!("{:<36} 127.0.0.1:", "10.0.0.9@member")), "{lines:?}");
    assert!(lines[1].ends_with(" JAVA       V5_3_3"), "{lines:?}");
    let topics = [format!("{:<20} *", "%RETRY%g"), format!("{:<20} *", "T")];
    assert!(topics[1..].iter().all(|line| lines.contains(&line.as_str())), "{lines:?}");
    assert!(connection.contains("\nConsumeType: CONSUME_PASSIVELY\nMessageModel: CLUSTERING\n"));
    let producers = site.ok("producerConnection -g producers -t T").await;
    assert!(producers.starts_with("0001  10.0.0.9@member"), "{producers}");
    let progress = site.ok("consumerProgress -g g").await;
    let head = progress.lines().next().unwrap();
    assert!(head.ends_with("#Diff                #Inflight           #LastTime"), "{head}");
    let row = progress.lines().find(|line| line.starts_with("T ")).unwrap();
    let start = format!("{:<64}  {:<32}  0     {:<20}  {:<20}  {:<20} ", "T", "b", 1, 0, 1);
    assert!(row.starts_with(&start), "{row}");
    assert!(progress.contains("\n\nConsume TPS: 0.00\nConsume Diff Total: 1\n"), "{progress}");
    let all = site.ok("consumerProgress").await;
    let row = format!(
        "{:<64}  {:<6}  {:<24} {:<5}  {:<14}  {:<7}  1",
        "g", 1, "V5_3_3", "PUSH", "CLUSTERING", 0
    );
    assert!(all.lines().any(|line| line == row), "{all}");
    let json = site.json("consumerProgress -g g").await;
    assert_eq!(json["diffTotal"], 1);
    let config = site.ok("getConsumerConfig -g g").await;
    assert!(config.contains(&format!("{:<40}=  16\n", "retryMaxTimes")), "{config}");
    let deleted = site.ok("deleteSubGroup -g g -b @").await;
    assert_eq!(
        deleted,
        format!("delete subscription group [g] from broker [{}] success.\n", site.broker)
    );
    member.close();
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_shown_as_java_shows_them() {
    let site = Site::start().await;
    site.ok("updateTopic -t T -b @ -r 1 -w 1").await;
    site.registered().await;
    let sent = site.ok("sendMessage -t T -p hello -k k1 -c TagA").await;
    let lines: Vec<&str> = sent.lines().collect();
    assert_eq!(starts(lines[0]), [0, 34, 40, 64]);
    let (start, id) = lines[1].split_at(64);
    assert_eq!(start, format!("{:<32}  0     {:<20}    ", "b", "SEND_OK"));
    let found = site.ok("queryMsgByKey -t T -k k1").await;
    assert_eq!(found.lines().nth(1).unwrap(), format!("{id:<50} {:>4} {:>40}", 0, 0));
    let detail = site.ok(&format!("queryMsgById -t T -i {id} -f UTF-8")).await;
    for line in [
        "Topic:               T",
        "Tags:                [TagA]",
        "Keys:                [k1]",
        "Message Body:        hello",
    ] {
        assert!(detail.lines().any(|other| other == line), "{line} in {detail}");
    }
    assert!(detail.ends_with("\n\nWARN: No Consumer"), "{detail}");
    let by_offset = site.ok("queryMsgByOffset -t T -b b -i 0 -o 0").await;
    let offset_id = by_offset.lines().next().unwrap().split_at(21).1.to_owned();
    let by_place = site.ok(&format!("queryMsgById -t T -i {offset_id}")).await;
    assert!(by_place.starts_with(&format!("{:<20} {offset_id}\n", "OffsetID:")), "{by_place}");
    let unique = site.ok(&format!("queryMsgByUniqueKey -t T -i {id}")).await;
    assert!(unique.starts_with("Topic:               T\n"), "{unique}");
    let printed = site.ok("printMsg -t T").await;
    let queue = "MessageQueue [topic=T, brokerName=b, queueId=0]";
    assert!(printed.starts_with(&format!("minOffset=0, maxOffset=1, {queue}\n")), "{printed}");
    assert!(printed.contains(&format!("MSGID: {id} MessageExt [brokerName=b, ")), "{printed}");
    assert!(printed.ends_with(&format!("BODY: hello\n{}\n", "-".repeat(56))), "{printed}");
    let counted = site.ok("printMsgByQueue -t T -a b -i 0 -f true").await;
    assert_eq!(counted, format!("Tag: {:<30} Count: 1\n", "TagA"));
    let consumed = site.ok("consumeMessage -t T").await;
    assert!(consumed.starts_with(&format!("Consume ok\nMSGID: {id} ")), "{consumed}");
    let units = site.ok("queryCq -t T -q 0 -i 0").await;
    assert!(units.starts_with("Queue data: \nmax: 1, min: 0\n"), "{units}");
    let missing = site.run("queryMsgByKey -t T -k nothing").await;
    assert!(missing.err.starts_with("CODE: 208  DESC: query message by key"), "{missing:?}");
    let stats = site.ok("statsAll -t T").await;
    assert!(stats.lines().nth(1).unwrap().ends_with("   NO_CONSUMER"), "{stats}");
    site.stop().await;
}
