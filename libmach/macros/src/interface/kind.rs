//! What an argument or result is on the wire, read from the syntax of its type.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{GenericArgument, PathArguments, Type};

/// One argument's or result's kind.
#[derive(Clone)]
pub(crate) enum Kind {
    Value(Box<Type>),
    Bytes,
    Text,
    Send(Box<Type>),
    SendOnce(Box<Type>),
    Receive(Box<Type>),
    Sends(Box<Type>),
    Memory,
    /// Not on the wire: who sent the request.
    Caller,
}

impl Kind {
    pub(crate) fn of(ty: &Type) -> Self {
        let text = ty.to_token_stream().to_string().replace(' ', "");
        match text.as_str() {
            "&[u8]" => return Self::Bytes,
            "&str" => return Self::Text,
            "Memory" => return Self::Memory,
            "Caller" => return Self::Caller,
            _ => {}
        }
        match generic(ty) {
            Some((name, inner)) if name == "SendRight" => Self::Send(inner),
            Some((name, inner)) if name == "SendOnce" => Self::SendOnce(inner),
            Some((name, inner)) if name == "ReceiveRight" => Self::Receive(inner),
            Some((name, inner)) if name == "SendRights" => Self::Sends(inner),
            _ => Self::Value(Box::new(ty.clone())),
        }
    }

    /// Whether it travels as a descriptor.
    pub(crate) fn is_descriptor(&self) -> bool {
        !matches!(
            self,
            Self::Value(_) | Self::Bytes | Self::Text | Self::Caller
        )
    }

    /// Whether sending it takes a right from the sender.
    pub(crate) fn is_right(&self) -> bool {
        matches!(
            self,
            Self::Send(_) | Self::SendOnce(_) | Self::Receive(_) | Self::Sends(_)
        )
    }

    /// Its words at most, as a constant expression.
    pub(crate) fn words(&self) -> TokenStream {
        match self {
            Self::Value(ty) => quote!(<#ty as ::abi::transport::Wire>::WORDS),
            Self::Bytes | Self::Text => quote!(::abi::transport::LONG),
            _ => quote!(0),
        }
    }

    /// Its type, with the rights of `rights`.
    pub(crate) fn owned(&self, rights: &TokenStream) -> TokenStream {
        let rights = quote!(<#rights as ::abi::transport::Rights>);
        match self {
            Self::Value(ty) => quote!(#ty),
            Self::Bytes => quote!(&[u8]),
            Self::Text => quote!(&str),
            Self::Send(interface) => quote!(#rights::Send<#interface>),
            Self::SendOnce(interface) => quote!(#rights::SendOnce<#interface>),
            Self::Receive(interface) => quote!(#rights::Receive<#interface>),
            Self::Sends(interface) => quote!(#rights::Sends<#interface>),
            Self::Memory => quote!(#rights::Memory),
            Self::Caller => quote!(::abi::transport::Caller),
        }
    }

    /// The statement that writes `value` (owned) into `out`, of a transport with these rights.
    pub(crate) fn put(&self, value: &TokenStream, rights: &TokenStream) -> TokenStream {
        let outgoing = quote!(::abi::transport::Outgoing::<#rights>);
        match self {
            Self::Value(_) => quote!(::abi::transport::Wire::put(&#value, out);),
            Self::Bytes => quote!(::abi::transport::Sink::bytes(out, #value);),
            Self::Text => quote!(::abi::transport::Sink::bytes(out, #value.as_bytes());),
            Self::Send(interface) => quote!(#outgoing::send::<#interface>(out, #value);),
            Self::SendOnce(interface) => quote!(#outgoing::send_once::<#interface>(out, #value);),
            Self::Receive(interface) => quote!(#outgoing::receive::<#interface>(out, #value);),
            Self::Sends(interface) => quote!(#outgoing::sends::<#interface>(out, #value);),
            Self::Memory => quote!(#outgoing::memory(out, #value);),
            Self::Caller => quote!(),
        }
    }

    /// An expression of type `Result<owned>` that reads it from `input`.
    pub(crate) fn take(&self, rights: &TokenStream) -> TokenStream {
        let incoming = quote!(::abi::transport::Incoming::<#rights>);
        match self {
            Self::Value(ty) => quote! {
                <#ty as ::abi::transport::Wire>::take(input)
                    .ok_or(::abi::transport::Error::BadReply)
            },
            Self::Bytes | Self::Text => quote! {
                ::abi::transport::Source::span(input).ok_or(::abi::transport::Error::BadReply)
            },
            Self::Send(interface) => quote!(#incoming::send::<#interface>(input)),
            Self::SendOnce(interface) => quote!(#incoming::send_once::<#interface>(input)),
            Self::Receive(interface) => quote!(#incoming::receive::<#interface>(input)),
            Self::Sends(interface) => quote!(#incoming::sends::<#interface>(input)),
            Self::Memory => quote!(#incoming::memory(input)),
            Self::Caller => quote!(Ok(request.caller())),
        }
    }

    /// The description's entry.
    pub(crate) fn describe(&self) -> TokenStream {
        let kind = quote!(::abi::transport::Kind);
        let text = |ty: &Type| {
            let text = ty.to_token_stream().to_string();
            text.strip_prefix("dyn ").unwrap_or(&text).replace(' ', "")
        };
        match self {
            Self::Value(ty) => {
                let text = text(ty);
                quote!(#kind::Value(#text))
            }
            Self::Bytes => quote!(#kind::Bytes),
            Self::Text => quote!(#kind::Text),
            Self::Memory | Self::Caller => quote!(#kind::Memory),
            Self::Send(interface) => {
                let text = text(interface);
                quote!(#kind::Send(#text))
            }
            Self::SendOnce(interface) => {
                let text = text(interface);
                quote!(#kind::SendOnce(#text))
            }
            Self::Receive(interface) => {
                let text = text(interface);
                quote!(#kind::Receive(#text))
            }
            Self::Sends(interface) => {
                let text = text(interface);
                quote!(#kind::Sends(#text))
            }
        }
    }
}

/// `Name<Inner>` taken apart.
pub(crate) fn generic(ty: &Type) -> Option<(String, Box<Type>)> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last()?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else {
        return None;
    };
    match (arguments.args.first()?, arguments.args.len()) {
        (GenericArgument::Type(inner), 1) => {
            Some((last.ident.to_string(), Box::new(inner.clone())))
        }
        _ => None,
    }
}
