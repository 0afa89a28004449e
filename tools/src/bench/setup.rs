//! What is done once before a measurement, over a blocking connection.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::BytesMut;
use remoting::protocol::body::{
    Body, DataVersion, MASTER_ID, RegisterBrokerBody, TopicConfig, TopicRouteData,
};
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::command::{FRAME_SIZE_MAX, Frame, RequestHead, encode_request};
use remoting::protocol::header::{
    CreateTopicRequestHeader, EncodeHeader, GetMaxOffsetRequestHeader, GetRouteInfoRequestHeader,
    RegisterBrokerRequestHeader,
};
use runtime::clock::now_ms;

use super::args::Common;

const PATIENCE: Duration = Duration::from_secs(10);

/// Read and write.
const PERM_READ_WRITE: i32 = 6;

/// The broker to measure: the one given, or the first master a name server tells.
pub fn broker_address(common: &Common) -> Result<String> {
    if let Some(broker) = &common.broker {
        return Ok(broker.clone());
    }
    // A new topic has no route yet; TBW102 is on every broker that creates topics by itself.
    for topic in [common.topic.as_str(), "TBW102"] {
        let header = GetRouteInfoRequestHeader {
            topic: topic.to_owned(),
            accept_standard_json_only: Some(true),
        };
        let answer = call(&common.namesrv, RequestCode::GetRouteinfoByTopic, &header)?;
        if answer.code() != i32::from(ResponseCode::Success) {
            continue;
        }
        let route = TopicRouteData::decode(answer.body())?;
        let mut masters = route.broker_datas.iter().filter_map(|b| b.broker_addrs.get(&MASTER_ID));
        if let Some(master) = masters.next() {
            return Ok(master.clone());
        }
    }
    bail!("name server {} knows no broker for {}", common.namesrv, common.topic)
}

/// Creates a topic, or leaves it as it is.
pub fn create_topic(address: &str, topic: &str, queues: u32) -> Result<()> {
    let header = topic_header(topic, queues)?;
    let answer = call(address, RequestCode::UpdateAndCreateTopic, &header)?;
    let (code, remark) = (answer.code(), answer.remark().unwrap_or_default());
    ensure!(code == 0, "creating topic {topic} on {address}: {code} {remark}");
    Ok(())
}

/// The creation of a topic.
pub fn topic_header(topic: &str, queues: u32) -> Result<CreateTopicRequestHeader> {
    let queues = i32::try_from(queues)?;
    Ok(CreateTopicRequestHeader {
        topic: topic.to_owned(),
        default_topic: "TBW102".to_owned(),
        read_queue_nums: queues,
        write_queue_nums: queues,
        perm: PERM_READ_WRITE,
        topic_filter_type: "SINGLE_TAG".to_owned(),
        topic_sys_flag: Some(0),
        ..CreateTopicRequestHeader::default()
    })
}

/// Tells a name server topics of a broker that nobody reaches. It forgets them when the returned
/// connection ends.
pub fn register(namesrv: &str, topics: &[String], queues: u32) -> Result<Connection> {
    let queues = i32::try_from(queues)?;
    let mut body = RegisterBrokerBody::default();
    let wrapper = &mut body.topic_config_serialize_wrapper;
    wrapper.data_version = DataVersion { counter: 1, state_version: 0, timestamp: now_ms() };
    let config = |topic: &String| (topic.clone(), TopicConfig::new(topic, queues, PERM_READ_WRITE));
    wrapper.topic_config_table = topics.iter().map(config).collect();
    let body = body.encode();
    let header = RegisterBrokerRequestHeader {
        broker_name: "mqbench".to_owned(),
        broker_addr: "127.0.0.1:1".to_owned(),
        cluster_name: "mqbench".to_owned(),
        broker_id: MASTER_ID,
        body_crc32: crc32fast::hash(&body) as i32 & i32::MAX,
        ..RegisterBrokerRequestHeader::default()
    };
    let mut connection = Connection::open(namesrv)?;
    let answer = connection.call(RequestCode::RegisterBroker, &header, &body)?;
    let (code, remark) = (answer.code(), answer.remark().unwrap_or_default());
    ensure!(code == 0, "registering topics at {namesrv}: {code} {remark}");
    Ok(connection)
}

/// The offset behind the last message of a queue.
pub fn max_offset(address: &str, topic: &str, queue: u32) -> Result<u64> {
    let header = GetMaxOffsetRequestHeader {
        topic: topic.to_owned(),
        queue_id: queue as i32,
        ..GetMaxOffsetRequestHeader::default()
    };
    let answer = call(address, RequestCode::GetMaxOffset, &header)?;
    let (code, remark) = (answer.code(), answer.remark().unwrap_or_default());
    ensure!(code == 0, "max offset of {topic} {queue} on {address}: {code} {remark}");
    answer.field("offset").and_then(|text| text.parse().ok()).context("no offset in the answer")
}

fn call(address: &str, code: RequestCode, header: &impl EncodeHeader) -> Result<Frame> {
    Connection::open(address)?.call(code, header, &[])
}

/// A connection that waits for every answer.
pub struct Connection {
    stream: TcpStream,
    address: String,
}

impl Connection {
    fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("connect {address}"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, address: address.to_owned() })
    }

    fn call(
        &mut self,
        code: RequestCode,
        header: &impl EncodeHeader,
        body: &[u8],
    ) -> Result<Frame> {
        let mut frame = BytesMut::new();
        let head = RequestHead { code: code.into(), opaque: 1, ..RequestHead::default() };
        encode_request(&mut frame, head, header, &[], body)?;
        self.stream.write_all(&frame)?;
        loop {
            let mut prefix = [0; 4];
            let read = self.stream.read_exact(&mut prefix);
            read.with_context(|| format!("answer of {}", self.address))?;
            let len = u32::from_be_bytes(prefix) as usize + 4;
            ensure!(len <= FRAME_SIZE_MAX, "an answer of {len} bytes");
            let mut bytes = BytesMut::zeroed(len);
            bytes[..4].copy_from_slice(&prefix);
            self.stream.read_exact(&mut bytes[4..])?;
            let answer = Frame::decode(bytes)?;
            // A broker may ask something meanwhile; this client has nothing to say.
            if answer.is_response() {
                return Ok(answer);
            }
        }
    }
}
