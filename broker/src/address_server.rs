//! Where the name servers are, from a server that tells their addresses over HTTP.
//!
//! Java asks `http://DOMAIN:8080/rocketmq/SUBGROUP`; the first line of the answer is the list. A
//! question that fails changes nothing, and an answer that is no list does not either.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use runtime::services::Stop;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tracing::{info, warn};

use crate::broker::Broker;
use crate::config::{BrokerConfig, is_address, split_name_servers};

/// Time one question may take, as in Java.
const PATIENCE: Duration = Duration::from_secs(3);
/// Port of an address server whose domain names none.
const PORT: u16 = 8080;
/// Longest answer that is read.
const ANSWER_LEN_MAX: u64 = 64 * 1024;

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
enum NoList {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Late,
    #[error("answered {0:?}")]
    Status(String),
    #[error("answered no list of host:port but {0:?}")]
    Text(String),
}

/// Asks again and again, and has the broker register with the name servers it is told of.
pub(crate) async fn follow(broker: Arc<Broker>, stop: Stop) {
    let (host, path) = target(&broker.config);
    let interval = broker.config.fetch_namesrv_addr_interval.max(1).unsigned_abs();
    // What was said last in the log: nothing, that it works, that it does not.
    let mut reached = None;
    while !stop.stopped() {
        let asked = tokio::time::timeout(PATIENCE, ask(&host, &path));
        let answer = tokio::select! {
            answer = asked => answer.unwrap_or(Err(NoList::Late)),
            () = stop.wait() => break,
        };
        match answer {
            Ok(list) => {
                if broker.peers.list(&split_name_servers(&list)) {
                    info!(address_server = host, path, list, "name servers");
                }
                reached = Some(true);
            }
            Err(error) => {
                if reached != Some(false) {
                    warn!(address_server = host, path, %error, "no list of name servers");
                }
                reached = Some(false);
            }
        }
        tokio::select! {
            () = stop.wait() => break,
            () = tokio::time::sleep(Duration::from_millis(interval)) => {}
        }
    }
}

/// Host with port, and path.
fn target(config: &BrokerConfig) -> (String, String) {
    let domain = config.rmq_address_server_domain.trim();
    let host = match domain.contains(':') {
        true => domain.to_owned(),
        false => format!("{domain}:{PORT}"),
    };
    (host, format!("/rocketmq/{}", config.rmq_address_server_sub_group.trim()))
}

async fn ask(host: &str, path: &str) -> Result<String, NoList> {
    let mut stream = TcpStream::connect(host).await?;
    // HTTP/1.0: the answer ends with the connection and is not sent in chunks.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_LEN_MAX).read_to_end(&mut answer).await?;
    list_of(&answer)
}

/// The list in an answer: its first line that is not blank.
fn list_of(answer: &[u8]) -> Result<String, NoList> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        return Err(NoList::Status(status.chars().take(100).collect()));
    }
    let list = body.trim().lines().next().unwrap_or_default().trim();
    let servers = split_name_servers(list);
    match !servers.is_empty() && servers.iter().all(|server| is_address(server)) {
        true => Ok(list.to_owned()),
        false => Err(NoList::Text(list.chars().take(100).collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_is_javas() {
        let mut config = BrokerConfig::default();
        let (host, path) = target(&config);
        assert_eq!((host.as_str(), path.as_str()), ("jmenv.tbsite.net:8080", "/rocketmq/nsaddr"));
        config.rmq_address_server_domain = "10.0.0.1:80".to_owned();
        config.rmq_address_server_sub_group = "mine".to_owned();
        let (host, path) = target(&config);
        assert_eq!((host.as_str(), path.as_str()), ("10.0.0.1:80", "/rocketmq/mine"));
    }

    #[test]
    fn the_first_line_is_the_list() {
        let answer = |body: &str| format!("HTTP/1.1 200 OK\r\nServer: x\r\n\r\n{body}");
        for body in ["a:1;b:2", " a:1;b:2 \r\nmore", "\na:1;b:2\n"] {
            assert_eq!(list_of(answer(body).as_bytes()).unwrap(), "a:1;b:2", "{body:?}");
        }
        for body in ["", "<html>", "a:1;b", "5\r\na:1;b:2\r\n0\r\n"] {
            let error = list_of(answer(body).as_bytes()).unwrap_err();
            assert!(matches!(error, NoList::Text(_)), "{body:?}");
        }
        for head in ["", "HTTP/1.1 404 Not Found\r\n\r\na:1", "\u{fffd}"] {
            assert!(matches!(list_of(head.as_bytes()), Err(NoList::Status(_))), "{head:?}");
        }
    }
}
