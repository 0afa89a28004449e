//! What every process needs around its work: services, settings, clock and logging.

#[cfg(test)]
extern crate self as runtime; // The derive names this crate from outside.

pub mod clock;
pub mod config;
pub mod files;
pub mod logging;
pub mod services;
