//! The settings on request: 26 shows them, 25 changes those that may change.
//!
//! A request changes all its keys or none. Where Java takes unknown keys and bad values without a
//! word, they are refused here.

use std::sync::Arc;

use remoting::net::Outcome;
use remoting::protocol::body::Body;
use remoting::protocol::code::ResponseCode;
use remoting::protocol::command::Responder;
use remoting::protocol::header::GetBrokerConfigResponseHeader;
use runtime::config::{Process, UpdateError, to_text, without_nulls};
use tracing::info;

use super::after_disk_work;
use crate::broker::Broker;
use crate::call::Call;
use crate::reject::Reject;

/// Shows every setting, secrets masked.
pub(crate) fn show(
    broker: &Arc<Broker>,
    _call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let (settings, version) = broker.settings.look();
    let mut entries = settings.entries();
    let address = broker.store_host();
    let mut found = |key: &str, value: String| {
        let set = entries.entry(key.to_owned()).or_default();
        if set.is_empty() {
            *set = value;
        }
    };
    // Java shows the addresses it has found.
    found("brokerIP1", address.ip().to_string());
    found("brokerIP2", address.ip().to_string());
    // Java shows the size that it has computed.
    let bits = broker.filters.bloom_bits().to_string();
    entries.insert("bitMapLengthConsumeQueueExt".to_owned(), bits);
    if !settings.kept.contains_key("haListenPort") {
        entries.insert("haListenPort".to_owned(), (u32::from(address.port()) + 1).to_string());
    }
    without_nulls(Process::Broker, &mut entries);
    let pairs: Vec<_> = entries.iter().collect();
    let version = String::from_utf8_lossy(&version.encode()).into_owned();
    let header = GetBrokerConfigResponseHeader { version };
    out.respond(ResponseCode::Success, None, &header, &[], to_text(&pairs).as_bytes());
    Ok(Outcome::Done)
}

/// Changes settings while the broker runs, and in the file that the operator gave.
pub(crate) fn update(
    broker: &Arc<Broker>,
    call: &Call<'_>,
    out: &mut Responder<'_>,
) -> Result<Outcome, Reject> {
    let body = call.frame.body().to_vec();
    let peer = call.peer.announced();
    let work = move |broker: &Broker| {
        let keys = broker.settings.change(&body, |settings| broker.reconfigure(settings))?;
        info!(keys = keys.join(","), %peer, "settings changed");
        Ok(())
    };
    Ok(after_disk_work(broker, out.tag(), work, |out| out.ok_empty()))
}

impl From<UpdateError> for Reject {
    fn from(error: UpdateError) -> Self {
        let code = match error {
            UpdateError::Fixed => ResponseCode::NoPermission,
            _ => ResponseCode::SystemError,
        };
        Reject::new(code, error.to_string())
    }
}
