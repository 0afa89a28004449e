//! The command line and the list of commands.

use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand};

use super::client::Admin;
use super::output::{Format, Out};
use super::{
    broker, cluster, dlq, doctor, exit, export, group, message, namesrv, offsets, queue, stats,
    store, top, topic,
};

/// Looks at brokers, name servers and stores, and changes them.
///
/// Ends with 0 when done, 1 when the command line is wrong, 2 when the command failed, 3 when the
/// doctor has findings.
#[derive(Debug, Parser)]
#[command(name = "mqadmin", version, infer_long_args = true)]
pub struct Line {
    /// Name servers: `a:9876;b:9876`. Without it NAMESRV_ADDR counts.
    #[arg(short = 'n', long = "namesrvAddr", global = true, value_name = "ADDRESSES")]
    pub namesrv: Option<String>,
    /// How facts are printed.
    #[arg(long, global = true, value_enum, default_value_t = Format::Table)]
    pub output: Format,
    /// Destroys without a question.
    #[arg(long, global = true)]
    pub yes: bool,
    /// Changes nothing, and says what would be changed.
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// Ends with 0 after a failure, as Java's mqadmin does.
    #[arg(long, global = true)]
    pub java_exit: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Line {
    /// The name servers: of the command line, or of the environment.
    pub fn name_servers(&self) -> String {
        let given = self.namesrv.clone();
        given.or_else(|| std::env::var("NAMESRV_ADDR").ok()).unwrap_or_default()
    }
}

macro_rules! commands {
    ($($name:literal $variant:ident($args:ty) = $run:ident;)*) => {
        /// What to do: Java's commands in Java's order, then those that only this tool has.
        #[derive(Debug, Subcommand)]
        #[allow(missing_docs)] // The docs of the options are those of the commands.
        pub enum Command {
            $(#[command(name = $name)] $variant($args),)*
            /// Compares, copies and restores offsets of groups.
            #[command(name = "offsets", subcommand)]
            Offsets(offsets::OffsetsCommand),
            #[command(name = "doctor")]
            Doctor(doctor::Doctor),
            #[command(name = "top")]
            Top(top::Top),
            /// Lists, replays and deletes messages that groups gave up.
            #[command(name = "dlq", subcommand)]
            Dlq(dlq::DlqCommand),
            /// Shows and sets how long topics keep their messages.
            #[command(name = "topic", subcommand)]
            Topic(topic::TopicCommand),
            /// Looks at a store directory that no broker runs on.
            #[command(name = "store", subcommand)]
            Store(store::StoreCommand),
            /// Prints a script that completes command lines.
            #[command(name = "completions")]
            Completions {
                /// The shell it is for.
                shell: clap_complete::Shell,
            },
        }

        impl Command {
            /// Carries it out.
            pub async fn run(&self, admin: &Admin, out: &Out) -> Result<ExitCode> {
                match self {
                    $(Self::$variant(args) => args.$run(admin, out).await?,)*
                    Self::Offsets(command) => command.run(admin, out).await?,
                    Self::Doctor(doctor) => {
                        let healthy = doctor.run(admin, out).await?;
                        return Ok(if healthy { ExitCode::SUCCESS } else { exit::FINDINGS.into() });
                    }
                    Self::Top(top) => top.run(admin, out).await?,
                    Self::Dlq(command) => command.run(admin, out).await?,
                    Self::Topic(command) => command.run(admin, out).await?,
                    Self::Store(command) => return store::run(command),
                    Self::Completions { shell } => completions(*shell),
                }
                Ok(ExitCode::SUCCESS)
            }
        }
    };
}

commands! {
    "updateTopic" UpdateTopic(topic::UpdateTopic) = run;
    "updateTopicList" UpdateTopicList(topic::UpdateTopicList) = run;
    "deleteTopic" DeleteTopic(topic::DeleteTopic) = run;
    "updateSubGroup" UpdateSubGroup(group::UpdateSubGroup) = run;
    "updateSubGroupList" UpdateSubGroupList(group::UpdateSubGroupList) = run;
    "setConsumeMode" SetConsumeMode(group::SetConsumeMode) = run;
    "deleteSubGroup" DeleteSubGroup(group::DeleteSubGroup) = run;
    "updateBrokerConfig" UpdateBrokerConfig(broker::UpdateBrokerConfig) = run;
    "updateTopicPerm" UpdateTopicPerm(topic::UpdateTopicPerm) = run;
    "topicRoute" TopicRoute(topic::TopicRoute) = run;
    "topicStatus" TopicStatus(topic::TopicStatus) = run;
    "topicClusterList" TopicClusterList(topic::TopicClusterList) = run;
    "resetMasterFlushOffset" ResetMasterFlushOffset(broker::ResetMasterFlushOffset) = run;
    "brokerStatus" BrokerStatus(broker::BrokerStatus) = run;
    "queryMsgById" QueryMsgById(message::QueryMsgById) = run;
    "queryMsgByKey" QueryMsgByKey(message::QueryMsgByKey) = run;
    "queryMsgByUniqueKey" QueryMsgByUniqueKey(message::QueryMsgByUniqueKey) = run;
    "queryMsgByOffset" QueryMsgByOffset(message::QueryMsgByOffset) = run;
    "queryMsgTraceById" QueryMsgTraceById(message::QueryMsgTraceById) = run;
    "printMsg" PrintMsg(message::PrintMsg) = run;
    "printMsgByQueue" PrintMsgByQueue(message::PrintMsgByQueue) = run;
    "sendMsgStatus" SendMsgStatus(message::SendMsgStatus) = run;
    "brokerConsumeStats" BrokerConsumeStats(broker::BrokerConsumeStats) = run;
    "producerConnection" ProducerConnection(group::ProducerConnections) = run;
    "consumerConnection" ConsumerConnection(group::ConsumerConnections) = run;
    "consumerProgress" ConsumerProgress(group::ConsumerProgress) = run;
    "consumerStatus" ConsumerStatus(group::ConsumerStatus) = run;
    "cloneGroupOffset" CloneGroupOffset(offsets::CloneGroupOffset) = run;
    "producer" Producer(group::Producers) = run;
    "clusterList" ClusterList(cluster::ClusterList) = run;
    "topicList" TopicList(topic::TopicList) = run;
    "updateKvConfig" UpdateKvConfig(namesrv::UpdateKvConfig) = run;
    "deleteKvConfig" DeleteKvConfig(namesrv::DeleteKvConfig) = run;
    "wipeWritePerm" WipeWritePerm(namesrv::WipeWritePerm) = run;
    "addWritePerm" AddWritePerm(namesrv::AddWritePerm) = run;
    "resetOffsetByTime" ResetOffsetByTime(offsets::ResetOffsetByTime) = run;
    "skipAccumulatedMessage" SkipAccumulatedMessage(offsets::SkipAccumulatedMessage) = run;
    "updateOrderConf" UpdateOrderConf(topic::UpdateOrderConf) = run;
    "cleanExpiredCQ" CleanExpiredCQ(broker::CleanExpiredCq) = run;
    "deleteExpiredCommitLog" DeleteExpiredCommitLog(broker::DeleteExpiredCommitLog) = run;
    "cleanUnusedTopic" CleanUnusedTopic(broker::CleanUnusedTopic) = run;
    "statsAll" StatsAll(stats::StatsAll) = run;
    "allocateMQ" AllocateMQ(topic::AllocateMq) = run;
    "checkMsgSendRT" CheckMsgSendRT(message::CheckMsgSendRt) = run;
    "clusterRT" ClusterRt(message::ClusterRt) = run;
    "getNamesrvConfig" GetNamesrvConfig(namesrv::GetNamesrvConfig) = run;
    "updateNamesrvConfig" UpdateNamesrvConfig(namesrv::UpdateNamesrvConfig) = run;
    "getBrokerConfig" GetBrokerConfig(broker::GetBrokerConfig) = run;
    "getConsumerConfig" GetConsumerConfig(group::GetConsumerConfig) = run;
    "queryCq" QueryCq(queue::QueryCq) = run;
    "sendMessage" SendMessage(message::SendMessage) = run;
    "consumeMessage" ConsumeMessage(message::ConsumeMessage) = run;
    "exportMetadata" ExportMetadata(export::ExportMetadata) = run;
    "exportConfigs" ExportConfigs(export::ExportConfigs) = run;
    "exportMetrics" ExportMetrics(export::ExportMetrics) = run;
    "exportPopRecord" ExportPopRecord(broker::ExportPopRecord) = run;
    "haStatus" HaStatus(broker::HaStatus) = run;
    "getColdDataFlowCtrInfo" GetColdDataFlowCtrInfo(broker::GetColdDataFlowCtrInfo) = run;
    "updateColdDataFlowCtrGroupConfig"
        UpdateColdDataFlowCtrGroupConfig(broker::UpdateColdDataFlowCtrGroupConfig) = run;
    "removeColdDataFlowCtrGroupConfig"
        RemoveColdDataFlowCtrGroupConfig(broker::RemoveColdDataFlowCtrGroupConfig) = run;
    "setCommitLogReadAheadMode"
        SetCommitLogReadAheadMode(broker::SetCommitLogReadAheadMode) = run;
}

/// Prints the script that completes command lines of a shell.
fn completions(shell: clap_complete::Shell) {
    clap_complete::generate(shell, &mut Line::command(), "mqadmin", &mut std::io::stdout());
}
