//! Settings: structs declared once with `#[derive(Properties)]`, filled from Java property text.
//!
//! Each key of a file has one [`Fate`]: applied, known to Java but without effect here (with the
//! reason), unknown (with the nearest key we know), unparsable (the default stays, as in Java), or
//! one that stops the start. Nothing is dropped silently and nothing unknown stops a start.

pub mod check;
mod edit;
mod files;
mod java_keys;
mod nearest;
mod printed;
mod properties;
mod report;
mod system_properties;
mod update;
mod value;

pub use edit::change_file;
pub use files::{Files, Reread};
pub use java_keys::{JavaKey, Process, State, Unsafe, VERSIONS, java_key, java_keys, present_name};
pub use nearest::nearest;
pub use printed::printed;
pub use properties::{Change, Properties, PropertiesError, Property, parse, parse_bytes, to_text};
pub use remoting_derive::Properties;
pub use report::{Fate, Outcome, apply_all, warnings};
pub use system_properties::system_property;
pub use update::{UpdateError, all_or_nothing, keep, read_update, shown, without_nulls};
pub use value::{Applied, BadText, PropertyValue, range_text, set, set_within};
