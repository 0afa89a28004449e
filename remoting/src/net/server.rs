//! `Server`, which accepts connections and hands each to its driver.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tracing::{error, warn};

use super::connection::Connection;
use super::connections::{Connections, Event};
use super::peer::Wish;
use super::{Counts, Limits, Peer, Service};

/// Pause after a failed accept, most likely for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How a server listens.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where to listen; port 0 lets the system choose.
    pub listen: Vec<SocketAddr>,
    /// Connections the system queues for us.
    pub backlog: i32,
    /// What a connection may take.
    pub limits: Limits,
    /// How long a stop waits for held requests and unsent answers.
    pub stop_deadline: Duration,
}

impl ServerConfig {
    /// Listens on one address with the default limits.
    #[must_use]
    pub fn on(address: SocketAddr) -> Self {
        Self {
            listen: vec![address],
            backlog: 1024,
            limits: Limits::default(),
            stop_deadline: Duration::from_secs(1),
        }
    }
}

/// A listening server.
pub struct Server<S: Service> {
    service: Arc<S>,
    shared: Arc<Connections>,
    listeners: Mutex<Vec<TcpListener>>,
    addresses: Vec<SocketAddr>,
    stop_deadline: Duration,
}

impl<S: Service> Server<S> {
    /// Binds every address; call it inside the runtime that will serve.
    pub fn bind(config: ServerConfig, service: Arc<S>) -> io::Result<Self> {
        let listen = |address: &SocketAddr| {
            listen(*address, config.backlog)
                .map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))
        };
        let listeners = config.listen.iter().map(listen).collect::<io::Result<Vec<_>>>()?;
        let addresses =
            listeners.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no address to listen on"));
        }
        Ok(Self {
            service,
            shared: Arc::new(Connections::new(config.limits)),
            listeners: Mutex::new(listeners),
            addresses,
            stop_deadline: config.stop_deadline,
        })
    }

    /// The first address it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        // Invariant: bind refuses an empty list.
        self.addresses[0]
    }

    /// Every address it listens on, in the order of the configuration.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// From now on clients that understand it are asked to go elsewhere.
    pub fn drain(&self) {
        self.shared.draining.store(true, Ordering::Relaxed);
    }

    /// The open connections.
    pub fn peers(&self) -> Vec<Arc<Peer>> {
        self.shared.list()
    }

    /// What happened to connections so far.
    pub fn counts(&self) -> Counts {
        self.shared.counts()
    }

    /// Serves until `shutdown`; then accepts no more, answers what is held, and closes.
    ///
    /// Returns when every connection is closed, at the latest after the stop deadline. A second
    /// call returns at once.
    pub async fn serve(&self, shutdown: impl Future<Output = ()>) {
        let listeners =
            std::mem::take(&mut *self.listeners.lock().unwrap_or_else(PoisonError::into_inner));
        if listeners.is_empty() {
            return;
        }
        let mut tasks = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        let mut tick = interval(self.shared.limits.tick());
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                accepted = accept(&listeners) => match accepted {
                    Ok((stream, remote)) => self.take(stream, remote, &mut tasks),
                    Err(error) if is_of_one_connection(&error) => {}
                    Err(error) => {
                        error!(%error, "accept failed");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                _ = tick.tick() => self.shared.sweep(),
                Some(_) = tasks.join_next() => {}
            }
        }
        drop(listeners);
        self.finish(tasks).await;
    }

    fn take(&self, stream: TcpStream, remote: SocketAddr, tasks: &mut JoinSet<()>) {
        if self.shared.is_full() {
            self.shared.count(Event::Refused);
            return;
        }
        let Ok(local) = stream.local_addr() else { return };
        if let Err(error) = stream.set_nodelay(true) {
            warn!(%remote, %error, "TCP_NODELAY refused");
        }
        let peer = Arc::new(Peer::new(remote, local));
        let service = Arc::clone(&self.service);
        let shared = Arc::clone(&self.shared);
        tasks.spawn(Connection::accepted(stream, peer, service, shared).run());
    }

    async fn finish(&self, mut tasks: JoinSet<()>) {
        for peer in self.shared.list() {
            peer.wish(Wish::Finish);
        }
        let all = async { while tasks.join_next().await.is_some() {} };
        if timeout(self.stop_deadline, all).await.is_err() {
            warn!(connections = tasks.len(), "closed before all answers were sent");
            tasks.shutdown().await;
        }
    }
}

fn listen(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    TcpListener::from_std(socket.into())
}

async fn accept(listeners: &[TcpListener]) -> io::Result<(TcpStream, SocketAddr)> {
    poll_fn(|cx| {
        for listener in listeners {
            if let Poll::Ready(accepted) = listener.poll_accept(cx) {
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    })
    .await
}

/// Whether the error is about a connection that was gone before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}
