//! Popping: requests 200050 to 200055 and 200151.
//!
//! `messages` answers and holds, `take` takes messages of one queue, `ack` and `change` end or
//! prolong what a pop began; `notice` (200054), `peek` and `waiting` (200055) only look.

mod ack;
mod change;
mod messages;
mod notice;
mod peek;
mod retried;
mod take;
mod waiting;

use remoting::protocol::code::ResponseCode;

use crate::broker::Broker;
use crate::reject::Reject;
use crate::topics::perm;

pub(crate) use ack::{ack_message, batch_ack_message};
pub(crate) use change::change_invisible_time;
pub(crate) use messages::pop_message;
pub(crate) use notice::notification;
pub(crate) use peek::peek_message;
pub(crate) use waiting::polling_info;

/// Remark of the answers for which Java sets a code and nothing else.
// Java quirk: successes carry it too (`successes_have_javas_remark`).
const NO_REMARK: &str = "not set any response code";

/// Refuses everything while the broker may not be read.
fn check_broker(broker: &Broker) -> Result<(), Reject> {
    if perm::readable(broker.live().broker_permission) {
        return Ok(());
    }
    let remark = "popping from this broker is forbidden";
    Err(Reject::new(ResponseCode::NoPermission, remark))
}

/// Java's checks of topic, queue and group, in its order; returns the queues to read.
fn check_queue(broker: &Broker, group: &str, topic: &str, queue_id: i32) -> Result<i32, Reject> {
    let Some(facts) = broker.topics.look(topic) else { return Err(no_topic(topic)) };
    if !perm::readable(facts.perm) {
        let remark = format!("the topic[{topic}] peeking message is forbidden");
        return Err(Reject::new(ResponseCode::NoPermission, remark));
    }
    if queue_id >= facts.read_queues {
        let remark = no_queue(topic, queue_id, facts.read_queues);
        return Err(Reject::new(ResponseCode::InvalidParameter, remark));
    }
    let Some(config) = broker.group(group) else {
        let remark = format!("subscription group [{group}] does not exist");
        return Err(Reject::new(ResponseCode::SubscriptionGroupNotExist, remark));
    };
    if !config.consume_enable {
        let remark = format!("subscription group no permission, {group}");
        return Err(Reject::new(ResponseCode::NoPermission, remark));
    }
    Ok(facts.read_queues)
}

/// Checks what an acknowledgement names: the topic, then its queue.
fn check_acked(broker: &Broker, topic: &str, queue_id: i32) -> Result<(), Reject> {
    let Some(facts) = broker.topics.look(topic) else { return Err(no_topic(topic)) };
    if (0..facts.read_queues).contains(&queue_id) {
        return Ok(());
    }
    let remark = no_queue(topic, queue_id, facts.read_queues);
    Err(Reject::new(ResponseCode::MessageIllegal, remark))
}

fn no_topic(topic: &str) -> Reject {
    let remark = format!("topic[{topic}] not exist, apply first please!");
    Reject::new(ResponseCode::TopicNotExist, remark)
}

fn no_queue(topic: &str, queue_id: i32, queues: i32) -> String {
    format!("queueId[{queue_id}] is illegal, topic:[{topic}] topicConfig.readQueueNums:[{queues}]")
}
