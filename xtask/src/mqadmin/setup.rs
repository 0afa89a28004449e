//! Topics, groups and files that the script names.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use remoting::protocol::header::NoHeader;

use super::servers::Site;
use crate::compare::Request;
use crate::takeover::link::Link;

/// Topics, with their number of queues and their attributes.
const TOPICS: [(&str, i32, &str); 12] = [
    ("TablePlain", 4, ""),
    ("TableOrder", 4, ""),
    ("TableOne", 1, ""),
    ("TableEmpty", 1, ""),
    ("TableDelay", 1, "+message.type=DELAY"),
    ("TableBatch", 1, "+queue.type=BatchCQ"),
    ("TableHalf", 1, "+message.type=TRANSACTION"),
    ("TableLive", 2, ""),
    ("TableCast", 2, ""),
    ("TableSent", 1, ""),
    ("%RETRY%table-idle", 1, ""),
    // A client that does not find it at its start looks again 30 s later.
    ("%RETRY%table-live", 1, ""),
];
const GROUPS: [&str; 3] = ["table-live", "table-cast", "table-idle"];

/// Makes them.
pub fn prepare(site: &Site) -> Result<()> {
    write_files(&site.out())?;
    let link = Link::new(site.broker);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let topics = TOPICS.iter().map(|(name, queues, attributes)| {
            Request::topic(name, *queues, attributes).with("order", *name == "TableOrder")
        });
        for request in topics.chain(GROUPS.iter().map(|name| Request::group(name))) {
            let fields: Vec<(&str, &str)> = request
                .fields
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            let answer = link.ask_raw(request.code, &NoHeader, &fields, &request.body).await?;
            let (code, remark) = (answer.code(), answer.remark().unwrap_or_default());
            ensure!(code == 0, "{}: {code} {remark}", request.name);
        }
        Ok(())
    })
}

fn write_files(out: &Path) -> Result<()> {
    let topic = |name: &str| {
        format!(
            r#"{{"topicName":"{name}","readQueueNums":2,"writeQueueNums":2,"perm":6,"topicFilterType":"SINGLE_TAG","topicSysFlag":0,"order":false,"attributes":{{}}}}"#
        )
    };
    let group = r#"[{"groupName":"TableListedGroup","retryMaxTimes":5}]"#;
    for (name, text) in [
        ("topics.json", format!("[{},{}]", topic("TableListed1"), topic("TableListed2"))),
        ("badTopics.json", format!("[{}]", topic("Bad Topic"))),
        ("groups.json", group.to_owned()),
        ("empty.json", "[]".to_owned()),
    ] {
        fs::write(out.join(name), text)?;
    }
    Ok(())
}
