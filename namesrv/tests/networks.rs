//! Each client is told the address of its own network, and nobody notices otherwise.

#![allow(clippy::unwrap_used)]

mod harness;

use harness::{Broker, Harness, TIMEOUT};
use namesrv::Ports;
use remoting::net::{Client, ClientOptions};
use remoting::protocol::body::{Body, ClusterInfo, TopicList, TopicRouteData};
use remoting::protocol::code::RequestCode as Code;
use remoting::protocol::command::Frame;
use remoting::protocol::header::{EncodeHeader, GetRouteInfoRequestHeader, NoHeader};

const PLAIN: &str = "10.0.0.1:10911";

async fn ask(address: &str, code: Code, header: &impl EncodeHeader) -> Frame {
    let client = Client::new(ClientOptions::default());
    let answer = client.call(address, code, header, &[], &[], TIMEOUT).await.unwrap();
    client.close();
    assert_eq!(answer.code(), 0, "{:?}", answer.remark());
    answer
}

/// The address of broker `b` in the route, the cluster list and the list of system topics.
async fn seen(address: &str) -> [String; 3] {
    let header = GetRouteInfoRequestHeader { topic: "T".to_owned(), ..Default::default() };
    let route = ask(address, Code::GetRouteinfoByTopic, &header).await;
    let route = TopicRouteData::decode(route.body()).unwrap();
    let cluster = ask(address, Code::GetBrokerClusterInfo, &NoHeader).await;
    let cluster = ClusterInfo::decode(cluster.body()).unwrap();
    let system = ask(address, Code::GetSystemTopicListFromNs, &NoHeader).await;
    let system = TopicList::decode(system.body()).unwrap();
    [
        route.broker_datas[0].broker_addrs[&0].clone(),
        cluster.broker_addr_table["b"].broker_addrs[&0].clone(),
        system.broker_addr.unwrap(),
    ]
}

/// A port that nobody has at the moment.
fn free_port() -> u16 {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

#[tokio::test]
async fn each_network_is_told_its_own_address() {
    let outside = free_port();
    let harness = Harness::start_with(|config| config.further_listen_ports = Ports(vec![outside]));
    let (inner, outer) = (harness.address.to_string(), format!("127.0.0.1:{outside}"));
    let broker = Broker::new("b", 0, PLAIN, &["T", "U"]);
    let register = async |networks: &str| {
        let listeners = "in://192.0.2.5:10911,out://mq.example.com:30911";
        let extra = [("advertisedListeners", listeners), ("advertisedNetworks", networks)];
        let body = broker.body();
        let frame = harness.call(Code::RegisterBroker, &broker.header, &extra, &body).await;
        assert_eq!(frame.code(), 0, "{:?}", frame.remark());
    };
    let all = |address: &str| [(); 3].map(|()| address.to_owned());

    harness.register(&broker).await;
    assert_eq!(seen(&inner).await, all(PLAIN));
    assert_eq!(seen(&outer).await, all(PLAIN));

    register(&format!("in:127.0.0.0/8,out:port={outside}")).await;
    assert_eq!(seen(&inner).await, all("192.0.2.5:10911"));
    assert_eq!(seen(&outer).await, all("mq.example.com:30911"));

    // Who is in no network is told the plain address.
    register(&format!("in:10.0.0.0/8,out:port={outside}")).await;
    assert_eq!(seen(&inner).await, all(PLAIN));
    assert_eq!(seen(&outer).await, all("mq.example.com:30911"));

    // What makes no sense is passed over, and a broker that names none again has none.
    register("in:everybody").await;
    assert_eq!(seen(&outer).await, all(PLAIN));
    register("in:*").await;
    assert_eq!(seen(&outer).await, all("192.0.2.5:10911"));
    harness.register(&broker).await;
    assert_eq!(seen(&outer).await, all(PLAIN));
    harness.stop().await;
}
