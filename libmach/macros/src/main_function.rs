//! `#[libmach::main]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{ItemFn, Result, parse2};

pub(crate) fn expand(attribute: &TokenStream, item: TokenStream) -> Result<TokenStream> {
    if !attribute.is_empty() {
        return Err(syn::Error::new_spanned(
            attribute,
            "`main` takes no arguments",
        ));
    }
    let mut function: ItemFn = parse2(item)?;
    if function.sig.inputs.len() != 1 || function.sig.asyncness.is_some() {
        let text = "`main` is a plain function of one argument, the `Context`";
        return Err(syn::Error::new_spanned(&function.sig, text));
    }
    let name = function.sig.ident.clone();
    function.sig.ident = quote::format_ident!("program_{name}");
    let program = &function.sig.ident;
    Ok(quote! {
        #function

        #[cfg(target_os = "none")]
        #[unsafe(no_mangle)]
        extern "C" fn _start(page: *const ::libmach::abi::start::Page) -> ! {
            // SAFETY: the task's creator calls `_start` once, on the first thread, with the start
            // page in `rdi`.
            unsafe { ::libmach::machine::start::enter(page, #program) }
        }

        #[cfg(not(target_os = "none"))]
        fn main() -> ::std::process::ExitCode {
            ::libmach::host::refuse_main(#program)
        }
    })
}
