//! `Admin`, which asks name servers and brokers.

mod cluster;
mod consume;
mod page;
mod sign;
mod topics;

use std::time::Duration;

use anyhow::Result;
use remoting::net::{CallError, Client, ClientOptions, NameServers};
use remoting::protocol::body::Body;
use remoting::protocol::code::RequestCode;
use remoting::protocol::command::Frame;
use remoting::protocol::header::EncodeHeader;

pub use cluster::{Target, master, selected, unknown_cluster};
pub use consume::total_diff;
pub use sign::Credentials;

/// How long an ordinary request may take, as in Java.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// Answered with something else than success, or found nothing where that is an error.
#[derive(Debug, thiserror::Error)]
#[error("CODE: {code}  DESC: {remark}{}", at(.address))]
pub struct Refused {
    /// The response code.
    pub code: i32,
    /// What the other side says.
    pub remark: String,
    /// Who answered; empty where the answer was made here.
    pub address: String,
}

fn at(address: &str) -> String {
    if address.is_empty() { String::new() } else { format!(" BROKER: {address}") }
}

/// A request that has no answer.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("connect to {address} failed: {source}")]
    Connect { address: String, source: std::io::Error },
    #[error("wait response on the channel {address} timeout, {}(ms)", .after.as_millis())]
    Timeout { address: String, after: Duration },
    #[error("send request to {address} failed: {source}")]
    Other { address: String, source: CallError },
    #[error("no name server is known: give -n or set NAMESRV_ADDR")]
    NoNameServer,
}

impl Failed {
    fn of(address: &str, error: CallError) -> Self {
        let address = address.to_owned();
        match error {
            CallError::Connect { address, source } => Self::Connect { address, source },
            CallError::Timeout(after) => Self::Timeout { address, after },
            CallError::NoAddress => Self::NoNameServer,
            source => Self::Other { address, source },
        }
    }
}

/// The response code of a refusal.
pub fn code_of(error: &anyhow::Error) -> Option<i32> {
    error.downcast_ref::<Refused>().map(|refused| refused.code)
}

/// A refusal that is made here.
pub fn refuse(code: impl Into<i32>, remark: impl Into<String>) -> anyhow::Error {
    Refused { code: code.into(), remark: remark.into(), address: String::new() }.into()
}

/// Asks name servers and brokers, signing each request if there are credentials.
pub struct Admin {
    client: Client,
    name_servers: NameServers,
    credentials: Option<Credentials>,
}

impl Admin {
    /// Asks the name servers of a list `a:9876;b:9876`.
    pub fn new(name_servers: &str, credentials: Option<Credentials>) -> Self {
        Self {
            client: Client::new(ClientOptions::default()),
            name_servers: NameServers::parse(name_servers),
            credentials,
        }
    }

    /// Sends a request whose answer must be success.
    pub async fn ask(
        &self,
        address: &str,
        code: RequestCode,
        header: &impl EncodeHeader,
        body: &[u8],
    ) -> Result<Frame> {
        self.ask_within(address, code, header, body, TIMEOUT).await
    }

    /// The same with another patience.
    pub async fn ask_within(
        &self,
        address: &str,
        code: RequestCode,
        header: &impl EncodeHeader,
        body: &[u8],
        timeout: Duration,
    ) -> Result<Frame> {
        let frame = self.call(address, code, header, &[], body, timeout).await?;
        succeeded(frame, address)
    }

    /// Sends a request and returns the answer, whatever its code.
    pub async fn call(
        &self,
        address: &str,
        code: RequestCode,
        header: &impl EncodeHeader,
        extra: &[(&str, &str)],
        body: &[u8],
        timeout: Duration,
    ) -> Result<Frame> {
        let signed = self.credentials.as_ref().map(|who| who.sign(header, extra, body));
        let mut fields = extra.to_vec();
        fields.extend(signed.iter().flatten().map(|(name, value)| (*name, value.as_str())));
        let answer = self.client.call(address, code, header, &fields, body, timeout).await;
        Ok(answer.map_err(|error| Failed::of(address, error))?)
    }

    /// Asks for a body.
    pub async fn body<B: Body>(
        &self,
        address: &str,
        code: RequestCode,
        header: &impl EncodeHeader,
    ) -> Result<B> {
        let frame = self.ask(address, code, header, &[]).await?;
        Ok(B::decode(frame.body())?)
    }

    /// Asks one name server; the answer must be success.
    pub async fn ask_name_server(
        &self,
        code: RequestCode,
        header: &impl EncodeHeader,
    ) -> Result<Frame> {
        let signed = self.credentials.as_ref().map(|who| who.sign(header, &[], &[]));
        let fields: Vec<(&str, &str)> =
            signed.iter().flatten().map(|(name, value)| (*name, value.as_str())).collect();
        let answer =
            self.name_servers.call(&self.client, code, header, &fields, &[], TIMEOUT).await;
        succeeded(answer.map_err(|error| Failed::of("the name server", error))?, "")
    }

    /// The addresses of all name servers, of which there must be one.
    pub fn name_servers(&self) -> Result<Vec<String>> {
        let addresses = self.name_servers.addresses().to_vec();
        if addresses.is_empty() { Err(Failed::NoNameServer.into()) } else { Ok(addresses) }
    }
}

fn succeeded(frame: Frame, address: &str) -> Result<Frame> {
    if frame.code() == 0 {
        return Ok(frame);
    }
    let remark = frame.remark().unwrap_or("null").to_owned();
    Err(Refused { code: frame.code(), remark, address: address.to_owned() }.into())
}
