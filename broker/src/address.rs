//! The address under which clients reach the broker.
//!
//! Clients connect to what the route says, and message ids carry it, so it must be reachable from
//! where they are: the configured one first, then the bound one, then the local end of the route
//! towards the name servers or the world. No packet is sent to find it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs, UdpSocket};

/// The advertised address and the reason for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Host and port in routes, store hosts and message ids.
    pub socket: SocketAddr,
    why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Configured,
    Bound,
    TowardsNameServer,
    TowardsWorld,
    OnlyLoopback,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::Configured => "set by brokerIP1",
            Why::Bound => "the bound address",
            Why::TowardsNameServer => "the local address on the way to the name server",
            Why::TowardsWorld => "the local address on the default route; set brokerIP1 to change",
            Why::OnlyLoopback => "no other address found; only this machine can reach it",
        })
    }
}

/// An address of the documentation range: routable in form, never contacted.
const WORLD: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)), 9);

impl Address {
    /// Chooses the address to advertise for a listener on `bound`.
    ///
    /// # Errors
    /// Returns the configured name when it does not resolve.
    pub fn choose(
        configured: Option<&str>,
        bound: SocketAddr,
        name_servers: &[&str],
    ) -> Result<Address, String> {
        let port = bound.port();
        if let Some(name) = configured.map(str::trim).filter(|name| !name.is_empty()) {
            let socket = resolve(name, port).ok_or_else(|| name.to_owned())?;
            return Ok(Address { socket, why: Why::Configured });
        }
        if !bound.ip().is_unspecified() {
            return Ok(Address { socket: bound, why: Why::Bound });
        }
        let to_name_server = name_servers
            .iter()
            .filter_map(|server| server.to_socket_addrs().ok()?.next())
            .filter(|server| !server.ip().is_loopback())
            .find_map(local_end);
        let (ip, why) = match (to_name_server, local_end(WORLD)) {
            (Some(ip), _) => (ip, Why::TowardsNameServer),
            (None, Some(ip)) => (ip, Why::TowardsWorld),
            (None, None) => (IpAddr::V4(Ipv4Addr::LOCALHOST), Why::OnlyLoopback),
        };
        Ok(Address { socket: SocketAddr::new(ip, port), why })
    }

    /// Says why this address was chosen.
    pub fn why(&self) -> String {
        self.why.to_string()
    }
}

fn resolve(name: &str, port: u16) -> Option<SocketAddr> {
    match name.parse::<IpAddr>() {
        Ok(ip) => Some(SocketAddr::new(ip, port)),
        Err(_) => {
            let mut found = (name, port).to_socket_addrs().ok()?;
            found.next()
        }
    }
}

/// Returns the local address the kernel would use towards `remote`, if it is no loopback.
fn local_end(remote: SocketAddr) -> Option<IpAddr> {
    let any = if remote.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(remote).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_configured_address_wins() {
        let address = Address::choose(Some("10.1.2.3"), bound("0.0.0.0:10911"), &[]).unwrap();
        assert_eq!(address.socket, bound("10.1.2.3:10911"));
        assert_eq!(address.why(), "set by brokerIP1");
    }

    #[test]
    fn a_bound_address_is_advertised_as_it_is() {
        let address = Address::choose(None, bound("127.0.0.1:7"), &[]).unwrap();
        assert_eq!(address.socket, bound("127.0.0.1:7"));
    }

    #[test]
    fn an_unspecified_address_is_never_advertised() {
        let address = Address::choose(Some("  "), bound("0.0.0.0:7"), &["127.0.0.1:9876"]).unwrap();
        assert!(!address.socket.ip().is_unspecified());
        assert_eq!(address.socket.port(), 7);
    }

    #[test]
    fn a_name_that_does_not_resolve_is_reported() {
        let error = Address::choose(Some("no such host"), bound("0.0.0.0:7"), &[]).unwrap_err();
        assert_eq!(error, "no such host");
    }
}
