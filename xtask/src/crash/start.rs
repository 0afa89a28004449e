//! How long a start takes, whatever the directory holds: it must follow the tail of the log, not
//! the number of queues or files.
//!
//! Two rows. A log of many whole files, nearly all of it holes: how long after a clean stop. Very
//! many queues on disk, killed or stopped under load: how long the stop takes, and how long until
//! a message is stored again.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::BytesMut;
use futures_util::{StreamExt, stream};
use remoting::net::{Client, ClientOptions};
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::{CreateTopicRequestHeader, SendMessageRequestHeader, Short};
use remoting::protocol::message::record::{NewRecord, Version, blank_head};
use tokio::runtime::{Builder, Runtime};

use super::server::Server;

const TOPICS: u32 = 200;
const QUEUES: u32 = 1000;
const IN_FLIGHT: usize = 256;
const LOAD: Duration = Duration::from_secs(5);
const IN_BETWEEN: Duration = Duration::from_millis(200);
const TIMEOUT: Duration = Duration::from_secs(20);
const MANY_QUEUES_MAX: Duration = Duration::from_secs(3);
const STOP_MAX: Duration = Duration::from_secs(2);
const ON_DISK_MAX: Duration = Duration::from_secs(300);

const FILES: i64 = 64;
const FILE_LEN: i64 = 1 << 30;
const LONG_LOG_MAX: Duration = Duration::from_millis(500);

/// Runs the rows; true if every start was quick.
pub fn run(binary: &Path) -> Result<bool> {
    // Before the many files of the other one keep the disk busy.
    let log = long_log(binary)?;
    let queues = many_queues(binary)?;
    Ok(log && queues)
}

fn many_queues(binary: &Path) -> Result<bool> {
    let settings = "mappedFileSizeCommitLog=1073741824\nmappedFileSizeConsumeQueue=6000000\n";
    let mut server = Server::prepare(binary, "ASYNC_FLUSH", settings)?;
    server.start()?;
    let sender = Sender::new(&server)?;
    let begun = Instant::now();
    sender.create_topics()?;
    sender.send_each(None)?;
    let made = begun.elapsed();
    while queues_on_disk(&server)? < (TOPICS * QUEUES) as usize {
        ensure!(begun.elapsed() < ON_DISK_MAX, "the queues are not on disk");
        thread::sleep(Duration::from_millis(500));
    }
    let on_disk = begun.elapsed();
    println!("{} queues made in {made:.1?}, on disk after {on_disk:.1?}", TOPICS * QUEUES);
    let mut held = true;
    for (end, load) in [
        (End::Kill, Load::EachQueue),
        (End::Kill, Load::Time),
        (End::Stop, Load::EachQueue),
        (End::Stop, Load::Time),
    ] {
        held &= end_and_start(&mut server, end, load)?;
    }
    server.kill()?;
    Ok(held)
}

/// How a run ends.
#[derive(Clone, Copy)]
enum End {
    Kill,
    Stop,
}

/// What is sent before the end.
#[derive(Clone, Copy)]
enum Load {
    /// To the queues in turn, until each has a message.
    EachQueue,
    /// For a short time.
    Time,
}

/// Sends to the queues, ends the server while sends go on, starts it and sends again.
fn end_and_start(server: &mut Server, end: End, load: Load) -> Result<bool> {
    let (before, _) = server.usage()?;
    let begun = Instant::now();
    let time = matches!(load, Load::Time).then_some(LOAD);
    let sent = Sender::new(server)?.send_each(time)?;
    let sending = begun.elapsed();
    let meanwhile = Sender::new(server)?;
    // Ends with an error, when the server does.
    let meanwhile = thread::spawn(move || meanwhile.send_each(Some(TIMEOUT)).is_err());
    thread::sleep(IN_BETWEEN);
    let (ended, stop) = match end {
        End::Kill => {
            server.kill()?;
            ("kill -9".to_owned(), Duration::ZERO)
        }
        End::Stop => {
            let took = server.stop()?;
            (format!("SIGTERM, ended after {took:.2?}"), took)
        }
    };
    ensure!(meanwhile.join().is_ok_and(|failed| failed), "the server took sends after its end");
    let begun = Instant::now();
    server.start()?;
    let ready = begun.elapsed();
    Sender::new(server)?.send_one(0)?;
    let stored = begun.elapsed();
    let (after, _) = server.usage()?;
    println!(
        "{} queues, {sent} messages in {sending:.1?}, {ended}: ready in {ready:.2?}, first message \
         stored after {stored:.2?}; {} MiB anonymous memory before, {} MiB after",
        TOPICS * QUEUES,
        before >> 20,
        after >> 20
    );
    Ok(stored <= MANY_QUEUES_MAX && stop <= STOP_MAX)
}

/// Number of directories of queues.
fn queues_on_disk(server: &Server) -> Result<usize> {
    let mut count = 0;
    let root = server.data().join("consumequeue");
    for topic in fs::read_dir(root).into_iter().flatten() {
        count += fs::read_dir(topic?.path())?.count();
    }
    Ok(count)
}

fn long_log(binary: &Path) -> Result<bool> {
    let settings = format!("mappedFileSizeCommitLog={FILE_LEN}\n");
    let mut server = Server::prepare(binary, "ASYNC_FLUSH", &settings)?;
    write_log(&server.data().join("commitlog"))?;
    let begun = Instant::now();
    server.start()?;
    let first = begun.elapsed();
    let sender = Sender::new(&server)?;
    sender.create_topics()?;
    sender.send_one(0)?;
    let mut starts = [Duration::ZERO; 2];
    for (is_clean, took) in [true, false].into_iter().zip(&mut starts) {
        // A checkpoint is written once in a while.
        thread::sleep(Duration::from_secs(2));
        if is_clean {
            server.stop().map(|_| ())?
        } else {
            server.kill()?
        }
        let begun = Instant::now();
        server.start()?;
        Sender::new(&server)?.send_one(0)?;
        *took = begun.elapsed();
    }
    server.stop()?;
    let [clean, killed] = starts;
    println!(
        "a log of {} GiB: first message stored {clean:.0?} after a clean stop, {killed:.0?} after \
         kill -9, {first:.0?} when its queues are missing",
        (FILES * FILE_LEN) >> 30
    );
    Ok(clean <= LONG_LOG_MAX)
}

/// Whole files, each with one message and a blank to its end.
fn write_log(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)?;
    let host = SocketAddr::from(([127, 0, 0, 1], 10911));
    for number in 0..FILES {
        let base = number * FILE_LEN;
        let file = File::create(directory.join(format!("{base:020}")))?;
        file.set_len(FILE_LEN as u64)?;
        let record = NewRecord {
            version: Version::V1,
            queue_id: 0,
            flag: 0,
            queue_offset: number,
            physical_offset: base,
            sys_flag: 0,
            born_timestamp: 1_700_000_000_000 + number,
            born_host: host,
            store_timestamp: 1_700_000_000_000 + number,
            store_host: host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: b"one of a long log",
            topic: "LongLog",
            properties: &[],
        };
        let mut bytes = BytesMut::new();
        record.encode(&mut bytes)?;
        // The last file is the one that is written now.
        if number + 1 < FILES {
            bytes.extend_from_slice(&blank_head((FILE_LEN - bytes.len() as i64) as i32));
        }
        file.write_all_at(&bytes, 0)?;
    }
    Ok(())
}

/// A client that sends to every queue in turn.
struct Sender {
    runtime: Runtime,
    client: Client,
    broker: String,
}

impl Sender {
    fn new(server: &Server) -> Result<Sender> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let client = Client::new(ClientOptions::default());
        Ok(Sender { runtime, client, broker: server.broker() })
    }

    fn create_topics(&self) -> Result<()> {
        self.runtime.block_on(async {
            for number in 0..TOPICS {
                let header = CreateTopicRequestHeader {
                    topic: topic(number),
                    default_topic: "TBW102".to_owned(),
                    read_queue_nums: QUEUES as i32,
                    write_queue_nums: QUEUES as i32,
                    perm: 6,
                    topic_filter_type: "SINGLE_TAG".to_owned(),
                    topic_sys_flag: Some(0),
                    order: false,
                    attributes: None,
                    force: false,
                };
                let code = RequestCode::UpdateAndCreateTopic;
                let call = self.client.call(&self.broker, code, &header, &[], &[], TIMEOUT);
                let answer = call.await?;
                ensure!(answer.code() == 0, "{:?}", answer.remark());
            }
            Ok(())
        })
    }

    /// Sends one message to each queue, or over and over for a time; how many.
    fn send_each(&self, time: Option<Duration>) -> Result<u64> {
        let begun = Instant::now();
        let numbers =
            (0..TOPICS * QUEUES).cycle().enumerate().take_while(|(count, _)| match time {
                Some(time) => begun.elapsed() < time,
                None => *count < (TOPICS * QUEUES) as usize,
            });
        self.runtime.block_on(async {
            let sends = stream::iter(numbers).map(|(_, number)| self.send(number));
            let mut sends = sends.buffer_unordered(IN_FLIGHT);
            let mut count = 0;
            while let Some(sent) = sends.next().await {
                sent?;
                count += 1;
            }
            Ok(count)
        })
    }

    fn send_one(&self, number: u32) -> Result<()> {
        self.runtime.block_on(self.send(number))
    }

    async fn send(&self, number: u32) -> Result<()> {
        let topic = topic(number / QUEUES);
        let header = SendMessageRequestHeader {
            producer_group: "start",
            topic: &topic,
            default_topic: "TBW102",
            default_topic_queue_nums: 4,
            queue_id: (number % QUEUES) as i32,
            born_timestamp: 1_700_000_000_000,
            properties: Some(""),
            ..SendMessageRequestHeader::default()
        };
        let (code, header) = (RequestCode::SendMessageV2, Short(header));
        let sent = self.client.call(&self.broker, code, &header, &[], b"one of many", TIMEOUT);
        let answer = sent.await.context("send")?;
        ensure!(answer.code() == 0, "send to {topic}: {:?}", answer.remark());
        Ok(())
    }
}

fn topic(number: u32) -> String {
    format!("Start{number}")
}
