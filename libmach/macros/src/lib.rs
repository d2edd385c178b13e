//! The attribute macros of ring-3 programs: `#[libmach::main]` and `#[interface]`, and
//! `#[derive(Wire)]` for what interfaces carry.
//!
//! What they generate names `abi::transport` only (`main`: `libmach`), so that the kernel can use
//! interfaces too.

use proc_macro::TokenStream;

mod interface;
mod main_function;
mod wire;

/// Makes a function `fn(Context) -> Result<(), E>` the program's entry.
///
/// On the machine: `_start`, which sets up thread and heap and ends the task behind the function.
/// On a host the program only says that it runs on MelloOS; its logic is tested as a library.
#[proc_macro_attribute]
pub fn main(attribute: TokenStream, item: TokenStream) -> TokenStream {
    main_function::expand(&attribute.into(), item.into())
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Makes a trait an interface: client, dispatch, message ids and description.
///
/// `#[interface(name = "org.mello.counter", subsystem = 4200)]`; method n has the request id
/// `subsystem + n`, its answer 100 more. Methods are `async fn(&self | &mut self, …) -> Result<T>`, with
///
/// - arguments: `abi::transport::Wire` values, `&[u8]`, `&str`, `SendRight<dyn I>`,
///   `SendOnce<dyn I>`, `ReceiveRight<dyn I>`, `Memory`; a last `reply: Reply<T>` instead of a
///   result lets the server answer later;
/// - results: one such value (not `&[u8]` or `&str`) or a tuple of them;
/// - `#[idempotent]`: the client repeats it when the server died; it moves no rights;
/// - `#[oneway]`: no answer, no result;
/// - `#[skip(n)]`: the n numbers before it are no method's, as MIG's `skip`.
///
/// The trait keeps its name and is what a server implements. Its `dyn` type is the interface's
/// marker (`SendRight<dyn Counter>`), `CounterClient` its client. When a method carries rights or
/// memory, an implementation says `type Rights = Mach;`.
#[proc_macro_attribute]
pub fn interface(attribute: TokenStream, item: TokenStream) -> TokenStream {
    interface::expand(attribute.into(), item.into())
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Lets a struct of `Wire` fields travel in a message, field by field.
#[proc_macro_derive(Wire)]
pub fn wire(item: TokenStream) -> TokenStream {
    wire::expand(item.into())
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
