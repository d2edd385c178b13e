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
///   `SendOnce<dyn I>`, `ReceiveRight<dyn I>`, `SendRights<dyn I>` (an array), `Memory`, and
///   `Caller`, which is who sent the request; a last `reply: Reply<T>` instead of a result lets the
///   server answer later;
/// - results: one such value (not `&[u8]`, `&str` or `Caller`) or a tuple of them;
/// - `#[idempotent]`: the client repeats it when the server died; it moves no rights;
/// - `#[oneway]`: no answer, no result;
/// - `#[skip(n)]`: the n numbers before it are no method's, as MIG's `skip`.
///
/// The trait keeps its name and is what a server implements. Its `dyn` type is the interface's
/// marker (`SendRight<dyn Counter>`), `CounterClient` its client. When a method carries rights or
/// memory, an implementation says `type Rights = Mach;`.
///
/// What MIG has, by its names (G-04):
///
/// | MIG | here |
/// |---|---|
/// | `in`, `out`, `inout` | argument, result, one of each |
/// | bounded inline arrays | `[T; N]`, `Bytes<N>`, `Text<N>`; in requests also `&[u8]`, `&str` |
/// | out-of-line data, `dealloc` | `Memory`: lent by a request, given away by a reply |
/// | arrays of ports | `SendRights<dyn I>` |
/// | polymorphic ports | `SendRight<Untyped>` leads to any interface; whether it is moved or made is up to the caller, who makes the right |
/// | `sreplyport` | `Reply<T>` |
/// | `ServerAuditToken` | `Caller` |
/// | `waittime`, `msgoption` | `with_deadline`, on the client |
/// | `intran`, `outtran`, `destructor` | `Wire` for a type of one's own, and its `Drop` |
/// | `intranpayload` | the label of a port leads the server's runtime to its object |
/// | `simpleroutine`, `skip` | `#[oneway]`, `#[skip(n)]` |
///
/// Not there: `ureplyport` (a call uses its thread's reply object, or a port of the runtime's), memory that leaves the
/// caller with a request, arrays of other rights than send rights, options of messages but the deadline.
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
