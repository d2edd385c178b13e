//! `#[derive(Wire)]`: structs field by field, enums without fields by their number.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, Result, parse2};

pub(crate) fn expand(item: TokenStream) -> Result<TokenStream> {
    let input: DeriveInput = parse2(item)?;
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(
            input.generics,
            "`Wire` is derived without generics",
        ));
    }
    let (words, put, take) = match &input.data {
        Data::Struct(data) => structure(&data.fields)?,
        Data::Enum(data) => {
            let variants: Vec<_> = data.variants.iter().collect();
            if let Some(bad) = variants.iter().find(|v| !matches!(v.fields, Fields::Unit)) {
                return Err(Error::new_spanned(
                    bad,
                    "a variant on the wire has no fields",
                ));
            }
            let names: Vec<_> = variants.iter().map(|variant| &variant.ident).collect();
            let numbers = 0..names.len() as u64;
            let again = numbers.clone();
            (
                quote!(1),
                quote!(out.word(match self { #(Self::#names => #numbers,)* });),
                quote!(Some(match source.word()? { #(#again => Self::#names,)* _ => return None })),
            )
        }
        Data::Union(_) => return Err(Error::new_spanned(input.ident, "a union has no words")),
    };
    let name = &input.ident;
    Ok(quote! {
        impl ::abi::transport::Wire for #name {
            const WORDS: usize = #words;

            #[inline]
            fn put(&self, out: &mut impl ::abi::transport::Sink) { #put }

            #[inline]
            fn take(source: &mut impl ::abi::transport::Source) -> Option<Self> { #take }
        }
    })
}

fn structure(fields: &Fields) -> Result<(TokenStream, TokenStream, TokenStream)> {
    let Fields::Named(named) = fields else {
        return Err(Error::new_spanned(
            fields,
            "a struct on the wire has named fields",
        ));
    };
    let names: Vec<_> = named.named.iter().map(|field| &field.ident).collect();
    let types: Vec<_> = named.named.iter().map(|field| &field.ty).collect();
    Ok((
        quote!(0 #(+ <#types as ::abi::transport::Wire>::WORDS)*),
        quote!(#(::abi::transport::Wire::put(&self.#names, out);)*),
        quote!(Some(Self { #(#names: ::abi::transport::Wire::take(source)?,)* })),
    ))
}
