//! Maps that are looked into for every request, by texts that requests name.
//!
//! Their hash is a few multiplications where the standard library's is a cipher. It has a random
//! key in each map: no names can be chosen beforehand that fall into one place.

use dashmap::DashMap;

/// Hashes the keys of maps that requests look into.
pub type KeyHasher = foldhash::quality::RandomState;

/// A map that many threads look into at a time.
pub type Lookup<K, V> = DashMap<K, V, KeyHasher>;
