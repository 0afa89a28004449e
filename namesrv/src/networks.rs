//! Which address of a broker a client is told: that of the network it comes from.
//!
//! The table holds the plain address of each broker; what else a broker advertises stands with its
//! live entry and is put into answers, never into the table.

use std::net::IpAddr;

use remoting::net::Peer;
use remoting::protocol::advertised::{Advertised, LISTENERS, NETWORKS};
use remoting::protocol::body::BrokerData;
use remoting::protocol::command::Frame;
use tracing::warn;

use crate::brokers::BrokerKey;
use crate::route_table::RouteTable;

/// Where a client is, and the port it came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    ip: IpAddr,
    port: u16,
}

impl Origin {
    pub fn of(peer: &Peer) -> Origin {
        Origin { ip: peer.announced().ip(), port: peer.local().port() }
    }
}

/// What a registration says of further addresses; what it says wrong is passed over.
pub(crate) fn advertised(frame: &Frame, broker: &str) -> Option<Advertised> {
    let listeners = frame.field(LISTENERS)?;
    let networks = frame.field(NETWORKS).unwrap_or_default();
    Advertised::parse(listeners, networks)
        .inspect_err(|error| warn!(broker, %error, "further addresses passed over"))
        .ok()
}

impl RouteTable {
    /// Puts the addresses for a client into groups of brokers.
    pub fn translate<'a>(
        &self,
        groups: impl IntoIterator<Item = &'a mut BrokerData>,
        origin: Origin,
    ) {
        if !self.advertises {
            return;
        }
        for group in groups {
            for addr in group.broker_addrs.values_mut() {
                if let Some(other) = self.address_for(&group.cluster, addr, origin) {
                    *addr = other;
                }
            }
        }
    }

    /// The address of a broker for a client, where that is not the plain one.
    pub fn address_for(&self, cluster: &str, addr: &str, origin: Origin) -> Option<String> {
        let live = self.live.get(&BrokerKey::new(cluster, addr))?;
        let advertised = live.advertised.as_ref()?;
        advertised.address_for(origin.ip, origin.port).map(str::to_owned)
    }
}
