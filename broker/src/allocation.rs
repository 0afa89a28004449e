//! Which queues of a topic a client of a group consumes: pure functions of the sorted lists.
//!
//! Every client asks on its own, so the answer depends on nothing but the two lists; clients of
//! Java share queues out by the same rules when they do it themselves.

use remoting::protocol::body::MessageQueue;

/// How queues are shared out among the clients of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// Neighbouring queues, as many to each client as to the others.
    Average,
    /// One queue to each client in turn.
    Circle,
}

impl Strategy {
    /// Returns the strategy of a name on the wire.
    pub(crate) fn from_name(name: &str) -> Option<Strategy> {
        match name {
            "AVG" => Some(Strategy::Average),
            "AVG_BY_CIRCLE" => Some(Strategy::Circle),
            _ => None,
        }
    }

    /// The queues of the client at `index` of `clients`.
    fn share(self, index: usize, queues: &[MessageQueue], clients: usize) -> Vec<MessageQueue> {
        match self {
            Strategy::Average => {
                let (each, rest) = (queues.len() / clients, queues.len() % clients);
                // The first `rest` clients have one more.
                let start = index * each + index.min(rest);
                let count = each + usize::from(index < rest);
                queues[start..start + count].to_vec()
            }
            Strategy::Circle => queues.iter().skip(index).step_by(clients).cloned().collect(),
        }
    }
}

/// The queues a client pulls; `None` where there is nothing to share out.
pub(crate) fn pulled(
    strategy: Strategy,
    client_id: &str,
    queues: &[MessageQueue],
    clients: &[String],
) -> Option<Vec<MessageQueue>> {
    if client_id.is_empty() || queues.is_empty() || clients.is_empty() {
        return None;
    }
    let index = clients.iter().position(|client| client == client_id);
    // A client whose heartbeat is still to come gets no queue.
    Some(index.map_or(Vec::new(), |index| strategy.share(index, queues, clients.len())))
}

/// The queues a client pops: its own and those of the `share` clients behind it.
///
/// Everybody pops every queue, so of each broker "any queue", if `share` says so.
pub(crate) fn popped(
    strategy: Strategy,
    client_id: &str,
    queues: &[MessageQueue],
    clients: &[String],
    share: i32,
) -> Option<Vec<MessageQueue>> {
    let others = clients.len().saturating_sub(1);
    let share = match usize::try_from(share) {
        Ok(share) if share > 0 && share < others => share,
        _ => {
            let any = |queue: &MessageQueue| MessageQueue { queue_id: -1, ..queue.clone() };
            return Some(distinct(queues.iter().map(any).collect()));
        }
    };
    let own = pulled(strategy, client_id, queues, clients)?;
    let Some(index) = clients.iter().position(|client| client == client_id) else {
        return Some(own);
    };
    if clients.len() > queues.len() {
        // Nobody stays without a queue.
        return Some(vec![queues[index % queues.len()].clone()]);
    }
    let behind = (1..=share).map(|step| (index + step) % clients.len());
    let theirs = behind.flat_map(|other| strategy.share(other, queues, clients.len()));
    Some(distinct(own.into_iter().chain(theirs).collect()))
}

fn distinct(mut queues: Vec<MessageQueue>) -> Vec<MessageQueue> {
    queues.sort_unstable();
    queues.dedup();
    queues
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues(count: i32) -> Vec<MessageQueue> {
        let queue = |queue_id| MessageQueue {
            broker_name: if queue_id < 4 { "a" } else { "b" }.to_owned(),
            queue_id,
            topic: "T".to_owned(),
        };
        (0..count).map(queue).collect()
    }

    fn clients(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("c{number}")).collect()
    }

    fn ids(queues: Option<Vec<MessageQueue>>) -> Vec<i32> {
        queues.unwrap().iter().map(|queue| queue.queue_id).collect()
    }

    #[test]
    fn the_first_clients_have_one_more() {
        let shares = |queue_count, client_count: usize, strategy| {
            let share = |client: &String| {
                ids(pulled(strategy, client, &queues(queue_count), &clients(client_count)))
            };
            clients(client_count).iter().map(share).collect::<Vec<_>>()
        };
        assert_eq!(shares(8, 3, Strategy::Average), [vec![0, 1, 2], vec![3, 4, 5], vec![6, 7]]);
        assert_eq!(shares(8, 3, Strategy::Circle), [vec![0, 3, 6], vec![1, 4, 7], vec![2, 5]]);
        for strategy in [Strategy::Average, Strategy::Circle] {
            assert_eq!(shares(2, 3, strategy), [vec![0], vec![1], vec![]]);
            assert_eq!(shares(3, 3, strategy), [vec![0], vec![1], vec![2]]);
        }
    }

    #[test]
    fn a_stranger_gets_nothing_and_nobody_gets_no_answer() {
        let pull = |client, queue_count, client_count| {
            let (queues, clients) = (queues(queue_count), clients(client_count));
            pulled(Strategy::Average, client, &queues, &clients)
        };
        assert_eq!(pull("x", 4, 2), Some(Vec::new()));
        assert_eq!(pull("", 4, 2), None);
        assert_eq!(pull("c0", 0, 2), None);
        assert_eq!(pull("c0", 4, 0), None);
    }

    #[test]
    fn poppers_share_with_those_behind_them() {
        let pop = |client, queue_count, client_count, share| {
            let (queues, clients) = (queues(queue_count), clients(client_count));
            popped(Strategy::Average, client, &queues, &clients, share)
        };
        for share in [-1, 0, 3, 4, i32::MAX] {
            let all = pop("c0", 8, 4, share).unwrap();
            let brokers: Vec<&str> = all.iter().map(|queue| queue.broker_name.as_str()).collect();
            assert_eq!((brokers, all[0].queue_id), (vec!["a", "b"], -1), "{share}");
        }
        assert_eq!(ids(pop("c0", 8, 4, 1)), [0, 1, 2, 3]);
        assert_eq!(ids(pop("c3", 8, 4, 2)), [0, 1, 2, 3, 6, 7]);
        assert_eq!(pop("x", 8, 4, 1), Some(Vec::new()));
        // More clients than queues: queues go round.
        assert_eq!(ids(pop("c5", 4, 6, 1)), [1]);
        assert_eq!(pop("", 8, 4, 1), None);
        assert_eq!(pop("", 0, 0, 1), Some(Vec::new()));
    }
}
