//! Everything that a broker says about its content, and the comparison of two such sayings.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use remoting::protocol::body::{
    Body, ConsumerOffsetSerializeWrapper, GroupRetryPolicy, SubscriptionGroupConfig,
    SubscriptionGroupWrapper, TopicConfig, TopicConfigSerializeWrapper,
};
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::{
    GetSubscriptionGroupConfigRequestHeader, GetTopicConfigRequestHeader, NoHeader,
    QueryConsumerOffsetRequestHeader, SearchOffsetRequestHeader,
};
use remoting::protocol::message::record::Record;

use super::content::{BROADCAST, DELAYED, GROUPS, TOPICS, queues};
use super::link::{Link, number};
use super::release::Release;

/// One queue.
struct Queue {
    min: i64,
    records: Vec<Vec<u8>>,
}

/// The content of a broker.
pub struct Snapshot {
    queues: BTreeMap<(&'static str, i32), Queue>,
    topics: Vec<TopicConfig>,
    groups: Vec<SubscriptionGroupConfig>,
    /// Committed offsets of every group and queue.
    pub offsets: Vec<i64>,
    /// Those of broadcasting consumers, which no request asks for one by one.
    broadcast: Vec<(String, BTreeMap<i32, i64>)>,
}

impl Snapshot {
    /// Asks for everything.
    pub async fn take(link: &Link, release: Release) -> Result<Self> {
        let mut offsets = Vec::new();
        for group in GROUPS {
            for (topic, queue_id) in queues() {
                let header = QueryConsumerOffsetRequestHeader {
                    consumer_group: group,
                    topic,
                    queue_id,
                    set_zero_if_not_found: Some(false),
                };
                let answer = link.ok(RequestCode::QueryConsumerOffset, &header, &[]).await?;
                offsets.push(number(&answer, "offset")?);
            }
        }
        let (topics, groups) = match release.is_5() {
            true => settings(link).await?,
            false => settings_of_4(link).await?,
        };
        let answer = link.ok(RequestCode::GetAllConsumerOffset, &NoHeader, &[]).await?;
        let table = ConsumerOffsetSerializeWrapper::decode(answer.body())?.offset_table;
        let broadcast = table.into_iter().filter(|(key, _)| key.ends_with(BROADCAST));
        let broadcast: Vec<_> = broadcast.collect();
        ensure!(!broadcast.is_empty(), "no offsets of broadcasting consumers");
        let mut all = BTreeMap::new();
        for (topic, queue_id) in queues() {
            let (min, max) = link.bounds(topic, queue_id).await?;
            let records = link.read(topic, queue_id, min, max).await?;
            let queue = Queue { min, records };
            ensure!(queue.max() == max, "{topic}-{queue_id}: {} of {max} read", queue.max());
            all.insert((topic, queue_id), queue);
        }
        Ok(Self { queues: all, topics, groups, offsets, broadcast })
    }

    /// The record at a queue offset.
    pub fn record(&self, topic: &'static str, queue_id: i32, offset: i64) -> Result<Record<'_>> {
        let queue = self.queues.get(&(topic, queue_id)).context("no such queue")?;
        let at = usize::try_from(offset - queue.min)?;
        let place = || format!("{topic}-{queue_id} has no offset {offset}");
        let record = Record::decode(queue.records.get(at).with_context(place)?)?;
        ensure!(record.queue_offset == offset, "{}", place());
        ensure!(record.topic == topic && record.queue_id == queue_id, "{}", place());
        Ok(record)
    }

    /// Every record with its bytes.
    pub fn records(&self) -> impl Iterator<Item = (Record<'_>, &[u8])> {
        let all = self.queues.values().flat_map(|queue| &queue.records);
        all.filter_map(|bytes| Some((Record::decode(bytes).ok()?, bytes.as_slice())))
    }

    /// Number of messages and of queues that hold some.
    pub fn counts(&self) -> (usize, usize) {
        let lens = self.queues.values().map(|queue| queue.records.len());
        (lens.clone().sum(), lens.filter(|len| *len > 0).count())
    }

    /// Number of messages that were sent there, which deliveries are not.
    pub fn sent_len(&self) -> usize {
        let sent = self.queues.iter().filter(|((topic, _), _)| *topic != DELAYED);
        sent.map(|(_, queue)| queue.records.len()).sum()
    }

    /// How often each body was delivered to the topic of delayed messages.
    pub fn delivered(&self) -> BTreeMap<&[u8], usize> {
        let mut count = BTreeMap::new();
        for (record, _) in self.records().filter(|(record, _)| record.topic == DELAYED) {
            *count.entry(record.body).or_default() += 1;
        }
        count
    }

    /// Takes away what stands in the log before `start`, as its files are gone.
    pub fn forget_before(&mut self, start: i64) {
        for queue in self.queues.values_mut() {
            let is_gone = |bytes: &&Vec<u8>| {
                Record::decode(bytes).is_ok_and(|record| record.physical_offset < start)
            };
            let gone = queue.records.iter().take_while(is_gone).count();
            queue.records.drain(..gone);
            queue.min += gone as i64;
        }
    }

    /// Fails unless this is `earlier`, byte for byte, with nothing but deliveries added.
    pub fn continues(&self, earlier: &Self) -> Result<()> {
        for ((topic, queue_id), old) in &earlier.queues {
            let new = &self.queues[&(*topic, *queue_id)];
            let place = format!("{topic}-{queue_id}");
            ensure!(new.min == old.min, "{place}: min {} was {}", new.min, old.min);
            let (len, was) = (new.records.len(), old.records.len());
            let is_len = if *topic == DELAYED { len >= was } else { len == was };
            ensure!(is_len, "{place}: {len} messages, were {was}");
            let same = new.records.iter().zip(&old.records).take_while(|(new, old)| new == old);
            let same = same.count();
            ensure!(same == was, "{place}: another record at offset {}", old.min + same as i64);
            for offset in new.min..new.max() {
                self.record(topic, *queue_id, offset)?;
            }
        }
        let topics = (&self.topics, &earlier.topics);
        ensure!(topics.0 == topics.1, "topics {:?} were {:?}", topics.0, topics.1);
        let groups = (&self.groups, &earlier.groups);
        ensure!(groups.0 == groups.1, "groups {:?} were {:?}", groups.0, groups.1);
        let offsets = (&self.offsets, &earlier.offsets);
        ensure!(offsets.0 == offsets.1, "offsets {:?} were {:?}", offsets.0, offsets.1);
        let broadcast = (&self.broadcast, &earlier.broadcast);
        ensure!(broadcast.0 == broadcast.1, "broadcast {:?} were {:?}", broadcast.0, broadcast.1);
        Ok(())
    }

    /// Fails unless a subscription to tags gets what has them, of the queue with the most messages.
    pub async fn check_tags(&self, link: &Link) -> Result<()> {
        let longest = self.queues.iter().max_by_key(|(_, queue)| queue.records.len());
        let ((topic, queue_id), queue) = longest.context("no queue")?;
        for tags in ["TagB", "標籤", "TagA || TagB"] {
            let has = |bytes: &&Vec<u8>| {
                let tag =
                    Record::decode(bytes).ok().and_then(|record| record.properties().get("TAGS"));
                tag.is_some_and(|tag| tags.split(" || ").any(|one| one == tag))
            };
            let expected: Vec<_> = queue.records.iter().filter(has).collect();
            let got = link.read_tagged(topic, *queue_id, (queue.min, queue.max()), tags).await?;
            let is_same = got.iter().eq(expected.iter().copied());
            let (got, expected) = (got.len(), expected.len());
            ensure!(is_same, "{topic}-{queue_id}: {got} messages of {tags}, not the {expected}");
        }
        Ok(())
    }

    /// Looks for the offset at the store time of the message in the middle of each queue: the first
    /// of those that were stored then, or, unless `is_first`, any of them.
    pub async fn check_times(&self, link: &Link, is_first: bool) -> Result<()> {
        for ((topic, queue_id), queue) in &self.queues {
            let times: Vec<i64> = queue
                .records
                .iter()
                .flat_map(|bytes| Record::decode(bytes))
                .map(|record| record.store_timestamp)
                .collect();
            let Some(&timestamp) = times.get(times.len() / 2) else { continue };
            let header = SearchOffsetRequestHeader {
                topic: (*topic).to_owned(),
                queue_id: *queue_id,
                timestamp,
                ..SearchOffsetRequestHeader::default()
            };
            let answer = link.ok(RequestCode::SearchOffsetByTimestamp, &header, &[]).await?;
            let got = number(&answer, "offset")?;
            let first =
                queue.min + times.iter().take_while(|time| **time < timestamp).count() as i64;
            let count = times.iter().filter(|time| **time == timestamp).count() as i64;
            let last = if is_first { first } else { first + count - 1 };
            let place = || format!("{topic}-{queue_id}: {got} at {timestamp}");
            ensure!((first..=last).contains(&got), "{}, expected {first} to {last}", place());
        }
        Ok(())
    }
}

async fn settings(link: &Link) -> Result<(Vec<TopicConfig>, Vec<SubscriptionGroupConfig>)> {
    let (mut topics, mut groups) = (Vec::new(), Vec::new());
    for (topic, _) in TOPICS {
        let header = GetTopicConfigRequestHeader { topic: (*topic).to_owned() };
        let answer = link.ok(RequestCode::GetTopicConfig, &header, &[]).await?;
        topics.push(TopicConfig::decode(answer.body())?);
    }
    for group in GROUPS {
        let header = GetSubscriptionGroupConfigRequestHeader { group: (*group).to_owned() };
        let code = RequestCode::GetSubscriptiongroupConfig;
        let answer = link.ok(code, &header, &[]).await?;
        groups.push(SubscriptionGroupConfig::decode(answer.body())?);
    }
    Ok((topics, groups))
}

/// The same from whole tables, as the requests for one came with 5.0, and without what 4.x drops.
async fn settings_of_4(link: &Link) -> Result<(Vec<TopicConfig>, Vec<SubscriptionGroupConfig>)> {
    let all = link.ok(RequestCode::GetAllTopicConfig, &NoHeader, &[]).await?;
    let mut all = TopicConfigSerializeWrapper::decode(all.body())?.topic_config_table;
    let topics = TOPICS.iter().filter_map(|(topic, _)| all.remove(*topic));
    let topics = topics.map(|topic| TopicConfig { attributes: BTreeMap::new(), ..topic }).collect();
    let all = link.ok(RequestCode::GetAllSubscriptiongroupConfig, &NoHeader, &[]).await?;
    let mut all = SubscriptionGroupWrapper::decode(all.body())?.subscription_group_table;
    let groups = GROUPS.iter().filter_map(|group| all.remove(*group));
    let groups = groups.map(|group| SubscriptionGroupConfig {
        attributes: BTreeMap::new(),
        consume_message_orderly: false,
        group_retry_policy: GroupRetryPolicy::default(),
        ..group
    });
    let groups = groups.collect();
    Ok((topics, groups))
}

impl Queue {
    fn max(&self) -> i64 {
        self.min + self.records.len() as i64
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use remoting::protocol::message::NewRecord;
    use remoting::protocol::message::record::Version;

    use super::*;

    fn snapshot(topic: &'static str, bodies: &[&str]) -> Snapshot {
        let host = ([127, 0, 0, 1], 1).into();
        let record = |(body, queue_offset): (&&str, i64)| {
            let record = NewRecord {
                version: Version::V1,
                queue_id: 0,
                flag: 0,
                queue_offset,
                physical_offset: 0,
                sys_flag: 0,
                born_timestamp: 1,
                born_host: host,
                store_timestamp: 2,
                store_host: host,
                reconsume_times: 0,
                prepared_transaction_offset: 0,
                body: body.as_bytes(),
                topic,
                properties: &[],
            };
            let mut bytes = BytesMut::new();
            record.encode(&mut bytes).unwrap();
            bytes.to_vec()
        };
        let records = bodies.iter().zip(7..).map(record).collect();
        let queues = BTreeMap::from([((topic, 0), Queue { min: 7, records })]);
        Snapshot {
            queues,
            topics: Vec::new(),
            groups: Vec::new(),
            offsets: vec![1],
            broadcast: Vec::new(),
        }
    }

    #[test]
    fn a_loss_or_a_change_is_found() {
        let earlier = snapshot("TakeoverPlain", &["a", "b"]);
        let said = |bodies: &[&str]| {
            let later = snapshot("TakeoverPlain", bodies).continues(&earlier);
            later.map_err(|error| error.to_string())
        };
        assert_eq!(said(&["a", "b"]), Ok(()));
        assert_eq!(said(&["a"]).unwrap_err(), "TakeoverPlain-0: 1 messages, were 2");
        assert_eq!(said(&["a", "b", "c"]).unwrap_err(), "TakeoverPlain-0: 3 messages, were 2");
        assert_eq!(said(&["a", "c"]).unwrap_err(), "TakeoverPlain-0: another record at offset 8");
        let mut later = snapshot("TakeoverPlain", &["a", "b"]);
        later.offsets[0] = 2;
        assert_eq!(later.continues(&earlier).unwrap_err().to_string(), "offsets [2] were [1]");
    }

    #[test]
    fn deliveries_may_be_added() {
        let earlier = snapshot(DELAYED, &["a"]);
        let later = snapshot(DELAYED, &["a", "b", "b"]);
        later.continues(&earlier).unwrap();
        assert_eq!(later.delivered(), BTreeMap::from([(&b"a"[..], 1), (&b"b"[..], 2)]));
        assert!(earlier.continues(&later).is_err());
    }
}
