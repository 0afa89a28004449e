//! `#[derive(Properties)]`: a settings struct that Java `.properties` keys fill.
//!
//! Every field is a property unless it says `#[property(skip)]`. Its key is the field's name in
//! camelCase or `name = ".."`; `default = expr` is its value in `Default`, `range = a..=b` what it
//! can be. `restart` marks a key that cannot change while the process runs, `fixed` one that no
//! request may change at all. The first doc paragraph is its documentation.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    Data, DeriveInput, Error, Expr, ExprLit, Field, Fields, Ident, Lit, LitStr, Result, Type,
};

struct Property {
    field: Ident,
    of: Type,
    key: String,
    doc: String,
    default: Option<Expr>,
    range: Option<Expr>,
    restart: bool,
    fixed: bool,
    skip: bool,
}

/// Expands the derive.
pub fn expand(input: DeriveInput) -> Result<TokenStream> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(&input.ident, "Properties is for structs"));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new_spanned(&input.ident, "Properties needs named fields"));
    };
    let all = fields.named.iter().map(read_field).collect::<Result<Vec<_>>>()?;
    let name = &input.ident;
    let defaults = all.iter().map(default_value);
    let listed: Vec<&Property> = all.iter().filter(|property| !property.skip).collect();
    let specs = listed.iter().map(|property| {
        let Property { key, doc, of, .. } = property;
        let change = match property {
            Property { fixed: true, .. } => quote! { Fixed },
            Property { restart: true, .. } => quote! { Restart },
            _ => quote! { Running },
        };
        let range = match &property.range {
            Some(range) => quote! {
                ::core::option::Option::Some(|| ::runtime::config::range_text::<#of>(&(#range)))
            },
            None => quote! { ::core::option::Option::None },
        };
        quote! {
            ::runtime::config::Property {
                key: #key,
                kind: <#of as ::runtime::config::PropertyValue>::KIND,
                change: ::runtime::config::Change::#change,
                range: #range,
                doc: #doc,
            }
        }
    });
    let arms = listed.iter().map(|Property { key, field, range, .. }| match range {
        Some(range) => quote! {
            #key => ::runtime::config::set_within(&mut self.#field, value, #range),
        },
        None => quote! { #key => ::runtime::config::set(&mut self.#field, value), },
    });
    let entries = listed.iter().map(|Property { key, field, .. }| {
        quote! { (#key, ::runtime::config::PropertyValue::show(&self.#field)) }
    });
    Ok(quote! {
        impl ::core::default::Default for #name {
            fn default() -> Self {
                Self { #(#defaults),* }
            }
        }

        impl #name {
            /// Every key of this struct, in the order of its fields.
            pub const PROPERTIES: &'static [::runtime::config::Property] = &[#(#specs),*];
        }

        impl ::runtime::config::Properties for #name {
            fn properties(&self) -> &'static [::runtime::config::Property] {
                Self::PROPERTIES
            }

            fn apply(&mut self, key: &str, value: &str) -> ::runtime::config::Applied {
                match key {
                    #(#arms)*
                    _ => ::runtime::config::Applied::Unknown,
                }
            }

            fn entries(&self) -> ::std::vec::Vec<(&'static str, ::std::string::String)> {
                ::std::vec![#(#entries),*]
            }
        }
    })
}

fn default_value(property: &Property) -> TokenStream {
    let field = &property.field;
    match &property.default {
        None => quote! { #field: ::core::default::Default::default() },
        Some(Expr::Lit(ExprLit { lit: Lit::Str(text), .. })) => {
            quote! { #field: ::core::convert::From::from(#text) }
        }
        Some(value) => quote! { #field: #value },
    }
}

fn read_field(field: &Field) -> Result<Property> {
    let Some(ident) = field.ident.clone() else {
        return Err(Error::new_spanned(field, "Properties needs named fields"));
    };
    let mut property = Property {
        key: camel_case(&ident.to_string()),
        doc: first_paragraph(field),
        field: ident,
        of: field.ty.clone(),
        default: None,
        range: None,
        restart: false,
        fixed: false,
        skip: false,
    };
    for attribute in field.attrs.iter().filter(|a| a.path().is_ident("property")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("default") {
                property.default = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("name") {
                property.key = meta.value()?.parse::<LitStr>()?.value();
            } else if meta.path.is_ident("restart") {
                property.restart = true;
            } else if meta.path.is_ident("range") {
                property.range = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("fixed") {
                property.fixed = true;
            } else if meta.path.is_ident("skip") {
                property.skip = true;
            } else {
                return Err(meta.error("expected default, name, range, restart, fixed or skip"));
            }
            Ok(())
        })?;
    }
    if !property.skip && property.doc.is_empty() {
        return Err(Error::new_spanned(field, "a property needs a doc comment"));
    }
    Ok(property)
}

fn first_paragraph(field: &Field) -> String {
    let mut lines = Vec::new();
    for attribute in field.attrs.iter().filter(|a| a.path().is_ident("doc")) {
        let syn::Meta::NameValue(pair) = &attribute.meta else { continue };
        let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &pair.value else { continue };
        let line = text.value().trim().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    lines.join(" ")
}

fn camel_case(snake: &str) -> String {
    let mut key = String::with_capacity(snake.len());
    let mut upper = false;
    for letter in snake.trim_start_matches("r#").chars() {
        match (letter, upper) {
            ('_', _) => upper = true,
            (_, true) => {
                key.extend(letter.to_uppercase());
                upper = false;
            }
            _ => key.push(letter),
        }
    }
    key
}
