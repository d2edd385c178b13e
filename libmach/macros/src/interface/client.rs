//! The client: one method per method, over any transport.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};

use super::kind::Kind;
use super::model::{Argument, Form, Method, Model, Results};

pub(crate) fn write(model: &Model) -> TokenStream {
    let Model {
        visibility, name, ..
    } = model;
    let client = format_ident!("{name}Client");
    let marker = model.marker();
    let text = format!("The client of [`{name}`].");
    let methods = model
        .methods
        .iter()
        .map(|method| write_method(method, &marker));
    quote! {
        #[doc = #text]
        #[derive(Clone, Debug)]
        #visibility struct #client<T: ::abi::transport::Transport>(T);

        impl<T: ::abi::transport::Transport> #client<T> {
            /// A client over a transport.
            pub const fn new(transport: T) -> Self {
                Self(transport)
            }

            /// The same client, whose calls end after `limit` with `Error::TimedOut`.
            pub fn with_deadline(&self, limit: ::core::time::Duration) -> #client<T::Limited<'_>> {
                #client(self.0.limited(limit))
            }

            /// The transport beneath.
            pub fn transport(&self) -> &T {
                &self.0
            }

            /// The transport, given back.
            pub fn into_transport(self) -> T {
                self.0
            }

            #(#methods)*
        }
    }
}

fn write_method(method: &Method, marker: &TokenStream) -> TokenStream {
    let Method { docs, name, .. } = method;
    let rights = quote!(T::Rights);
    let plan = method.plan();
    let plan = quote!(<#marker>::#plan);
    let names = method.sent().map(|argument| &argument.name);
    let types = method.sent().map(|argument| match &argument.kind {
        Kind::Memory => quote!(&[u8]),
        other => other.owned(&rights),
    });
    let puts = method.sent().map(|Argument { name, kind }| match kind {
        Kind::Memory => quote!(::abi::transport::Lending::<T::Rights>::lend(out, #name);),
        other => other.put(&quote!(#name), &rights),
    });
    let write = quote!(|out: &mut T::Out| { let _ = &out; #(#puts)* });
    let result = method.results.owned(&rights);
    let read = read(&method.results, &rights);
    let (output, call) = match (method.form == Form::OneWay, method.moves()) {
        (true, false) => (
            quote!(::abi::transport::Result<()>),
            quote!(self.0.send(#plan, #write)),
        ),
        (false, false) => (
            quote!(T::Answer<#result, ::abi::transport::Error>),
            quote!(self.0.call(#plan, #write, #read)),
        ),
        (one_way, true) => {
            let kinds = method.sent().map(|argument| &argument.kind);
            let moved = Results::Tuple(kinds.filter(|kind| kind.is_right()).cloned().collect());
            let back = moved.owned(&rights);
            let restore = self::read(&moved, &rights);
            let refused = quote!(::abi::transport::Refused<#back>);
            if one_way {
                (
                    quote!(::abi::transport::Result<(), #refused>),
                    quote!(self.0.send_moving(#plan, #write, #restore)),
                )
            } else {
                (
                    quote!(T::Answer<#result, #refused>),
                    quote!(self.0.call_moving(#plan, #write, #read, #restore)),
                )
            }
        }
    };
    quote! {
        #(#docs)*
        #[inline]
        pub fn #name(&self, #(#names: #types,)*) -> #output {
            #call
        }
    }
}

/// A function that reads results out of a reply, or moved rights out of an unsent request.
fn read(results: &Results, rights: &TokenStream) -> TokenStream {
    let takes = results.kinds().iter().map(|kind| kind.take(rights));
    let body = match results {
        Results::One(_) => quote!(#(#takes)*),
        Results::Tuple(_) => quote!(Ok((#(#takes?,)*))),
    };
    quote!(|input: &mut T::In| { let _ = &input; #body })
}
