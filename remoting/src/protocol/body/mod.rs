//! The JSON bodies of requests and answers.
//!
//! Structs and members carry Java's names. Written are all members, in alphabetical order,
//! without nulls; an empty text counts as null. Read is whatever fastjson would accept: see
//! [`lenient`] for members and [`super::lenient_json`] for the syntax.
//!
//! Some bodies are not standard JSON on the wire, since maps have beans or bare numbers as keys;
//! each body knows its [`Dialect`].

mod client;
mod dialect;
mod group;
mod heartbeat;
mod lenient;
mod offset;
mod pop;
mod register;
mod route;
mod topic;

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

pub use client::*;
pub use dialect::Dialect;
pub use group::*;
pub use heartbeat::*;
pub use offset::*;
pub use pop::*;
pub use register::*;
pub use route::*;
pub use topic::*;

/// Why a body could not be read.
#[derive(Debug, Error)]
pub enum BodyError {
    /// It is not JSON, or a member has the wrong type.
    #[error("body is not what was expected: {0}")]
    Json(#[from] serde_json::Error),
    /// It could not be inflated.
    #[error(transparent)]
    Inflate(#[from] super::message::compression::InflateError),
    /// The binary form of a registration is damaged.
    #[error("compressed registration is damaged at {0}")]
    Damaged(&'static str),
}

/// A body that is a JSON object.
pub trait Body: Serialize + DeserializeOwned {
    /// How Java writes it.
    const DIALECT: Dialect;

    /// Reads the body in any dialect; members that are missing keep their defaults.
    fn decode(bytes: &[u8]) -> Result<Self, BodyError> {
        let value = serde_json::from_slice(&super::lenient_json::to_standard(bytes))?;
        Ok(lenient::from_value(value)?)
    }

    /// Writes the body as Java does.
    fn encode(&self) -> Vec<u8> {
        self.encode_as(Self::DIALECT)
    }

    /// Writes the body in a dialect of the caller's choice.
    fn encode_as(&self, dialect: Dialect) -> Vec<u8> {
        dialect::to_vec(self, dialect)
    }
}

/// Tells which members are left out when written.
trait Omit {
    fn omit(&self) -> bool {
        false
    }
}

impl<T> Omit for Option<T> {
    fn omit(&self) -> bool {
        self.is_none()
    }
}

impl Omit for String {
    fn omit(&self) -> bool {
        self.is_empty()
    }
}

impl Omit for i32 {}
impl Omit for i64 {}
impl Omit for f64 {}
impl Omit for bool {}
impl<T> Omit for Vec<T> {}
impl<K, V> Omit for std::collections::BTreeMap<K, V> {}

fn omit<T: Omit>(value: &T) -> bool {
    value.omit()
}

/// Declares structs of JSON members, with the defaults of a fresh Java instance.
macro_rules! bodies {
    ($($(#[$meta:meta])* $dialect:ident $name:ident {
        $($(#[$field_meta:meta])* $field:ident : $type:ty $(= $default:expr)?,)*
    })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        #[allow(missing_docs)]
        pub struct $name {
            $(
                $(#[$field_meta])*
                #[serde(skip_serializing_if = "super::omit")]
                pub $field: $type,
            )*
        }

        impl Default for $name {
            fn default() -> Self {
                $name { $($field: bodies!(@default $($default)?),)* }
            }
        }

        impl super::Body for $name {
            const DIALECT: super::Dialect = super::Dialect::$dialect;
        }

        impl super::Omit for $name {}
    )*};
    (@default) => { Default::default() };
    (@default $default:expr) => { $default };
}

/// Declares enums that Java writes as the names of constants; unknown names read as nothing.
macro_rules! constants {
    ($($(#[$meta:meta])* $name:ident { $($variant:ident = $text:literal,)* })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
        #[allow(missing_docs)]
        pub enum $name {
            $(#[serde(rename = $text)] $variant,)*
        }

        impl $name {
            /// Returns the constant of a name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($text => Some($name::$variant),)*
                    _ => None,
                }
            }

            /// Returns the name as it is written.
            pub fn name(self) -> &'static str {
                match self {
                    $($name::$variant => $text,)*
                }
            }

            pub(super) fn known<'de, D>(deserializer: D) -> Result<Option<Self>, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                let name: Option<String> = serde::Deserialize::deserialize(deserializer)?;
                Ok(name.as_deref().and_then(Self::from_name))
            }
        }
    )*};
}

use {bodies, constants};
