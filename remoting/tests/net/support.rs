//! A service that does what each test asks for by request code, and a client made of raw bytes.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use remoting::net::{
    Answers, Limits, Outcome, Peer, Server, ServerConfig, Service, Waited, ends_wait,
};
use remoting::protocol::command::{Frame, FrameWriter, Head, Responder, frame_len};
use remoting::protocol::header::NoHeader;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Answers with the body of the request.
pub const ECHO: i32 = 1001;
/// Is held until `RELEASE` names its body.
pub const HOLD: i32 = 1002;
/// Releases the held request with this body.
pub const RELEASE: i32 = 1003;
/// Panics.
pub const PANIC: i32 = 1004;
/// Is held, and panics when polled.
pub const PANIC_LATER: i32 = 1005;
/// Asks the client `ECHO` with the body and answers with what came back.
pub const ASK_BACK: i32 = 1006;
/// Answers with a body of as many bytes as the body says.
pub const FILL: i32 = 1007;
/// Answers with the announced address.
pub const WHO: i32 = 1008;
/// Answers nothing, ever.
pub const NEVER: i32 = 1009;
/// Answers with the body, together with others. Of several the answer to a body that begins with
/// `keep` is kept until [`Probe::end_wait`].
pub const TOGETHER: i32 = 1011;
/// Closes the connection from inside.
pub const CLOSE: i32 = 1010;

pub const LONG: Duration = Duration::from_secs(20);

#[derive(Default)]
pub struct Probe {
    pub calls: AtomicUsize,
    pub opened: AtomicUsize,
    pub closed: AtomicUsize,
    held: Mutex<HashMap<Vec<u8>, oneshot::Sender<()>>>,
    /// What answers that are kept wait for.
    waits: Mutex<Vec<oneshot::Sender<Waited>>>,
    /// The most requests that were handled together.
    pub group_max: AtomicUsize,
    /// Is called with every request, and with every held one again when it is released.
    pub watch: Arc<Watch>,
}

type Watch = Mutex<Option<Box<dyn FnMut() + Send>>>;

impl Probe {
    pub fn is_held(&self, body: &[u8]) -> bool {
        self.held.lock().expect("held").contains_key(body)
    }

    /// Groups with answers that are kept.
    pub fn waits(&self) -> usize {
        self.waits.lock().expect("waits").len()
    }

    /// Ends the oldest wait of a group.
    pub fn end_wait(&self, end: Waited) {
        let sender = self.waits.lock().expect("waits").remove(0);
        sender.send(end).expect("is waited for");
    }

    pub fn release(&self, body: &[u8]) {
        let sender = self.held.lock().expect("held").remove(body).expect("is held");
        ends_wait();
        sender.send(()).unwrap_or(());
    }
}

impl Service for Probe {
    fn call(&self, peer: &Arc<Peer>, frame: Frame, out: &mut Responder<'_>) -> Outcome {
        self.calls.fetch_add(1, Ordering::SeqCst);
        look(&self.watch);
        let tag = out.tag();
        let body = frame.body().to_vec();
        let answer = move |body: &[u8]| {
            let mut bytes = BytesMut::new();
            Responder::new(tag, &mut bytes).ok_body(body);
            bytes
        };
        match frame.code() {
            TOGETHER if frame.body() == b"panic" => panic!("together"),
            ECHO | TOGETHER => out.ok_body(frame.body()),
            HOLD => {
                let (sender, released) = oneshot::channel();
                self.held.lock().expect("held").insert(body.clone(), sender);
                let watch = Arc::clone(&self.watch);
                return Outcome::Later(Box::pin(async move {
                    released.await.expect("released");
                    look(&watch);
                    answer(&body)
                }));
            }
            RELEASE => {
                self.release(&body);
                out.ok_empty();
            }
            PANIC => {
                out.ok_body(b"half of an answer that must not be sent");
                panic!("on purpose");
            }
            PANIC_LATER => return Outcome::Later(Box::pin(async { panic!("later") })),
            ASK_BACK => {
                let peer = Arc::clone(peer);
                return Outcome::Later(Box::pin(async move {
                    let back = peer.request(ECHO, &NoHeader, &body, LONG).await;
                    answer(back.expect("answered").body())
                }));
            }
            FILL => {
                let size: usize = text(&body).parse().expect("a size");
                out.ok_body(&vec![b'x'; size]);
            }
            WHO => out.ok_body(peer.announced().to_string().as_bytes()),
            NEVER => return Outcome::Later(Box::pin(std::future::pending())),
            CLOSE => peer.close(),
            other => out.error(3, &format!("no {other}")),
        }
        Outcome::Done
    }

    fn groups(&self, frame: &Frame) -> bool {
        frame.code() == TOGETHER
    }

    fn call_group(&self, frames: &mut Vec<Frame>, answers: &mut Answers<'_>) {
        self.group_max.fetch_max(frames.len(), Ordering::SeqCst);
        let mut keeps = false;
        for (at, frame) in frames.drain(..).enumerate() {
            let peer = answers.peer(at);
            if frame.body().starts_with(b"keep") {
                keeps = true;
                let fields = [("queueId", "3"), ("empty", "")];
                answers.keep(at, |out| out.respond(0, None, &NoHeader, &fields, frame.body()));
            } else {
                answers.give(at, |out| self.call(peer, frame, out));
            }
        }
        if keeps {
            let (sender, end) = oneshot::channel();
            self.waits.lock().expect("waits").push(sender);
            answers.give_kept(async move { end.await.expect("ends") });
        }
    }

    fn opened(&self, _peer: &Arc<Peer>) {
        self.opened.fetch_add(1, Ordering::SeqCst);
    }

    fn closed(&self, _peer: &Arc<Peer>) {
        self.closed.fetch_add(1, Ordering::SeqCst);
    }
}

fn look(watch: &Watch) {
    if let Some(watch) = &mut *watch.lock().expect("watch") {
        watch();
    }
}

pub fn text(body: &[u8]) -> &str {
    std::str::from_utf8(body).expect("text")
}

/// A server with a probe behind it.
pub struct Running {
    pub probe: Arc<Probe>,
    pub server: Arc<Server<Probe>>,
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Running {
    pub fn start() -> Self {
        Self::with(Limits::default())
    }

    pub fn with(limits: Limits) -> Self {
        let mut config = ServerConfig::on("127.0.0.1:0".parse().expect("address"));
        config.limits = limits;
        Self::configured(config)
    }

    pub fn configured(config: ServerConfig) -> Self {
        let probe = Arc::new(Probe::default());
        let server = Arc::new(Server::bind(config, Arc::clone(&probe)).expect("bind"));
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel();
        let serve = Arc::clone(&server);
        let serving = tokio::spawn(async move {
            serve.serve(async { drop(stopped.await) }).await;
        });
        Self { probe, server, address, stop, serving }
    }

    pub async fn connect(&self) -> Raw {
        Raw::connect(self.address).await
    }

    /// Stops and waits for the end.
    pub async fn stop(self) -> Arc<Probe> {
        drop(self.stop);
        self.serving.await.expect("served");
        self.probe
    }

    /// Starts the stop without waiting for its end.
    pub fn begin_stop(self) -> (JoinHandle<()>, Arc<Probe>) {
        drop(self.stop);
        (self.serving, self.probe)
    }
}

/// A client of bytes.
pub struct Raw {
    pub stream: TcpStream,
    input: BytesMut,
}

impl Raw {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("connect");
        Self { stream, input: BytesMut::new() }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("send");
    }

    /// The next frame, or nothing at the end of the stream.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(len) = frame_len(&self.input).expect("length")
                && len <= self.input.len()
            {
                return Some(Frame::decode(self.input.split_to(len)).expect("frame"));
            }
            let read = tokio::time::timeout(LONG, self.stream.read_buf(&mut self.input)).await;
            match read.expect("something in time") {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The next frame's number and body.
    pub async fn answer(&mut self) -> (i32, String) {
        let frame = self.next().await.expect("an answer");
        assert!(frame.is_response());
        (frame.opaque(), text(frame.body()).to_owned())
    }

    pub async fn round_trip(&mut self, code: i32, opaque: i32, body: &str) -> String {
        self.send(&request(code, opaque, body.as_bytes())).await;
        let (answered, body) = self.answer().await;
        assert_eq!(answered, opaque);
        body
    }

    /// Asserts that the other side closes without a word.
    pub async fn expect_end(&mut self) {
        let frame = self.next().await;
        assert!(frame.is_none(), "{frame:?}");
    }
}

pub fn request(code: i32, opaque: i32, body: &[u8]) -> BytesMut {
    framed(&Head { code, opaque, ..Head::default() }, body)
}

pub fn framed(head: &Head<'_>, body: &[u8]) -> BytesMut {
    let mut bytes = BytesMut::new();
    let mut writer = FrameWriter::begin(&mut bytes, head, &NoHeader, &[]);
    writer.body().extend_from_slice(body);
    writer.finish();
    bytes
}

/// Waits for a condition that another task brings about.
pub async fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let turns = async {
        while !reached() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, turns).await.unwrap_or_else(|_| panic!("{what} in time"));
}
