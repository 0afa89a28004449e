//! A client of the broker under test: requests that must succeed.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use remoting::net::{Client, ClientOptions};
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::command::Frame;
use remoting::protocol::header::{
    EncodeHeader, GetMaxOffsetRequestHeader, GetMinOffsetRequestHeader, NoHeader,
    PullMessageRequestHeader, QueryMessageRequestHeader, ViewMessageRequestHeader,
};
use remoting::protocol::message::record::records;
use tokio::time::sleep;

use super::content::PATIENCE;

const TIMEOUT: Duration = Duration::from_secs(20);
/// Pull with the subscription of the request.
const SUBSCRIPTION: i32 = 4;

/// A connection to one broker.
pub struct Link {
    client: Client,
    broker: String,
}

impl Link {
    /// A link to the broker at `address`; connects when it is used.
    pub fn new(address: SocketAddr) -> Self {
        Self { client: Client::new(ClientOptions::default()), broker: address.to_string() }
    }

    /// Sends a request and returns the answer, whatever it is.
    pub async fn ask(
        &self,
        code: RequestCode,
        header: &impl EncodeHeader,
        extra: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Frame> {
        self.ask_raw(code as i32, header, extra, body).await
    }

    /// Sends a request by the number of its code.
    pub async fn ask_raw(
        &self,
        code: i32,
        header: &impl EncodeHeader,
        extra: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Frame> {
        Ok(self.client.call(&self.broker, code, header, extra, body, TIMEOUT).await?)
    }

    /// Sends a request that nobody answers.
    pub async fn tell(&self, code: i32, fields: &[(&str, &str)]) -> Result<()> {
        Ok(self.client.oneway(&self.broker, code, &NoHeader, fields, &[]).await?)
    }

    /// Sends a request that must succeed.
    pub async fn ok(
        &self,
        code: RequestCode,
        header: &impl EncodeHeader,
        body: &[u8],
    ) -> Result<Frame> {
        let answer = self.ask(code, header, &[], body).await?;
        let (got, remark) = (answer.code(), answer.remark().unwrap_or_default());
        ensure!(got == i32::from(ResponseCode::Success), "{code:?}: {got} {remark}");
        Ok(answer)
    }

    /// The first offset of a queue and the one behind its last.
    pub async fn bounds(&self, topic: &str, queue_id: i32) -> Result<(i64, i64)> {
        let topic = topic.to_owned();
        let min = GetMinOffsetRequestHeader { topic: topic.clone(), queue_id };
        let max = GetMaxOffsetRequestHeader { topic, queue_id, committed: true };
        let min = self.ok(RequestCode::GetMinOffset, &min, &[]).await?;
        let max = self.ok(RequestCode::GetMaxOffset, &max, &[]).await?;
        Ok((number(&min, "offset")?, number(&max, "offset")?))
    }

    /// Waits until a queue reaches an offset: a Java broker shows a message after it has
    /// acknowledged it.
    pub async fn await_max(&self, topic: &str, queue_id: i32, offset: i64) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (_, max) = self.bounds(topic, queue_id).await?;
            if max >= offset {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{topic}-{queue_id}: {max} of {offset} visible");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// The records of a queue, byte for byte.
    pub async fn read(
        &self,
        topic: &str,
        queue_id: i32,
        from: i64,
        to: i64,
    ) -> Result<Vec<Vec<u8>>> {
        self.read_tagged(topic, queue_id, (from, to), "*").await
    }

    /// Those of a subscription to tags.
    pub async fn read_tagged(
        &self,
        topic: &str,
        queue_id: i32,
        (from, to): (i64, i64),
        tags: &str,
    ) -> Result<Vec<Vec<u8>>> {
        let mut all = Vec::new();
        let mut next = from;
        while next < to {
            let header = PullMessageRequestHeader {
                consumer_group: "takeover-audit",
                topic,
                queue_id,
                queue_offset: next,
                max_msg_nums: 32,
                sys_flag: SUBSCRIPTION,
                subscription: Some(tags),
                ..PullMessageRequestHeader::default()
            };
            let answer = self.ask(RequestCode::PullMessage, &header, &[], &[]).await?;
            let (code, remark) = (answer.code(), answer.remark().unwrap_or_default());
            // Nothing there has the tags.
            let passes = tags != "*" && code == i32::from(ResponseCode::PullRetryImmediately);
            let is_ok = passes || code == i32::from(ResponseCode::Success);
            ensure!(is_ok, "{topic}-{queue_id} at {next}: {code} {remark}");
            let mut rest = answer.body();
            for record in records(answer.body()) {
                let record = record.with_context(|| format!("{topic}-{queue_id} at {next}"))?;
                let (bytes, behind) = rest.split_at(record.total_size as usize);
                all.push(bytes.to_vec());
                rest = behind;
            }
            let asked = std::mem::replace(&mut next, number(&answer, "nextBeginOffset")?);
            ensure!(next > asked, "{topic}-{queue_id}: a pull at {asked} leads to {next}");
        }
        Ok(all)
    }

    /// The records that the index finds for a key, byte for byte.
    pub async fn find(&self, topic: &str, key: &str, is_unique: bool) -> Result<Vec<u8>> {
        let header = QueryMessageRequestHeader {
            topic: topic.to_owned(),
            key: key.to_owned(),
            max_num: 32,
            begin_timestamp: 0,
            end_timestamp: i64::MAX,
            ..QueryMessageRequestHeader::default()
        };
        let extra = [("_UNIQUE_KEY_QUERY", if is_unique { "true" } else { "false" })];
        let answer = self.ask(RequestCode::QueryMessage, &header, &extra, &[]).await?;
        Ok(answer.body().to_vec())
    }

    /// The record at a place in the log, byte for byte.
    pub async fn view(&self, physical_offset: i64) -> Result<Vec<u8>> {
        let header = ViewMessageRequestHeader { offset: physical_offset, topic: None };
        Ok(self.ok(RequestCode::ViewMessageById, &header, &[]).await?.body().to_vec())
    }
}

/// A number among the fields of an answer.
pub fn number(answer: &Frame, name: &str) -> Result<i64> {
    let field = answer.field(name).with_context(|| format!("an answer without {name}"))?;
    Ok(field.parse()?)
}
