//! The varied requests: good ones, and each with a field left out, of a wrong type, out of range,
//! naming what does not exist.

use super::request::Request;

/// Longer than the timer takes.
const MONTH_MS: i64 = 30 * 24 * 3_600_000;

/// Good requests, in an order in which each makes sense.
fn good() -> Vec<Request> {
    let queue = |name: &str, code| {
        Request::new(name, code).with("topic", "ComparePlain").with("queueId", 1)
    };
    let of_group = |name: &str, code| queue(name, code).with("consumerGroup", "compare-group");
    let create = |name: &str, attributes: &str| {
        Request::new(name, 17)
            .with("topic", "CompareMade")
            .with("defaultTopic", "TBW102")
            .with("readQueueNums", 2)
            .with("writeQueueNums", 2)
            .with("perm", 6)
            .with("topicFilterType", "SINGLE_TAG")
            .with("topicSysFlag", 0)
            .with("order", false)
            .with("attributes", attributes)
    };
    let send = Request::send;
    vec![
        queue("max offset", 30),
        queue("min offset", 31),
        queue("earliest time", 32),
        queue("offset by time", 29).with("timestamp", 1_700_000_000_000_i64),
        of_group("query offset", 14),
        of_group("update offset", 15).with("commitOffset", 3),
        of_group("query offset again", 14),
        of_group("pull", 11)
            .with("queueOffset", 0)
            .with("maxMsgNums", 8)
            .with("sysFlag", 4)
            .with("commitOffset", 0)
            .with("suspendTimeoutMillis", 0)
            .with("subscription", "*")
            .with("subVersion", 0)
            .with("expressionType", "TAG"),
        of_group("pull by tag", 11)
            .with("queueOffset", 0)
            .with("maxMsgNums", 8)
            .with("sysFlag", 4)
            .with("commitOffset", 0)
            .with("suspendTimeoutMillis", 0)
            .with("subscription", "TagA || TagB")
            .with("subVersion", 0),
        of_group("pull by SQL", 11)
            .with("queueOffset", 0)
            .with("maxMsgNums", 8)
            .with("sysFlag", 4)
            .with("commitOffset", 0)
            .with("suspendTimeoutMillis", 0)
            .with("subscription", "TAGS = 'TagA' AND a IS NULL")
            .with("subVersion", 0)
            .with("expressionType", "SQL92"),
        of_group("ack", 200_051).with("offset", 0).with("extraInfo", "0 1 60000 0 0 broker 1 0"),
        of_group("peek", 200_052).with("maxMsgNums", 2),
        of_group("notification", 200_054).with("pollTime", 0).with("bornTime", 0),
        of_group("polling info", 200_055),
        Request::new("batch ack", 200_151).carrying(
            r#"{"acks":[{"b":"AQ==","c":"compare-group","it":60000,"pt":3,"q":1,"r":"0","rq":2,"so":0,"t":"ComparePlain"}],"brokerName":"broker"}"#,
        ),
        Request::new("query by key", 12)
            .with("topic", "ComparePlain")
            .with("key", "a")
            .with("maxNum", 8)
            .with("beginTimestamp", 0)
            .with("endTimestamp", i64::MAX),
        Request::new("view", 33).with("offset", 0),
        Request::new("group members", 38).with("consumerGroup", "compare-group"),
        Request::new("unregister", 35).with("clientID", "c@1").with("consumerGroup", "g"),
        create("create topic", "+message.type=NORMAL"),
        create("topic kept for 48 hours", "+reserve.time=48"),
        create("topic kept for no number", "+reserve.time=two days"),
        create("topic kept for less than -1", "+reserve.time=-2"),
        create("topic kept for too long", "+reserve.time=9223372036854775808"),
        create("topic kept for ever", "+reserve.time=9223372036854775807"),
        create("topic kept as before", "-reserve.time"),
        Request::new("topic config", 351).with("topic", "CompareFifo"),
        Request::new("topic stats", 202).with("topic", "ComparePlain"),
        Request::new("topics", 21),
        Request::new("system topics", 305),
        Request::new("consume stats", 208)
            .with("consumerGroup", "compare-group")
            .with("topic", "ComparePlain"),
        Request::new("groups of topic", 300).with("topic", "ComparePlain"),
        Request::new("topics of group", 343).with("group", "compare-group"),
        Request::new("subscription", 345).with("group", "compare-group").with("topic", "ComparePlain"),
        Request::new("time span", 303).with("topic", "ComparePlain").with("group", "compare-group"),
        Request::new("correction", 308)
            .with("filterGroups", "x")
            .with("compareGroup", "compare-group")
            .with("topic", "ComparePlain"),
        Request::new("reset offset", 222)
            .with("topic", "ComparePlain")
            .with("group", "compare-group")
            .with("timestamp", 0)
            .with("isForce", true),
        Request::new("status of clients", 223)
            .with("topic", "ComparePlain")
            .with("group", "compare-group")
            .with("clientAddr", ""),
        Request::new("running info", 307)
            .with("consumerGroup", "compare-group")
            .with("clientId", "nobody@1")
            .with("jstackEnable", false),
        Request::new("consume directly", 309)
            .with("consumerGroup", "compare-group")
            .with("clientId", "nobody@1")
            .with("msgId", "7F00000100002A9F0000000000000000"),
        Request::new("consumers", 203).with("consumerGroup", "compare-group"),
        Request::new("producers", 204).with("producerGroup", "compare-producer"),
        Request::new("all producers", 328),
        Request::new("group config", 352).with("group", "compare-strict"),
        Request::new("group configs", 201),
        Request::new("read forbidden", 353)
            .with("group", "compare-strict")
            .with("topic", "ComparePlain")
            .with("readable", true),
        Request::new("delete topic", 215).with("topic", "CompareMade"),
        Request::new("offsets", 43),
        Request::new("delay offsets", 45),
        Request::new("all consume stats", 317).with("isOrder", false),
        Request::new("clone offsets", 314)
            .with("srcGroup", "compare-group")
            .with("destGroup", "compare-clone")
            .with("topic", "ComparePlain")
            .with("offline", true),
        Request::new("delete group", 207).with("groupName", "compare-clone").with("cleanOffset", true),
        Request::new("lock", 41).carrying(
            r#"{"clientId":"c@1","consumerGroup":"compare-group","mqSet":[{"brokerName":"broker","queueId":1,"topic":"ComparePlain"}]}"#,
        ),
        Request::new("unlock", 42).carrying(
            r#"{"clientId":"c@1","consumerGroup":"compare-group","mqSet":[{"brokerName":"broker","queueId":1,"topic":"ComparePlain"}]}"#,
        ),
        Request::new("check config", 46).carrying(
            r#"{"clientId":"c@1","group":"compare-group","subscriptionData":{"topic":"ComparePlain","subString":"a > 1","expressionType":"SQL92","subVersion":1,"tagsSet":[],"codeSet":[]}}"#,
        ),
        Request::new("heartbeat", 34).carrying(
            r#"{"clientID":"c@1","producerDataSet":[{"groupName":"p"}],"consumerDataSet":[{"groupName":"compare-live","consumeType":"CONSUME_PASSIVELY","messageModel":"CLUSTERING","consumeFromWhere":"CONSUME_FROM_LAST_OFFSET","subscriptionDataSet":[{"topic":"ComparePlain","subString":"*","tagsSet":[],"codeSet":[],"subVersion":1,"expressionType":"TAG"}],"unitMode":false}],"heartbeatFingerprint":0,"withoutSub":false}"#,
        ),
        Request::new("members after heartbeat", 38).with("consumerGroup", "compare-live"),
        Request::new("connections after heartbeat", 203).with("consumerGroup", "compare-live"),
        Request::new("assignment", 400).carrying(
            r#"{"clientId":"c@1","consumerGroup":"compare-live","messageModel":"CLUSTERING","strategyName":"AVG","topic":"ComparePlain"}"#,
        ),
        Request::new("request mode", 401).carrying(
            r#"{"consumerGroup":"compare-live","mode":"POP","popShareQueueNum":2,"topic":"ComparePlain"}"#,
        ),
        Request::new("assignment by pop", 400).carrying(
            r#"{"clientId":"c@1","consumerGroup":"compare-live","messageModel":"CLUSTERING","strategyName":"AVG","topic":"ComparePlain"}"#,
        ),
        Request::new("request modes", 402),
        Request::new("send back", 36)
            .with("offset", 0)
            .with("group", "compare-group")
            .with("delayLevel", 14)
            .with("originMsgId", "x")
            .with("originTopic", "ComparePlain")
            .with("unitMode", false)
            .with("maxReconsumeTimes", 16),
        Request::new("end of transaction", 37)
            .with("topic", "ComparePlain")
            .with("producerGroup", "compare-producer")
            .with("tranStateTableOffset", 0)
            .with("commitLogOffset", 0)
            .with("commitOrRollback", 8)
            .with("fromTransactionCheck", false)
            .with("msgId", "x")
            .with("transactionId", "x"),
        Request::new("resume check", 323).with("topic", "ComparePlain").with("msgId", "x"),
        Request::new("recall", 370)
            .with("producerGroup", "compare-producer")
            .with("topic", "ComparePlain")
            .with("recallHandle", "djEgQ29tcGFyZVBsYWluIGJyb2tlciAxIGtleQ=="),
        send("send"),
        send("send to any queue").with("b", "CompareKeys").with("e", -1),
    ]
}

/// Good requests that take messages: what is stored again later is in the way of all others.
fn popping() -> Vec<Request> {
    let pop = |name: &str| {
        Request::new(name, 200_050)
            .with("topic", "ComparePlain")
            .with("queueId", 1)
            .with("consumerGroup", "compare-group")
            .with("maxMsgNums", 1)
            .with("invisibleTime", 60_000)
            .with("pollTime", 0)
            .with("bornTime", 0)
            .with("initMode", 0)
            .with("expType", "TAG")
            .with("exp", "*")
    };
    let change = |name: &str| {
        Request::new(name, 200_053)
            .with("topic", "ComparePlain")
            .with("queueId", 1)
            .with("consumerGroup", "compare-group")
            .with("offset", 0)
            .with("invisibleTime", 60_000)
            .with("extraInfo", "0 1 60000 0 0 broker 1 0")
    };
    vec![
        pop("pop"),
        pop("pop any queue").with("topic", "CompareKeys").with("queueId", -1),
        change("change invisible time"),
        Request::new("consume stats after pop", 208)
            .with("consumerGroup", "compare-group")
            .with("topic", "ComparePlain"),
        // Each stored again in a topic of its own: Java does that in several threads.
        pop("pop for no time").with("topic", "CompareOrder").with("invisibleTime", 0),
        pop("pop for less than no time").with("topic", "CompareFifo").with("invisibleTime", -1),
        change("change invisible time to none").with("invisibleTime", 0),
        change("change invisible time to less").with("invisibleTime", -1),
        change("change invisible time to 30 days").with("invisibleTime", MONTH_MS),
    ]
}

/// What a field is replaced by, and the word for it.
const VALUES: &[(&str, &str)] =
    &[("no number", "x"), ("negative", "-1"), ("huge", "9223372036854775807")];

/// Fields that hold numbers.
const NUMBERS: &[&str] = &[
    "queueId",
    "timestamp",
    "commitOffset",
    "queueOffset",
    "maxMsgNums",
    "sysFlag",
    "invisibleTime",
    "pollTime",
    "bornTime",
    "initMode",
    "offset",
    "maxNum",
    "beginTimestamp",
    "endTimestamp",
    "readQueueNums",
    "writeQueueNums",
    "perm",
    "delayLevel",
    "maxReconsumeTimes",
    "tranStateTableOffset",
    "commitLogOffset",
    "commitOrRollback",
    "d",
    "e",
    "f",
    "g",
    "h",
    "j",
];

/// Fields that name something.
const NAMES: &[&str] = &[
    "topic",
    "consumerGroup",
    "group",
    "groupName",
    "compareGroup",
    "producerGroup",
    "b",
    "extraInfo",
    "recallHandle",
    "msgId",
    "topicFilterType",
    "attributes",
    "subscription",
    "expressionType",
    "exp",
    "expType",
];

/// Requests whose bad variants would wait, or change what later requests ask for.
const ONCE: &[&str] = &[
    "query offset again",
    "topic kept for 48 hours",
    "topic kept for no number",
    "topic kept for less than -1",
    "topic kept for too long",
    "topic kept for ever",
    "topic kept as before",
    "assignment by pop",
    "heartbeat",
    "unregister",
    "send to any queue",
    "pop any queue",
    "consume stats after pop",
    "pop for no time",
    "pop for less than no time",
    "change invisible time to none",
    "change invisible time to less",
    "change invisible time to 30 days",
];

/// Fields whose variants Java takes and we do not, and that would change what all later answers
/// say: the document names them.
const LEFT_OUT: &[(&str, &str)] =
    &[("send", "f"), ("pop", "invisibleTime"), ("change invisible time", "invisibleTime")];

/// Single variants of that kind, and those for which a broker picks a queue by chance.
const LEFT_OUT_VARIANTS: &[&str] = &[
    "send without a",
    "send without c",
    "send without d",
    "send f negative",
    "send e negative",
    "pop queueId negative",
    "pop bornTime no number",
    "ack without consumerGroup",
    "change invisible time without consumerGroup",
];

/// Every request in its order.
pub fn varied() -> Vec<Request> {
    let mut all = Vec::new();
    for good in good().into_iter().chain(popping()) {
        let name = good.name.clone();
        all.push(good.clone());
        if ONCE.contains(&name.as_str()) {
            continue;
        }
        for (field, _) in &good.fields {
            if LEFT_OUT.contains(&(name.as_str(), field.as_str())) {
                continue;
            }
            let without = good.clone().without(field);
            all.push(without.named(format!("{name} without {field}")));
            if NUMBERS.contains(&field.as_str()) {
                for (word, value) in VALUES {
                    let bad = good.clone().with(field, value);
                    all.push(bad.named(format!("{name} {field} {word}")));
                }
            }
            if NAMES.contains(&field.as_str()) {
                for (word, value) in
                    [("unknown", "CompareUnknown"), ("blank", " "), ("illegal", "a/../b")]
                {
                    let bad = good.clone().with(field, value);
                    all.push(bad.named(format!("{name} {field} {word}")));
                }
            }
        }
        if !good.body.is_empty() {
            all.push(good.clone().carrying("").named(format!("{name} body absent")));
            all.push(good.clone().carrying("{").named(format!("{name} body broken")));
            all.push(good.clone().carrying("{}").named(format!("{name} body empty object")));
        }
    }
    for code in [0, -1, 13, 22, 23, 27, 47, 50, 209, 301, 999_999] {
        all.push(Request::new(&format!("code {code}"), code));
    }
    all.retain(|request| !LEFT_OUT_VARIANTS.contains(&request.name.as_str()));
    all
}
