//! The server's side: from a request to the handler, and its result into the answer.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};

use super::kind::Kind;
use super::model::{Form, Method, Model, Results};

pub(crate) fn write(model: &Model) -> TokenStream {
    let Model {
        name, subsystem, ..
    } = model;
    let marker = model.marker();
    let bound = if model.carries_rights() {
        quote!(#name<Rights = R>)
    } else {
        quote!(#name)
    };
    let arms = model.methods.iter().enumerate().map(|(index, method)| {
        let index = i32::try_from(index).unwrap_or(i32::MAX);
        let arm = arm(method, &marker, name);
        quote!(#index => { #arm })
    });
    quote! {
        impl<S: #bound, R: ::abi::transport::Rights> ::abi::transport::Serve<S, R> for #marker {
            #[inline]
            #[allow(unreachable_code, reason = "a deferred method whose arguments cannot be bad")]
            async fn dispatch<L, Q>(server: &L, mut request: Q) -> Q::Answer
            where
                L: ::abi::transport::Lock<S>,
                Q: ::abi::transport::Request<Rights = R>,
            {
                match request.id().wrapping_sub(#subsystem) {
                    #(#arms)*
                    _ => {
                        let plan = ::abi::transport::Plan {
                            id: request.id(),
                            idempotent: false,
                            request_words: 0,
                            request_descriptors: 0,
                            reply_words: 0,
                            reply_descriptors: 0,
                        };
                        let bad = ::abi::kern_return::KernReturn::MigBadId;
                        request.answer::<()>(plan, Err(bad.into()), |(), _| ())
                    }
                }
            }
        }
    }
}

fn arm(method: &Method, marker: &TokenStream, service: &syn::Ident) -> TokenStream {
    let rights = quote!(R);
    let plan = method.plan();
    let plan = quote!(<#marker>::#plan);
    let name = &method.name;
    let lock = if method.exclusive {
        quote!(exclusive)
    } else {
        quote!(shared)
    };
    let arguments: Vec<_> = method
        .arguments
        .iter()
        .map(|argument| &argument.name)
        .collect();
    let (input, views) = decode(method, &rights);
    let result = method.results.owned(&rights);
    let write = write_results(&method.results, &rights);
    let guard = if method.exclusive {
        quote!(&mut *guard)
    } else {
        quote!(&*guard)
    };
    let serve = quote!(let mut guard = server.#lock().await; let _ = &mut guard;);
    match method.form {
        Form::Direct => quote! {
            let result: ::abi::transport::Result<#result> = 'handle: {
                #input
                #views
                #serve
                #service::#name(#guard, #(#arguments),*).await
            };
            request.answer(#plan, result, #write)
        },
        Form::OneWay => quote! {
            let _: ::abi::transport::Result<()> = 'handle: {
                #input
                #views
                #serve
                #service::#name(#guard, #(#arguments),*).await;
                Ok(())
            };
            request.done()
        },
        Form::Deferred => quote! {
            let bad: ::abi::transport::Result<#result> = 'handle: {
                #input
                let _ = input;
                let reply = request.defer::<#result>(#plan, #write);
                #views
                #serve
                #service::#name(#guard, #(#arguments,)* reply).await;
                drop(guard);
                return request.done();
            };
            request.answer(#plan, bad, #write)
        },
    }
}

/// The statements that take the arguments out of the request, and those that view it.
fn decode(method: &Method, rights: &TokenStream) -> (TokenStream, TokenStream) {
    let (takes, views): (Vec<_>, Vec<_>) = method
        .arguments
        .iter()
        .map(|argument| take(&argument.name, &argument.kind, rights))
        .unzip();
    let callers = method
        .arguments
        .iter()
        .filter(|argument| matches!(argument.kind, Kind::Caller));
    let callers = callers.map(|argument| {
        let name = &argument.name;
        quote!(let #name = request.caller();)
    });
    (
        quote! {
            #(#callers)*
            let input = request.input();
            let _ = &input;
            #(#takes)*
        },
        quote! {
            let input = &*request.input();
            let _ = input;
            #(#views)*
        },
    )
}

/// Reading an argument takes two steps: what is taken out of the request, and what is only viewed.
fn take(name: &syn::Ident, kind: &Kind, rights: &TokenStream) -> (TokenStream, TokenStream) {
    let bad = quote!(::abi::kern_return::KernReturn::MigBadArguments.into());
    let expression = kind.take(rights);
    match kind {
        Kind::Bytes | Kind::Text => {
            let span = format_ident!("{name}_span");
            let take = quote! {
                let Ok(#span) = #expression else { break 'handle Err(#bad) };
            };
            let view = match kind {
                Kind::Bytes => quote! {
                    let #name = ::abi::transport::Source::view(input, #span);
                },
                _ => quote! {
                    let #name = ::abi::transport::Source::view(input, #span);
                    let Ok(#name) = ::core::str::from_utf8(#name) else { break 'handle Err(#bad) };
                },
            };
            (take, view)
        }
        Kind::Caller => (quote!(), quote!()),
        Kind::Value(_) => (
            quote!(let Ok(#name) = #expression else { break 'handle Err(#bad) };),
            quote!(),
        ),
        _ => (
            quote! {
                let #name = match #expression {
                    Ok(right) => right,
                    Err(error) => break 'handle Err(error),
                };
            },
            quote!(),
        ),
    }
}

fn write_results(results: &Results, rights: &TokenStream) -> TokenStream {
    match results {
        Results::One(kind) => {
            let put = kind.put(&quote!(value), rights);
            quote!(|value, out| { #put })
        }
        Results::Tuple(kinds) => {
            let names: Vec<_> = (0..kinds.len())
                .map(|n| format_ident!("value_{n}"))
                .collect();
            let puts = kinds
                .iter()
                .zip(&names)
                .map(|(kind, name)| kind.put(&quote!(#name), rights));
            quote!(|(#(#names,)*), out| { let _ = &out; #(#puts)* })
        }
    }
}
