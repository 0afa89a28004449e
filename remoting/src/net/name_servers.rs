//! The list of name servers and the order in which they are asked.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::{CallError, Client};
use crate::protocol::command::Frame;
use crate::protocol::header::EncodeHeader;

/// Name server addresses; one is used until it fails.
#[derive(Debug, Default)]
pub struct NameServers {
    addresses: RwLock<Arc<[String]>>,
    current: AtomicUsize,
}

impl NameServers {
    /// Reads `a:9876;b:9876`; blanks and empty parts are dropped.
    #[must_use]
    pub fn parse(list: &str) -> Self {
        let servers = Self::default();
        servers.update(list);
        servers
    }

    /// Replaces the list.
    pub fn update(&self, list: &str) {
        let mut addresses: Vec<String> = Vec::new();
        for address in list.split(';').map(str::trim).filter(|address| !address.is_empty()) {
            if !addresses.iter().any(|known| known == address) {
                addresses.push(address.to_owned());
            }
        }
        *self.addresses.write().unwrap_or_else(PoisonError::into_inner) = addresses.into();
    }

    /// Every address, for calls that go to all of them.
    pub fn addresses(&self) -> Arc<[String]> {
        Arc::clone(&self.addresses.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks the current name server, and the others in turn while a call fails.
    ///
    /// An answer with an error code is an answer. The error of the last try is returned.
    pub async fn call(
        &self,
        client: &Client,
        code: impl Into<i32>,
        header: &impl EncodeHeader,
        extra: &[(&str, &str)],
        body: &[u8],
        timeout: Duration,
    ) -> Result<Frame, CallError> {
        let code = code.into();
        let addresses = self.addresses();
        let start = self.current.load(Ordering::Relaxed);
        let mut failure = CallError::NoAddress;
        for step in 0..addresses.len() {
            let at = start.wrapping_add(step) % addresses.len();
            match client.call(&addresses[at], code, header, extra, body, timeout).await {
                Ok(frame) => {
                    self.current.store(at, Ordering::Relaxed);
                    return Ok(frame);
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::NameServers;

    #[test]
    fn reads_lists() {
        let servers = NameServers::parse(" a:1 ;b:2;;a:1;");
        assert_eq!(*servers.addresses(), ["a:1".to_owned(), "b:2".to_owned()]);
        servers.update("");
        assert!(servers.addresses().is_empty());
    }
}
