//! The lock file: one process per store, and the abort marker.
