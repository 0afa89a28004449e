//! Brokers: reachable, in time, with room, accepting.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use remoting::protocol::body::ClusterInfo;

use super::findings::{Diagnosis, Finding};
use super::{Doctor, failed};
use crate::admin::broker::config_of;
use crate::admin::client::Admin;

/// From this share on the disk of the log is nearly full; from the second, sends are refused.
const DISK_RATIOS: (f64, f64) = (0.75, 0.90);
/// A request that waits so long for a thread comes late.
const WAIT_MS: i64 = 200;
/// So many bytes of the log that are not in queues yet are too many.
const BEHIND_BYTES: i64 = 64 << 20;
/// Both to read and to write.
const READ_WRITE: &str = "6";

/// Looks at every broker.
pub async fn check(doctor: &Doctor, admin: &Admin, info: &ClusterInfo, diagnosis: &mut Diagnosis) {
    for broker in info.broker_addr_table.values() {
        if !broker.broker_addrs.contains_key(&0) {
            diagnosis.find(Finding::error(
                &format!("broker {}", broker.broker_name),
                "has no master",
                "only slaves have registered: nothing can be sent to it",
                "start the broker with brokerId=0",
            ));
        }
        for (id, address) in &broker.broker_addrs {
            diagnosis.checked.brokers += 1;
            let subject = format!("broker {} {id} at {address}", broker.broker_name);
            advertised(admin, &subject, address, diagnosis);
            match admin.runtime_table(address).await {
                Ok(table) => runtime(doctor, &subject, address, &table, diagnosis),
                Err(error) => {
                    diagnosis.find(failed(&subject, &error));
                    continue;
                }
            }
            match config_of(admin, address).await {
                Ok(config) => permission(&subject, address, &config, diagnosis),
                Err(error) => diagnosis.find(failed(&subject, &error)),
            }
        }
    }
}

/// An address that only the broker's own machine can reach is no use to others.
fn advertised(admin: &Admin, subject: &str, address: &str, diagnosis: &mut Diagnosis) {
    let ip = |text: &str| text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let own = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
    let servers = admin.name_servers().unwrap_or_default();
    let local =
        servers.iter().all(|server| server.starts_with("localhost") || ip(server).is_some_and(own));
    if ip(address).is_some_and(own) && !local {
        diagnosis.find(Finding::error(
            subject,
            "advertises an address of its own machine only",
            "brokerIP1 is set to it, or the machine has no other",
            "set brokerIP1 in broker.conf to an address that clients reach, and restart",
        ));
    }
}

fn runtime(
    doctor: &Doctor,
    subject: &str,
    address: &str,
    table: &BTreeMap<String, String>,
    diagnosis: &mut Diagnosis,
) {
    let number = |name: &str| table.get(name).and_then(|value| value.trim().parse::<i64>().ok());
    if let Some(off_ms) = clock_off_ms(table, runtime::clock::now_ms())
        && off_ms.abs() > doctor.clock * 1000
    {
        let direction = if off_ms > 0 { "ahead" } else { "behind" };
        diagnosis.find(Finding::warning(
            subject,
            &format!("has a clock {} s {direction} of this machine's", off_ms.abs() / 1000),
            "one of the two is not synchronised; delays, resets by time and retention go by it",
            "let chrony or ntpd run on both machines",
        ));
    }
    let ratio = table.get("commitLogDiskRatio").and_then(|ratio| ratio.parse::<f64>().ok());
    if let Some(ratio) = ratio.filter(|ratio| *ratio >= DISK_RATIOS.0) {
        let what = format!("has a disk that is {:.0} % full", ratio * 100.0);
        let cause = "messages come faster than fileReservedTime lets them go";
        let cure = format!(
            "mqadmin updateBrokerConfig -b {address} -k fileReservedTime -v 24, then mqadmin \
             deleteExpiredCommitLog -b {address}"
        );
        diagnosis.find(match ratio >= DISK_RATIOS.1 {
            true => Finding::error(subject, &what, cause, &cure),
            false => Finding::warning(subject, &what, cause, &cure),
        });
    }
    if table.get("brokerActive").is_some_and(|active| active != "true") {
        diagnosis.find(Finding::error(
            subject,
            "is not active",
            "it is a slave that no master speaks for, or its services have stopped",
            &format!("mqadmin brokerStatus -b {address}"),
        ));
    }
    for lane in ["send", "pull", "query", "ack"] {
        let name = format!("{lane}ThreadPoolQueueHeadWaitTimeMills");
        let Some(wait) = number(&name).filter(|wait| *wait > WAIT_MS) else { continue };
        diagnosis.find(Finding::warning(
            subject,
            &format!("lets {lane} requests wait for {wait} ms"),
            "more requests come than it can serve, or the disk is slow",
            &format!("mqadmin brokerStatus -b {address}"),
        ));
    }
    if let Some(behind) = number("dispatchBehindBytes").filter(|bytes| *bytes > BEHIND_BYTES) {
        diagnosis.find(Finding::warning(
            subject,
            &format!("has {behind} bytes of messages that consumers do not see yet"),
            "queues are built more slowly than messages come",
            &format!("mqadmin brokerStatus -b {address}"),
        ));
    }
}

/// How far the broker's clock is ahead of `now_ms`: its start and its running time, both by its
/// own clock, add up to its now.
fn clock_off_ms(table: &BTreeMap<String, String>, now_ms: i64) -> Option<i64> {
    let start: i64 = table.get("bootTimestamp")?.parse().ok()?;
    let text: String =
        table.get("runtime")?.chars().filter(|letter| !",[]".contains(*letter)).collect();
    let mut seconds = 0;
    let words: Vec<&str> = text.split_whitespace().collect();
    for pair in words.chunks_exact(2) {
        let count: i64 = pair[0].parse().ok()?;
        seconds += count
            * match pair[1] {
                "days" => 86_400,
                "hours" => 3_600,
                "minutes" => 60,
                "seconds" => 1,
                _ => return None,
            };
    }
    Some(start + seconds * 1000 - now_ms)
}

fn permission(
    subject: &str,
    address: &str,
    config: &BTreeMap<String, String>,
    diagnosis: &mut Diagnosis,
) {
    let Some(perm) = config.get("brokerPermission").filter(|perm| *perm != READ_WRITE) else {
        return;
    };
    diagnosis.find(Finding::warning(
        subject,
        &format!("has brokerPermission {perm}"),
        "it was told not to let everybody read and write (2 writes, 4 reads)",
        &format!("mqadmin updateBrokerConfig -b {address} -k brokerPermission -v {READ_WRITE}"),
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_and_running_time_tell_the_clock() {
        let table = |runtime: &str| {
            BTreeMap::from([
                ("bootTimestamp".to_owned(), "1000000".to_owned()),
                ("runtime".to_owned(), runtime.to_owned()),
            ])
        };
        let one_hour = table("[ 0 days, 1 hours, 0 minutes, 7 seconds ]");
        assert_eq!(clock_off_ms(&one_hour, 1_000_000 + 3_600_000), Some(7_000));
        let long = table("[ 1,024 days, 0 hours, 0 minutes, 0 seconds ]");
        assert_eq!(clock_off_ms(&long, 1_000_000 + 1_024 * 86_400_000), Some(0));
        assert_eq!(clock_off_ms(&table("since yesterday"), 0), None);
    }
}
