//! Producers by group, and by client id for who has a reply for one of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use remoting::net::Peer;
use smallvec::SmallVec;

use super::Client;

/// A producer without a heartbeat for this long is gone; Java has no setting for it.
const SILENCE_MAX_MS: i64 = 120_000;

/// Connections of a group that are tried for one question.
const CANDIDATES: usize = 4;

/// Clients by the id of their connection.
type Members = BTreeMap<u64, Client>;

/// The connected producers.
#[derive(Default)]
pub(crate) struct Producers {
    tables: Mutex<Tables>,
}

#[derive(Default)]
struct Tables {
    groups: HashMap<String, Members>,
    /// The connections of each client id, the newest last.
    seats: HashMap<String, Vec<Seat>>,
}

/// One connection of a client.
struct Seat {
    peer: Arc<Peer>,
    /// Number of groups it is in; a client that has left one of them is still there.
    groups: usize,
}

impl Producers {
    /// Adds a producer or notes that it is alive.
    pub(crate) fn register(&self, group: &str, client: &Client) {
        let mut tables = self.tables();
        let tables = &mut *tables;
        let members = match tables.groups.get_mut(group) {
            Some(members) => members,
            None => {
                tracing::info!(group, client = client.client_id, "producer group connected");
                tables.groups.entry(group.to_owned()).or_default()
            }
        };
        // Java quirk: on one connection the first client id stays.
        if let Some(member) = members.get_mut(&client.peer.id()) {
            member.last_seen = client.last_seen;
            return;
        }
        members.insert(client.peer.id(), client.clone());
        sit_down(&mut tables.seats, client);
    }

    /// Removes the producer of a connection from a group.
    pub(crate) fn unregister(&self, group: &str, peer_id: u64) {
        let mut tables = self.tables();
        let Some(members) = tables.groups.get_mut(group) else { return };
        let gone = members.remove(&peer_id);
        if members.is_empty() {
            tables.groups.remove(group);
        }
        if let Some(client) = gone {
            stand_up(&mut tables.seats, &client);
        }
    }

    /// Removes all producers of a closed connection.
    pub(crate) fn closed(&self, peer_id: u64) {
        self.remove_where(|client| client.peer.id() == peer_id);
    }

    /// Removes and disconnects producers without a recent heartbeat.
    pub(crate) fn expire(&self, now_ms: i64) {
        for (group, client) in self.remove_where(|client| client.silent_for(SILENCE_MAX_MS, now_ms))
        {
            tracing::warn!(group, client = client.client_id, "producer silent, removed");
            client.peer.close();
        }
    }

    fn remove_where(&self, gone: impl Fn(&Client) -> bool) -> Vec<(String, Client)> {
        let mut removed = Vec::new();
        let mut tables = self.tables();
        let Tables { groups, seats } = &mut *tables;
        groups.retain(|group, members| {
            let leaving = members.extract_if(.., |_, client| gone(client));
            removed.extend(leaving.map(|(_, client)| (group.clone(), client)));
            !members.is_empty()
        });
        removed.iter().for_each(|(_, client)| stand_up(seats, client));
        removed
    }

    /// Returns the producers of a group; none when the group is unknown.
    pub(crate) fn of(&self, group: &str) -> Option<Vec<Client>> {
        self.tables().groups.get(group).map(|members| members.values().cloned().collect())
    }

    /// Returns the connection of a client, whatever groups it is in.
    pub(crate) fn connection_of(&self, client_id: &str) -> Option<Arc<Peer>> {
        let tables = self.tables();
        tables.seats.get(client_id)?.last().map(|seat| Arc::clone(&seat.peer))
    }

    /// Returns live connections of a group, beginning with the one whose turn it is.
    pub(crate) fn in_turn(&self, group: &str, turn: usize) -> SmallVec<[Arc<Peer>; CANDIDATES]> {
        let tables = self.tables();
        let Some(members) = tables.groups.get(group) else { return SmallVec::new() };
        let first = turn % members.len().max(1);
        let peers = members.values().map(|client| &client.peer);
        let from_first = peers.clone().skip(first).chain(peers.take(first));
        from_first.filter(|peer| peer.is_open()).take(CANDIDATES).cloned().collect()
    }

    /// Returns all producers by group.
    pub(crate) fn all(&self) -> Vec<(String, Vec<Client>)> {
        let tables = self.tables();
        let clients = |members: &Members| members.values().cloned().collect();
        tables.groups.iter().map(|(group, members)| (group.clone(), clients(members))).collect()
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        // Both tables are changed under one lock, by operations that do not panic half way.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts one more group of a client's connection.
fn sit_down(seats: &mut HashMap<String, Vec<Seat>>, client: &Client) {
    let of_client = seats.entry(client.client_id.clone()).or_default();
    match of_client.iter_mut().find(|seat| seat.peer.id() == client.peer.id()) {
        Some(seat) => seat.groups += 1,
        None => of_client.push(Seat { peer: Arc::clone(&client.peer), groups: 1 }),
    }
}

/// Counts one group less; a connection without any is forgotten.
fn stand_up(seats: &mut HashMap<String, Vec<Seat>>, client: &Client) {
    let Some(of_client) = seats.get_mut(&client.client_id) else { return };
    of_client.retain_mut(|seat| {
        if seat.peer.id() == client.peer.id() {
            seat.groups -= 1;
        }
        seat.groups > 0
    });
    if of_client.is_empty() {
        seats.remove(&client.client_id);
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
            language: LanguageCode::Go,
            version: 479,
            last_seen,
        }
    }

    #[test]
    fn members_come_go_and_expire() {
        let producers = Producers::default();
        let (a, b) = (client("a", 0), client("b", 100_000));
        producers.register("g", &a);
        producers.register("g", &b);
        producers.register("h", &a);
        assert_eq!(producers.of("g").map(|members| members.len()), Some(2));
        producers.unregister("h", a.peer.id());
        assert!(producers.of("h").is_none());
        producers.expire(120_001);
        assert_eq!(producers.all().len(), 1);
        assert_eq!(producers.of("g").map(|members| members[0].client_id.clone()), Some("b".into()));
        producers.closed(b.peer.id());
        assert!(producers.all().is_empty());
    }

    #[test]
    fn a_client_is_found_while_it_is_in_any_group() {
        let producers = Producers::default();
        let (old, new) = (client("a", 0), client("a", 1));
        producers.register("g", &old);
        producers.register("h", &old);
        let found = |id: &str| producers.connection_of(id).map(|peer| peer.id());
        assert_eq!(found("a"), Some(old.peer.id()));
        assert_eq!(found("b"), None);
        // The client has come back on another connection before the old one was seen to close.
        producers.register("g", &new);
        assert_eq!(found("a"), Some(new.peer.id()));
        producers.closed(new.peer.id());
        assert_eq!(found("a"), Some(old.peer.id()));
        producers.unregister("g", old.peer.id());
        producers.unregister("g", old.peer.id());
        assert_eq!(found("a"), Some(old.peer.id()));
        producers.unregister("h", old.peer.id());
        assert_eq!(found("a"), None);
        assert!(producers.tables().seats.is_empty());
    }
}
