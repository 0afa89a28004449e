//! `mqadmin doctor`: looks for what is wrong and says what cures it. Changes nothing.

mod brokers;
mod findings;
mod groups;
mod routes;

use anyhow::Result;
use clap::Args;
use remoting::protocol::body::{Body, ClusterInfo};
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::NoHeader;

use super::client::{Admin, code_of};
use super::output::Out;
use findings::{Diagnosis, Finding};

/// Looks for what is wrong with name servers, brokers, topics and groups.
///
/// Ends with 0 when nothing is found, with 3 when something is. Each finding has its cause and the
/// command that cures it.
#[derive(Args, Debug)]
pub struct Doctor {
    /// Only the brokers of this cluster.
    #[arg(short, long = "clusterName")]
    cluster: Option<String>,
    /// From how many messages to consume on a group lags.
    #[arg(long, default_value_t = 10_000)]
    lag: i64,
    /// How far a clock may be off, in seconds.
    #[arg(long, default_value_t = 5)]
    clock: i64,
}

impl Doctor {
    /// Carries it out; returns whether nothing was found.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<bool> {
        let mut diagnosis = Diagnosis::new(out.colours());
        let Some(info) = self.name_servers(admin, &mut diagnosis).await? else {
            out.print(&diagnosis)?;
            return Ok(false);
        };
        brokers::check(self, admin, &info, &mut diagnosis).await;
        routes::check(admin, &info, &mut diagnosis).await;
        groups::check(self, admin, &info, &mut diagnosis).await;
        out.print(&diagnosis)?;
        Ok(diagnosis.is_empty())
    }

    /// Asks every name server for the brokers; what the first one knows is looked at.
    async fn name_servers(
        &self,
        admin: &Admin,
        diagnosis: &mut Diagnosis,
    ) -> Result<Option<ClusterInfo>> {
        let mut known: Option<(String, ClusterInfo)> = None;
        for address in admin.name_servers()? {
            diagnosis.checked.name_servers += 1;
            let code = RequestCode::GetBrokerClusterInfo;
            let info = match admin.ask(&address, code, &NoHeader, &[]).await {
                Ok(frame) => ClusterInfo::decode(frame.body())?,
                Err(error) => {
                    diagnosis.find(failed(&format!("name server {address}"), &error));
                    continue;
                }
            };
            match &known {
                None => known = Some((address, info)),
                Some((first, other)) if *other != info => diagnosis.find(Finding::warning(
                    &format!("name server {address}"),
                    &format!("knows other brokers than {first}"),
                    "a broker is not configured with both, or cannot reach one of them",
                    "set namesrvAddr=A:9876;B:9876 in every broker.conf and restart the broker",
                )),
                Some(_) => {}
            }
        }
        let info = known.map(|(_, info)| self.of_cluster(info));
        if info.as_ref().is_some_and(|info| info.broker_addr_table.is_empty()) {
            diagnosis.find(Finding::error(
                "cluster",
                "has no broker",
                "no broker has registered in the last two minutes, or the cluster has another name",
                "mqadmin clusterList",
            ));
        }
        Ok(info)
    }

    fn of_cluster(&self, mut info: ClusterInfo) -> ClusterInfo {
        if let Some(cluster) = &self.cluster {
            info.broker_addr_table.retain(|_, broker| broker.cluster == *cluster);
            info.cluster_addr_table.retain(|name, _| name == cluster);
        }
        info
    }
}

/// A request that was not answered, or refused.
fn failed(subject: &str, error: &anyhow::Error) -> Finding {
    let what = format!("{error:#}");
    match code_of(error) {
        // Answered by servers with access control: not allowed, or not known.
        Some(16) => Finding::error(
            subject,
            &what,
            "the keys of this tool lack a permission, or there are none",
            "put accessKey and secretKey of an administrator into $ROCKETMQ_HOME/conf/tools.yml",
        ),
        Some(_) => Finding::error(
            subject,
            &what,
            "the server refuses the request",
            "look into the log of the server",
        ),
        None => Finding::error(
            subject,
            &what,
            "the process is down, or the network between here and there does not let through",
            "start it, or open the port; brokerIP1 in broker.conf changes the advertised address",
        ),
    }
}
