//! The list of requests, and those of brokers and clients; administration is in [`admin`].

use std::sync::Arc;

use remoting::net::Peer;
use remoting::protocol::body::{
    Body, DataVersion, Dialect, GetBrokerMemberGroupResponseBody, KVTable, RegisterBrokerBody,
};
use remoting::protocol::code::{RequestCode, ResponseCode};
use remoting::protocol::command::{Frame, Responder};
use remoting::protocol::header::{
    BrokerHeartbeatRequestHeader, GetBrokerMemberGroupRequestHeader, GetRouteInfoRequestHeader,
    HeaderError, NoHeader, QueryDataVersionRequestHeader, QueryDataVersionResponseHeader,
    RegisterBrokerRequestHeader, RegisterBrokerResponseHeader, UnRegisterBrokerRequestHeader,
};
use remoting::protocol::message::record::body_crc;
use runtime::clock::now_ms;
use runtime::config::UpdateError;

use crate::admin;
use crate::brokers::{BrokerKey, Registered, Registration};
use crate::kv::{KvError, ORDER_TOPIC_CONFIG};
use crate::name_server::NameServer;
use crate::networks::{Origin, advertised};
use crate::route_table::keep_zone;
use crate::topic::Asked;

/// Clients from this version on (4.9.4) read routes as standard JSON.
const VERSION_WITH_STANDARD_JSON: i32 = 401;
/// Java's hint behind a missing route.
const ROUTE_HINT: &str =
    "\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details.";

/// One request.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub name_server: &'a NameServer,
    pub peer: &'a Arc<Peer>,
    pub frame: &'a Frame,
}

/// Why a request is answered with another code than success.
#[derive(Debug)]
pub(crate) struct Reject {
    pub code: ResponseCode,
    pub remark: String,
}

impl Reject {
    pub fn new(code: ResponseCode, remark: impl Into<String>) -> Self {
        Reject { code, remark: remark.into() }
    }

    pub fn error(remark: impl Into<String>) -> Self {
        Reject::new(ResponseCode::SystemError, remark)
    }
}

impl From<HeaderError> for Reject {
    fn from(error: HeaderError) -> Self {
        Reject::error(error.to_string())
    }
}

impl From<KvError> for Reject {
    fn from(error: KvError) -> Self {
        tracing::error!(%error, "key-value configuration not written");
        Reject::error(error.to_string())
    }
}

impl From<UpdateError> for Reject {
    fn from(error: UpdateError) -> Self {
        let code = match error {
            UpdateError::Fixed => ResponseCode::NoPermission,
            _ => ResponseCode::SystemError,
        };
        Reject::new(code, error.to_string())
    }
}

/// What a handler returns; its answer is written already.
pub(crate) type Answer = Result<(), Reject>;

/// Answers one request.
pub(crate) fn dispatch(
    name_server: &NameServer,
    peer: &Arc<Peer>,
    frame: &Frame,
    out: &mut Responder<'_>,
) {
    use RequestCode as Code;
    let call = &Call { name_server, peer, frame };
    let answer = match RequestCode::from_i32(frame.code()) {
        Some(Code::GetRouteinfoByTopic) => route(call, out),
        Some(Code::RegisterBroker) => register(call, out),
        Some(Code::UnregisterBroker) => unregister(call, out),
        Some(Code::QueryDataVersion) => query_data_version(call, out),
        Some(Code::BrokerHeartbeat) => heartbeat(call, out),
        Some(Code::GetBrokerMemberGroup) => member_group(call, out),
        Some(Code::PutKvConfig) => admin::put_kv(call, out),
        Some(Code::GetKvConfig) => admin::kv(call, out),
        Some(Code::DeleteKvConfig) => admin::delete_kv(call, out),
        Some(Code::GetKvlistByNamespace) => admin::kv_list(call, out),
        Some(Code::GetBrokerClusterInfo) => admin::cluster_info(call, out),
        Some(Code::WipeWritePermOfBroker) => admin::wipe_write_perm(call, out),
        Some(Code::AddWritePermOfBroker) => admin::add_write_perm(call, out),
        Some(Code::GetAllTopicListFromNameserver) => admin::all_topics(call, out),
        Some(Code::GetTopicsByCluster) => admin::topics_of_cluster(call, out),
        Some(Code::GetSystemTopicListFromNs) => admin::system_topics(call, out),
        Some(Code::GetUnitTopicList) => admin::unit_topics(call, out),
        Some(Code::GetHasUnitSubTopicList) => admin::unit_sub_topics(call, out),
        Some(Code::GetHasUnitSubUnunitTopicList) => admin::unit_sub_un_unit_topics(call, out),
        Some(Code::RegisterTopicInNamesrv) => admin::register_topic(call, out),
        Some(Code::DeleteTopicInNamesrv) => admin::delete_topic(call, out),
        Some(Code::UpdateNamesrvConfig) => admin::update_config(call, out),
        Some(Code::GetNamesrvConfig) => admin::config(call, out),
        // Requests of brokers, controllers and clients.
        Some(_) | None => Err(Reject::new(
            ResponseCode::RequestCodeNotSupported,
            // Wire: the leading blank is Java's.
            format!(" request type {} not supported", frame.code()),
        )),
    };
    if let Err(reject) = answer {
        out.error(reject.code, &reject.remark);
    }
}

fn route(call: &Call<'_>, out: &mut Responder<'_>) -> Answer {
    let header: GetRouteInfoRequestHeader = call.frame.header()?;
    if call.name_server.waits_for_brokers(now_ms()) {
        return Err(Reject::error("name server not ready"));
    }
    let (acting_master, ordered) = {
        let settings = call.name_server.settings();
        (settings.config.support_acting_master, settings.config.order_message_enable)
    };
    let zone = zone_wanted(call.frame);
    let standard = call.frame.version() >= VERSION_WITH_STANDARD_JSON
        || header.accept_standard_json_only == Some(true);
    // Java quirk: what the zone filter rewrites is no standard JSON, whoever asks.
    let dialect = if standard && zone.is_none() { Dialect::Standard } else { Dialect::BareNumbers };
    let routes = call.name_server.routes();
    let same_for_all = zone.is_none() && !ordered && !routes.advertises;
    let topic = routes.topics.get(&header.topic).filter(|_| same_for_all);
    let asked = Asked { version: routes.version, acting_master, dialect };
    if topic.is_some_and(|topic| topic.told(asked, |body| out.ok_body(body))) {
        return Ok(());
    }
    let mut route = routes.route(&header.topic, acting_master).ok_or_else(|| {
        let topic = &header.topic;
        let remark =
            format!("No topic route info in name server for the topic: {topic}{ROUTE_HINT}");
        Reject::new(ResponseCode::TopicNotExist, remark)
    })?;
    if ordered {
        route.order_topic_conf = call.name_server.kv.value(ORDER_TOPIC_CONFIG, &header.topic);
    }
    if let Some(zone) = zone {
        keep_zone(&mut route, zone);
    }
    routes.translate(&mut route.broker_datas, Origin::of(call.peer));
    let body = route.encode_as(dialect);
    out.ok_body(&body);
    if let Some(topic) = topic {
        topic.keep(asked, body.into_boxed_slice());
    }
    Ok(())
}

/// Returns the zone a client wants its brokers to be in.
fn zone_wanted(frame: &Frame) -> Option<&str> {
    let on = frame.field("__ZONE_MODE").is_some_and(|mode| mode.eq_ignore_ascii_case("true"));
    frame.field("__ZONE_NAME").filter(|name| on && !name.trim().is_empty())
}

fn register(call: &Call<'_>, out: &mut Responder<'_>) -> Answer {
    let header: RegisterBrokerRequestHeader = call.frame.header()?;
    let bytes = call.frame.body();
    // Wire: 0 means that the broker has not computed it.
    if header.body_crc32 != 0 && header.body_crc32.cast_unsigned() != body_crc(bytes) {
        return Err(Reject::error("crc32 not match"));
    }
    let body = if bytes.is_empty() {
        RegisterBrokerBody::default()
    } else {
        RegisterBrokerBody::read(bytes, header.compressed, call.frame.version()).map_err(
            |error| Reject::error(format!("Failed to decode RegisterBrokerBody: {error}")),
        )?
    };
    let return_order = call.name_server.settings().config.return_order_topic_config_to_broker;
    let (registered, change) = {
        let settings = call.name_server.settings();
        let config = &settings.config;
        let zone_name = call.frame.field("__ZONE_NAME");
        let advertised = advertised(call.frame, &header.broker_name);
        let registration =
            Registration { header: &header, zone_name, advertised, body, peer: call.peer };
        call.name_server.routes_mut().register(registration, config, now_ms())
    };
    call.name_server.notify(change.as_slice());
    let Registered::Done { master_addr, ha_server_addr } = registered else {
        return Err(Reject::error("register broker failed"));
    };
    let order = return_order.then(|| call.name_server.kv.list(ORDER_TOPIC_CONFIG)).flatten();
    let body = order.map(|table| KVTable { table }.encode()).unwrap_or_default();
    let answer = RegisterBrokerResponseHeader { ha_server_addr, master_addr };
    out.respond(ResponseCode::Success, None, &answer, &[], &body);
    Ok(())
}

fn unregister(call: &Call<'_>, out: &mut Responder<'_>) -> Answer {
    let header: UnRegisterBrokerRequestHeader = call.frame.header()?;
    let key = BrokerKey::new(&header.cluster_name, &header.broker_addr);
    let change = call.name_server.routes_mut().unregister(&key, &header.broker_name);
    call.name_server.notify(change.as_slice());
    out.ok_empty();
    Ok(())
}

fn query_data_version(call: &Call<'_>, out: &mut Responder<'_>) -> Answer {
    let header: QueryDataVersionRequestHeader = call.frame.header()?;
    let asked = DataVersion::decode(call.frame.body());
    let asked = asked.map_err(|error| Reject::error(format!("DataVersion: {error}")))?;
    let key = BrokerKey::new(&header.cluster_name, &header.broker_addr);
    let known = {
        let mut routes = call.name_server.routes_mut();
        routes.touch(&key, now_ms());
        routes.live_version(&key).cloned()
    };
    let answer = QueryDataVersionResponseHeader { changed: known.as_ref() != Some(&asked) };
    let body = known.map(|version| version.encode()).unwrap_or_default();
    out.respond(ResponseCode::Success, None, &answer, &[], &body);
    Ok(())
}

fn heartbeat(call: &Call<'_>, out: &mut Responder<'_>) -> Answer {
    let header: BrokerHeartbeatRequestHeader = call.frame.header()?;
    let key = BrokerKey::new(&header.cluster_name, &header.broker_addr);
    call.name_server.routes_mut().touch(&key, now_ms());
    out.ok_empty();
    Ok(())
}

fn member_group(call: &Call<'_>, out: &mut Responder<'_>) -> Answer {
    let header: GetBrokerMemberGroupRequestHeader = call.frame.header()?;
    let group = call.name_server.routes().member_group(&header.cluster_name, &header.broker_name);
    let body = GetBrokerMemberGroupResponseBody { broker_member_group: Some(group) };
    // Java quirk: the remark of an answer that nobody touched.
    let remark = Some("not set any response code");
    out.respond(ResponseCode::Success, remark, &NoHeader, &[], &body.encode());
    Ok(())
}
