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
    let arms = model.methods.iter().map(|method| {
        let number = method.number;
        let arm = arm(method, &marker, name);
        quote!(#number => { #arm })
    });
    quote! {
        impl<S: #bound, R: ::abi::transport::Rights> ::abi::transport::Serve<S, R> for #marker {
            #[inline]
            fn dispatch<'s, D, L, Q>(server: D, mut request: Q) -> Q::Answer
            where
                D: ::core::ops::Deref<Target = L> + 's,
                L: ::abi::transport::Lock<S> + 's,
                Q: ::abi::transport::Request<'s, Rights = R>,
                S: 's,
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
    let guard = if method.exclusive {
        quote!(&mut *guard)
    } else {
        quote!(&*guard)
    };
    let arguments = method.arguments.iter().map(|argument| &argument.name);
    let result = method.results.owned(&rights);
    let write = write_results(&method.results, &rights);
    let reject = match method.form {
        Form::OneWay => quote!(return request.done()),
        _ => quote!(return request.answer::<#result>(#plan, Err(error), #write)),
    };
    let decode = decode(method, &rights, &reject);
    let reply = (method.form == Form::Deferred).then(|| quote!(reply));
    // The state is awaited first, then the handler runs on it.
    let serve = quote! {
        let mut guard = server.#lock().await;
        let _ = &mut guard;
        #service::#name(#guard, #(#arguments,)* #reply).await
    };
    let views = views(method);
    match method.form {
        Form::Direct => quote! {
            #decode
            request.handle::<#result, _>(#plan, async move { #views #serve }, #write)
        },
        Form::OneWay => quote! {
            #decode
            request.run(#plan, async move { #views #serve })
        },
        Form::Deferred => quote! {
            #decode
            let reply = request.defer::<#result>(#plan, #write);
            request.run(#plan, async move { #views #serve })
        },
    }
}

/// The statements that take the arguments out of the request; `reject` ends it with `error`.
fn decode(method: &Method, rights: &TokenStream, reject: &TokenStream) -> TokenStream {
    let bad = quote!(::abi::transport::Error::Code(
        ::abi::kern_return::KernReturn::MigBadArguments
    ));
    let takes = method.arguments.iter().map(|argument| {
        let name = &argument.name;
        let take = argument.kind.take(rights);
        match argument.kind {
            Kind::Caller => quote!(let #name = request.caller();),
            Kind::Value(_) => quote! {
                let input = request.input();
                let Ok(#name) = #take else { let error = #bad; #reject };
            },
            Kind::Bytes | Kind::Text => {
                let span = format_ident!("{name}_span");
                let check = matches!(argument.kind, Kind::Text).then(|| {
                    quote! {
                        let bytes = ::abi::transport::Source::view(&*request.input(), #span);
                        if ::core::str::from_utf8(bytes).is_err() { let error = #bad; #reject }
                    }
                });
                quote! {
                    let input = request.input();
                    let Ok(#span) = #take else { let error = #bad; #reject };
                    #check
                }
            }
            _ => quote! {
                let input = request.input();
                let #name = match #take { Ok(right) => right, Err(error) => { #reject } };
            },
        }
    });
    let keep = views_anything(method).then(|| quote!(let input = request.take_input();));
    quote!(#(#takes)* #keep)
}

fn views_anything(method: &Method) -> bool {
    method
        .arguments
        .iter()
        .any(|argument| matches!(argument.kind, Kind::Bytes | Kind::Text))
}

/// The statements that look at byte strings where they lie, in the handler's future.
fn views(method: &Method) -> TokenStream {
    let views = method.arguments.iter().map(|argument| {
        let name = &argument.name;
        let span = format_ident!("{name}_span");
        match argument.kind {
            Kind::Bytes => quote! {
                let #name = ::abi::transport::Source::view(&input, #span);
            },
            Kind::Text => quote! {
                let #name = ::abi::transport::Source::view(&input, #span);
                let #name = ::core::str::from_utf8(#name).unwrap_or_default();
            },
            _ => quote!(),
        }
    });
    quote!(#(#views)*)
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
