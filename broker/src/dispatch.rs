//! The page of requests: every code and the function that serves it.
//!
//! The match is exhaustive and has no wildcard, so a new code is a decision made here. Codes of
//! other servers and of features this broker does not have are one arm at the bottom.

use std::mem;
use std::sync::Arc;

use remoting::net::{Answers, Outcome, Peer, Service, Waited};
use remoting::protocol::code::RequestCode;
use remoting::protocol::command::{Frame, Responder};
use runtime::clock::now_ms;
use smallvec::SmallVec;
use store::GROUP_LEN;

use crate::admission::Unanswered;
use crate::broker::Broker;
use crate::call::Call;
use crate::metrics::Measured;
use crate::processor::admin::{
    clean, cold_reads, config, connections, foreign, forward, group, pop_rollback, replicas, reset,
    runtime_info, stats, topic, units,
};
use crate::processor::{
    assignment, consumer, heartbeat, lock, offset, pop, pull, query, recall, send, send_back,
    transaction,
};
use crate::reject::Reject;

/// The broker as the network sees it.
pub(crate) struct Frontend {
    broker: Arc<Broker>,
}

impl Frontend {
    /// Serves a broker.
    pub(crate) fn new(broker: Arc<Broker>) -> Self {
        Frontend { broker }
    }
}

impl Service for Frontend {
    fn call(&self, peer: &Arc<Peer>, frame: Frame, out: &mut Responder<'_>) -> Outcome {
        let call = Call { peer, frame: &frame };
        let measured = self.measure(&frame);
        let served = serve(&self.broker, &call, out);
        self.conclude(&call, served, measured, out)
    }

    fn groups(&self, frame: &Frame) -> bool {
        const SENDS: [i32; 3] = [
            RequestCode::SendMessageV2 as i32,
            RequestCode::SendMessage as i32,
            RequestCode::SendBatchMessage as i32,
        ];
        // A quota and a tiny capacity count each message before they look at the next.
        let Broker { quotas, admission, .. } = &*self.broker;
        SENDS.contains(&frame.code()) && !quotas.on() && !admission.is_tiny()
    }

    fn call_group(&self, frames: &mut Vec<Frame>, answers: &mut Answers<'_>) {
        let measured = frames.iter().map(|frame| self.measure(frame)).collect();
        let call = |(at, frame)| Call { peer: answers.peer(at), frame };
        let calls = frames.iter().enumerate().map(call).collect();
        let kept = Vec::new();
        send::send_together(&mut Together { frontend: self, calls, measured, answers, kept });
    }

    fn closed(&self, peer: &Arc<Peer>) {
        heartbeat::connection_closed(&self.broker, peer);
    }
}

/// Requests that came together, and where their answers go.
pub(crate) struct Together<'f, 'o> {
    frontend: &'f Frontend,
    /// The requests.
    pub calls: SmallVec<[Call<'f>; GROUP_LEN]>,
    measured: SmallVec<[Option<Measured>; GROUP_LEN]>,
    answers: &'f mut Answers<'o>,
    /// One for each answer that is kept.
    kept: Vec<Unanswered>,
}

impl<'f> Together<'f, '_> {
    /// Who serves them.
    pub(crate) fn broker(&self) -> &'f Arc<Broker> {
        &self.frontend.broker
    }

    /// Answers one of them, by its number.
    pub(crate) fn answer(
        &mut self,
        at: usize,
        handler: impl FnOnce(&mut Responder<'_>) -> Result<Outcome, Reject>,
    ) {
        let (call, measured) = (self.calls[at], self.measured[at].take());
        self.answers.give(at, |out| {
            let served = handler(out);
            self.frontend.conclude(&call, served, measured, out)
        });
    }

    /// Whether the answer of one of them may be kept: what is measured is held by itself.
    pub(crate) fn may_keep(&self, at: usize) -> bool {
        self.measured[at].is_none()
    }

    /// Keeps the answer of one of them until [`Together::give_kept`], which has to follow.
    pub(crate) fn keep(&mut self, at: usize, handler: impl FnOnce(&mut Responder<'_>)) {
        self.answers.keep(at, handler);
        self.kept.push(self.frontend.broker.unanswered());
    }

    /// Gives what was kept when a wait is over, or what it becomes where that failed.
    pub(crate) fn give_kept(&mut self, wait: impl Future<Output = Waited> + Send + 'static) {
        let places = mem::take(&mut self.kept);
        self.answers.give_kept(async move {
            let ended = wait.await;
            drop(places);
            ended
        });
    }
}

impl Frontend {
    fn measure(&self, frame: &Frame) -> Option<Measured> {
        self.broker.measures.on.then(|| Measured::begin(frame.code(), frame.is_oneway()))
    }

    /// Writes the answer of a request that was refused, and counts either.
    fn conclude(
        &self,
        call: &Call<'_>,
        served: Result<Outcome, Reject>,
        measured: Option<Measured>,
        out: &mut Responder<'_>,
    ) -> Outcome {
        let outcome = served.unwrap_or_else(|reject| {
            self.broker.refusals.note(call, &reject, now_ms());
            reject.write(out);
            Outcome::Done
        });
        match measured {
            Some(measured) => measured.end(&self.broker, outcome, out),
            None => outcome,
        }
    }
}

/// Serves one request.
pub(crate) fn serve(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    use RequestCode as Code;
    let number = call.frame.code();
    let Some(code) = Code::from_i32(number) else { return Err(Reject::not_supported(number)) };
    match code {
        Code::SendMessage | Code::SendMessageV2 | Code::SendBatchMessage => {
            send::send(broker, call, out)
        }
        Code::SendReplyMessage => send::send_reply(broker, call, out),
        Code::SendReplyMessageV2 => send::send_reply_v2(broker, call, out),
        Code::PullMessage => pull::pull_message(broker, call, out),
        Code::LitePullMessage => pull::lite_pull_message(broker, call, out),
        Code::ConsumerSendMsgBack => send_back::send_back(broker, call, out),

        Code::EndTransaction => transaction::end_transaction(broker, call, out),
        Code::ResumeCheckHalfMessage => transaction::resume_check(broker, call, out),

        Code::PopMessage => pop::pop_message(broker, call, out),
        Code::AckMessage => pop::ack_message(broker, call, out),
        Code::BatchAckMessage => pop::batch_ack_message(broker, call, out),
        Code::ChangeMessageInvisibletime => pop::change_invisible_time(broker, call, out),
        Code::Notification => pop::notification(broker, call, out),
        Code::PollingInfo => pop::polling_info(broker, call, out),
        Code::PeekMessage => pop::peek_message(broker, call, out),
        Code::RecallMessage => recall::recall(broker, call, out),
        Code::GetTimerCheckPoint => recall::timer_check(broker, call, out),
        Code::GetTimerMetrics => recall::timer_metrics(broker, call, out),

        Code::HeartBeat => heartbeat::heartbeat(broker, call, out),
        Code::UnregisterClient => heartbeat::unregister_client(broker, call, out),
        Code::CheckClientConfig => heartbeat::check_client_config(broker, call, out),
        Code::GetConsumerListByGroup => consumer::consumer_list(broker, call, out),
        Code::QueryConsumerOffset => consumer::query_offset(broker, call, out),
        Code::UpdateConsumerOffset => consumer::update_offset(broker, call, out),
        Code::QueryAssignment => assignment::query(broker, call, out),
        Code::SetMessageRequestMode => assignment::set_mode(broker, call, out),
        Code::GetAllMessageRequestMode => assignment::all_modes(broker, call, out),
        Code::LockBatchMq => lock::lock_queues(broker, call, out),
        Code::UnlockBatchMq => lock::unlock_queues(broker, call, out),

        Code::SearchOffsetByTimestamp => offset::search_by_timestamp(broker, call, out),
        Code::GetMaxOffset => offset::max_offset(broker, call, out),
        Code::GetMinOffset => offset::min_offset(broker, call, out),
        Code::GetEarliestMsgStoretime => offset::earliest_store_time(broker, call, out),
        Code::QueryCorrectionOffset => offset::query_correction(broker, call, out),
        Code::QueryMessage => query::query_message(broker, call, out),
        Code::ViewMessageById => query::view_message(broker, call, out),

        Code::UpdateAndCreateTopic => topic::create_or_update(broker, call, out),
        Code::UpdateAndCreateTopicList => topic::create_or_update_list(broker, call, out),
        Code::DeleteTopicInBroker => topic::delete(broker, call, out),
        Code::GetAllTopicConfig => topic::all(broker, call, out),
        Code::GetTopicConfig => topic::config(broker, call, out),
        Code::GetSystemTopicListFromBroker => topic::system_list(broker, call, out),
        Code::UpdateAndCreateSubscriptiongroup => group::create_or_update(broker, call, out),
        Code::UpdateAndCreateSubscriptiongroupList => {
            group::create_or_update_list(broker, call, out)
        }
        Code::DeleteSubscriptiongroup => group::delete(broker, call, out),
        Code::GetAllSubscriptiongroupConfig => group::all(broker, call, out),
        Code::GetSubscriptiongroupConfig => group::config(broker, call, out),
        Code::UpdateBrokerConfig => config::update(broker, call, out),
        Code::GetBrokerConfig => config::show(broker, call, out),
        Code::GetBrokerRuntimeInfo => runtime_info::runtime_info(broker, call, out),
        Code::GetTopicStatsInfo => stats::topic_stats(broker, call, out),
        Code::GetConsumeStats => stats::consume_stats(broker, call, out),
        Code::QueryTopicConsumeByWho => stats::groups_of_topic(broker, call, out),
        Code::QueryTopicsByConsumer => stats::topics_of_group(broker, call, out),
        Code::CloneGroupOffset => stats::clone_offsets(broker, call, out),
        Code::GetAllConsumerOffset => stats::all_offsets(broker, call, out),
        Code::GetAllDelayOffset => stats::all_delay_offsets(broker, call, out),
        Code::UpdateAndGetGroupForbidden => group::read_forbidden(broker, call, out),
        Code::GetConsumerConnectionList => connections::consumers(broker, call, out),
        Code::GetProducerConnectionList => connections::producers(broker, call, out),
        Code::GetAllProducerInfo => connections::all_producers(broker, call, out),
        Code::QuerySubscriptionByConsumer => connections::subscription(broker, call, out),
        Code::PopRollback => pop_rollback::pop_rollback(broker, call, out),
        Code::CleanExpiredConsumequeue => clean::expired_queues(broker, call, out),
        Code::CleanUnusedTopic => clean::unused_topics(broker, call, out),
        Code::DeleteExpiredCommitlog => clean::expired_log(broker, call, out),
        Code::ViewBrokerStatsData => stats::counted(broker, call, out),
        Code::GetBrokerConsumeStats => stats::all_consume_stats(broker, call, out),
        Code::QueryConsumeTimeSpan => stats::time_spans(broker, call, out),
        Code::GetConsumerRunningInfo => forward::running_info(broker, call, out),
        Code::ConsumeMessageDirectly => forward::consume_directly(broker, call, out),
        Code::InvokeBrokerToGetConsumerStatus => forward::consumer_status(broker, call, out),
        Code::InvokeBrokerToResetOffset => reset::reset_offset(broker, call, out),

        Code::UpdateColdDataFlowCtrConfig => cold_reads::set_shares(broker, call, out),
        Code::RemoveColdDataFlowCtrConfig => cold_reads::remove_share(broker, call, out),
        Code::GetColdDataFlowCtrInfo => cold_reads::info(broker, call, out),

        Code::QueryConsumeQueue => units::units(broker, call, out),
        Code::GetBrokerHaStatus => replicas::status(broker, call, out),
        Code::ResetMasterFlushOffset => replicas::reset_master_flush_offset(broker, call, out),
        Code::GetBrokerEpochCache => replicas::epochs(broker, call, out),
        Code::CheckRocksdbCqWriteProgress => foreign::check_rocksdb(broker, call, out),
        Code::ExportRocksdbConfigToJson => foreign::export_rocksdb(broker, call, out),
        Code::SetCommitlogReadMode => foreign::read_ahead(broker, call, out),

        Code::AuthCreateUser
        | Code::AuthUpdateUser
        | Code::AuthDeleteUser
        | Code::AuthGetUser
        | Code::AuthListUser
        | Code::AuthCreateAcl
        | Code::AuthUpdateAcl
        | Code::AuthDeleteAcl
        | Code::AuthGetAcl
        | Code::AuthListAcl => Err(foreign::no_access_control()),

        // Requests to clients, name servers, controllers and containers.
        Code::CheckTransactionState
        | Code::NotifyConsumerIdsChanged
        | Code::PutKvConfig
        | Code::GetKvConfig
        | Code::DeleteKvConfig
        | Code::RegisterBroker
        | Code::UnregisterBroker
        | Code::GetRouteinfoByTopic
        | Code::GetBrokerClusterInfo
        | Code::WipeWritePermOfBroker
        | Code::GetAllTopicListFromNameserver
        | Code::DeleteTopicInNamesrv
        | Code::RegisterTopicInNamesrv
        | Code::GetKvlistByNamespace
        | Code::ResetConsumerClientOffset
        | Code::GetConsumerStatusFromClient
        | Code::GetTopicsByCluster
        | Code::GetSystemTopicListFromNs
        | Code::GetUnitTopicList
        | Code::GetHasUnitSubTopicList
        | Code::GetHasUnitSubUnunitTopicList
        | Code::UpdateNamesrvConfig
        | Code::GetNamesrvConfig
        | Code::QueryDataVersion
        | Code::PushReplyMessageToClient
        | Code::AddWritePermOfBroker
        | Code::GetBrokerMemberGroup
        | Code::AddBroker
        | Code::RemoveBroker
        | Code::BrokerHeartbeat
        | Code::ControllerAlterSyncStateSet
        | Code::ControllerElectMaster
        | Code::ControllerRegisterBroker
        | Code::ControllerGetReplicaInfo
        | Code::ControllerGetMetadataInfo
        | Code::ControllerGetSyncStateData
        | Code::UpdateControllerConfig
        | Code::GetControllerConfig
        | Code::CleanBrokerData
        | Code::ControllerGetNextBrokerId
        | Code::ControllerApplyBrokerId => Err(Reject::not_supported(number)),

        // What this broker does not do.
        Code::QueryBrokerOffset
        | Code::GetTopicConfigList
        | Code::GetTopicNameList
        | Code::TriggerDeleteFiles
        | Code::GetClientConfig
        | Code::UpdateAndCreateAclConfig
        | Code::DeleteAclConfig
        | Code::GetBrokerClusterAclInfo
        | Code::UpdateGlobalWhiteAddrsConfig
        | Code::GetBrokerClusterAclConfig
        | Code::SuspendConsumer
        | Code::ResumeConsumer
        | Code::ResetConsumerOffsetInConsumer
        | Code::ResetConsumerOffsetInBroker
        | Code::AdjustConsumerThreadPool
        | Code::WhoConsumeTheMessage
        | Code::RegisterFilterServer
        | Code::RegisterMessageFilterClass
        | Code::UpdateAndCreateStaticTopic
        | Code::NotifyMinBrokerIdChange
        | Code::ExchangeBrokerHaInfo
        | Code::NotifyBrokerRoleChanged
        | Code::SwitchTimerEngine
        | Code::PopLiteMessage
        | Code::LiteSubscriptionCtl
        | Code::AckLiteMessage
        | Code::NotifyUnsubscribeLite
        | Code::GetBrokerLiteInfo
        | Code::GetParentTopicInfo
        | Code::GetLiteTopicInfo
        | Code::GetLiteClientInfo
        | Code::GetLiteGroupInfo
        | Code::TriggerLiteDispatch => Err(Reject::not_supported(number)),
    }
}
