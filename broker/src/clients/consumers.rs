//! Consumers by group, with what the group subscribes to.
//!
//! A group exists while it has a member. Its subscriptions are those of the last heartbeat that
//! brought any; a member that joins or leaves, or a topic that appears or disappears, is told to
//! every member (request 40), so that all rebalance at once. Broadcasting groups are not told.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use remoting::net::Peer;
use remoting::protocol::body::{
    ConsumeFromWhere, ConsumeType, ConsumerConnection, ConsumerData, MessageModel, SubscriptionData,
};
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::NotifyConsumerIdsChangedRequestHeader;
use store::lookup::Lookup;

use super::Client;
use super::assumed::Assumed;
use super::wishes::{Conflicts, Wishes};
use crate::filter::{Filter, TagFilter};

/// Topics that are remembered as subscribed to; clients choose the names.
const TOPICS_SEEN_MAX: usize = 100_000;

/// The connected consumers.
#[derive(Default)]
pub(crate) struct Consumers {
    groups: Lookup<String, ConsumerGroup>,
    /// Fingerprints of the last heartbeats by group, for heartbeats without subscriptions.
    fingerprints: DashMap<String, i32>,
    /// What groups want of topics beside what their heartbeats say.
    pub(crate) assumed: Assumed,
    /// Groups whose members do not want the same.
    pub(crate) conflicts: Conflicts,
    /// Members to be told of a change at the next round, by group.
    untold: Mutex<HashMap<String, Vec<Arc<Peer>>>>,
    /// Topics anybody has ever subscribed to. Java quirk: request 300 lists them as groups.
    topics_seen: Mutex<HashSet<String>>,
}

/// A group with at least one member.
#[derive(Default)]
pub(crate) struct ConsumerGroup {
    /// How it gets messages.
    pub consume_type: Option<ConsumeType>,
    /// Whether members share the messages.
    pub message_model: Option<MessageModel>,
    /// Where it starts without an offset.
    pub consume_from_where: Option<ConsumeFromWhere>,
    members: HashMap<u64, Client>,
    /// What each member wants, as its last heartbeat with subscriptions said.
    wishes: BTreeMap<u64, Wishes>,
    subscriptions: BTreeMap<String, Arc<Subscription>>,
}

/// What a group wants of a topic.
pub(crate) struct Subscription {
    /// As the heartbeat said.
    pub data: SubscriptionData,
    /// The same as a filter.
    pub filter: Filter,
}

/// Whether the members of a group hear of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notify {
    /// They are told at once.
    Members,
    /// They are told at the next round, once for all changes until then.
    NextRound,
    /// They are not: the broker or the group is set so.
    Nobody,
}

impl Subscription {
    fn new(data: SubscriptionData) -> Subscription {
        // Class filters are evaluated elsewhere; such a subscription gets everything.
        let all = data.class_filter_mode || data.sub_string == "*";
        let filter = if all {
            Filter::ALL
        } else {
            Filter::Tags(TagFilter::Hashes(data.code_set.iter().copied().collect()))
        };
        Subscription { data, filter }
    }
}

impl ConsumerGroup {
    /// Returns the members.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Client> {
        self.members.values()
    }

    /// Whether the consumer of a connection is a member.
    pub(crate) fn has(&self, peer_id: u64) -> bool {
        self.members.contains_key(&peer_id)
    }

    /// Whether every member gets every message.
    pub(crate) fn broadcasts(&self) -> bool {
        self.message_model == Some(MessageModel::Broadcasting)
    }

    /// The topics the group subscribes to.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &str> {
        self.subscriptions.keys().map(String::as_str)
    }

    /// Whether its members pop.
    pub(crate) fn pops(&self) -> bool {
        self.consume_type == Some(ConsumeType::Pop)
    }

    /// Returns the group as administrators see it.
    pub(crate) fn connections(&self) -> ConsumerConnection {
        let subscriptions = self.subscriptions.iter();
        ConsumerConnection {
            connection_set: self.members().map(Client::connection).collect(),
            consume_from_where: self.consume_from_where,
            consume_type: self.consume_type,
            message_model: self.message_model,
            subscription_table: subscriptions
                .map(|(topic, subscription)| (topic.clone(), subscription.data.clone()))
                .collect(),
        }
    }

    /// Returns the connections of the members.
    fn peers(&self) -> Vec<Arc<Peer>> {
        self.members().map(|client| Arc::clone(&client.peer)).collect()
    }

    /// Notes what a member wants; true unless it was known.
    fn wish(&mut self, peer_id: u64, data: &ConsumerData) -> bool {
        let wishes = Wishes::of(data);
        match self.wishes.get(&peer_id) {
            Some(known) if *known == wishes => false,
            _ => {
                self.wishes.insert(peer_id, wishes);
                true
            }
        }
    }

    /// Two members that do not want the same, and what of it differs.
    fn disagreement(&self) -> Option<String> {
        let mut wishes = self.wishes.iter();
        let (first, wanted) = wishes.next()?;
        let (second, (what, one, other)) =
            wishes.find_map(|(id, others)| Some((id, wanted.difference(others)?)))?;
        let name = |id: &u64| self.members.get(id).map_or("?", |client| client.client_id.as_str());
        let (first, second) = (name(first), name(second));
        Some(format!("{what}: {first} wants {one}, {second} wants {other}"))
    }

    /// Adds or refreshes a member; true when it is new.
    fn join(&mut self, client: &Client) -> bool {
        let known = self.members.insert(client.peer.id(), client.clone());
        if let Some(known) = &known
            && known.client_id != client.client_id
        {
            tracing::warn!(old = known.client_id, new = client.client_id, "client renamed");
        }
        known.is_none()
    }

    /// Takes over the subscriptions; true when a topic came or went.
    fn subscribe(&mut self, subscriptions: &[SubscriptionData]) -> bool {
        let mut changed = false;
        for data in subscriptions {
            match self.subscriptions.get(&data.topic) {
                Some(known) if data.sub_version <= known.data.sub_version => continue,
                Some(_) => {}
                None => changed = true,
            }
            let subscription = Arc::new(Subscription::new(data.clone()));
            self.subscriptions.insert(data.topic.clone(), subscription);
        }
        let before = self.subscriptions.len();
        self.subscriptions.retain(|topic, _| subscriptions.iter().any(|data| data.topic == *topic));
        changed || self.subscriptions.len() != before
    }
}

impl Consumers {
    /// Takes over what a heartbeat says of one group; true when members or topics changed.
    ///
    /// Without subscriptions (`with_subscriptions` false) the known ones stay.
    pub(crate) fn register(
        &self,
        data: &ConsumerData,
        client: &Client,
        with_subscriptions: bool,
        notify: Notify,
    ) -> bool {
        let name = &data.group_name;
        if with_subscriptions {
            self.see_topics(&data.subscription_data_set);
        }
        let peers = {
            let mut group = self.groups.entry(name.clone()).or_default();
            group.consume_type = data.consume_type;
            group.message_model = data.message_model;
            group.consume_from_where = data.consume_from_where;
            let joined = group.join(client);
            if with_subscriptions && group.wish(client.peer.id(), data) {
                self.conflicts.note(name, group.disagreement());
            }
            let resubscribed = with_subscriptions && group.subscribe(&data.subscription_data_set);
            if !joined && !resubscribed {
                return false;
            }
            if group.broadcasts() { Vec::new() } else { group.peers() }
        };
        tracing::info!(group = name, client = client.client_id, "consumer group changed");
        self.tell(name, peers, notify);
        true
    }

    /// Removes the consumer of a connection from a group. Java quirk: the others are told even
    /// when it was no member.
    pub(crate) fn unregister(&self, group: &str, peer_id: u64, notify: Notify) {
        self.leave(group, peer_id, notify);
    }

    /// Removes all consumers of a closed connection.
    pub(crate) fn closed(&self, peer_id: u64, notify: Notify) {
        for group in self.groups_where(|group| group.members.contains_key(&peer_id)) {
            self.leave(&group, peer_id, notify);
        }
    }

    /// Removes and disconnects consumers without a recent heartbeat.
    pub(crate) fn expire(&self, timeout_ms: i64, now_ms: i64, notify: Notify) {
        let gone = |client: &&Client| client.silent_for(timeout_ms, now_ms);
        for name in self.groups_where(|group| group.members().any(|client| gone(&client))) {
            let silent = self.with_group(&name, |group| {
                group.members().filter(gone).cloned().collect::<Vec<Client>>()
            });
            for client in silent.unwrap_or_default() {
                tracing::warn!(group = name, client = client.client_id, "consumer silent, removed");
                client.peer.close();
                self.leave(&name, client.peer.id(), notify);
            }
        }
    }

    fn leave(&self, name: &str, peer_id: u64, notify: Notify) {
        let peers = {
            let Some(mut group) = self.groups.get_mut(name) else { return };
            group.members.remove(&peer_id);
            if group.wishes.remove(&peer_id).is_some() {
                self.conflicts.note(name, group.disagreement());
            }
            if group.broadcasts() { Vec::new() } else { group.peers() }
        };
        if self.groups.remove_if(name, |_, group| group.members.is_empty()).is_some() {
            self.forget_fingerprint(name);
        }
        self.tell(name, peers, notify);
    }

    /// Calls `look` with a live group.
    pub(crate) fn with_group<R>(
        &self,
        name: &str,
        look: impl FnOnce(&ConsumerGroup) -> R,
    ) -> Option<R> {
        self.groups.get(name).map(|group| look(&group))
    }

    /// Returns what a live group wants of a topic.
    pub(crate) fn subscription(&self, group: &str, topic: &str) -> Option<Arc<Subscription>> {
        self.groups.get(group)?.subscriptions.get(topic).map(Arc::clone)
    }

    /// Returns what a group wants of a topic, though no live member may say so.
    pub(crate) fn wanted(&self, group: &str, topic: &str) -> Option<SubscriptionData> {
        let announced = self.subscription(group, topic).map(|known| known.data.clone());
        announced.or_else(|| self.assumed.find(group, topic))
    }

    /// Returns the number of topics a live group subscribes to.
    pub(crate) fn subscription_count(&self, group: &str) -> usize {
        self.with_group(group, |group| group.subscriptions.len()).unwrap_or(0)
    }

    /// Returns the member of a group with that client id.
    pub(crate) fn client(&self, group: &str, client_id: &str) -> Option<Client> {
        self.groups.get(group)?.members().find(|client| client.client_id == client_id).cloned()
    }

    /// Returns the client ids of a group's members.
    pub(crate) fn client_ids(&self, group: &str) -> Vec<String> {
        let ids = |group: &ConsumerGroup| group.members().map(|c| c.client_id.clone()).collect();
        self.with_group(group, ids).unwrap_or_default()
    }

    /// Stores a heartbeat's fingerprint; returns the group's former one.
    pub(crate) fn note_fingerprint(&self, group: &str, fingerprint: i32) -> Option<i32> {
        self.fingerprints.insert(group.to_owned(), fingerprint)
    }

    /// Makes the next heartbeat without subscriptions ask for them.
    pub(crate) fn forget_fingerprint(&self, group: &str) {
        self.fingerprints.remove(group);
    }

    /// Whether any group has ever subscribed to the topic.
    pub(crate) fn topic_seen(&self, topic: &str) -> bool {
        self.topics_seen.lock().unwrap_or_else(PoisonError::into_inner).contains(topic)
    }

    fn see_topics(&self, subscriptions: &[SubscriptionData]) {
        let mut seen = self.topics_seen.lock().unwrap_or_else(PoisonError::into_inner);
        for data in subscriptions {
            if seen.len() < TOPICS_SEEN_MAX && !seen.contains(&data.topic) {
                seen.insert(data.topic.clone());
            }
        }
    }

    fn tell(&self, group: &str, peers: Vec<Arc<Peer>>, notify: Notify) {
        match notify {
            Notify::Members => tell(group, &peers),
            Notify::NextRound => {
                self.untold().insert(group.to_owned(), peers);
            }
            Notify::Nobody => {}
        }
    }

    /// Tells the members of all groups that changed since the last round.
    pub(crate) fn tell_round(&self) {
        let untold = std::mem::take(&mut *self.untold());
        untold.iter().for_each(|(group, peers)| tell(group, peers));
    }

    fn untold(&self) -> MutexGuard<'_, HashMap<String, Vec<Arc<Peer>>>> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `see` with every group and its name.
    pub(crate) fn each_group(&self, mut see: impl FnMut(&str, &ConsumerGroup)) {
        for group in &self.groups {
            see(group.key(), group.value());
        }
    }

    fn groups_where(&self, matches: impl Fn(&ConsumerGroup) -> bool) -> Vec<String> {
        let groups = self.groups.iter();
        groups.filter(|group| matches(group.value())).map(|group| group.key().clone()).collect()
    }
}

/// Tells members that the group changed; a connection that cannot take it finds out by itself at
/// its next rebalance.
fn tell(group: &str, peers: &[Arc<Peer>]) {
    let header = NotifyConsumerIdsChangedRequestHeader { consumer_group: group.to_owned() };
    for peer in peers {
        if let Err(error) = peer.oneway(RequestCode::NotifyConsumerIdsChanged, &header, &[]) {
            tracing::debug!(%error, group, peer = %peer.remote(), "group change not told");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use remoting::protocol::code::LanguageCode;

    use super::*;

    fn client(client_id: &str, last_seen: i64) -> Client {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
        Client {
            peer: Arc::new(Peer::unconnected(nowhere)),
            client_id: client_id.to_owned(),
            language: LanguageCode::Java,
            version: 479,
            last_seen,
        }
    }

    fn group(topics: &[(&str, i64)]) -> ConsumerData {
        let subscription = |(topic, sub_version): &(&str, i64)| SubscriptionData {
            topic: (*topic).to_owned(),
            sub_string: "a".to_owned(),
            code_set: vec![97],
            sub_version: *sub_version,
            ..SubscriptionData::default()
        };
        ConsumerData {
            group_name: "g".to_owned(),
            subscription_data_set: topics.iter().map(subscription).collect(),
            ..ConsumerData::default()
        }
    }

    #[test]
    fn silent_members_leave_after_two_minutes() {
        let consumers = Consumers::default();
        let (old, young) = (client("old", 1_000), client("young", 50_000));
        assert!(consumers.register(&group(&[("T", 1)]), &old, true, Notify::Nobody));
        assert!(consumers.register(&group(&[("T", 1)]), &young, true, Notify::Nobody));
        consumers.expire(120_000, 121_000, Notify::Nobody);
        assert_eq!(consumers.client_ids("g").len(), 2);
        consumers.expire(120_000, 121_001, Notify::Nobody);
        assert_eq!(consumers.client_ids("g"), ["young"]);
        // A heartbeat keeps a member; the last one takes the group along.
        let alive = Client { last_seen: 150_000, ..young };
        assert!(!consumers.register(&group(&[("T", 1)]), &alive, true, Notify::Nobody));
        consumers.expire(120_000, 170_001, Notify::Nobody);
        assert_eq!(consumers.client_ids("g"), ["young"]);
        consumers.expire(120_000, 270_001, Notify::Nobody);
        assert!(consumers.with_group("g", |_| ()).is_none());
    }

    #[test]
    fn changes_wait_for_the_round_once_for_each_group() {
        let consumers = Consumers::default();
        let (one, two) = (client("one", 0), client("two", 0));
        consumers.register(&group(&[("T", 1)]), &one, true, Notify::NextRound);
        consumers.register(&group(&[("T", 1)]), &two, true, Notify::NextRound);
        let waiting = |consumers: &Consumers| consumers.untold().get("g").map(Vec::len);
        assert_eq!(waiting(&consumers), Some(2), "the members there are by now");
        consumers.unregister("g", two.peer.id(), Notify::NextRound);
        assert_eq!(waiting(&consumers), Some(1));
        consumers.tell_round();
        assert_eq!(waiting(&consumers), None);
    }

    #[test]
    fn only_newer_subscriptions_replace_older_ones() {
        let consumers = Consumers::default();
        let member = client("c", 0);
        consumers.register(&group(&[("T", 5)]), &member, true, Notify::Nobody);
        let version = |topic| consumers.subscription("g", topic).map(|s| s.data.sub_version);
        for (sent, kept) in [(4, 5), (5, 5), (6, 6)] {
            let changed = consumers.register(&group(&[("T", sent)]), &member, true, Notify::Nobody);
            assert!(!changed, "no topic came or went");
            assert_eq!(version("T"), Some(kept));
        }
        assert!(consumers.register(&group(&[("U", 1)]), &member, true, Notify::Nobody));
        assert_eq!((version("T"), version("U")), (None, Some(1)));
        // Without subscriptions the known ones stay.
        assert!(!consumers.register(&group(&[]), &member, false, Notify::Nobody));
        assert_eq!(version("U"), Some(1));
        assert_eq!(consumers.subscription_count("g"), 1);
        assert!(consumers.topic_seen("T") && !consumers.topic_seen("V"));
    }

    #[test]
    fn filters_take_the_hashes_as_they_were_sent() {
        let filter = |sub_string: &str, class_filter_mode| {
            let data = SubscriptionData {
                sub_string: sub_string.to_owned(),
                code_set: vec![1, -2],
                class_filter_mode,
                ..SubscriptionData::default()
            };
            Subscription::new(data).filter
        };
        let hashes = filter("a||b", false);
        let matches = |code| hashes.matches_unit(code);
        assert!(matches(1) && matches(-2) && !matches(97));
        for all in [filter("*", false), filter("a", true)] {
            assert!(matches!(all, Filter::Tags(TagFilter::All)), "{all:?}");
        }
    }

    #[test]
    fn a_closed_connection_leaves_every_group() {
        let consumers = Consumers::default();
        let (one, two) = (client("one", 0), client("two", 0));
        let other = ConsumerData { group_name: "h".to_owned(), ..group(&[]) };
        consumers.register(&group(&[]), &one, true, Notify::Nobody);
        consumers.register(&other, &one, true, Notify::Nobody);
        consumers.register(&other, &two, true, Notify::Nobody);
        consumers.closed(one.peer.id(), Notify::Nobody);
        assert!(consumers.with_group("g", |_| ()).is_none());
        assert_eq!(consumers.client_ids("h"), ["two"]);
    }
}
