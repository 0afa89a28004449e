//! A producer that sends numbers at a steady pace.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use remoting::net::{Client, ClientOptions};
use remoting::protocol::body::{
    Body, MessageRequestMode, SetMessageRequestModeRequestBody, SubscriptionGroupConfig,
    TopicRouteData,
};
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::{
    CreateTopicRequestHeader, EncodeHeader, GetRouteInfoRequestHeader, NoHeader,
    SendMessageRequestHeader,
};
use tokio::runtime::Runtime;

const TIMEOUT: Duration = Duration::from_secs(3);
/// Messages are sent in bursts of as many as are due.
const TICK: Duration = Duration::from_millis(10);
/// Reading and writing.
const PERM: i32 = 6;

/// The topic and who sends to it.
pub struct Producer {
    runtime: Runtime,
    client: Client,
    broker: String,
    topic: String,
    queues: i32,
}

impl Producer {
    /// Makes the topic and the group, whose consumers are to pop it.
    pub fn prepare(broker: &str, topic: &str, queues: i32, group: &str) -> Result<Self> {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let producer = Self {
            runtime: runtime.worker_threads(1).enable_all().build()?,
            client: Client::new(ClientOptions::default()),
            broker: broker.to_owned(),
            topic: topic.to_owned(),
            queues,
        };
        let header = CreateTopicRequestHeader {
            topic: topic.to_owned(),
            default_topic: "TBW102".to_owned(),
            read_queue_nums: queues,
            write_queue_nums: queues,
            perm: PERM,
            topic_filter_type: "SINGLE_TAG".to_owned(),
            ..CreateTopicRequestHeader::default()
        };
        producer.ask(RequestCode::UpdateAndCreateTopic, &header, &[])?;
        let config = SubscriptionGroupConfig {
            group_name: group.to_owned(),
            ..SubscriptionGroupConfig::default()
        };
        let code = RequestCode::UpdateAndCreateSubscriptiongroup;
        producer.ask(code, &NoHeader, &config.encode())?;
        let mode = SetMessageRequestModeRequestBody {
            consumer_group: group.to_owned(),
            topic: topic.to_owned(),
            mode: Some(MessageRequestMode::Pop),
            pop_share_queue_num: 0,
        };
        producer.ask(RequestCode::SetMessageRequestMode, &NoHeader, &mode.encode())?;
        Ok(producer)
    }

    fn ask(&self, code: RequestCode, header: &impl EncodeHeader, body: &[u8]) -> Result<()> {
        let answer =
            self.runtime.block_on(self.client.call(&self.broker, code, header, &[], body, TIMEOUT));
        let answer = answer?;
        ensure!(answer.code() == 0, "{code:?}: {} {:?}", answer.code(), answer.remark());
        Ok(())
    }

    /// Waits until the name server knows the topic: consumers ask for it every 30 s only.
    pub fn wait_route(&self, name_server: &str, patience: Duration) -> Result<()> {
        let header = GetRouteInfoRequestHeader { topic: self.topic.clone(), ..Default::default() };
        let code = RequestCode::GetRouteinfoByTopic;
        let begun = Instant::now();
        while begun.elapsed() < patience {
            let answer = self.runtime.block_on(async {
                let answer = self.client.call(name_server, code, &header, &[], &[], TIMEOUT).await;
                tokio::time::sleep(TICK).await;
                answer
            })?;
            if answer.code() == 0 && !TopicRouteData::decode(answer.body())?.queue_datas.is_empty()
            {
                return Ok(());
            }
        }
        bail!("the name server does not know {} after {patience:?}", self.topic)
    }

    /// Sends `per_second` numbers for some time; returns how many.
    pub fn send(&self, per_second: u64, time: Duration) -> Result<u64> {
        self.runtime.block_on(async {
            let begun = Instant::now();
            let mut sent = 0;
            while begun.elapsed() < time {
                let due = begun.elapsed().as_millis() as u64 * per_second / 1000;
                while sent < due {
                    self.send_one(sent).await?;
                    sent += 1;
                }
                tokio::time::sleep(TICK).await;
            }
            Ok(sent)
        })
    }

    async fn send_one(&self, number: u64) -> Result<()> {
        let header = SendMessageRequestHeader {
            producer_group: "pop-crash-producer",
            topic: &self.topic,
            default_topic: "TBW102",
            default_topic_queue_nums: self.queues,
            queue_id: (number % self.queues.unsigned_abs() as u64) as i32,
            ..SendMessageRequestHeader::default()
        };
        let (code, body) = (RequestCode::SendMessage, number.to_string());
        let answer =
            self.client.call(&self.broker, code, &header, &[], body.as_bytes(), TIMEOUT).await?;
        ensure!(answer.code() == 0, "send: {} {:?}", answer.code(), answer.remark());
        Ok(())
    }
}
