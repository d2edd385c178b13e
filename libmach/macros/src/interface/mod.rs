//! `#[interface]`: trait in, trait + client + dispatch + description out.
//!
//! [`model`] reads the trait; [`service`], [`client`], [`dispatch`] and [`describe`] each write one
//! part from it.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::{ItemTrait, LitInt, LitStr, Result, Token, parse2};

mod client;
mod describe;
mod dispatch;
mod kind;
mod model;
mod service;

/// The attribute's arguments.
pub(crate) struct Head {
    pub(crate) name: LitStr,
    pub(crate) subsystem: LitInt,
}

impl Parse for Head {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let (mut name, mut subsystem) = (None, None);
        while !input.is_empty() {
            let key: syn::Ident = input.parse()?;
            input.parse::<Token![=]>()?;
            match key.to_string().as_str() {
                "name" => name = Some(input.parse()?),
                "subsystem" => subsystem = Some(input.parse()?),
                _ => {
                    return Err(syn::Error::new_spanned(
                        key,
                        "expected `name` or `subsystem`",
                    ));
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        match (name, subsystem) {
            (Some(name), Some(subsystem)) => Ok(Self { name, subsystem }),
            _ => Err(input.error("expected `name = \"…\", subsystem = …`")),
        }
    }
}

pub(crate) fn expand(attribute: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let head: Head = parse2(attribute)?;
    let item: ItemTrait = parse2(item)?;
    let model = model::Model::read(head, item)?;
    let service = service::write(&model);
    let client = client::write(&model);
    let dispatch = dispatch::write(&model);
    let describe = describe::write(&model);
    Ok(quote!(#service #client #dispatch #describe))
}
