//! Counters of the store.
