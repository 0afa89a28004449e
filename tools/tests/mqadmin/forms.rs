//! The same facts as a table, as JSON and as YAML.

use serde_json::Value;

use crate::site::Site;

/// A command, where its document has rows, and what of a row the table shows, from left to right.
struct Case {
    line: &'static str,
    rows: &'static str,
    cells: &'static [&'static str],
}

const CASES: [Case; 9] = [
    Case {
        line: "clusterList",
        rows: "",
        cells: &[
            "cluster",
            "broker",
            "brokerId",
            "address",
            "version",
            "pageCacheLockMs",
            "active",
        ],
    },
    Case {
        line: "clusterList -m",
        rows: "",
        cells: &["cluster", "broker", "inYesterday", "outYesterday", "inToday", "outToday"],
    },
    Case { line: "topicList", rows: "", cells: &[""] },
    Case {
        line: "topicStatus -t T",
        rows: "/queues",
        cells: &["brokerName", "queueId", "minOffset", "maxOffset"],
    },
    Case {
        line: "consumerProgress",
        rows: "",
        cells: &["group", "count", "version", "consumeType", "messageModel", "tps", "diffTotal"],
    },
    Case {
        line: "consumerProgress -g g",
        rows: "/queues",
        cells: &[
            "topic",
            "brokerName",
            "queueId",
            "brokerOffset",
            "consumerOffset",
            "diff",
            "inflight",
        ],
    },
    Case {
        line: "resetOffsetByTime -g g -t T -s 0 --dry-run",
        rows: "/rows",
        cells: &[
            "brokerName",
            "queueId",
            "brokerOffset",
            "consumerOffset",
            "timestampOffset",
            "resetOffset",
        ],
    },
    Case { line: "queryMsgByKey -t T -k k", rows: "", cells: &["queueId", "queueOffset"] },
    Case { line: "statsAll -t T", rows: "", cells: &["topic", "group", "accumulation"] },
];

/// The documents of a command in both forms: JSON, YAML.
async fn documents(site: &Site, line: &str) -> [Vec<Value>; 2] {
    let json = site.ok(&format!("{line} --output json")).await;
    let read = serde_json::Deserializer::from_str(&json).into_iter::<Value>();
    let yaml = site.ok(&format!("{line} --output yaml")).await;
    [read.collect::<Result<_, _>>().unwrap(), serde_saphyr::from_multiple(&yaml).unwrap()]
}

/// The rows of the documents of a command.
fn rows(documents: &[Vec<Value>], Case { line, rows, .. }: &Case) -> [Vec<Value>; 2] {
    [0, 1].map(|form| {
        let whole = match &documents[form][..] {
            [one] if !one.is_object() || !rows.is_empty() => one.clone(),
            several => Value::Array(several.to_vec()),
        };
        let rows = whole.pointer(rows).and_then(Value::as_array);
        rows.unwrap_or_else(|| panic!("{line}: {whole}")).clone()
    })
}

/// What a table shows of a value; nothing for what is not there.
fn shown(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        other => Some(other.to_string()),
    }
}

/// Whether words stand in a line in their order.
fn stand_in(words: &[String], line: &str) -> bool {
    let mut cells = line.split_whitespace();
    words.iter().all(|word| cells.any(|cell| cell == word))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_has_the_facts_of_the_documents() {
    let site = Site::start().await;
    site.ok("updateTopic -t T -b @ -r 2 -w 2").await;
    site.ok("updateSubGroup -b @ -g g").await;
    for queue in [0, 0, 1] {
        site.ok(&format!("sendMessage -t T -p x -k k -b b -i {queue}")).await;
    }
    site.registered().await;
    let member = site.member("g", "T").await;
    site.ok("resetOffsetByTime -g g -t T -s 0").await;
    for case in CASES {
        let Case { line, cells, .. } = case;
        let [json, yaml] = rows(&documents(&site, line).await, &case);
        let table = site.ok(line).await;
        let words = |row: &Value| -> Vec<String> {
            let value = |key: &&str| match *key {
                "" => shown(row),
                key => shown(row.get(key).unwrap_or_else(|| panic!("{line}: no {key} in {row}"))),
            };
            cells.iter().filter_map(value).collect()
        };
        assert!(!json.is_empty(), "{line}");
        assert_eq!(json.len(), yaml.len(), "{line}");
        for (row, other) in json.iter().zip(&yaml) {
            assert_eq!((keys(row), words(row)), (keys(other), words(other)), "{line}");
            let found = table.lines().filter(|text| stand_in(&words(row), text)).count();
            assert_eq!(found, 1, "{line}: {row}\n{table}");
        }
        // No row of the table is missing in the documents.
        let heads = table.lines().position(|text| text.starts_with('#')).map_or(0, |at| at + 1);
        let body = table.lines().skip(heads).take_while(|text| !text.is_empty());
        assert_eq!(body.count(), json.len(), "{line}\n{table}");
    }
    member.close();
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_and_messages_are_the_same_in_every_form() {
    let site = Site::start().await;
    site.ok("updateTopic -t T -b @ -r 1 -w 1").await;
    site.registered().await;
    // What a careless writer of YAML takes for something else.
    for body in ["yes", "1.0", "a: b", "null", "#", "é 'x' \"y\""] {
        let key = body.replace(' ', "_");
        site.ok(&format!("sendMessage -t T -c {key} -p {}", body.replace(' ', "\u{a0}"))).await;
    }
    let [messages, yaml] = documents(&site, "printMsg -t T").await;
    assert_eq!(messages, yaml);
    assert_eq!(messages.len(), 6);
    let table = site.ok("printMsg -t T").await;
    for message in &messages {
        assert!(table.contains(&format!("MSGID: {} ", message["id"].as_str().unwrap())));
    }
    for line in ["getBrokerConfig -b @", "brokerStatus -b @", "getNamesrvConfig", "doctor --lag 1"]
    {
        let ended = site.run(&format!("{line} --output yaml")).await;
        let yaml: Value = serde_saphyr::from_str(&ended.out).unwrap();
        let json: Value =
            serde_json::from_str(&site.run(&format!("{line} --output json")).await.out).unwrap();
        assert_eq!(keys(&yaml), keys(&json), "{line}");
    }
    site.stop().await;
}

/// The names of all members, with those above them; values may change from look to look.
fn keys(value: &Value) -> Vec<String> {
    match value {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| {
                let below = keys(value).into_iter().map(move |below| format!("{name}/{below}"));
                below.chain([name.clone()])
            })
            .collect(),
        Value::Array(all) => all.iter().flat_map(keys).collect(),
        _ => Vec::new(),
    }
}
