//! Settings: structs declared once with `#[derive(Properties)]`, filled from Java property text.
//!
//! A key of a file ends in exactly one list of the [`Report`]: applied, known to Java but without
//! effect here, unknown (with the nearest key we know), or unparsable (the default stays, as in
//! Java). Nothing is refused silently and nothing unknown stops a start.

mod java_keys;
mod nearest;
mod properties;
mod report;
mod system_properties;
mod value;

pub use java_keys::{JavaKey, java_key};
pub use nearest::nearest;
pub use properties::{
    Properties, PropertiesError, Property, docs_table, parse, parse_bytes, to_text,
};
pub use remoting_derive::Properties;
pub use report::{Report, Unknown, Unparsable, apply_all};
pub use system_properties::system_property;
pub use value::{Applied, PropertyValue, set};
