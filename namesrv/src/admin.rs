//! Requests of administrators: key-value configuration, lists, permissions, settings.
//!
//! None is authenticated, as in Java. No path that a request names is ever read or written, and
//! only settings that are made for it change at run time.

use remoting::net::Peer;
use remoting::protocol::body::{Body, KVTable, TopicList, TopicRouteData};
use remoting::protocol::code::ResponseCode;
use remoting::protocol::command::Responder;
use remoting::protocol::header::{
    AddWritePermOfBrokerRequestHeader, AddWritePermOfBrokerResponseHeader,
    DeleteKVConfigRequestHeader, DeleteTopicFromNamesrvRequestHeader, GetKVConfigRequestHeader,
    GetKVConfigResponseHeader, GetKVListByNamespaceRequestHeader, GetTopicsByClusterRequestHeader,
    RegisterTopicRequestHeader, WipeWritePermOfBrokerRequestHeader,
    WipeWritePermOfBrokerResponseHeader,
};
use runtime::config::{
    Process, UpdateError, all_or_nothing, change_file, read_update, to_text, without_nulls,
};
use std::sync::PoisonError;
use tracing::info;

use crate::dispatch::{Answer, Call, Reject};
use crate::networks::Origin;
use crate::route_table::{TOPIC_UNIT, TOPIC_UNIT_SUB};

pub(crate) fn put_kv(call: &Call<'_>, out: &mut Responder<'_>) -> Answer {
    // The value may be missing, so the header is read field by field.
    let (namespace, key) = (call.frame.field("namespace"), call.frame.field("key"));
    let (Some(namespace), Some(key)) = (namespace, key) else {
        return Err(Reject::error("namespace or key is null"));
    };
    call.name_server.kv.put(namespace, key, call.frame.field("value"))?;
    info!(namespace, key, peer = %peer_of(call.peer), "key-value configuration set");
    out.ok_empty();
    Ok(())
}

pub(crate) fn kv(call: &Call<'_>, out: &mut Responder<'_>) -> Answer {
    let GetKVConfigRequestHeader { namespace, key } = call.frame.header()?;
    let value = call.name_server.kv.value(&namespace, &key).ok_or_else(|| {
        let remark = format!("No config item, Namespace: {namespace} Key: {key}");
        Reject::new(ResponseCode::QueryNotFound, remark)
    })?;
    out.ok(&GetKVConfigResponseHeader { value: Some(value) });
    Ok(())
}

pub(crate) fn delete_kv(call: &Call<'_>, out: &mut Responder<'_>) -> Answer {
    let DeleteKVConfigRequestHeader { namespace, key } = call.frame.header()?;
    call.name_server.kv.delete(&namespace, &key)?;
    info!(namespace, key, peer = %peer_of(call.peer), "key-value configuration deleted");
    out.ok_empty();
    Ok(())
}

pub(crate) fn kv_list(call: &Call<'_>, out: &mut Responder<'_>) -> Answer {
    let GetKVListByNamespaceRequestHeader { namespace } = call.frame.header()?;
    let table = call.name_server.kv.list(&namespace).ok_or_else(|| {
        let remark = format!("No config item, Namespace: {namespace}");
        Reject::new(ResponseCode::QueryNotFound, remark)
    })?;
    out.ok_body(&KVTable { table }.encode());
    Ok(())
}

pub(crate) fn cluster_info(call: &Call<'_>, out: &mut Responder<'_>) -> Answer {
    let info = call.name_server.routes().cluster_info(Origin::of(call.peer));
    out.ok_body(&info.encode());
    Ok(())
}

pub(crate) fn wipe_write_perm(call: &Call<'_>, out: &mut Responder<'_>) -> Answer {
    let WipeWritePermOfBrokerRequestHeader { broker_name } = call.frame.header()?;
    let wipe_topic_count = call.name_server.routes_mut().wipe_write_perm(&broker_name);
    info!(broker_name, wipe_topic_count, peer = %peer_of(call.peer), "write permission wiped");
    out.ok(&WipeWritePermOfBrokerResponseHeader { wipe_topic_count });
    Ok(())
}

pub(crate) fn add_write_perm(call: &Call<'_>, out: &mut Responder<'_>) -> Answer {
    let AddWritePermOfBrokerRequestHeader { broker_name } = call.frame.header()?;
    let add_topic_count = call.name_server.routes_mut().add_write_perm(&broker_name);
    info!(broker_name, add_topic_count, peer = %peer_of(call.peer), "write permission added");
    out.ok(&AddWritePermOfBrokerResponseHeader { add_topic_count });
    Ok(())
}

pub(crate) fn all_topics(call: &Call<'_>, out: &mut Responder<'_>) -> Answer {
    require(call.name_server.settings().config.enable_all_topic_list)?;
    answer_topics(call.name_server.routes().topic_names(), None, out)
}

pub(crate) fn topics_of_cluster(call: &Call<'_>, out: &mut Responder<'_>) -> Answer {
    require(call.name_server.settings().config.enable_topic_list)?;
    let GetTopicsByClusterRequestHeader { cluster } = call.frame.header()?;
    answer_topics(call.name_server.routes().topics_of_cluster(&cluster), None, out)
}

pub(crate) fn system_topics(call: &Call<'_>, out: &mut Responder<'_>) -> Answer {
    let (topics, addr) = call.name_server.routes().system_topics(Origin::of(call.peer));
    answer_topics(topics, addr, out)
}

pub(crate) fn unit_topics(call: &Call<'_>, out: &mut Responder<'_>) -> Answer {
    topics_by_flag(call, out, |flag| flag & TOPIC_UNIT != 0)
}

pub(crate) fn unit_sub_topics(call: &Call<'_>, out: &mut Responder<'_>) -> Answer {
    topics_by_flag(call, out, |flag| flag & TOPIC_UNIT_SUB != 0)
}

pub(crate) fn unit_sub_un_unit_topics(call: &Call<'_>, out: &mut Responder<'_>) -> Answer {
    topics_by_flag(call, out, |flag| flag & (TOPIC_UNIT | TOPIC_UNIT_SUB) == TOPIC_UNIT_SUB)
}

fn topics_by_flag(
    call: &Call<'_>,
    out: &mut Responder<'_>,
    wanted: impl Fn(i32) -> bool,
) -> Answer {
    require(call.name_server.settings().config.enable_topic_list)?;
    answer_topics(call.name_server.routes().topics_by_flag(wanted), None, out)
}

/// Refuses a list that is switched off.
fn require(enabled: bool) -> Answer {
    if enabled { Ok(()) } else { Err(Reject::error("disable")) }
}

fn answer_topics(
    topic_list: Vec<String>,
    broker_addr: Option<String>,
    out: &mut Responder<'_>,
) -> Answer {
    out.ok_body(&TopicList { broker_addr, topic_list }.encode());
    Ok(())
}

pub(crate) fn register_topic(call: &Call<'_>, out: &mut Responder<'_>) -> Answer {
    let RegisterTopicRequestHeader { topic } = call.frame.header()?;
    if !call.frame.body().is_empty() {
        let route = TopicRouteData::decode(call.frame.body());
        let route = route.map_err(|error| Reject::error(format!("TopicRouteData: {error}")))?;
        call.name_server.routes_mut().put_topic(&topic, route.queue_datas);
    }
    out.ok_empty();
    Ok(())
}

pub(crate) fn delete_topic(call: &Call<'_>, out: &mut Responder<'_>) -> Answer {
    let DeleteTopicFromNamesrvRequestHeader { topic, cluster_name } = call.frame.header()?;
    let cluster = cluster_name.as_deref().filter(|name| !name.is_empty());
    call.name_server.routes_mut().delete_topic(&topic, cluster);
    info!(topic, cluster, peer = %peer_of(call.peer), "topic deleted");
    out.ok_empty();
    Ok(())
}

pub(crate) fn config(call: &Call<'_>, out: &mut Responder<'_>) -> Answer {
    let mut entries = call.name_server.settings().entries();
    without_nulls(Process::NameServer, &mut entries);
    let pairs: Vec<_> = entries.iter().collect();
    out.ok_body(to_text(&pairs).as_bytes());
    Ok(())
}

pub(crate) fn update_config(call: &Call<'_>, out: &mut Responder<'_>) -> Answer {
    let name_server = call.name_server;
    // Held over the write of the file, so that of two updates the file has both.
    let mut settings = name_server.settings.write().unwrap_or_else(PoisonError::into_inner);
    let pairs = read_update(call.frame.body(), |key| settings.change(key))?;
    let mut changed = settings.clone();
    all_or_nothing(Process::NameServer, changed.apply(&pairs))?;
    if let Some(file) = settings.files.last() {
        change_file(file, &pairs)
            .map_err(|error| UpdateError::File { file: file.display().to_string(), error })?;
    }
    changed.files.note(&pairs);
    *settings = changed;
    drop(settings);
    let keys: Vec<&str> = pairs.iter().map(|(key, _)| key.as_str()).collect();
    info!(keys = keys.join(","), peer = %peer_of(call.peer), "settings changed");
    out.ok_empty();
    Ok(())
}

fn peer_of(peer: &Peer) -> std::net::SocketAddr {
    peer.announced()
}
