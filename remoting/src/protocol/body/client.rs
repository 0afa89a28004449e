//! Connected clients, and the queues they lock.

use std::collections::BTreeMap;

use super::{
    ConsumeFromWhere, ConsumeType, MessageModel, MessageQueue, SubscriptionData, bodies, constants,
};
use crate::protocol::code::LanguageCode;

constants! {
    /// What a client made of a message it was told to consume.
    CMResult {
        Success = "CR_SUCCESS",
        Later = "CR_LATER",
        Rollback = "CR_ROLLBACK",
        Commit = "CR_COMMIT",
        ThrowException = "CR_THROW_EXCEPTION",
        ReturnNull = "CR_RETURN_NULL",
    }

    /// Whether a group pulls or pops.
    MessageRequestMode {
        Pull = "PULL",
        Pop = "POP",
    }
}

bodies! {
    /// One connection of a client.
    Standard Connection {
        client_addr: String,
        client_id: String,
        #[serde(with = "language")]
        language: Option<LanguageCode>,
        version: i32,
    }

    /// The members of a consumer group (203).
    Standard ConsumerConnection {
        connection_set: Vec<Connection>,
        #[serde(deserialize_with = "ConsumeFromWhere::known")]
        consume_from_where: Option<ConsumeFromWhere>,
        #[serde(deserialize_with = "ConsumeType::known")]
        consume_type: Option<ConsumeType>,
        #[serde(deserialize_with = "MessageModel::known")]
        message_model: Option<MessageModel>,
        subscription_table: BTreeMap<String, SubscriptionData>,
    }

    /// The members of a producer group (204).
    Standard ProducerConnection {
        connection_set: Vec<Connection>,
    }

    /// One producer (328).
    Standard ProducerInfo {
        client_id: String,
        #[serde(with = "language")]
        language: Option<LanguageCode>,
        last_update_timestamp: i64,
        #[serde(rename = "remoteIP")]
        remote_ip: String,
        version: i32,
    }

    /// All producers of a broker (328).
    Standard ProducerTableInfo {
        data: BTreeMap<String, Vec<ProducerInfo>>,
    }

    /// Ids of the live consumers of a group (38).
    Standard GetConsumerListByGroupResponseBody {
        consumer_id_list: Vec<String>,
    }

    /// Queues that a consumer wants for itself (41).
    Standard LockBatchRequestBody {
        client_id: String,
        consumer_group: String,
        mq_set: Vec<MessageQueue>,
        only_this_broker: bool,
    }

    /// The queues it got (41).
    Standard LockBatchResponseBody {
        #[serde(rename = "lockOKMQSet")]
        lock_ok_mq_set: Vec<MessageQueue>,
    }

    /// Queues that a consumer gives back (42).
    Standard UnlockBatchRequestBody {
        client_id: String,
        consumer_group: String,
        mq_set: Vec<MessageQueue>,
        only_this_broker: bool,
    }

    /// The subscription of a group to a topic (345).
    Standard QuerySubscriptionResponseBody {
        group: String,
        subscription_data: Option<SubscriptionData>,
        topic: String,
    }

    /// What came of consuming one message on demand (309).
    Standard ConsumeMessageDirectlyResult {
        auto_commit: bool = true,
        #[serde(deserialize_with = "CMResult::known")]
        consume_result: Option<CMResult>,
        order: bool,
        remark: Option<String>,
        spent_time_mills: i64,
    }

    /// A wish of a group to pull or to pop a topic (401).
    Standard SetMessageRequestModeRequestBody {
        consumer_group: String,
        #[serde(deserialize_with = "MessageRequestMode::known")]
        mode: Option<MessageRequestMode> = Some(MessageRequestMode::Pull),
        pop_share_queue_num: i32,
        topic: String,
    }

    /// All wishes of groups to pull or to pop (402).
    Standard MessageRequestModeSerializeWrapper {
        message_request_mode_map: ModesByTopicAndGroup,
    }

    /// A consumer that asks which queues are its own (400).
    Standard QueryAssignmentRequestBody {
        client_id: String,
        consumer_group: String,
        #[serde(deserialize_with = "MessageModel::known")]
        message_model: Option<MessageModel>,
        strategy_name: String,
        topic: String,
    }

    /// The queues of a consumer (400); none at all means that nobody knows them.
    Standard QueryAssignmentResponseBody {
        message_queue_assignments: Option<Vec<MessageQueueAssignment>>,
    }

    /// One queue of a consumer.
    Standard MessageQueueAssignment {
        attachments: Option<BTreeMap<String, String>>,
        message_queue: Option<MessageQueue>,
        #[serde(deserialize_with = "MessageRequestMode::known")]
        mode: Option<MessageRequestMode> = Some(MessageRequestMode::Pull),
    }
}

/// Topic → group → its wish.
type ModesByTopicAndGroup = BTreeMap<String, BTreeMap<String, SetMessageRequestModeRequestBody>>;

/// The language of a client, by its name.
mod language {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::protocol::code::LanguageCode;

    pub(super) fn serialize<S: Serializer>(
        language: &Option<LanguageCode>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match language {
            Some(language) => serializer.serialize_str(language.java_name()),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<LanguageCode>, D::Error> {
        let name: Option<String> = Deserialize::deserialize(deserializer)?;
        Ok(name.as_deref().map(LanguageCode::from_name))
    }
}
