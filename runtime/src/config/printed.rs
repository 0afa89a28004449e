//! Settings as `-p` and `-m` print them: in the order of Java 5.3.3, a line each.
//!
//! Java prints the fields of its classes in the order of their declaration, as a log would. Here
//! the lines have no time before them, and the keys that Java does not print, as the name of a
//! broker, come last.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::LazyLock;

/// The keys as Java 5.3.3 prints them, those of its name server behind `rocketmqHome`.
const ORDER: &str = include_str!("printed_order.txt");

static PLACES: LazyLock<HashMap<&str, usize>> = LazyLock::new(|| ORDER.lines().zip(0..).collect());

/// Writes settings as `key=value` lines.
#[must_use]
pub fn printed(entries: &BTreeMap<String, String>) -> String {
    let mut sorted: Vec<_> = entries.iter().collect();
    // Stable: those that Java does not print stay in the order of their names.
    sorted.sort_by_key(|(key, _)| PLACES.get(key.as_str()).copied().unwrap_or(usize::MAX));
    sorted.into_iter().fold(String::new(), |mut lines, (key, value)| {
        // Writing to a string cannot fail.
        let _ = writeln!(lines, "{key}={value}");
        lines
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Process;

    #[test]
    fn keys_come_as_java_prints_them() {
        let keys = ["zKey", "aKey", "storePathRootDir", "listenPort", "rocketmqHome"];
        let entries = keys.iter().map(|key| ((*key).to_owned(), "1".to_owned())).collect();
        let expected = "rocketmqHome=1\nlistenPort=1\nstorePathRootDir=1\naKey=1\nzKey=1\n";
        assert_eq!(printed(&entries), expected);
    }

    #[test]
    fn every_key_of_that_version_has_a_place() {
        // Fields of a class above one of Java's, which it does not print.
        const ELSEWHERE: [&str; 4] =
            ["brokerClusterName", "brokerName", "brokerId", "isInBrokerContainer"];
        let processes = [Process::Broker, Process::NameServer];
        for known in processes.into_iter().flat_map(Process::keys) {
            if known.defaults[2] == "-" || known.class == "AuthConfig" {
                continue;
            }
            let placed = PLACES.contains_key(known.shown) || ELSEWHERE.contains(&known.shown);
            assert!(placed, "{known:?}");
        }
    }
}
