//! The derive macros of the wire and of the settings.

mod header;
mod properties;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Derives decoding and encoding of a command header; see `remoting::protocol::header`.
#[proc_macro_derive(Header, attributes(header))]
pub fn derive_header(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    header::expand(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

/// Implements `runtime::config::Properties` for a settings struct.
#[proc_macro_derive(Properties, attributes(property))]
pub fn derive_properties(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    properties::expand(input).unwrap_or_else(|error| error.to_compile_error()).into()
}
