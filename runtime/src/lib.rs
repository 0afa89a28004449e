//! What every process needs around its work: services, settings, signals, clock and logging.

#[cfg(test)]
extern crate self as runtime; // The derive names this crate from outside.

pub mod clock;
pub mod config;
mod courtesy;
pub mod failure;
pub mod files;
pub mod logging;
pub mod process;
pub mod services;
pub mod signals;
