//! The derive macros of the wire and of the settings.

mod properties;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Implements `runtime::config::Properties` for a settings struct.
#[proc_macro_derive(Properties, attributes(property))]
pub fn derive_properties(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    properties::expand(input).unwrap_or_else(|error| error.to_compile_error()).into()
}
