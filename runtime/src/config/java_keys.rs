//! The keys Java's own processes know, so that a file of theirs is told apart from a typing error.

/// One key of a Java configuration class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JavaKey {
    /// The key.
    pub key: &'static str,
    /// The classes that have it, separated by commas.
    pub classes: &'static str,
}

/// One line per key, sorted by bytes: key, tab, classes.
const TABLE: &str = include_str!("java_keys.tsv");

/// Looks a key up; letter case counts, as in Java.
#[must_use]
pub fn java_key(key: &str) -> Option<JavaKey> {
    all().find(|known| known.key == key)
}

/// Every key of the table.
pub(super) fn all() -> impl Iterator<Item = JavaKey> {
    TABLE.lines().filter_map(|line| {
        let (key, classes) = line.split_once('\t')?;
        Some(JavaKey { key, classes })
    })
}

#[cfg(test)]
mod tests {
    use super::{TABLE, all, java_key};

    #[test]
    fn every_line_is_a_key() {
        assert_eq!(all().count(), TABLE.lines().count());
        let keys: Vec<_> = all().map(|known| known.key).collect();
        assert!(keys.is_sorted());
        assert!(keys.len() > 600);
    }

    #[test]
    fn knows_keys_of_every_process() {
        for (key, class) in [
            ("brokerName", "BrokerConfig"),
            ("flushDiskType", "MessageStoreConfig"),
            ("kvConfigPath", "NamesrvConfig"),
            ("listenPort", "NettyServerConfig"),
        ] {
            let known = java_key(key).expect(key);
            assert!(known.classes.split(',').any(|name| name == class), "{known:?}");
        }
        assert_eq!(java_key("brokername"), None);
    }
}
