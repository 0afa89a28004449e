//! Producers by group.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Client;

/// Clients by the id of their connection.
type Members = HashMap<u64, Client>;

/// The connected producers.
#[derive(Default)]
pub(crate) struct Producers {
    groups: Mutex<HashMap<String, Members>>,
}

impl Producers {
    /// Adds a producer or notes that it is alive.
    pub(crate) fn register(&self, group: &str, client: &Client) {
        let mut groups = self.groups();
        if let Some(members) = groups.get_mut(group) {
            // Java quirk: on one connection the first client id stays.
            let member = members.entry(client.peer.id()).or_insert_with(|| client.clone());
            member.last_seen = client.last_seen;
            return;
        }
        tracing::info!(group, client = client.client_id, "producer group connected");
        groups.insert(group.to_owned(), Members::from([(client.peer.id(), client.clone())]));
    }

    /// Removes the producer of a connection from a group.
    pub(crate) fn unregister(&self, group: &str, peer_id: u64) {
        let mut groups = self.groups();
        let Some(members) = groups.get_mut(group) else { return };
        members.remove(&peer_id);
        if members.is_empty() {
            groups.remove(group);
        }
    }

    /// Removes all producers of a closed connection.
    pub(crate) fn closed(&self, peer_id: u64) {
        self.groups().retain(|_, members| {
            members.remove(&peer_id);
            !members.is_empty()
        });
    }

    /// Removes and disconnects producers without a recent heartbeat.
    pub(crate) fn expire(&self, now_ms: i64) {
        let mut gone = Vec::new();
        self.groups().retain(|group, members| {
            members.retain(|_, client| {
                let expired = client.expired(now_ms);
                if expired {
                    tracing::warn!(group, client = client.client_id, "producer silent, removed");
                    gone.push(client.peer.clone());
                }
                !expired
            });
            !members.is_empty()
        });
        for peer in gone {
            peer.close();
        }
    }

    /// Returns the producers of a group; none when the group is unknown.
    pub(crate) fn of(&self, group: &str) -> Option<Vec<Client>> {
        self.groups().get(group).map(|members| members.values().cloned().collect())
    }

    /// Returns all producers by group.
    pub(crate) fn all(&self) -> Vec<(String, Vec<Client>)> {
        let groups = self.groups();
        let clients = |members: &Members| members.values().cloned().collect();
        groups.iter().map(|(group, members)| (group.clone(), clients(members))).collect()
    }

    fn groups(&self) -> MutexGuard<'_, HashMap<String, Members>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use remoting::net::Peer;
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
}
