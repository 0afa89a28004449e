//! What every process needs around its work: services, settings, clock and logging.

extern crate self as runtime;

pub mod clock;
pub mod config;
pub mod logging;
pub mod services;
