//! Makes stores whose start is to be measured: `start_cost queues DIR COUNT` and
//! `start_cost log DIR FILES`; `start_cost open DIR` opens one as a broker does and prints the
//! time, and `start_cost stop DIR` ends it cleanly as well.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use store::{MessageStore, NewMessage, OpenError, QueueKind, StoreConfig};

const QUEUES_PER_TOPIC: i32 = 1000;
const LOG_FILE_LEN: u64 = 1 << 30;

/// Size and magic of the record that fills a file up.
const BLANK_MAGIC: i32 = -875_286_124;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let texts: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match texts[..] {
        ["queues", dir, count] => queues(dir, count.parse()?),
        ["log", dir, files] => log(Path::new(dir), files.parse()?),
        ["open", dir] => {
            open(dir)?;
            Ok(())
        }
        ["stop", dir] => Ok(open(dir)?.stop()?),
        _ => Err("queues DIR COUNT | log DIR FILES | open DIR | stop DIR".into()),
    }
}

fn open(dir: &str) -> Result<MessageStore, OpenError> {
    let config = StoreConfig { store_path_root_dir: dir.to_owned(), ..StoreConfig::default() };
    let began = Instant::now();
    let store = MessageStore::open(config, Box::new(|_| QueueKind::Simple), Box::new(|_| {}))?;
    println!("{} queues, opened in {:?}", store.queues().len(), began.elapsed());
    Ok(store)
}

/// One message in each queue, and a checkpoint; the end is that of a kill.
fn queues(dir: &str, count: i32) -> Result<(), Box<dyn std::error::Error>> {
    let store = open(dir)?;
    for queue in 0..count {
        let topic = format!("Start{}", queue / QUEUES_PER_TOPIC);
        store.put(&message(&topic, queue % QUEUES_PER_TOPIC))?;
        if queue % QUEUES_PER_TOPIC == 0 {
            store.queues().write_tails()?;
        }
    }
    store.save_checkpoint()?;
    Ok(())
}

/// Files of one record and a blank one each, sparse; the end is that of a kill.
fn log(dir: &Path, files: u64) -> Result<(), Box<dyn std::error::Error>> {
    let end = open(&dir.to_string_lossy())?.put(&message("Start", 0))?.end as u64;
    let first = dir.join("commitlog/00000000000000000000");
    let mut record = vec![0; end as usize];
    File::open(&first)?.read_exact_at(&mut record, 0)?;
    for number in 0..files {
        let base = number * LOG_FILE_LEN;
        record[20..28].copy_from_slice(&number.to_be_bytes());
        record[28..36].copy_from_slice(&base.to_be_bytes());
        let path = dir.join(format!("commitlog/{base:020}"));
        let file = File::options().create(true).truncate(false).write(true).open(path)?;
        file.set_len(LOG_FILE_LEN)?;
        file.write_all_at(&record, 0)?;
        let blank_len = (LOG_FILE_LEN - end) as i32;
        file.write_all_at(&blank_len.to_be_bytes(), end)?;
        file.write_all_at(&BLANK_MAGIC.to_be_bytes(), end + 4)?;
    }
    // The next start builds both from the log.
    fs::remove_file(dir.join("checkpoint"))?;
    fs::remove_dir_all(dir.join("consumequeue")).or_else(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(error.into()),
    })
}

fn message(topic: &str, queue_id: i32) -> NewMessage<'_> {
    let host = SocketAddr::from(([127, 0, 0, 1], 10911));
    NewMessage {
        topic,
        queue_id,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1_700_000_000_000,
        born_host: host,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: b"start",
        properties: "",
    }
}
