//! What is said of refused requests: one line for each class of them, a class being a request and
//! the code that answered it, and at most one a minute.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use remoting::protocol::code::{RequestCode, ResponseCode};
use tracing::warn;

use crate::call::Call;
use crate::reject::Reject;

/// Time between two lines about one class.
const QUIET_MS: i64 = 60_000;
/// Classes that are told apart; strangers choose the codes of requests.
const CLASSES_MAX: usize = 1_000;

/// Answers that clients get in the course of things.
const EXPECTED: [ResponseCode; 4] = [
    ResponseCode::QueryNotFound,
    ResponseCode::PollingFull,
    ResponseCode::PollingTimeout,
    ResponseCode::NoMessage,
];

/// The classes of refused requests so far.
#[derive(Default)]
pub(crate) struct Refusals {
    classes: Mutex<HashMap<(i32, ResponseCode), Class>>,
}

struct Class {
    said_ms: i64,
    /// Refused since then.
    silent: u64,
}

impl Refusals {
    /// Notes a refused request; says so unless its class was spoken of a moment ago.
    pub(crate) fn note(&self, call: &Call<'_>, reject: &Reject, now_ms: i64) {
        let Some(before) = self.due(call.frame.code(), reject.code(), now_ms) else { return };
        let number = call.frame.code();
        let request = RequestCode::from_i32(number).map_or("?", RequestCode::java_name);
        warn!(
            request,
            number,
            code = reject.code().java_name(),
            remark = reject.remark(),
            peer = %call.peer.announced(),
            refused_before = before,
            "request refused, further ones are counted for a minute"
        );
    }

    /// How many of its class were refused in silence, if it is time to speak.
    fn due(&self, request: i32, code: ResponseCode, now_ms: i64) -> Option<u64> {
        if EXPECTED.contains(&code) {
            return None;
        }
        // A counter that a panic left behind is as good as any.
        let mut classes = self.classes.lock().unwrap_or_else(PoisonError::into_inner);
        let room = classes.len() < CLASSES_MAX;
        match classes.get_mut(&(request, code)) {
            Some(class) if now_ms.saturating_sub(class.said_ms) < QUIET_MS => {
                class.silent += 1;
                None
            }
            Some(class) => {
                class.said_ms = now_ms;
                Some(std::mem::take(&mut class.silent))
            }
            None if room => {
                classes.insert((request, code), Class { said_ms: now_ms, silent: 0 });
                Some(0)
            }
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_spoken_of_once_a_minute() {
        let refusals = Refusals::default();
        let due = |request, code, now_ms| refusals.due(request, code, now_ms);
        assert_eq!(due(10, ResponseCode::SystemBusy, 0), Some(0));
        assert_eq!(due(10, ResponseCode::SystemBusy, 1), None);
        assert_eq!(due(10, ResponseCode::SystemBusy, 59_999), None);
        assert_eq!(due(310, ResponseCode::SystemBusy, 59_999), Some(0));
        assert_eq!(due(10, ResponseCode::NoPermission, 59_999), Some(0));
        assert_eq!(due(10, ResponseCode::SystemBusy, 60_000), Some(2));
        assert_eq!(due(10, ResponseCode::SystemBusy, 120_000), Some(0));
        assert_eq!(due(14, ResponseCode::QueryNotFound, 0), None);
    }

    #[test]
    fn strangers_do_not_fill_the_memory() {
        let refusals = Refusals::default();
        let spoken = (0..5_000).filter(|&request| {
            refusals.due(request, ResponseCode::RequestCodeNotSupported, 0).is_some()
        });
        assert_eq!(spoken.count(), CLASSES_MAX);
    }
}
