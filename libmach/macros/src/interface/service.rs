//! The trait that a server implements, and the methods' plans.

use proc_macro2::TokenStream;
use quote::quote;

use super::model::{Form, Method, Model};

pub(crate) fn write(model: &Model) -> TokenStream {
    let Model {
        docs,
        visibility,
        name,
        subsystem,
        ..
    } = model;
    let rights = model.carries_rights().then(|| {
        quote! {
            /// What stands for rights on the server's side: `libmach::Mach` in ring 3.
            type Rights: ::abi::transport::Rights where Self: Sized;
        }
    });
    let methods = model.methods.iter().map(method);
    let plans = model.methods.iter().map(|method| {
        let number = method.number;
        let plan = method.plan();
        let text = format!("The messages of `{}`.", method.name);
        let idempotent = method.idempotent;
        let kinds = || method.arguments.iter().map(|argument| &argument.kind);
        let request_words = kinds().map(super::kind::Kind::words);
        let request_descriptors = kinds().filter(|kind| kind.is_descriptor()).count();
        let results = method.results.kinds();
        let reply_words = results.iter().map(super::kind::Kind::words);
        let reply_descriptors = results.iter().filter(|kind| kind.is_descriptor()).count();
        quote! {
            #[doc = #text]
            pub const #plan: ::abi::transport::Plan = ::abi::transport::Plan {
                id: #subsystem + #number,
                idempotent: #idempotent,
                request_words: 0 #(+ #request_words)*,
                request_descriptors: #request_descriptors,
                reply_words: 0 #(+ #reply_words)*,
                reply_descriptors: #reply_descriptors,
            };
        }
    });
    quote! {
        #(#docs)*
        #visibility trait #name {
            #rights
            #(#methods)*
        }

        impl dyn #name {
            #(#plans)*
        }
    }
}

fn method(method: &Method) -> TokenStream {
    let Method { docs, name, .. } = method;
    let rights = quote!(Self::Rights);
    let receiver = if method.exclusive {
        quote!(&mut self)
    } else {
        quote!(&self)
    };
    let names = method.arguments.iter().map(|argument| &argument.name);
    let types = method
        .arguments
        .iter()
        .map(|argument| argument.kind.owned(&rights));
    let result = method.results.owned(&rights);
    let (reply, output) = match method.form {
        Form::Direct => (None, quote!(::abi::transport::Result<#result>)),
        Form::OneWay => (None, quote!(())),
        Form::Deferred => (
            Some(quote!(reply: <Self::Rights as ::abi::transport::Rights>::Reply<#result>)),
            quote!(()),
        ),
    };
    quote! {
        #(#docs)*
        fn #name(#receiver, #(#names: #types,)* #reply)
            -> impl ::core::future::Future<Output = #output>
        where
            Self: Sized;
    }
}
