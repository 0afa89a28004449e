//! Positions others wait for.
