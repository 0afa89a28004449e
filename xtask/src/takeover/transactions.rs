//! Transactions on their way: each broker goes on with those the other left open.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::{EndTransactionRequestHeader, SendMessageRequestHeader, Short};
use remoting::protocol::message::id::OffsetMessageId;
use remoting::protocol::message::record::Record;
use remoting::protocol::message::sys_flag;
use tokio::time::sleep;

use super::content::{self, PATIENCE};
use super::link::{Link, number};

const TOPIC: &str = "TakeoverTransaction";
const QUEUES: i32 = 4;
const GROUP: &str = "takeover-transaction";
/// Half messages of each fate a broker is sent.
const COUNT: usize = 4;

/// A half message that waits.
pub struct Half {
    /// Its body.
    pub body: String,
    queue_offset: i64,
    physical_offset: i64,
}

/// The half messages of a directory.
#[derive(Default)]
pub struct Transactions {
    open: Vec<Half>,
    committed: Vec<String>,
}

impl Transactions {
    /// Commits half of what the former broker left open, rolls the rest back, and leaves new ones:
    /// committed, rolled back and open.
    pub async fn go_on(&mut self, link: &Link, word: &str) -> Result<()> {
        for (at, half) in std::mem::take(&mut self.open).into_iter().enumerate() {
            if at % 2 == 0 {
                end(link, &half, sys_flag::TRANSACTION_COMMIT).await?;
                self.committed.push(half.body);
            } else {
                end(link, &half, sys_flag::TRANSACTION_ROLLBACK).await?;
            }
        }
        for at in 0..COUNT {
            let committed = send(link, format!("committed {at} {word}"), at).await?;
            let rolled_back = send(link, format!("rolled back {at} {word}"), at).await?;
            let open = send(link, format!("open {at} {word}"), at).await?;
            end(link, &committed, sys_flag::TRANSACTION_COMMIT).await?;
            end(link, &rolled_back, sys_flag::TRANSACTION_ROLLBACK).await?;
            self.committed.push(committed.body);
            self.open.push(open);
        }
        Ok(())
    }

    /// Whether everything that was committed is visible, once, and nothing else.
    pub async fn check(&self, link: &Link) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut visible = visible(link).await?;
            let is_late = Instant::now() > deadline;
            let counts =
                self.committed.iter().map(|body| (body, visible.remove(body).unwrap_or(0)));
            let counts: Vec<_> = counts.collect();
            ensure!(visible.is_empty(), "visible without a commit: {:?}", visible.keys());
            // A Java broker shows a message after it has ended the transaction.
            let Some((body, count)) = counts.into_iter().find(|(_, count)| *count != 1) else {
                return Ok(());
            };
            ensure!(count == 0 && !is_late, "{body:?} is visible {count} times");
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// How often each body is in the topic.
pub async fn visible(link: &Link) -> Result<BTreeMap<String, usize>> {
    let mut visible = BTreeMap::new();
    for queue_id in 0..QUEUES {
        let (min, max) = link.bounds(TOPIC, queue_id).await?;
        for bytes in link.read(TOPIC, queue_id, min, max).await? {
            let record = Record::decode(&bytes)?;
            let kind = record.sys_flag & sys_flag::TRANSACTION_MASK;
            ensure!(kind == sys_flag::TRANSACTION_COMMIT, "not from a commit");
            *visible.entry(String::from_utf8(record.body.to_vec())?).or_default() += 1;
        }
    }
    Ok(visible)
}

/// Sends a half message to queue `at`, counted round.
pub async fn send(link: &Link, body: String, at: usize) -> Result<Half> {
    let properties = format!("TRAN_MSG\u{1}true\u{2}PGROUP\u{1}{GROUP}\u{2}");
    let header = SendMessageRequestHeader {
        producer_group: GROUP,
        topic: TOPIC,
        default_topic: "TBW102",
        default_topic_queue_nums: QUEUES,
        queue_id: (at as i32) % QUEUES,
        sys_flag: sys_flag::TRANSACTION_PREPARED,
        born_timestamp: content::now_ms()?,
        properties: Some(&properties),
        ..SendMessageRequestHeader::default()
    };
    let answer = link.ok(RequestCode::SendMessageV2, &Short(header), body.as_bytes()).await?;
    let id = answer.field("msgId").and_then(OffsetMessageId::parse).context("no message id")?;
    let queue_offset = number(&answer, "queueOffset")?;
    Ok(Half { body, queue_offset, physical_offset: id.physical_offset })
}

/// Commits a half message or rolls it back.
pub async fn end(link: &Link, half: &Half, commit_or_rollback: i32) -> Result<()> {
    let header = EndTransactionRequestHeader {
        producer_group: GROUP,
        tran_state_table_offset: half.queue_offset,
        commit_log_offset: half.physical_offset,
        commit_or_rollback,
        msg_id: "takeover",
        ..EndTransactionRequestHeader::default()
    };
    let ended = link.ok(RequestCode::EndTransaction, &header, &[]).await;
    ended.map(|_| ()).with_context(|| format!("the end of {:?}", half.body))
}
