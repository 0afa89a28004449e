//! Clusters, routes, and the brokers that a command is meant for.

use anyhow::{Result, bail};
use clap::Args;
use remoting::protocol::body::{Body, BrokerData, ClusterInfo, MASTER_ID, TopicRouteData};
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::{GetRouteInfoRequestHeader, NoHeader};

use super::Admin;

/// One broker or the brokers of a cluster.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct Target {
    /// Address of a broker.
    #[arg(short = 'b', long = "brokerAddr", value_name = "ADDRESS")]
    pub broker: Option<String>,
    /// Name of a cluster.
    #[arg(short = 'c', long = "clusterName", alias = "cluster", value_name = "CLUSTER")]
    pub cluster: Option<String>,
}

impl Target {
    /// The broker, or the masters of the cluster.
    pub async fn masters(&self, admin: &Admin) -> Result<Vec<String>> {
        self.addresses(admin, false).await
    }

    /// The broker, or masters and slaves of the cluster.
    pub async fn all(&self, admin: &Admin) -> Result<Vec<String>> {
        self.addresses(admin, true).await
    }

    async fn addresses(&self, admin: &Admin, slaves: bool) -> Result<Vec<String>> {
        match (&self.broker, &self.cluster) {
            (Some(broker), _) => Ok(vec![broker.clone()]),
            (None, Some(cluster)) => admin.cluster_addresses(cluster, slaves).await,
            // Invariant: clap refuses a target of nothing.
            (None, None) => Ok(Vec::new()),
        }
    }
}

/// The address of the master of a broker name.
pub fn master(broker: &BrokerData) -> Option<&str> {
    broker.broker_addrs.get(&MASTER_ID).map(String::as_str)
}

/// The address to ask about a broker name: the master's, or a slave's if there is none.
pub fn selected(broker: &BrokerData) -> Option<&str> {
    broker.broker_addrs.values().next().map(String::as_str)
}

/// What is said of a cluster that no broker belongs to.
pub fn unknown_cluster(cluster: &str) -> String {
    format!(
        "[error] Make sure the specified clusterName exists or the name server connected to is \
         correct: cluster [{cluster}]"
    )
}

impl Admin {
    /// All brokers and clusters.
    pub async fn cluster_info(&self) -> Result<ClusterInfo> {
        let code = RequestCode::GetBrokerClusterInfo;
        Ok(ClusterInfo::decode(self.ask_name_server(code, &NoHeader).await?.body())?)
    }

    /// Where the queues of a topic are.
    pub async fn route(&self, topic: &str) -> Result<TopicRouteData> {
        let header = GetRouteInfoRequestHeader {
            topic: topic.to_owned(),
            accept_standard_json_only: Some(true),
        };
        let code = RequestCode::GetRouteinfoByTopic;
        Ok(TopicRouteData::decode(self.ask_name_server(code, &header).await?.body())?)
    }

    /// The addresses of a cluster in the order of broker names and ids.
    pub async fn cluster_addresses(&self, cluster: &str, slaves: bool) -> Result<Vec<String>> {
        let info = self.cluster_info().await?;
        let Some(names) = info.cluster_addr_table.get(cluster) else {
            bail!(unknown_cluster(cluster));
        };
        let mut names = names.clone();
        names.sort();
        let brokers = names.iter().filter_map(|name| info.broker_addr_table.get(name));
        Ok(brokers
            .flat_map(|broker| &broker.broker_addrs)
            .filter(|(id, _)| slaves || **id == MASTER_ID)
            .map(|(_, address)| address.clone())
            .collect())
    }

    /// The address of a broker name that has a topic.
    pub async fn broker_of(&self, topic: &str, name: &str) -> Result<String> {
        let route = self.route(topic).await?;
        let broker = route.broker_datas.iter().find(|broker| broker.broker_name == name);
        match broker.and_then(selected) {
            Some(address) => Ok(address.to_owned()),
            None => bail!("The broker[{name}] not exist in the route of {topic}"),
        }
    }
}
