//! Who is told of what the timer stores.

use std::fmt::{self, Debug, Formatter};
use std::sync::OnceLock;
use std::time::Duration;

use crate::Put;

type Listener = Box<dyn Fn(&str, &Put, Duration) + Send + Sync>;

/// A listener, once there is one.
#[derive(Default)]
pub(super) struct Told(OnceLock<Listener>);

impl Told {
    /// Takes the first listener.
    pub(super) fn set(&self, listener: impl Fn(&str, &Put, Duration) + Send + Sync + 'static) {
        self.0.get_or_init(|| Box::new(listener));
    }

    /// Tells of a message that was stored in a topic.
    pub(super) fn tell(&self, topic: &str, put: &Put, took: Duration) {
        if let Some(listener) = self.0.get() {
            listener(topic, put, took);
        }
    }
}

impl Debug for Told {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.get().is_some() { "Told" } else { "Told to nobody" })
    }
}
