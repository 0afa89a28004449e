//! The broker and its name servers: registration, changes at once, farewell.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod common;
#[path = "common/name_server.rs"]
mod name_server;

use std::net::SocketAddr;
use std::time::Duration;

use common::{Bench, PATIENCE, code, new_topic};
use futures_util::future::join_all;
use remoting::net::{Client, ClientOptions};
use remoting::protocol::body::{Body, TopicRouteData};
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::header::GetRouteInfoRequestHeader;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

async fn route(client: &Client, name_server: SocketAddr, topic: &str) -> Option<TopicRouteData> {
    let header = GetRouteInfoRequestHeader { topic: topic.into(), ..Default::default() };
    let request = RequestCode::GetRouteinfoByTopic;
    let address = name_server.to_string();
    let answer = client.call(&address, request, &header, &[], &[], PATIENCE).await.unwrap();
    match code(&answer) {
        ResponseCode::Success => Some(TopicRouteData::decode(answer.body()).unwrap()),
        ResponseCode::TopicNotExist => None,
        other => panic!("{other:?}: {:?}", answer.remark()),
    }
}

async fn create(bench: &Bench, topic: &str) {
    let answer = bench.call(RequestCode::UpdateAndCreateTopic, &new_topic(topic, 2), &[]).await;
    assert_eq!(code(&answer), ResponseCode::Success);
}

#[tokio::test]
async fn topics_made_together_are_routed_and_on_disk_when_each_is_answered() {
    let (names, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (name_server, services) = name_server::start(names.path(), 0);
    let bench = Bench::with(store.path(), &format!("namesrvAddr={name_server}")).await;
    bench.running.registered(PATIENCE).await;
    let client = Client::new(ClientOptions::default());
    let file = store.path().join("config/topics.json");
    let saved = |topic: &str| {
        let text = std::fs::read_to_string(&file).unwrap();
        text.contains(&format!("\"{topic}\":{{"))
    };
    let make = async |round: usize, number: usize| {
        let topic = format!("T{round}-{number}");
        create(&bench, &topic).await;
        assert!(saved(&topic), "{topic}");
        assert!(route(&client, name_server, &topic).await.is_some(), "{topic}");
    };
    for round in 0..20 {
        join_all((0..20).map(|number| make(round, number))).await;
    }
    assert!(std::fs::read_to_string(&file).unwrap().contains("\n,\"T"), "none was added in place");
    bench.stop().await;
    assert!((0..400).all(|topic| saved(&format!("T{}-{}", topic / 20, topic % 20))));
    assert!(!std::fs::read_to_string(&file).unwrap().contains("  "), "room is left");
    client.close();
    services.stop(PATIENCE).await;
}

#[tokio::test]
async fn every_name_server_knows_the_broker_until_it_stops() {
    let roots = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let (first, first_services) = name_server::start(roots[0].path(), 0);
    let (second, second_services) = name_server::start(roots[1].path(), 0);
    let list = format!("namesrvAddr={first};{second}");
    let bench = Bench::with(roots[2].path(), &list).await;
    bench.running.registered(PATIENCE).await;
    let client = Client::new(ClientOptions::default());
    for server in [first, second] {
        let found = route(&client, server, "TBW102").await.unwrap();
        assert_eq!(found.broker_datas[0].broker_name, "b");
        let address = bench.running.listens_on().to_string();
        assert_eq!(found.broker_datas[0].broker_addrs.get(&0), Some(&address));
        assert_eq!((found.queue_datas[0].perm, found.queue_datas[0].write_queue_nums), (7, 8));
        assert!(route(&client, server, "T").await.is_none());
    }
    bench.put("T", 0, "", b"x").await;
    bench.running.registered(PATIENCE).await;
    for server in [first, second] {
        let found = route(&client, server, "T").await.unwrap();
        assert_eq!((found.queue_datas[0].perm, found.queue_datas[0].write_queue_nums), (6, 4));
    }
    bench.stop().await;
    for server in [first, second] {
        assert!(route(&client, server, "T").await.is_none());
    }
    client.close();
    first_services.stop(PATIENCE).await;
    second_services.stop(PATIENCE).await;
}

/// Answers every question with the list that is given.
async fn tell(listener: &TcpListener, list: &str) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        let len = stream.read(&mut request).await.unwrap();
        assert!(request[..len].starts_with(b"GET /rocketmq/mine HTTP/1.0\r\n"));
        let answer = format!("HTTP/1.1 200 OK\r\n\r\n{list}\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn name_servers_are_found_by_an_address_server_and_change_with_it() {
    let roots = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let (first, first_services) = name_server::start(roots[0].path(), 0);
    let (second, second_services) = name_server::start(roots[1].path(), 0);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let text = format!(
        "fetchNamesrvAddrByAddressServer=true\nfetchNamesrvAddrInterval=100\n\
         rmqAddressServerDomain={}\nrmqAddressServerSubGroup=mine",
        listener.local_addr().unwrap()
    );
    let bench = Bench::with(roots[2].path(), &text).await;
    let client = Client::new(ClientOptions::default());
    for server in [first, second] {
        let known = async {
            while route(&client, server, "TBW102").await.is_none() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let list = server.to_string();
        tokio::select! {
            () = tell(&listener, &list) => {}
            known = tokio::time::timeout(PATIENCE, known) => known.unwrap(),
        }
    }
    bench.stop().await;
    assert!(route(&client, second, "TBW102").await.is_none());
    client.close();
    first_services.stop(PATIENCE).await;
    second_services.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_name_server_that_comes_late_is_told_everything() {
    let roots = [(); 2].map(|()| tempfile::tempdir().unwrap());
    // A port that was free a moment ago.
    let (address, services) = name_server::start(roots[0].path(), 0);
    services.stop(PATIENCE).await;
    let list = format!("namesrvAddr={address}");
    let bench = Bench::with(roots[1].path(), &list).await;
    bench.put("T", 0, "", b"x").await;
    // Nobody waits for a name server that is down, nor for the next attempt to reach it.
    bench.running.registered(PATIENCE).await;
    let many = async {
        for number in 0..20 {
            create(&bench, &format!("T{number}")).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), many).await.unwrap();

    let (again, services) = name_server::start(roots[0].path(), address.port());
    assert_eq!(again, address);
    let client = Client::new(ClientOptions::default());
    let known = async {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while route(&client, address, "T").await.is_none() {
            tick.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, known).await.unwrap();
    bench.stop().await;
    client.close();
    services.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_name_server_that_does_not_answer_holds_up_nothing() {
    let root = tempfile::tempdir().unwrap();
    // Connections are taken by the system; nobody ever reads them.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let list = format!("namesrvAddr={}", silent.local_addr().unwrap());
    let bench = Bench::with(root.path(), &list).await;
    bench.put("T", 0, "", b"x").await;
    let begun = std::time::Instant::now();
    bench.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_broker_of_several_networks_is_told_of_by_its_address_there() {
    let roots = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (name_server, services) = name_server::start(roots[0].path(), 0);
    let settings = format!(
        "namesrvAddr={name_server}\nadvertisedListeners=in://192.0.2.7:10911,out://mq.test:30911\n\
         advertisedNetworks=in:192.0.2.0/24,out:127.0.0.0/8"
    );
    let bench = Bench::with(roots[1].path(), &settings).await;
    bench.running.registered(PATIENCE).await;
    let client = Client::new(ClientOptions::default());
    let found = route(&client, name_server, "TBW102").await.unwrap();
    assert_eq!(found.broker_datas[0].broker_addrs[&0], "mq.test:30911");
    // It leaves under the address that it came with.
    bench.stop().await;
    assert!(route(&client, name_server, "TBW102").await.is_none());
    client.close();
    services.stop(PATIENCE).await;
}
