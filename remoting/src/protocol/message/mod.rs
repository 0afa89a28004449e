//! Messages as bytes: the stored record, its properties, batches, ids and compression.
//!
//! One layout serves the wire and the disk: pull answers carry the stored records verbatim.
//! Everything here is pure; clocks and addresses come in as parameters.

pub mod batch;
pub mod compression;
pub mod hash;
pub mod id;
pub mod properties;
pub mod recall;
pub mod record;
pub mod sys_flag;

pub use properties::{Properties, PropertiesBuf};
pub use record::{NewRecord, Record, RecordError};
