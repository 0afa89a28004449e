//! Reads every acknowledged message back, at the place that was acknowledged.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use remoting::net::{Client, ClientOptions};
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::header::PullMessageRequestHeader;
use remoting::protocol::message::record::{Record, records};

use super::producers::Ack;

const TIMEOUT: Duration = Duration::from_secs(5);
/// Pull with the subscription of the request.
const SUBSCRIPTION: i32 = 4;

/// Acknowledged messages that are not there or not what they should be; each is printed.
pub fn lost<'a>(broker: &str, topic: &str, acks: &'a [Ack]) -> Result<Vec<&'a Ack>> {
    lost_of(broker, [(topic, acks)])
}

/// The same of several topics.
pub fn lost_of<'a>(
    broker: &str,
    topics: impl IntoIterator<Item = (impl AsRef<str>, &'a [Ack])>,
) -> Result<Vec<&'a Ack>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = Client::new(ClientOptions::default());
        let mut lost = Vec::new();
        for (topic, acks) in topics {
            lost_of_topic(&client, broker, topic.as_ref(), acks, &mut lost).await?;
        }
        Ok(lost)
    })
}

async fn lost_of_topic<'a>(
    client: &Client,
    broker: &str,
    topic: &str,
    acks: &'a [Ack],
    lost: &mut Vec<&'a Ack>,
) -> Result<()> {
    let mut queues: BTreeMap<i32, BTreeMap<i64, &Ack>> = BTreeMap::new();
    for ack in acks {
        let queue = queues.entry(ack.queue_id).or_default();
        if let Some(other) = queue.insert(ack.queue_offset, ack) {
            println!("offset {} of queue {} given twice", ack.queue_offset, ack.queue_id);
            lost.push(other);
        }
    }
    for (queue_id, mut wanted) in queues {
        read_queue(client, broker, topic, queue_id, &mut wanted).await?;
        lost.extend(wanted.into_values());
    }
    Ok(())
}

/// Removes from `wanted` what the queue holds.
async fn read_queue(
    client: &Client,
    broker: &str,
    topic: &str,
    queue_id: i32,
    wanted: &mut BTreeMap<i64, &Ack>,
) -> Result<()> {
    let Some(mut next) = wanted.keys().next().copied() else { return Ok(()) };
    let end = *wanted.keys().next_back().context("an empty queue")?;
    while next <= end {
        let asked = next;
        let header = PullMessageRequestHeader {
            consumer_group: "crash-audit",
            topic,
            queue_id,
            queue_offset: asked,
            max_msg_nums: 32,
            sys_flag: SUBSCRIPTION,
            commit_offset: 0,
            suspend_timeout_millis: 0,
            subscription: Some("*"),
            sub_version: 0,
            expression_type: None,
            max_msg_bytes: None,
            request_source: None,
            proxy_froward_client_id: None,
            lite_topic: None,
        };
        let code = RequestCode::PullMessage;
        let answer = client.call(broker, code, &header, &[], &[], TIMEOUT).await?;
        if answer.code() != i32::from(ResponseCode::Success) {
            // What is not there is the caller's to judge.
            if answer.code() != i32::from(ResponseCode::PullNotFound) {
                let [min, max] = ["minOffset", "maxOffset"].map(|name| answer.field(name));
                println!(
                    "pull of queue {queue_id} at {next}: code {} {:?}, it has {min:?} to {max:?}",
                    answer.code(),
                    answer.remark()
                );
            }
            return Ok(());
        }
        for record in records(answer.body()) {
            let record = record?;
            next = record.queue_offset + 1;
            if wanted.get(&record.queue_offset).is_some_and(|ack| is_same(&record, ack)) {
                wanted.remove(&record.queue_offset);
            }
        }
        ensure!(next > asked, "the pull does not advance");
    }
    Ok(())
}

fn is_same(record: &Record<'_>, ack: &Ack) -> bool {
    let body = std::str::from_utf8(record.body).unwrap_or_default();
    record.verify_crc().is_ok()
        && record.properties().get("UNIQ_KEY") == Some(ack.unique_key.as_str())
        && body.trim_end() == ack.number
}
