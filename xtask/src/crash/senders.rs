//! Our own producers: tasks of one thread that send, and go on whatever becomes of the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use futures_util::future::join_all;
use remoting::net::{Client, ClientOptions};
use remoting::protocol::code::RequestCode;
use remoting::protocol::command::Frame;
use remoting::protocol::header::{SendMessageRequestHeader, Short};
use remoting::protocol::message::id::OffsetMessageId;
use remoting::protocol::message::properties::property;
use tokio::runtime::Builder;

use super::producers::Ack;

/// Queues of a topic that a send makes; the number of a message says which one it goes to.
pub const QUEUES: u64 = 8;
const TIMEOUT: Duration = Duration::from_secs(3);
/// Pause after a send without success, and while nothing is to be sent.
const PAUSE: Duration = Duration::from_millis(5);
const BODY_LEN: usize = 200;

/// What is sent.
#[derive(Clone, Debug)]
pub struct Shape {
    /// The topic.
    pub topic: String,
    /// Each message makes a topic of its own, whose name ends with its number.
    pub fresh: bool,
    /// The messages are for so much later.
    pub due_in: Option<Duration>,
}

impl Shape {
    /// Messages to one topic, for now.
    pub fn plain(topic: &str) -> Self {
        Self { topic: topic.to_owned(), fresh: false, due_in: None }
    }

    /// The topic of a message.
    pub fn topic_of(&self, number: impl std::fmt::Display) -> String {
        match self.fresh {
            true => format!("{}{number}", self.topic),
            false => self.topic.clone(),
        }
    }
}

/// What a send was answered.
pub struct Answer {
    /// Response code.
    pub code: i32,
    /// What was promised, with code 0.
    pub ack: Option<Ack>,
}

/// The running producers; they end when this is dropped.
pub struct Senders {
    switch: Arc<Switch>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Switch {
    paused: AtomicBool,
    ended: AtomicBool,
    /// Sends that are not answered yet.
    open: AtomicU64,
}

impl Senders {
    /// Starts `count` producers, each sending one message after the other.
    pub fn start(broker: &str, shape: &Shape, count: u32) -> Result<(Self, Receiver<Answer>)> {
        let (answers, received) = mpsc::channel();
        let switch = Arc::new(Switch::default());
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (broker, shape) = (broker.to_owned(), shape.clone());
        let load = Arc::clone(&switch);
        let thread = thread::spawn(move || {
            let next = AtomicU64::new(0);
            let send = || async {
                let client = Client::new(ClientOptions::default());
                while !load.ended.load(Ordering::Relaxed) {
                    // Counted before the look, so that `pause` sees one of the two.
                    load.open.fetch_add(1, Ordering::SeqCst);
                    if load.paused.load(Ordering::SeqCst) {
                        load.open.fetch_sub(1, Ordering::SeqCst);
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let message = Message {
                        topic: &shape.topic_of(number),
                        number,
                        body_len: BODY_LEN,
                        due_in: shape.due_in,
                    };
                    let answer = send_one(&client, &broker, &message).await;
                    let stored = answer.as_ref().is_ok_and(|answer| answer.code == 0);
                    let told = answer.is_ok_and(|answer| answers.send(answer).is_err());
                    load.open.fetch_sub(1, Ordering::SeqCst);
                    if told {
                        return;
                    }
                    if !stored {
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            };
            runtime.block_on(join_all((0..count).map(|_| send())));
        });
        Ok((Self { switch, thread: Some(thread) }, received))
    }

    /// Sends nothing until told to; returns when every send has its answer or has failed.
    pub fn pause(&self) {
        self.switch.paused.store(true, Ordering::SeqCst);
        while self.switch.open.load(Ordering::SeqCst) > 0 {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Goes on sending.
    pub fn resume(&self) {
        self.switch.paused.store(false, Ordering::SeqCst);
    }
}

impl Drop for Senders {
    fn drop(&mut self) {
        self.switch.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed.
            let _ = thread.join();
        }
    }
}

/// One message; its number says which queue it goes to.
pub struct Message<'a> {
    /// The topic.
    pub topic: &'a str,
    /// What it is known by.
    pub number: u64,
    /// Length of its body, which is its number and blanks.
    pub body_len: usize,
    /// How much later it is for.
    pub due_in: Option<Duration>,
}

/// Sends a message.
pub async fn send_one(client: &Client, broker: &str, message: &Message<'_>) -> Result<Answer> {
    let Message { topic, number, body_len, due_in } = *message;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let key = format!("{number:032X}");
    let mut properties = format!("KEYS\u{1}k{number}\u{2}UNIQ_KEY\u{1}{key}\u{2}");
    if let Some(due_in) = due_in {
        let due_ms = (now + due_in).as_millis();
        properties.push_str(&format!("{}\u{1}{due_ms}\u{2}", property::TIMER_DELIVER_MS));
    }
    let header = SendMessageRequestHeader {
        producer_group: "crash",
        topic,
        default_topic: "TBW102",
        default_topic_queue_nums: QUEUES as i32,
        queue_id: (number % QUEUES) as i32,
        born_timestamp: now.as_millis() as i64,
        properties: Some(&properties),
        ..SendMessageRequestHeader::default()
    };
    let body = format!("{number:<body_len$}");
    let (code, header) = (RequestCode::SendMessageV2, Short(header));
    let frame = client.call(broker, code, &header, &[], body.as_bytes(), TIMEOUT).await?;
    let ack = match frame.code() {
        0 => Some(ack(&frame, key, number).context("an answer without a place")?),
        _ => None,
    };
    Ok(Answer { code: frame.code(), ack })
}

fn ack(frame: &Frame, unique_key: String, number: u64) -> Option<Ack> {
    Some(Ack {
        queue_id: frame.field("queueId")?.parse().ok()?,
        queue_offset: frame.field("queueOffset")?.parse().ok()?,
        physical_offset: OffsetMessageId::parse(frame.field("msgId")?)?.physical_offset,
        unique_key,
        number: number.to_string(),
        at: Instant::now(),
    })
}
