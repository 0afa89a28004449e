//! Request codes, response codes and sender languages of the wire.
//!
//! The tables hold every code of Apache RocketMQ 4.9.7, 5.1.4, 5.3.3 and 5.5.0.

/// The `version` every frame of ours carries: the ordinal of `V5_3_3` in Java's `MQVersion`.
pub const VERSION: i32 = 479;

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($code:literal $variant:ident $java:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(i32)]
        pub enum $name {
            $(#[doc = concat!("`", $java, "`")] $variant = $code,)*
        }

        impl $name {
            /// Every code with its Java name, in ascending order.
            pub const ALL: &'static [(Self, &'static str)] = &[$((Self::$variant, $java),)*];

            /// The code of a number on the wire, if it is a known one.
            pub fn from_i32(code: i32) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The name of the Java constant.
            pub fn java_name(self) -> &'static str {
                match self {
                    $(Self::$variant => $java,)*
                }
            }
        }

        impl From<$name> for i32 {
            fn from(code: $name) -> i32 {
                code as i32
            }
        }
    };
}

codes! {
    /// What a request asks for.
    RequestCode {
        10 SendMessage "SEND_MESSAGE";
        11 PullMessage "PULL_MESSAGE";
        12 QueryMessage "QUERY_MESSAGE";
        13 QueryBrokerOffset "QUERY_BROKER_OFFSET";
        14 QueryConsumerOffset "QUERY_CONSUMER_OFFSET";
        15 UpdateConsumerOffset "UPDATE_CONSUMER_OFFSET";
        17 UpdateAndCreateTopic "UPDATE_AND_CREATE_TOPIC";
        18 UpdateAndCreateTopicList "UPDATE_AND_CREATE_TOPIC_LIST";
        21 GetAllTopicConfig "GET_ALL_TOPIC_CONFIG";
        22 GetTopicConfigList "GET_TOPIC_CONFIG_LIST";
        23 GetTopicNameList "GET_TOPIC_NAME_LIST";
        25 UpdateBrokerConfig "UPDATE_BROKER_CONFIG";
        26 GetBrokerConfig "GET_BROKER_CONFIG";
        27 TriggerDeleteFiles "TRIGGER_DELETE_FILES";
        28 GetBrokerRuntimeInfo "GET_BROKER_RUNTIME_INFO";
        29 SearchOffsetByTimestamp "SEARCH_OFFSET_BY_TIMESTAMP";
        30 GetMaxOffset "GET_MAX_OFFSET";
        31 GetMinOffset "GET_MIN_OFFSET";
        32 GetEarliestMsgStoretime "GET_EARLIEST_MSG_STORETIME";
        33 ViewMessageById "VIEW_MESSAGE_BY_ID";
        34 HeartBeat "HEART_BEAT";
        35 UnregisterClient "UNREGISTER_CLIENT";
        36 ConsumerSendMsgBack "CONSUMER_SEND_MSG_BACK";
        37 EndTransaction "END_TRANSACTION";
        38 GetConsumerListByGroup "GET_CONSUMER_LIST_BY_GROUP";
        39 CheckTransactionState "CHECK_TRANSACTION_STATE";
        40 NotifyConsumerIdsChanged "NOTIFY_CONSUMER_IDS_CHANGED";
        41 LockBatchMq "LOCK_BATCH_MQ";
        42 UnlockBatchMq "UNLOCK_BATCH_MQ";
        43 GetAllConsumerOffset "GET_ALL_CONSUMER_OFFSET";
        45 GetAllDelayOffset "GET_ALL_DELAY_OFFSET";
        46 CheckClientConfig "CHECK_CLIENT_CONFIG";
        47 GetClientConfig "GET_CLIENT_CONFIG";
        50 UpdateAndCreateAclConfig "UPDATE_AND_CREATE_ACL_CONFIG";
        51 DeleteAclConfig "DELETE_ACL_CONFIG";
        52 GetBrokerClusterAclInfo "GET_BROKER_CLUSTER_ACL_INFO";
        53 UpdateGlobalWhiteAddrsConfig "UPDATE_GLOBAL_WHITE_ADDRS_CONFIG";
        54 GetBrokerClusterAclConfig "GET_BROKER_CLUSTER_ACL_CONFIG";
        60 GetTimerCheckPoint "GET_TIMER_CHECK_POINT";
        61 GetTimerMetrics "GET_TIMER_METRICS";
        100 PutKvConfig "PUT_KV_CONFIG";
        101 GetKvConfig "GET_KV_CONFIG";
        102 DeleteKvConfig "DELETE_KV_CONFIG";
        103 RegisterBroker "REGISTER_BROKER";
        104 UnregisterBroker "UNREGISTER_BROKER";
        105 GetRouteinfoByTopic "GET_ROUTEINFO_BY_TOPIC";
        106 GetBrokerClusterInfo "GET_BROKER_CLUSTER_INFO";
        200 UpdateAndCreateSubscriptiongroup "UPDATE_AND_CREATE_SUBSCRIPTIONGROUP";
        201 GetAllSubscriptiongroupConfig "GET_ALL_SUBSCRIPTIONGROUP_CONFIG";
        202 GetTopicStatsInfo "GET_TOPIC_STATS_INFO";
        203 GetConsumerConnectionList "GET_CONSUMER_CONNECTION_LIST";
        204 GetProducerConnectionList "GET_PRODUCER_CONNECTION_LIST";
        205 WipeWritePermOfBroker "WIPE_WRITE_PERM_OF_BROKER";
        206 GetAllTopicListFromNameserver "GET_ALL_TOPIC_LIST_FROM_NAMESERVER";
        207 DeleteSubscriptiongroup "DELETE_SUBSCRIPTIONGROUP";
        208 GetConsumeStats "GET_CONSUME_STATS";
        209 SuspendConsumer "SUSPEND_CONSUMER";
        210 ResumeConsumer "RESUME_CONSUMER";
        211 ResetConsumerOffsetInConsumer "RESET_CONSUMER_OFFSET_IN_CONSUMER";
        212 ResetConsumerOffsetInBroker "RESET_CONSUMER_OFFSET_IN_BROKER";
        213 AdjustConsumerThreadPool "ADJUST_CONSUMER_THREAD_POOL";
        214 WhoConsumeTheMessage "WHO_CONSUME_THE_MESSAGE";
        215 DeleteTopicInBroker "DELETE_TOPIC_IN_BROKER";
        216 DeleteTopicInNamesrv "DELETE_TOPIC_IN_NAMESRV";
        217 RegisterTopicInNamesrv "REGISTER_TOPIC_IN_NAMESRV";
        219 GetKvlistByNamespace "GET_KVLIST_BY_NAMESPACE";
        220 ResetConsumerClientOffset "RESET_CONSUMER_CLIENT_OFFSET";
        221 GetConsumerStatusFromClient "GET_CONSUMER_STATUS_FROM_CLIENT";
        222 InvokeBrokerToResetOffset "INVOKE_BROKER_TO_RESET_OFFSET";
        223 InvokeBrokerToGetConsumerStatus "INVOKE_BROKER_TO_GET_CONSUMER_STATUS";
        224 GetTopicsByCluster "GET_TOPICS_BY_CLUSTER";
        225 UpdateAndCreateSubscriptiongroupList "UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST";
        300 QueryTopicConsumeByWho "QUERY_TOPIC_CONSUME_BY_WHO";
        301 RegisterFilterServer "REGISTER_FILTER_SERVER";
        302 RegisterMessageFilterClass "REGISTER_MESSAGE_FILTER_CLASS";
        303 QueryConsumeTimeSpan "QUERY_CONSUME_TIME_SPAN";
        304 GetSystemTopicListFromNs "GET_SYSTEM_TOPIC_LIST_FROM_NS";
        305 GetSystemTopicListFromBroker "GET_SYSTEM_TOPIC_LIST_FROM_BROKER";
        306 CleanExpiredConsumequeue "CLEAN_EXPIRED_CONSUMEQUEUE";
        307 GetConsumerRunningInfo "GET_CONSUMER_RUNNING_INFO";
        308 QueryCorrectionOffset "QUERY_CORRECTION_OFFSET";
        309 ConsumeMessageDirectly "CONSUME_MESSAGE_DIRECTLY";
        310 SendMessageV2 "SEND_MESSAGE_V2";
        311 GetUnitTopicList "GET_UNIT_TOPIC_LIST";
        312 GetHasUnitSubTopicList "GET_HAS_UNIT_SUB_TOPIC_LIST";
        313 GetHasUnitSubUnunitTopicList "GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST";
        314 CloneGroupOffset "CLONE_GROUP_OFFSET";
        315 ViewBrokerStatsData "VIEW_BROKER_STATS_DATA";
        316 CleanUnusedTopic "CLEAN_UNUSED_TOPIC";
        317 GetBrokerConsumeStats "GET_BROKER_CONSUME_STATS";
        318 UpdateNamesrvConfig "UPDATE_NAMESRV_CONFIG";
        319 GetNamesrvConfig "GET_NAMESRV_CONFIG";
        320 SendBatchMessage "SEND_BATCH_MESSAGE";
        321 QueryConsumeQueue "QUERY_CONSUME_QUEUE";
        322 QueryDataVersion "QUERY_DATA_VERSION";
        323 ResumeCheckHalfMessage "RESUME_CHECK_HALF_MESSAGE";
        324 SendReplyMessage "SEND_REPLY_MESSAGE";
        325 SendReplyMessageV2 "SEND_REPLY_MESSAGE_V2";
        326 PushReplyMessageToClient "PUSH_REPLY_MESSAGE_TO_CLIENT";
        327 AddWritePermOfBroker "ADD_WRITE_PERM_OF_BROKER";
        328 GetAllProducerInfo "GET_ALL_PRODUCER_INFO";
        329 DeleteExpiredCommitlog "DELETE_EXPIRED_COMMITLOG";
        343 QueryTopicsByConsumer "QUERY_TOPICS_BY_CONSUMER";
        345 QuerySubscriptionByConsumer "QUERY_SUBSCRIPTION_BY_CONSUMER";
        351 GetTopicConfig "GET_TOPIC_CONFIG";
        352 GetSubscriptiongroupConfig "GET_SUBSCRIPTIONGROUP_CONFIG";
        353 UpdateAndGetGroupForbidden "UPDATE_AND_GET_GROUP_FORBIDDEN";
        354 CheckRocksdbCqWriteProgress "CHECK_ROCKSDB_CQ_WRITE_PROGRESS";
        355 ExportRocksdbConfigToJson "EXPORT_ROCKSDB_CONFIG_TO_JSON";
        361 LitePullMessage "LITE_PULL_MESSAGE";
        370 RecallMessage "RECALL_MESSAGE";
        400 QueryAssignment "QUERY_ASSIGNMENT";
        401 SetMessageRequestMode "SET_MESSAGE_REQUEST_MODE";
        402 GetAllMessageRequestMode "GET_ALL_MESSAGE_REQUEST_MODE";
        513 UpdateAndCreateStaticTopic "UPDATE_AND_CREATE_STATIC_TOPIC";
        901 GetBrokerMemberGroup "GET_BROKER_MEMBER_GROUP";
        902 AddBroker "ADD_BROKER";
        903 RemoveBroker "REMOVE_BROKER";
        904 BrokerHeartbeat "BROKER_HEARTBEAT";
        905 NotifyMinBrokerIdChange "NOTIFY_MIN_BROKER_ID_CHANGE";
        906 ExchangeBrokerHaInfo "EXCHANGE_BROKER_HA_INFO";
        907 GetBrokerHaStatus "GET_BROKER_HA_STATUS";
        908 ResetMasterFlushOffset "RESET_MASTER_FLUSH_OFFSET";
        1001 ControllerAlterSyncStateSet "CONTROLLER_ALTER_SYNC_STATE_SET";
        1002 ControllerElectMaster "CONTROLLER_ELECT_MASTER";
        1003 ControllerRegisterBroker "CONTROLLER_REGISTER_BROKER";
        1004 ControllerGetReplicaInfo "CONTROLLER_GET_REPLICA_INFO";
        1005 ControllerGetMetadataInfo "CONTROLLER_GET_METADATA_INFO";
        1006 ControllerGetSyncStateData "CONTROLLER_GET_SYNC_STATE_DATA";
        1007 GetBrokerEpochCache "GET_BROKER_EPOCH_CACHE";
        1008 NotifyBrokerRoleChanged "NOTIFY_BROKER_ROLE_CHANGED";
        1009 UpdateControllerConfig "UPDATE_CONTROLLER_CONFIG";
        1010 GetControllerConfig "GET_CONTROLLER_CONFIG";
        1011 CleanBrokerData "CLEAN_BROKER_DATA";
        1012 ControllerGetNextBrokerId "CONTROLLER_GET_NEXT_BROKER_ID";
        1013 ControllerApplyBrokerId "CONTROLLER_APPLY_BROKER_ID";
        2001 UpdateColdDataFlowCtrConfig "UPDATE_COLD_DATA_FLOW_CTR_CONFIG";
        2002 RemoveColdDataFlowCtrConfig "REMOVE_COLD_DATA_FLOW_CTR_CONFIG";
        2003 GetColdDataFlowCtrInfo "GET_COLD_DATA_FLOW_CTR_INFO";
        2004 SetCommitlogReadMode "SET_COMMITLOG_READ_MODE";
        3001 AuthCreateUser "AUTH_CREATE_USER";
        3002 AuthUpdateUser "AUTH_UPDATE_USER";
        3003 AuthDeleteUser "AUTH_DELETE_USER";
        3004 AuthGetUser "AUTH_GET_USER";
        3005 AuthListUser "AUTH_LIST_USER";
        3006 AuthCreateAcl "AUTH_CREATE_ACL";
        3007 AuthUpdateAcl "AUTH_UPDATE_ACL";
        3008 AuthDeleteAcl "AUTH_DELETE_ACL";
        3009 AuthGetAcl "AUTH_GET_ACL";
        3010 AuthListAcl "AUTH_LIST_ACL";
        5001 SwitchTimerEngine "SWITCH_TIMER_ENGINE";
        200050 PopMessage "POP_MESSAGE";
        200051 AckMessage "ACK_MESSAGE";
        200052 PeekMessage "PEEK_MESSAGE";
        200053 ChangeMessageInvisibletime "CHANGE_MESSAGE_INVISIBLETIME";
        200054 Notification "NOTIFICATION";
        200055 PollingInfo "POLLING_INFO";
        200056 PopRollback "POP_ROLLBACK";
        200070 PopLiteMessage "POP_LITE_MESSAGE";
        200071 LiteSubscriptionCtl "LITE_SUBSCRIPTION_CTL";
        200072 AckLiteMessage "ACK_LITE_MESSAGE";
        200073 NotifyUnsubscribeLite "NOTIFY_UNSUBSCRIBE_LITE";
        200074 GetBrokerLiteInfo "GET_BROKER_LITE_INFO";
        200075 GetParentTopicInfo "GET_PARENT_TOPIC_INFO";
        200076 GetLiteTopicInfo "GET_LITE_TOPIC_INFO";
        200077 GetLiteClientInfo "GET_LITE_CLIENT_INFO";
        200078 GetLiteGroupInfo "GET_LITE_GROUP_INFO";
        200079 TriggerLiteDispatch "TRIGGER_LITE_DISPATCH";
        200151 BatchAckMessage "BATCH_ACK_MESSAGE";
    }
}

codes! {
    /// How an answer came out.
    ResponseCode {
        -1006 RpcTimeOut "RPC_TIME_OUT";
        -1004 RpcSendToChannelFailed "RPC_SEND_TO_CHANNEL_FAILED";
        -1002 RpcAddrIsNull "RPC_ADDR_IS_NULL";
        -1000 RpcUnknown "RPC_UNKNOWN";
        0 Success "SUCCESS";
        1 SystemError "SYSTEM_ERROR";
        2 SystemBusy "SYSTEM_BUSY";
        3 RequestCodeNotSupported "REQUEST_CODE_NOT_SUPPORTED";
        4 TransactionFailed "TRANSACTION_FAILED";
        10 FlushDiskTimeout "FLUSH_DISK_TIMEOUT";
        11 SlaveNotAvailable "SLAVE_NOT_AVAILABLE";
        12 FlushSlaveTimeout "FLUSH_SLAVE_TIMEOUT";
        13 MessageIllegal "MESSAGE_ILLEGAL";
        14 ServiceNotAvailable "SERVICE_NOT_AVAILABLE";
        15 VersionNotSupported "VERSION_NOT_SUPPORTED";
        16 NoPermission "NO_PERMISSION";
        17 TopicNotExist "TOPIC_NOT_EXIST";
        18 TopicExistAlready "TOPIC_EXIST_ALREADY";
        19 PullNotFound "PULL_NOT_FOUND";
        20 PullRetryImmediately "PULL_RETRY_IMMEDIATELY";
        21 PullOffsetMoved "PULL_OFFSET_MOVED";
        22 QueryNotFound "QUERY_NOT_FOUND";
        23 SubscriptionParseFailed "SUBSCRIPTION_PARSE_FAILED";
        24 SubscriptionNotExist "SUBSCRIPTION_NOT_EXIST";
        25 SubscriptionNotLatest "SUBSCRIPTION_NOT_LATEST";
        26 SubscriptionGroupNotExist "SUBSCRIPTION_GROUP_NOT_EXIST";
        27 FilterDataNotExist "FILTER_DATA_NOT_EXIST";
        28 FilterDataNotLatest "FILTER_DATA_NOT_LATEST";
        29 InvalidParameter "INVALID_PARAMETER";
        200 TransactionShouldCommit "TRANSACTION_SHOULD_COMMIT";
        201 TransactionShouldRollback "TRANSACTION_SHOULD_ROLLBACK";
        202 TransactionStateUnknow "TRANSACTION_STATE_UNKNOW";
        203 TransactionStateGroupWrong "TRANSACTION_STATE_GROUP_WRONG";
        204 NoBuyerId "NO_BUYER_ID";
        205 NotInCurrentUnit "NOT_IN_CURRENT_UNIT";
        206 ConsumerNotOnline "CONSUMER_NOT_ONLINE";
        207 ConsumeMsgTimeout "CONSUME_MSG_TIMEOUT";
        208 NoMessage "NO_MESSAGE";
        209 PollingFull "POLLING_FULL";
        210 PollingTimeout "POLLING_TIMEOUT";
        211 BrokerNotExist "BROKER_NOT_EXIST";
        212 BrokerDispatchNotComplete "BROKER_DISPATCH_NOT_COMPLETE";
        213 BroadcastConsumption "BROADCAST_CONSUMPTION";
        215 FlowControl "FLOW_CONTROL";
        501 NotLeaderForQueue "NOT_LEADER_FOR_QUEUE";
        604 IllegalOperation "ILLEGAL_OPERATION";
        1500 GoAway "GO_AWAY";
        2000 ControllerFencedMasterEpoch "CONTROLLER_FENCED_MASTER_EPOCH";
        2001 ControllerFencedSyncStateSetEpoch "CONTROLLER_FENCED_SYNC_STATE_SET_EPOCH";
        2002 ControllerInvalidMaster "CONTROLLER_INVALID_MASTER";
        2003 ControllerInvalidReplicas "CONTROLLER_INVALID_REPLICAS";
        2004 ControllerMasterNotAvailable "CONTROLLER_MASTER_NOT_AVAILABLE";
        2005 ControllerInvalidRequest "CONTROLLER_INVALID_REQUEST";
        2006 ControllerBrokerNotAlive "CONTROLLER_BROKER_NOT_ALIVE";
        2007 ControllerNotLeader "CONTROLLER_NOT_LEADER";
        2008 ControllerBrokerMetadataNotExist "CONTROLLER_BROKER_METADATA_NOT_EXIST";
        2009 ControllerInvalidCleanBrokerMetadata "CONTROLLER_INVALID_CLEAN_BROKER_METADATA";
        2010 ControllerBrokerNeedToBeRegistered "CONTROLLER_BROKER_NEED_TO_BE_REGISTERED";
        2011 ControllerMasterStillExist "CONTROLLER_MASTER_STILL_EXIST";
        2012 ControllerElectMasterFailed "CONTROLLER_ELECT_MASTER_FAILED";
        2013 ControllerAlterSyncStateSetFailed "CONTROLLER_ALTER_SYNC_STATE_SET_FAILED";
        2014 ControllerBrokerIdInvalid "CONTROLLER_BROKER_ID_INVALID";
        2015 ControllerJraftInternalError "CONTROLLER_JRAFT_INTERNAL_ERROR";
        2016 ControllerBrokerLiveInfoNotExists "CONTROLLER_BROKER_LIVE_INFO_NOT_EXISTS";
        2017 LmqQuotaExceeded "LMQ_QUOTA_EXCEEDED";
        2018 LiteSubscriptionQuotaExceeded "LITE_SUBSCRIPTION_QUOTA_EXCEEDED";
        3001 UserNotExist "USER_NOT_EXIST";
        3002 PolicyNotExist "POLICY_NOT_EXIST";
    }
}

codes! {
    /// The implementation language a sender names.
    LanguageCode {
        0 Java "JAVA";
        1 Cpp "CPP";
        2 Dotnet "DOTNET";
        3 Python "PYTHON";
        4 Delphi "DELPHI";
        5 Erlang "ERLANG";
        6 Ruby "RUBY";
        7 Other "OTHER";
        8 Http "HTTP";
        9 Go "GO";
        10 Php "PHP";
        11 Oms "OMS";
        12 Rust "RUST";
        13 NodeJs "NODE_JS";
    }
}

/// First version of the regular part of Java's `MQVersion`: `V4_0_0`.
const FIRST_REGULAR: i32 = 213;
/// `MQVersion`'s name for whatever it does not know yet.
const HIGHER_VERSION: i32 = 612;

/// Java's name of the version in a frame, as `V5_3_3`; before 4.0.0 only that it is so old.
///
/// Every release has the number after that of its snapshot, and every x.y has ten releases.
pub fn version_name(version: i32) -> String {
    if version < FIRST_REGULAR {
        return "V3".to_owned();
    }
    if version >= HIGHER_VERSION {
        return "HIGHER_VERSION".to_owned();
    }
    let since = version - FIRST_REGULAR;
    let release = (since + 1) / 2;
    let (major, minor, patch) = (4 + release / 100, release / 10 % 10, release % 10);
    let snapshot = if since % 2 == 1 { "_SNAPSHOT" } else { "" };
    format!("V{major}_{minor}_{patch}{snapshot}")
}

/// Response codes of 4.9.7 and 5.1.4 for their access-control files; newer releases reuse them.
pub mod former {
    /// `UPDATE_AND_CREATE_ACL_CONFIG_FAILED`, now `POLLING_FULL`.
    pub const UPDATE_AND_CREATE_ACL_CONFIG_FAILED: i32 = 209;
    /// `DELETE_ACL_CONFIG_FAILED`, now `POLLING_TIMEOUT`.
    pub const DELETE_ACL_CONFIG_FAILED: i32 = 210;
    /// `UPDATE_GLOBAL_WHITE_ADDRS_CONFIG_FAILED`, now `BROKER_NOT_EXIST`.
    pub const UPDATE_GLOBAL_WHITE_ADDRS_CONFIG_FAILED: i32 = 211;
}

impl LanguageCode {
    /// The language a JSON header names; unknown names are `Other`.
    pub fn from_name(name: &str) -> Self {
        Self::ALL.iter().find(|(_, java)| *java == name).map_or(Self::Other, |(code, _)| *code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_javas_names() {
        for (version, name) in [
            (212, "V3"),
            (213, "V4_0_0"),
            (232, "V4_1_0_SNAPSHOT"),
            (317, "V4_5_2"),
            (407, "V4_9_7"),
            (441, "V5_1_4"),
            (479, "V5_3_3"),
            (513, "V5_5_0"),
            (611, "V5_9_9"),
            (612, "HIGHER_VERSION"),
            (i32::MAX, "HIGHER_VERSION"),
        ] {
            assert_eq!(version_name(version), name);
        }
    }
}
