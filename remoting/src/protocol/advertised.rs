//! Addresses of one broker for clients of several networks.
//!
//! A broker names its listeners and the networks that use them, in two settings and, with the same
//! texts, in two further fields of its registration, which a Java name server passes over:
//!
//! ```text
//! advertisedListeners   internal://10.0.0.5:10911,external://mq.example.com:30911
//! advertisedNetworks    internal:10.0.0.0/8,internal:fd00::/8,external:port=9877,external:*
//! ```
//!
//! A network is a range of client addresses, `*` for all of them, or the port of the name server
//! that the client came to. A port counts more than a range, and a narrow range more than a wide
//! one. Who is in none of them is told the broker's plain address.

use std::fmt;
use std::net::IpAddr;

/// Field of a registration and setting that names the listeners.
pub const LISTENERS: &str = "advertisedListeners";
/// Field of a registration and setting that says which networks use them.
pub const NETWORKS: &str = "advertisedNetworks";

/// The listeners of a broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advertised {
    listeners: Vec<Listener>,
}

/// One address and who is told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name.
    pub name: String,
    /// Host and port.
    pub address: String,
    /// The networks that use it.
    pub networks: Vec<Network>,
}

/// Where a client comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// A range: the addresses that begin with so many bits of this one.
    Range(IpAddr, u8),
    /// Everywhere.
    Everywhere,
    /// The port of the name server that it came to.
    Port(u16),
}

/// Why two texts say nothing about listeners.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdvertisedError {
    /// No `NAME://HOST:PORT`.
    #[error("{LISTENERS}: {0:?} must be NAME://HOST:PORT, separated by commas")]
    Listener(String),
    /// Two listeners of one name.
    #[error("{LISTENERS}: {0} is there twice")]
    Twice(String),
    /// No `NAME:NETWORK`.
    #[error(
        "{NETWORKS}: {0:?} must be NAME:ADDRESS/BITS, NAME:port=NUMBER or NAME:*, separated by commas"
    )]
    Network(String),
    /// A network of a listener that does not exist.
    #[error("{NETWORKS}: {0} is none of {LISTENERS}")]
    Unknown(String),
}

impl Advertised {
    /// Reads both texts.
    ///
    /// # Errors
    /// Says which part is not as it should be.
    pub fn parse(listeners: &str, networks: &str) -> Result<Advertised, AdvertisedError> {
        let mut advertised = Advertised::default();
        for text in parts(listeners) {
            let listener = listener(text).ok_or_else(|| AdvertisedError::Listener(text.into()))?;
            if advertised.find(&listener.name).is_some() {
                return Err(AdvertisedError::Twice(listener.name));
            }
            advertised.listeners.push(listener);
        }
        for text in parts(networks) {
            let wrong = || AdvertisedError::Network(text.to_owned());
            let (name, network) = text.split_once(':').ok_or_else(wrong)?;
            let network = Network::parse(network.trim()).ok_or_else(wrong)?;
            let unknown = || AdvertisedError::Unknown(name.to_owned());
            advertised.find(name.trim()).ok_or_else(unknown)?.networks.push(network);
        }
        Ok(advertised)
    }

    fn find(&mut self, name: &str) -> Option<&mut Listener> {
        self.listeners.iter_mut().find(|listener| listener.name == name)
    }

    /// The listeners, in the order of the setting.
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// The address for a client that comes from `client` to `port` of the name server, unless it
    /// is in no network.
    pub fn address_for(&self, client: IpAddr, port: u16) -> Option<&str> {
        let client = client.to_canonical();
        let ranked = self.listeners.iter().flat_map(|listener| {
            let ranks = listener.networks.iter().filter_map(|network| network.rank(client, port));
            ranks.map(|rank| (rank, listener.address.as_str()))
        });
        // Of equals the first one of the setting.
        ranked.reduce(|best, next| if next.0 > best.0 { next } else { best }).map(|best| best.1)
    }
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

fn listener(text: &str) -> Option<Listener> {
    let (name, address) = text.split_once("://")?;
    let (host, port) = address.rsplit_once(':')?;
    let sound = !name.is_empty()
        && !name.contains([':', '/', ' '])
        && !host.is_empty()
        && !host.contains(['/', ' ', ';'])
        && matches!(port.parse::<u16>(), Ok(1..));
    let (name, address) = (name.to_owned(), address.to_owned());
    sound.then_some(Listener { name, address, networks: Vec::new() })
}

impl Network {
    fn parse(text: &str) -> Option<Network> {
        if text == "*" {
            return Some(Network::Everywhere);
        }
        if let Some(port) = text.strip_prefix("port=") {
            return port.parse().ok().filter(|port| *port > 0).map(Network::Port);
        }
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address.parse::<IpAddr>().ok()?, bits.parse::<u8>().ok()?),
            None => {
                let address = text.parse::<IpAddr>().ok()?;
                (address, width(address))
            }
        };
        (bits <= width(address)).then_some(Network::Range(address, bits))
    }

    /// How well it describes a client, if it does at all.
    fn rank(self, client: IpAddr, port: u16) -> Option<u16> {
        match self {
            Network::Port(own) => (own == port).then_some(u16::MAX),
            Network::Everywhere => Some(0),
            Network::Range(address, bits) => {
                let same = match (address, client) {
                    (IpAddr::V4(own), IpAddr::V4(client)) => {
                        same_bits(u128::from(u32::from(own) ^ u32::from(client)) << 96, bits)
                    }
                    (IpAddr::V6(own), IpAddr::V6(client)) => {
                        same_bits(u128::from(own) ^ u128::from(client), bits)
                    }
                    _ => false,
                };
                same.then_some(u16::from(bits) + 1)
            }
        }
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn same_bits(difference: u128, bits: u8) -> bool {
    difference.leading_zeros() >= u32::from(bits)
}

impl fmt::Display for Network {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Network::Range(address, bits) => write!(out, "{address}/{bits}"),
            Network::Everywhere => out.write_str("everywhere"),
            Network::Port(port) => write!(out, "port {port} of the name server"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(advertised: &Advertised, client: &str, port: u16) -> Option<String> {
        advertised.address_for(client.parse().expect(client), port).map(str::to_owned)
    }

    #[test]
    fn a_client_is_told_the_address_of_its_network() {
        let listeners = "in://10.0.0.5:10911, rack://10.1.0.5:10911,out://mq.example.com:30911";
        let networks = "in:10.0.0.0/8,in:fd00::/8,rack:10.1.2.0/24,out:port=9877";
        let advertised = Advertised::parse(listeners, networks).expect("both");
        for (client, port, expected) in [
            ("10.9.9.9", 9876, Some("10.0.0.5:10911")),
            ("10.1.2.3", 9876, Some("10.1.0.5:10911")),
            ("::ffff:10.1.2.3", 9876, Some("10.1.0.5:10911")),
            ("10.1.3.3", 9876, Some("10.0.0.5:10911")),
            ("fdff::1", 9876, Some("10.0.0.5:10911")),
            ("10.1.2.3", 9877, Some("mq.example.com:30911")),
            ("203.0.113.9", 9877, Some("mq.example.com:30911")),
            ("203.0.113.9", 9876, None),
            ("fe00::1", 9876, None),
        ] {
            let found = address(&advertised, client, port);
            assert_eq!(found.as_deref(), expected, "{client} {port}");
        }
    }

    #[test]
    fn everywhere_is_the_last_choice() {
        let networks = "out:*,in:0.0.0.0/0,in:192.0.2.1";
        let advertised = Advertised::parse("in://a:1,out://b:2", networks).expect("both");
        assert_eq!(address(&advertised, "192.0.2.1", 1).as_deref(), Some("a:1"));
        assert_eq!(address(&advertised, "192.0.2.2", 1).as_deref(), Some("a:1"));
        assert_eq!(address(&advertised, "::1", 1).as_deref(), Some("b:2"));
        let none = Advertised::parse("", "").expect("nothing");
        assert_eq!(none, Advertised::default());
        assert_eq!(address(&none, "192.0.2.1", 1), None);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for text in ["a", "a://", "a://h", "a://h:0", "a://:1", "://h:1", "a b://h:1", "a://h:1;b"]
        {
            let error = Advertised::parse(text, "").expect_err(text);
            assert_eq!(error, AdvertisedError::Listener(text.to_owned()));
        }
        let error = Advertised::parse("a://h:1,a://i:2", "").expect_err("twice");
        assert_eq!(error, AdvertisedError::Twice("a".to_owned()));
        for text in ["a", "a:", "a:x", "a:10.0.0.0/33", "a:::/129", "a:port=0", "a:port=x"] {
            let error = Advertised::parse("a://h:1", text).expect_err(text);
            assert_eq!(error, AdvertisedError::Network(text.to_owned()));
        }
        let error = Advertised::parse("a://h:1", "b:*").expect_err("unknown");
        assert_eq!(error, AdvertisedError::Unknown("b".to_owned()));
        assert!(Advertised::parse("a://[::1]:1", "a:::/0").is_ok());
    }
}
