//! What a client does with answers, silence, closed connections and requests from the other side.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use remoting::net::{CallError, Client, ClientOptions, NameServers};
use remoting::protocol::header::NoHeader;

use crate::support::*;

const SHORT: Duration = Duration::from_millis(50);

async fn call(client: &Client, address: &str, code: i32, body: &str) -> Result<String, CallError> {
    let frame = client.call(address, code, &NoHeader, &[], body.as_bytes(), LONG).await?;
    Ok(text(frame.body()).to_owned())
}

#[tokio::test]
async fn concurrent_calls_share_a_connection_and_match_by_number() {
    let running = Running::start();
    let address = running.address.to_string();
    let client = Client::new(ClientOptions::default());
    let bodies: Vec<String> = (0..200).map(|at| format!("call {at}")).collect();
    let calls = bodies.iter().map(|body| call(&client, &address, ECHO, body));
    for (answer, body) in join_all(calls).await.into_iter().zip(&bodies) {
        assert_eq!(answer.expect("answered"), *body);
    }
    assert_eq!(running.server.counts().opened, 1);

    // The first call is answered last.
    let held = call(&client, &address, HOLD, "h");
    let release = async {
        until("it is held", || running.probe.is_held(b"h")).await;
        call(&client, &address, RELEASE, "h").await
    };
    let (held, released) = tokio::join!(held, release);
    assert_eq!((held.expect("held"), released.expect("released")), ("h".into(), String::new()));
    running.stop().await;
}

#[tokio::test]
async fn both_sides_ask() {
    let running = Running::start();
    let address = running.address.to_string();
    let probe = Arc::new(Probe::default());
    let client = Client::with_service(ClientOptions::default(), Arc::<Probe>::clone(&probe));
    let bodies: Vec<String> = (0..50).map(|at| format!("there and back {at}")).collect();
    let calls = bodies.iter().map(|body| call(&client, &address, ASK_BACK, body));
    for (answer, body) in join_all(calls).await.into_iter().zip(&bodies) {
        assert_eq!(answer.expect("answered"), *body);
    }
    assert_eq!(probe.calls.load(Ordering::SeqCst), 50);
    let peer = running.server.peers().remove(0);
    peer.oneway(ECHO, &NoHeader, b"no answer").expect("sent");
    until("the oneway request arrives", || probe.calls.load(Ordering::SeqCst) == 51).await;
    running.stop().await;
    until("the client notices the end", || probe.closed.load(Ordering::SeqCst) == 1).await;
    let after = peer.request(ECHO, &NoHeader, b"", LONG).await;
    assert!(matches!(after, Err(CallError::Closed)), "{after:?}");
}

#[tokio::test]
async fn a_client_without_a_service_refuses() {
    let running = Running::start();
    let address = running.address.to_string();
    let client = Client::new(ClientOptions::default());
    assert_eq!(call(&client, &address, ECHO, "hello").await.expect("answered"), "hello");
    let peer = running.server.peers().remove(0);
    let refused = peer.request(40, &NoHeader, b"", LONG).await.expect("answered");
    assert_eq!(refused.code(), 3);
    assert_eq!(refused.remark(), Some(" request type 40 not supported"));
    running.stop().await;
}

#[tokio::test]
async fn a_lost_connection_fails_its_calls_and_is_made_anew() {
    let running = Running::start();
    let address = running.address.to_string();
    let client = Client::new(ClientOptions::default());
    let waiting = call(&client, &address, NEVER, "");
    let closing = async {
        until("the call is there", || running.probe.calls.load(Ordering::SeqCst) == 1).await;
        running.server.peers()[0].close();
    };
    let (lost, ()) = tokio::join!(waiting, closing);
    assert!(matches!(lost, Err(CallError::Closed)), "{lost:?}");
    assert_eq!(call(&client, &address, ECHO, "again").await.expect("answered"), "again");
    assert_eq!(running.server.counts().opened, 2);
    running.stop().await;
}

#[tokio::test]
async fn a_call_gives_up_in_time() {
    let running = Running::start();
    let address = running.address.to_string();
    let client = Client::new(ClientOptions::default());
    let silent = client.call(&address, NEVER, &NoHeader, &[], b"", SHORT).await;
    assert!(matches!(silent, Err(CallError::Timeout(SHORT))), "{silent:?}");
    // Nothing came at all, so the connection is not trusted any more.
    assert_eq!(call(&client, &address, ECHO, "new").await.expect("answered"), "new");
    assert_eq!(running.server.counts().opened, 2);
    running.stop().await;
}

#[tokio::test]
async fn a_late_answer_goes_to_nobody() {
    let running = Running::start();
    let address = running.address.to_string();
    let client = Client::new(ClientOptions::default());
    let peer = client.peer(&address).await.expect("connected");
    let late = peer.request(HOLD, &NoHeader, b"late", SHORT).await;
    assert!(matches!(late, Err(CallError::Timeout(_))), "{late:?}");
    running.probe.release(b"late");
    let next = peer.request(ECHO, &NoHeader, b"next", LONG).await.expect("answered");
    assert_eq!(next.body(), b"next");
    running.stop().await;
}

#[tokio::test]
async fn go_away_is_tried_once_more() {
    let running = Running::start();
    let address = running.address.to_string();
    let client = Client::new(ClientOptions::default());
    assert_eq!(call(&client, &address, ECHO, "x").await.expect("answered"), "x");
    running.server.drain();
    let answer = client.call(&address, ECHO, &NoHeader, &[], b"x", LONG).await.expect("answered");
    assert_eq!(answer.code(), 1500);
    assert_eq!(running.server.counts().opened, 2);
    running.stop().await;
}

#[tokio::test]
async fn nobody_there_is_an_error() {
    let running = Running::start();
    let address = running.address.to_string();
    running.stop().await;
    let client = Client::new(ClientOptions::default());
    let refused = call(&client, &address, ECHO, "").await;
    assert!(matches!(refused, Err(CallError::Connect { .. })), "{refused:?}");
    let nameless = call(&client, "no port", ECHO, "").await;
    assert!(matches!(nameless, Err(CallError::Connect { .. })), "{nameless:?}");
}

#[tokio::test]
async fn a_frame_over_the_limit_is_not_sent() {
    let running = Running::start();
    let address = running.address.to_string();
    let client = Client::new(ClientOptions::default());
    let body = vec![0; 16 * 1024 * 1024];
    let large = client.call(&address, ECHO, &NoHeader, &[], &body, LONG).await;
    assert!(matches!(large, Err(CallError::TooLarge)), "{large:?}");
    assert_eq!(call(&client, &address, ECHO, "small").await.expect("answered"), "small");
    running.stop().await;
}

#[tokio::test]
async fn dropping_the_client_closes_its_connections() {
    let running = Running::start();
    let address = running.address.to_string();
    let client = Client::new(ClientOptions::default());
    client.oneway(&address, ECHO, &NoHeader, &[], b"").await.expect("sent");
    until("it arrives", || running.probe.calls.load(Ordering::SeqCst) == 1).await;
    drop(client);
    until("it is closed", || running.server.counts().open == 0).await;
    running.stop().await;
}

#[tokio::test]
async fn name_servers_are_asked_until_one_answers() {
    let gone = Running::start();
    let dead = gone.address;
    gone.stop().await;
    let alive = Running::start();
    let client = Client::new(ClientOptions::default());
    let servers = NameServers::parse(&format!("{dead};{}", alive.address));
    for _ in 0..3 {
        let answer = servers.call(&client, ECHO, &NoHeader, &[], b"route", LONG).await;
        assert_eq!(answer.expect("answered").body(), b"route");
    }
    alive.stop().await;
    let failed = servers.call(&client, ECHO, &NoHeader, &[], b"", LONG).await;
    assert!(matches!(failed, Err(CallError::Connect { .. })), "{failed:?}");
    let nobody = NameServers::parse("").call(&client, ECHO, &NoHeader, &[], b"", LONG).await;
    assert!(matches!(nobody, Err(CallError::NoAddress)), "{nobody:?}");
}
