//! The interface as data.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};

use super::model::{Form, Model};

pub(crate) fn write(model: &Model) -> TokenStream {
    let Model {
        service,
        subsystem,
        name,
        ..
    } = model;
    let marker = model.marker();
    let client = format_ident!("{name}Client");
    let methods = model.methods.iter().map(|method| {
        let plan = method.plan();
        let name = method.name.to_string();
        let idempotent = method.idempotent;
        let one_way = method.form == Form::OneWay;
        let arguments = method.sent().map(|argument| {
            let name = argument.name.to_string();
            let kind = argument.kind.describe();
            quote!(::abi::transport::Argument { name: #name, kind: #kind })
        });
        let results = method
            .results
            .kinds()
            .iter()
            .map(super::kind::Kind::describe);
        quote! {
            ::abi::transport::Method {
                name: #name,
                id: <#marker>::#plan.id,
                idempotent: #idempotent,
                one_way: #one_way,
                arguments: &[#(#arguments),*],
                results: &[#(#results),*],
            }
        }
    });
    quote! {
        impl ::abi::transport::Interface for #marker {
            const NAME: &'static str = #service;
            const SUBSYSTEM: i32 = #subsystem;
            const DESCRIPTION: &'static ::abi::transport::Description =
                &::abi::transport::Description {
                    name: #service,
                    subsystem: #subsystem,
                    methods: &[#(#methods),*],
                };
            type Client<T: ::abi::transport::Transport> = #client<T>;

            fn client<T: ::abi::transport::Transport>(transport: T) -> Self::Client<T> {
                #client::new(transport)
            }
        }
    }
}
