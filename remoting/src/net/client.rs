//! `Client`, which calls other processes over pooled connections.
//!
//! One connection per address carries all calls, answers matched by number. It is made at the
//! first call and again at the first call after it closed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout};

use super::connection::Connection;
use super::connections::Connections;
use super::{CallError, Limits, NoService, Peer, Service};
use crate::protocol::code::ResponseCode;
use crate::protocol::command::Frame;
use crate::protocol::header::EncodeHeader;

/// How a client connects.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// How long a connect may take, as in Java.
    pub connect_timeout: Duration,
    /// What a connection may take.
    pub limits: Limits,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self { connect_timeout: Duration::from_secs(3), limits: Limits::default() }
    }
}

/// Calls other processes; closes its connections when dropped.
pub struct Client {
    connect_timeout: Duration,
    service: Arc<dyn Service>,
    shared: Arc<Connections>,
    pool: Mutex<HashMap<String, Arc<Slot>>>,
    tasks: Mutex<JoinSet<()>>,
}

/// The connection to one address; the lock lets only one task connect.
#[derive(Default)]
struct Slot {
    peer: tokio::sync::Mutex<Option<Arc<Peer>>>,
}

impl Client {
    /// A client that refuses requests from the other side.
    #[must_use]
    pub fn new(options: ClientOptions) -> Self {
        Self::with_service(options, Arc::new(NoService))
    }

    /// A client whose `service` handles the requests of the other side.
    #[must_use]
    pub fn with_service(options: ClientOptions, service: Arc<dyn Service>) -> Self {
        Self {
            connect_timeout: options.connect_timeout,
            service,
            shared: Arc::new(Connections::new(options.limits)),
            pool: Mutex::default(),
            tasks: Mutex::default(),
        }
    }

    /// Sends a request to `address` and waits for its answer, whatever its code.
    ///
    /// A GO_AWAY is followed by one more try on a new connection. After a time-out during which
    /// nothing at all came, the connection is closed, so that the next call makes a new one.
    pub async fn call(
        &self,
        address: &str,
        code: impl Into<i32>,
        header: &impl EncodeHeader,
        extra: &[(&str, &str)],
        body: &[u8],
        timeout: Duration,
    ) -> Result<Frame, CallError> {
        let code = code.into();
        let until = Instant::now() + timeout;
        let mut again = true;
        loop {
            let peer = self.within(until, timeout, self.peer(address)).await?;
            let reads = peer.reads();
            let left = until.saturating_duration_since(Instant::now());
            match peer.call(code, header, extra, body, left).await {
                Ok(frame) if again && frame.code() == i32::from(ResponseCode::GoAway) => {
                    again = false;
                    self.retire(address, &peer).await;
                }
                Err(CallError::Timeout(_)) => {
                    if peer.reads() == reads {
                        peer.close();
                        self.retire(address, &peer).await;
                    }
                    return Err(CallError::Timeout(timeout));
                }
                other => return other,
            }
        }
    }

    /// Sends a request that nobody answers.
    pub async fn oneway(
        &self,
        address: &str,
        code: impl Into<i32>,
        header: &impl EncodeHeader,
        extra: &[(&str, &str)],
        body: &[u8],
    ) -> Result<(), CallError> {
        self.peer(address).await?.post(code.into(), true, header, extra, body).map(|_| ())
    }

    /// The open connection to `address`, made now if there is none.
    pub async fn peer(&self, address: &str) -> Result<Arc<Peer>, CallError> {
        let slot = {
            let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
            match pool.get(address) {
                Some(slot) => Arc::clone(slot),
                None => Arc::clone(pool.entry(address.to_owned()).or_default()),
            }
        };
        let mut pooled = slot.peer.lock().await;
        if let Some(peer) = pooled.as_ref().filter(|peer| peer.is_open()) {
            return Ok(Arc::clone(peer));
        }
        let peer = self.connect(address).await?;
        *pooled = Some(Arc::clone(&peer));
        Ok(peer)
    }

    /// Closes every connection; a later call connects again.
    pub fn close(&self) {
        for peer in self.shared.list() {
            peer.close();
        }
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    async fn connect(&self, address: &str) -> Result<Arc<Peer>, CallError> {
        let failed = |source| CallError::Connect { address: address.to_owned(), source };
        let stream = timeout(self.connect_timeout, TcpStream::connect(address))
            .await
            .map_err(|_| failed(std::io::ErrorKind::TimedOut.into()))?
            .map_err(failed)?;
        let remote = stream.peer_addr().map_err(failed)?;
        let local = stream.local_addr().map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let peer = Arc::new(Peer::new(remote, local));
        let service = Arc::clone(&self.service);
        let shared = Arc::clone(&self.shared);
        let connection = Connection::connected(stream, Arc::clone(&peer), service, shared);
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if tasks.is_empty() {
            tasks.spawn(sweep(Arc::clone(&self.shared)));
        }
        while tasks.try_join_next().is_some() {}
        tasks.spawn(connection.run());
        Ok(peer)
    }

    async fn within<T>(
        &self,
        until: Instant,
        timeout: Duration,
        work: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        tokio::time::timeout_at(until, work).await.map_err(|_| CallError::Timeout(timeout))?
    }

    /// Takes a connection out of the pool; calls on it may still be answered.
    async fn retire(&self, address: &str, peer: &Arc<Peer>) {
        let slot = {
            let pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
            pool.get(address).map(Arc::clone)
        };
        if let Some(slot) = slot {
            let mut pooled = slot.peer.lock().await;
            if pooled.as_ref().is_some_and(|known| Arc::ptr_eq(known, peer)) {
                *pooled = None;
            }
        }
    }
}

/// Looks at the connections of a client for as long as the client lives.
async fn sweep(shared: Arc<Connections>) {
    let mut tick = interval(shared.limits.tick());
    loop {
        tick.tick().await;
        shared.sweep();
    }
}
