//! One request as the wire has it: a code, fields by name, a body.

use std::fmt::Display;

/// A request; nothing about it is checked.
#[derive(Clone, Debug)]
pub struct Request {
    /// What it is, for the report and for the rows of the document.
    pub name: String,
    /// Request code.
    pub code: i32,
    /// Fields of the header.
    pub fields: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Request {
    /// A plain message to queue 0 of a topic of four queues.
    pub fn send(name: &str) -> Self {
        Request::new(name, 310)
            .with("a", "compare-producer")
            .with("b", "ComparePlain")
            .with("c", "TBW102")
            .with("d", 4)
            .with("e", 0)
            .with("f", 0)
            .with("g", 1)
            .with("h", 0)
            .with("i", "TAGS\u{1}T\u{2}")
            .with("j", 0)
            .with("k", false)
            .with("l", 16)
            .with("m", false)
            .carrying("body")
    }

    /// Makes a topic.
    pub fn topic(topic: &str, queues: i32, attributes: &str) -> Self {
        let request = Request::new(&format!("create {topic}"), 17)
            .with("topic", topic)
            .with("defaultTopic", "TBW102")
            .with("readQueueNums", queues)
            .with("writeQueueNums", queues)
            .with("perm", 6)
            .with("topicFilterType", "SINGLE_TAG")
            .with("topicSysFlag", 0)
            .with("order", false);
        match attributes {
            "" => request,
            attributes => request.with("attributes", attributes),
        }
    }

    /// Makes a group that tries three times.
    pub fn group(group: &str) -> Self {
        let body = format!(
            r#"{{"groupName":"{group}","consumeEnable":true,"consumeFromMinEnable":true,"consumeBroadcastEnable":true,"retryQueueNums":1,"retryMaxTimes":3,"brokerId":0,"whichBrokerWhenConsumeSlowly":1,"notifyConsumerIdsChangedEnable":true,"groupSysFlag":0,"consumeTimeoutMinute":15}}"#
        );
        Request::new(&format!("create {group}"), 200).carrying(body)
    }

    /// A request without fields and body.
    pub fn new(name: &str, code: i32) -> Self {
        Request { name: name.to_owned(), code, fields: Vec::new(), body: Vec::new() }
    }

    /// Sets a field.
    pub fn with(mut self, name: &str, value: impl Display) -> Self {
        let value = value.to_string();
        match self.fields.iter_mut().find(|(field, _)| field == name) {
            Some(field) => field.1 = value,
            None => self.fields.push((name.to_owned(), value)),
        }
        self
    }

    /// Leaves out a field.
    pub fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(field, _)| field != name);
        self
    }

    /// Sets the body.
    pub fn carrying(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Gives it another name.
    pub fn named(mut self, name: String) -> Self {
        self.name = name;
        self
    }
}
