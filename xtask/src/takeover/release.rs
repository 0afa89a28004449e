//! The Java releases that take part, and what the older ones lack.

use std::fmt;

/// The release that the gate runs.
pub const DEFAULT: &str = "5.3.3";

/// The word for every release.
pub const ALL: &str = "all";

/// A Java release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release(pub &'static str);

impl Release {
    /// Every release, oldest first.
    pub const ALL: [Self; 4] = [Self("4.9.7"), Self("5.1.4"), Self(DEFAULT), Self("5.5.0")];

    /// Those that `--version` names.
    pub fn named(name: &str) -> Option<Vec<Self>> {
        if name == ALL {
            return Some(Self::ALL.to_vec());
        }
        Self::ALL.into_iter().find(|release| release.0 == name).map(|release| vec![release])
    }

    /// Whether it has what came with 5.0: timers, POP, attributes, request modes.
    pub fn is_5(self) -> bool {
        self.0.starts_with('5')
    }

    /// Whether its brokers can keep queues in RocksDB, as they can since 5.2.
    pub fn has_rocks_db(self) -> bool {
        self.is_5() && self.0 != "5.1.4"
    }

    /// Whether its groups have attributes.
    pub fn has_group_attributes(self) -> bool {
        self.0 == "5.5.0"
    }

    /// Whether its recovery may start where the checkpoint says, in the middle of a file.
    pub fn has_accelerated_recovery(self) -> bool {
        self.0 == "5.5.0"
    }

    /// What is left out with it, for the report.
    pub fn lacks(self) -> Option<&'static str> {
        (!self.is_5()).then_some("timers, POP, request modes, attributes and retry policies")
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
