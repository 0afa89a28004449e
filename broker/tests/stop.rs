//! Stopping: what was acknowledged is there afterwards, and clients are asked to go in time.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod common;

use std::time::Duration;

use common::{Bench, PATIENCE, bodies, code, from, sent, to};
use remoting::net::{Client, ClientOptions};
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::header::{
    NoHeader, PullMessageRequestHeader, SendMessageRequestHeader, Short,
};

/// Sends to one queue until the broker is gone; returns the offset and body of what was stored.
async fn send_until_refused(address: &str, queue_id: i32) -> Vec<(i64, String)> {
    let client = Client::new(ClientOptions::default());
    let mut stored = Vec::new();
    loop {
        let body = format!("{queue_id}-{}", stored.len());
        let header = Short(SendMessageRequestHeader { queue_id, ..to("T") });
        let code = RequestCode::SendMessageV2;
        match client.call(address, code, &header, &[], body.as_bytes(), PATIENCE).await {
            Ok(answer) if common::code(&answer) == ResponseCode::Success => {
                stored.push((sent(&answer).queue_offset, body));
            }
            _ => break,
        }
    }
    client.close();
    stored
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_before_a_stop_is_there_after_it() {
    let root = tempfile::tempdir().unwrap();
    let bench = Bench::start(root.path()).await;
    let address = bench.address().to_owned();
    let senders = futures_util::future::join_all((0..4).map(|queue_id| {
        let address = address.clone();
        async move { send_until_refused(&address, queue_id).await }
    }));
    let stop = async {
        // Stop in the middle: when the first queue has a few hundred messages.
        let pull =
            PullMessageRequestHeader { sys_flag: 6, suspend_timeout_millis: 5_000, ..from("T", 0) };
        let mut offset = 0;
        while offset < 300 {
            let answer =
                bench.pull(PullMessageRequestHeader { queue_offset: offset, ..pull.clone() });
            offset = match answer.await {
                answer if code(&answer) == ResponseCode::TopicNotExist => 0,
                answer => common::pulled(&answer).next_begin_offset,
            };
        }
        bench.stop().await;
    };
    let (stored, ()) = tokio::join!(senders, stop);

    assert!(!root.path().join("abort").exists());
    let bench = Bench::start(root.path()).await;
    for (queue_id, stored) in (0..).zip(stored) {
        assert!(!stored.is_empty());
        let mut found = Vec::new();
        while found.len() < stored.len() {
            let next = i64::try_from(found.len()).unwrap();
            let header = PullMessageRequestHeader { queue_id, ..from("T", next) };
            let answer = bench.pull(header).await;
            assert_eq!(code(&answer), ResponseCode::Success, "queue {queue_id} at {next}");
            found.extend(bodies(&answer));
        }
        for (offset, body) in stored {
            assert_eq!(found[usize::try_from(offset).unwrap()], body);
        }
    }
    bench.stop().await;
}

#[tokio::test]
async fn a_graceful_stop_asks_clients_to_go_away() {
    let root = tempfile::tempdir().unwrap();
    let settings = "enableShutdownGracefully=true\nshutdownWaitTimeSeconds=1";
    let Bench { running, client, .. } = Bench::with(root.path(), settings).await;
    let address = running.listens_on().to_string();
    let asked = async {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        loop {
            tick.tick().await;
            let code = RequestCode::GetBrokerRuntimeInfo;
            let answer = client.call(&address, code, &NoHeader, &[], &[], PATIENCE).await.unwrap();
            if common::code(&answer) == ResponseCode::GoAway {
                return answer.remark().map(str::to_owned);
            }
        }
    };
    let (asked, stopped) = tokio::join!(asked, running.stop());
    assert_eq!(asked.as_deref(), Some("please go away"));
    stopped.unwrap();
}
