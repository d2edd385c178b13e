//! The attribute macros of ring-3 programs: `#[libmach::main]` and `#[interface]`.

use proc_macro::TokenStream;

mod main_function;

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
