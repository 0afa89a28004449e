//! The registration of a broker (103), in its two forms.
//!
//! JSON, or one zlib stream of
//!
//! ```text
//! i32 n, data version as JSON | i32 topics, each: i32 n, text
//! i32 n, filter servers as JSON | i32 mappings, each: i32 n, TopicQueueMappingInfo as JSON
//! ```
//!
//! where the text of a topic is `name read write perm filterType {attributes}`, and the mappings
//! come only from brokers of version 5.0.0 on.

use bytes::BufMut;

use super::{
    Body, BodyError, DataVersion, TopicConfig, TopicConfigAndMappingSerializeWrapper,
    TopicConfigSerializeWrapper, TopicFilterType, TopicQueueMappingInfo, bodies,
};
use crate::protocol::message::compression::{Compression, InflateError};

/// Brokers older than this send only their topics.
const VERSION_WITH_BODY: i32 = 37;
/// Brokers from this version on send their static topics in the compressed form.
const VERSION_WITH_MAPPINGS: i32 = 413;
/// The longest registration that is inflated: some 400,000 topics.
const INFLATED_LEN_MAX: usize = 64 << 20;
/// How many times longer than its stream a registration may be; texts of topics that differ in
/// nothing but a number come to some 30.
const RATIO_MAX: usize = 100;
/// First byte of every zlib stream that Java writes; no JSON object begins so.
const ZLIB_FIRST_BYTE: u8 = 0x78;
const LEVEL: u32 = 9;

bodies! {
    /// What a broker tells a name server.
    BareNumbers RegisterBrokerBody {
        filter_server_list: Vec<String>,
        topic_config_serialize_wrapper: TopicConfigAndMappingSerializeWrapper,
    }
}

impl RegisterBrokerBody {
    /// Reads a registration as the header and the version of the request say.
    pub fn read(body: &[u8], compressed: bool, version: i32) -> Result<Self, BodyError> {
        // Java quirk: a broker that compresses says it does not.
        if compressed || body.first() == Some(&ZLIB_FIRST_BYTE) {
            let len_max = body.len().saturating_mul(RATIO_MAX).min(INFLATED_LEN_MAX);
            let inflated = Compression::Zlib.inflate(body, len_max)?;
            return read_binary(&inflated, version);
        }
        if version >= VERSION_WITH_BODY {
            return Self::decode(body);
        }
        let topics = TopicConfigSerializeWrapper::decode(body)?;
        Ok(RegisterBrokerBody {
            topic_config_serialize_wrapper: TopicConfigAndMappingSerializeWrapper {
                data_version: topics.data_version,
                topic_config_table: topics.topic_config_table,
                ..Default::default()
            },
            ..Default::default()
        })
    }

    /// Writes the compressed form.
    pub fn encode_compressed(&self) -> Result<Vec<u8>, BodyError> {
        let wrapper = &self.topic_config_serialize_wrapper;
        let mut out = Vec::new();
        put_bytes(&mut out, &wrapper.data_version.encode());
        out.put_u32(wrapper.topic_config_table.len() as u32);
        for topic in wrapper.topic_config_table.values() {
            put_bytes(&mut out, topic_text(topic)?.as_bytes());
        }
        put_bytes(&mut out, &serde_json::to_vec(&self.filter_server_list)?);
        out.put_u32(wrapper.topic_queue_mapping_info_map.len() as u32);
        for mapping in wrapper.topic_queue_mapping_info_map.values() {
            put_bytes(&mut out, &mapping.encode());
        }
        Compression::Zlib
            .deflate(&out, LEVEL)
            .map_err(|error| BodyError::Inflate(InflateError::Corrupt(error)))
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_u32(bytes.len() as u32);
    out.put_slice(bytes);
}

fn topic_text(topic: &TopicConfig) -> Result<String, BodyError> {
    let filter_type = topic.topic_filter_type.unwrap_or(TopicFilterType::SingleTag).name();
    let attributes = serde_json::to_string(&topic.attributes)?;
    Ok(format!(
        "{} {} {} {} {filter_type} {attributes}",
        topic.topic_name, topic.read_queue_nums, topic.write_queue_nums, topic.perm,
    ))
}

fn topic_from_text(text: &str) -> Option<TopicConfig> {
    let mut parts = text.splitn(6, ' ');
    let mut topic = TopicConfig { topic_name: parts.next()?.to_owned(), ..Default::default() };
    topic.read_queue_nums = parts.next()?.parse().ok()?;
    topic.write_queue_nums = parts.next()?.parse().ok()?;
    topic.perm = parts.next()?.parse().ok()?;
    topic.topic_filter_type = Some(TopicFilterType::from_name(parts.next()?)?);
    // Java quirk: attributes that cannot be read are none.
    let attributes = parts.next().and_then(|json| serde_json::from_str(json).ok());
    topic.attributes = attributes.unwrap_or_default();
    Some(topic)
}

fn read_binary(bytes: &[u8], version: i32) -> Result<RegisterBrokerBody, BodyError> {
    let mut rest = bytes;
    let mut body = RegisterBrokerBody::default();
    let wrapper = &mut body.topic_config_serialize_wrapper;
    wrapper.data_version = DataVersion::decode(take_bytes(&mut rest, "data version")?)?;
    for _ in 0..take_len(&mut rest, "number of topics")? {
        let text = take_bytes(&mut rest, "topic")?;
        let text = std::str::from_utf8(text).map_err(|_| BodyError::Damaged("topic"))?;
        // Java quirk: a topic that cannot be read stays as one without a name.
        if let Some(topic) = topic_from_text(text) {
            wrapper.topic_config_table.insert(topic.topic_name.clone(), topic);
        }
    }
    let filter_servers = take_bytes(&mut rest, "filter servers")?;
    body.filter_server_list = serde_json::from_slice(filter_servers)?;
    if version >= VERSION_WITH_MAPPINGS {
        for _ in 0..take_len(&mut rest, "number of mappings")? {
            let mapping = TopicQueueMappingInfo::decode(take_bytes(&mut rest, "mapping")?)?;
            let wrapper = &mut body.topic_config_serialize_wrapper;
            wrapper.topic_queue_mapping_info_map.insert(mapping.topic.clone(), mapping);
        }
    }
    Ok(body)
}

fn take_len(rest: &mut &[u8], part: &'static str) -> Result<usize, BodyError> {
    let (len, after) = rest.split_first_chunk::<4>().ok_or(BodyError::Damaged(part))?;
    *rest = after;
    usize::try_from(i32::from_be_bytes(*len)).map_err(|_| BodyError::Damaged(part))
}

fn take_bytes<'a>(rest: &mut &'a [u8], part: &'static str) -> Result<&'a [u8], BodyError> {
    let len = take_len(rest, part)?;
    let (taken, after) = rest.split_at_checked(len).ok_or(BodyError::Damaged(part))?;
    *rest = after;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn registration() -> RegisterBrokerBody {
        let mut body = RegisterBrokerBody::default();
        body.filter_server_list.push("10.0.0.1:1".to_owned());
        let wrapper = &mut body.topic_config_serialize_wrapper;
        wrapper.data_version = DataVersion { counter: 3, state_version: 1, timestamp: 5 };
        let mut topic = TopicConfig::new("T", 8, 6);
        topic.attributes = BTreeMap::from([("message.type".to_owned(), "a b".to_owned())]);
        wrapper.topic_config_table.insert("T".to_owned(), topic);
        let mapping = TopicQueueMappingInfo {
            topic: "S".to_owned(),
            curr_id_map: BTreeMap::from([(1, 2)]),
            ..Default::default()
        };
        wrapper.topic_queue_mapping_info_map.insert("S".to_owned(), mapping);
        body
    }

    #[test]
    fn both_forms_round_trip() {
        let body = registration();
        assert_eq!(RegisterBrokerBody::read(&body.encode(), false, 479).unwrap(), body);
        let compressed = body.encode_compressed().unwrap();
        assert_eq!(RegisterBrokerBody::read(&compressed, true, 479).unwrap(), body);
        assert_eq!(RegisterBrokerBody::read(&compressed, false, 479).unwrap(), body);
    }

    #[test]
    fn old_brokers_have_no_mappings_and_oldest_no_body() {
        let body = registration();
        let compressed = body.encode_compressed().unwrap();
        let old = RegisterBrokerBody::read(&compressed, true, 412).unwrap();
        let wrapper = &old.topic_config_serialize_wrapper;
        assert!(wrapper.topic_queue_mapping_info_map.is_empty());
        let topics = &body.topic_config_serialize_wrapper.topic_config_table;
        assert_eq!(&wrapper.topic_config_table, topics);

        let bare = TopicConfigSerializeWrapper {
            topic_config_table: topics.clone(),
            ..Default::default()
        };
        let oldest = RegisterBrokerBody::read(&bare.encode(), false, 36).unwrap();
        assert_eq!(&oldest.topic_config_serialize_wrapper.topic_config_table, topics);
    }

    #[test]
    fn a_bomb_is_not_inflated_and_many_topics_are() {
        let bomb = Compression::Zlib.deflate(&vec![0; 1 << 20], LEVEL).unwrap();
        let refused = RegisterBrokerBody::read(&bomb, true, 479).unwrap_err();
        assert!(refused.to_string().contains("inflates to more than"), "{refused}");
        let mut body = registration();
        let topics = &mut body.topic_config_serialize_wrapper.topic_config_table;
        for n in 0..20_000 {
            let mut topic = TopicConfig::new(&format!("topic-{n:08}"), 8, 6);
            topic.attributes.insert("message.type".to_owned(), "NORMAL".repeat(20));
            topics.insert(topic.topic_name.clone(), topic);
        }
        let compressed = body.encode_compressed().unwrap();
        assert_eq!(RegisterBrokerBody::read(&compressed, true, 479).unwrap(), body);
    }

    #[test]
    fn a_cut_registration_is_refused() {
        let compressed = registration().encode_compressed().unwrap();
        let whole = Compression::Zlib.inflate(&compressed, INFLATED_LEN_MAX).unwrap();
        for len in 0..whole.len() {
            assert!(read_binary(&whole[..len], 479).is_err(), "cut at {len}");
        }
        assert!(read_binary(&whole, 479).is_ok());
    }
}
