//! `#[derive(Header)]`: decodes a struct from ext fields in one pass, and encodes it.
//!
//! A plain field is required, an `Option` is optional. Attributes of a field:
//! `name = ".."` (wire name, otherwise the camelCase of the field's), `short = ".."` (its name in
//! the short form), `default = expr` (value when absent, makes it optional), `required` (listed as
//! required although it has a default: Java's primitives, which read as zero when absent).
//! Attributes of the struct: `strict` (an unparsable number is an error, not an absent field) and
//! `check = path` (a last look at the decoded header).

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};
use syn::{
    Data, DeriveInput, Expr, Fields, GenericArgument, Ident, Lifetime, LitByteStr, LitStr, Path,
    PathArguments, Type,
};

/// Expands the derive for one struct.
pub(crate) fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let options = Options::of(input)?;
    let fields = fields_of(input)?.iter().map(Field::of).collect::<syn::Result<Vec<_>>>()?;
    let name = &input.ident;
    let wire = wire_lifetime(input);
    let (_, types, _) = input.generics.split_for_impl();
    let generics = quote!(<#wire>);
    let long = decode_body(&fields, Field::wire_name, options.strict, &options);
    let puts = fields.iter().map(|field| field.put(&field.name));
    let facts = fields.iter().map(Field::fact);
    let text = name.to_string();
    let short = short_impls(&fields, name, &wire, &types, &options);
    Ok(quote! {
        #[automatically_derived]
        impl #generics crate::protocol::header::Header<#wire> for #name #types {
            fn decode(
                fields: crate::protocol::ext_fields::Fields<#wire>,
            ) -> ::core::result::Result<Self, crate::protocol::header::HeaderError> {
                #long
            }
        }

        #[automatically_derived]
        impl #generics crate::protocol::header::EncodeHeader for #name #types {
            fn encode<S: crate::protocol::ext_fields::FieldSink>(&self, sink: &mut S) {
                #(#puts)*
                let _ = sink;
            }
        }

        #[automatically_derived]
        impl #generics crate::protocol::header::Describe for #name #types {
            const NAME: &'static str = #text;
            const FIELDS: &'static [crate::protocol::header::FieldFact] = &[#(#facts),*];
        }

        #short
    })
}

fn fields_of(input: &DeriveInput) -> syn::Result<Vec<syn::Field>> {
    match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(named) => Ok(named.named.iter().cloned().collect()),
            Fields::Unit => Ok(Vec::new()),
            Fields::Unnamed(_) => Err(syn::Error::new_spanned(input, "fields must have names")),
        },
        _ => Err(syn::Error::new_spanned(input, "a header is a struct")),
    }
}

fn wire_lifetime(input: &DeriveInput) -> Lifetime {
    let own = input.generics.lifetimes().next().map(|parameter| parameter.lifetime.clone());
    own.unwrap_or_else(|| Lifetime::new("'wire", Span::call_site()))
}

fn decode_body(
    fields: &[Field],
    key: fn(&Field) -> Option<&str>,
    strict: bool,
    options: &Options,
) -> TokenStream {
    let slots = fields.iter().map(|field| {
        let (slot, kind) = (&field.slot, &field.value);
        quote!(let mut #slot: ::core::option::Option<#kind> = ::core::option::Option::None;)
    });
    let arms = fields.iter().filter_map(|field| {
        let (slot, name) = (&field.slot, &field.name);
        let key = LitByteStr::new(key(field)?.as_bytes(), Span::call_site());
        let parse = quote!(crate::protocol::header::FieldValue::parse(value));
        Some(if strict {
            quote! {
                #key => #slot = ::core::option::Option::Some(
                    #parse.ok_or(crate::protocol::header::HeaderError::Unparsable { field: #name })?
                ),
            }
        } else {
            quote!(#key => #slot = #parse,)
        })
    });
    let sets = fields.iter().map(|field| {
        let (slot, ident, name) = (&field.slot, &field.ident, &field.name);
        match (&field.default, field.optional) {
            (Some(default), _) => quote!(#ident: #slot.unwrap_or(#default),),
            (None, true) => quote!(#ident: #slot,),
            (None, false) => quote! {
                #ident: #slot
                    .ok_or(crate::protocol::header::HeaderError::Missing { field: #name })?,
            },
        }
    });
    let check = options.check.as_ref().map(|check| quote!(#check(&header)?;));
    quote! {
        #(#slots)*
        for (name, value) in fields.raw() {
            let _ = value;
            match name {
                #(#arms)*
                _ => {}
            }
        }
        let header = Self { #(#sets)* };
        #check
        ::core::result::Result::Ok(header)
    }
}

fn short_impls(
    fields: &[Field],
    name: &Ident,
    wire: &Lifetime,
    types: &syn::TypeGenerics<'_>,
    options: &Options,
) -> Option<TokenStream> {
    if fields.iter().all(|field| field.short.is_none()) {
        return None;
    }
    // Java quirk: the only header with short names is one of the strict ones.
    let body = decode_body(fields, |field| field.short.as_deref(), true, options);
    let puts = fields.iter().filter_map(|field| Some(field.put(field.short.as_ref()?)));
    Some(quote! {
        #[automatically_derived]
        impl<#wire> crate::protocol::header::ShortHeader<#wire> for #name #types {
            fn decode_short(
                fields: crate::protocol::ext_fields::Fields<#wire>,
            ) -> ::core::result::Result<Self, crate::protocol::header::HeaderError> {
                #body
            }
        }

        #[automatically_derived]
        impl<#wire> crate::protocol::header::EncodeShort for #name #types {
            fn encode_short<S: crate::protocol::ext_fields::FieldSink>(&self, sink: &mut S) {
                #(#puts)*
            }
        }
    })
}

#[derive(Default)]
struct Options {
    strict: bool,
    check: Option<Path>,
}

impl Options {
    fn of(input: &DeriveInput) -> syn::Result<Self> {
        let mut options = Self::default();
        for attribute in input.attrs.iter().filter(|a| a.path().is_ident("header")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("strict") {
                    options.strict = true;
                    Ok(())
                } else if meta.path.is_ident("check") {
                    options.check = Some(meta.value()?.parse()?);
                    Ok(())
                } else {
                    Err(meta.error("strict or check expected"))
                }
            })?;
        }
        Ok(options)
    }
}

struct Field {
    ident: Ident,
    slot: Ident,
    name: String,
    short: Option<String>,
    /// The type of the value, without its `Option`.
    value: Type,
    optional: bool,
    required: bool,
    default: Option<Expr>,
}

impl Field {
    fn of(field: &syn::Field) -> syn::Result<Self> {
        let Some(ident) = field.ident.clone() else {
            return Err(syn::Error::new_spanned(field, "fields must have names"));
        };
        let (value, optional) = match option_value(&field.ty) {
            Some(value) => (value.clone(), true),
            None => (field.ty.clone(), false),
        };
        let mut result = Self {
            slot: format_ident!("slot_{}", ident),
            name: camel_case(&ident.to_string()),
            ident,
            short: None,
            value,
            optional,
            required: false,
            default: None,
        };
        for attribute in field.attrs.iter().filter(|a| a.path().is_ident("header")) {
            attribute.parse_nested_meta(|meta| result.apply(&meta))?;
        }
        result.required |= !result.optional && result.default.is_none();
        Ok(result)
    }

    fn apply(&mut self, meta: &syn::meta::ParseNestedMeta<'_>) -> syn::Result<()> {
        if meta.path.is_ident("name") {
            self.name = meta.value()?.parse::<LitStr>()?.value();
        } else if meta.path.is_ident("short") {
            self.short = Some(meta.value()?.parse::<LitStr>()?.value());
        } else if meta.path.is_ident("default") {
            self.default = Some(meta.value()?.parse()?);
        } else if meta.path.is_ident("required") {
            self.required = true;
        } else {
            return Err(meta.error("name, short, default or required expected"));
        }
        Ok(())
    }

    fn wire_name(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn put(&self, name: &str) -> TokenStream {
        let ident = &self.ident;
        if self.optional {
            quote! {
                if let ::core::option::Option::Some(value) = &self.#ident {
                    crate::protocol::header::FieldValue::put(value, #name, sink);
                }
            }
        } else {
            quote!(crate::protocol::header::FieldValue::put(&self.#ident, #name, sink);)
        }
    }

    fn fact(&self) -> TokenStream {
        let (name, required) = (&self.name, self.required);
        let short = match &self.short {
            Some(short) => quote!(::core::option::Option::Some(#short)),
            None => quote!(::core::option::Option::None),
        };
        quote! {
            crate::protocol::header::FieldFact { name: #name, short: #short, required: #required }
        }
    }
}

fn option_value(kind: &Type) -> Option<&Type> {
    let Type::Path(path) = kind else { return None };
    let last = path.path.segments.last().filter(|segment| segment.ident == "Option")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first()? {
        GenericArgument::Type(value) => Some(value),
        _ => None,
    }
}

fn camel_case(name: &str) -> String {
    let mut result = String::with_capacity(name.len());
    let mut upper = false;
    for letter in name.trim_start_matches("r#").chars() {
        if letter == '_' {
            upper = true;
        } else {
            result.push(if upper { letter.to_ascii_uppercase() } else { letter });
            upper = false;
        }
    }
    result
}
