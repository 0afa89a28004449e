//! Consumer groups: create, change, delete, list — requests 200, 225, 207, 201, 352, 353.

use std::sync::Arc;
use std::time::Instant;

use remoting::net::Outcome;
use remoting::protocol::body::{
    Body, GroupForbidden, SubscriptionGroupConfig, SubscriptionGroupList,
};
use remoting::protocol::code::ResponseCode;
use remoting::protocol::command::{Responder, ResponseTag};
use remoting::protocol::header::{
    DeleteSubscriptionGroupRequestHeader, GetAllSubscriptionGroupRequestHeader,
    GetAllSubscriptionGroupResponseHeader, GetSubscriptionGroupConfigRequestHeader, NoHeader,
    UpdateGroupForbiddenRequestHeader,
};
use runtime::clock::now_ms;

use super::{after_disk_work, not_written, topic};
use crate::broker::Broker;
use crate::call::Call;
use crate::groups::legal_name;
use crate::metrics::creation;
use crate::reject::Reject;
use crate::topics::{QUEUES_MAX, validate_topic};

/// Creates or changes a group.
pub(crate) fn create_or_update(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let config = SubscriptionGroupConfig::decode(call.body())?;
    update(broker, vec![config], out)
}

/// Creates or changes groups, all or none.
pub(crate) fn create_or_update_list(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let body = SubscriptionGroupList::decode(call.body())?;
    update(broker, body.group_config_list, out)
}

fn update(
    broker: &Arc<Broker>,
    configs: Vec<SubscriptionGroupConfig>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let begun = Instant::now();
    let outcome = check_all(broker, &configs).and_then(|()| {
        let updated = broker.groups.update(configs, now_ms());
        updated.map_err(|error| Reject::thrown(error.to_string()))?;
        Ok(saved(broker, out.tag(), |out| out.ok_empty()))
    });
    creation(broker, begun, outcome, |all, ok, took| all.group_made(ok, took))
}

fn check_all(broker: &Broker, configs: &[SubscriptionGroupConfig]) -> Result<(), Reject> {
    configs.iter().try_for_each(|config| check(broker, config))
}

fn check_name(broker: &Broker, name: &str) -> Result<(), Reject> {
    // A group that Java's files brought may still be changed.
    if legal_name(name) || broker.groups.contains(name) {
        return Ok(());
    }
    let remark = format!(
        "The specified group: {name}, is blank, longer than 255 or contains illegal characters, \
         allowing only ^[%|a-zA-Z0-9_-]+$"
    );
    Err(Reject::new(ResponseCode::InvalidParameter, remark))
}

/// Better than Java, which takes any name and then makes a retry topic of it.
fn check(broker: &Broker, config: &SubscriptionGroupConfig) -> Result<(), Reject> {
    let invalid = |remark: String| Err(Reject::new(ResponseCode::InvalidParameter, remark));
    let queues = config.retry_queue_nums;
    check_name(broker, &config.group_name)?;
    if !(0..=QUEUES_MAX).contains(&queues) {
        return invalid(format!(
            "retryQueueNums={queues}: expected a number from 0 to {QUEUES_MAX}"
        ));
    }
    Ok(())
}

/// Writes the groups and answers afterwards.
fn saved(
    broker: &Arc<Broker>,
    tag: ResponseTag,
    answer: impl FnOnce(&mut Responder<'_>) + Send + 'static,
) -> Outcome {
    let save = |broker: &Broker| broker.groups.persist().map_err(|error| not_written(&error));
    after_disk_work(broker, tag, save, answer)
}

/// Deletes a group, and its offsets if asked to.
pub(crate) fn delete(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: DeleteSubscriptionGroupRequestHeader = call.header()?;
    let group = &header.group_name;
    broker.groups.delete(group, now_ms());
    broker.traffic.group_deleted(group);
    if header.clean_offset {
        broker.offsets.remove_group(group);
    }
    tracing::info!(group, clean_offset = header.clean_offset, "consumer group deleted");
    Ok(saved(broker, out.tag(), |out| out.ok_empty()))
}

/// Answers all groups, or the page asked for.
pub(crate) fn all(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: GetAllSubscriptionGroupRequestHeader = call.header()?;
    let mut body = broker.groups.wrapper();
    let total = body.subscription_group_table.len();
    let page = topic::page(
        total,
        &body.data_version,
        header.group_seq,
        header.max_group_num,
        header.data_version.as_deref(),
    );
    if page.len() < total {
        let groups = std::mem::take(&mut body.subscription_group_table).into_iter();
        body.subscription_group_table = groups.skip(page.start).take(page.len()).collect();
    }
    let header =
        GetAllSubscriptionGroupResponseHeader { total_group_num: i32::try_from(total).ok() };
    out.respond(ResponseCode::Success, None, &header, &[], &body.encode());
    Ok(Outcome::Done)
}

/// Answers the settings of a group. Java quirk: asking makes the group.
pub(crate) fn config(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let header: GetSubscriptionGroupConfigRequestHeader = call.header()?;
    let config = broker.group(&header.group).ok_or_else(|| {
        Reject::new(ResponseCode::SubscriptionGroupNotExist, "No group in this broker")
    })?;
    out.ok_body(&config.encode());
    Ok(Outcome::Done)
}

/// Forbids or allows a group to read a topic, if asked to, and answers what holds now.
pub(crate) fn read_forbidden(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let UpdateGroupForbiddenRequestHeader { group, topic, readable } = call.header()?;
    if let Some(readable) = readable {
        check_name(broker, &group)?;
        validate_topic(&topic)
            .map_err(|error| Reject::new(ResponseCode::InvalidParameter, error.to_string()))?;
        broker.groups.set_read_forbidden(&group, &topic, !readable, now_ms());
    }
    let readable = Some(!broker.groups.read_forbidden(&group, &topic));
    let body = GroupForbidden { group, readable, topic }.encode();
    // Java quirk: an empty remark instead of none.
    let answer = move |out: &mut Responder<'_>| {
        out.respond(ResponseCode::Success, Some(""), &NoHeader, &[], &body);
    };
    Ok(saved(broker, out.tag(), answer))
}
