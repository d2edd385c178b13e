//! The trait, read and checked.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{
    Attribute, Error, FnArg, Ident, ItemTrait, LitInt, LitStr, Pat, Result, ReturnType, TraitItem,
    TraitItemFn, Type, Visibility,
};

use super::Head;
use super::kind::{Kind, generic};

/// An interface.
pub(crate) struct Model {
    pub(crate) service: LitStr,
    pub(crate) subsystem: LitInt,
    pub(crate) visibility: Visibility,
    pub(crate) name: Ident,
    pub(crate) docs: Vec<Attribute>,
    pub(crate) methods: Vec<Method>,
}

/// One method.
pub(crate) struct Method {
    pub(crate) name: Ident,
    /// What its request id is above the subsystem.
    pub(crate) number: i32,
    pub(crate) docs: Vec<Attribute>,
    /// `&mut self`.
    pub(crate) exclusive: bool,
    pub(crate) idempotent: bool,
    pub(crate) form: Form,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) results: Results,
}

/// How a method is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// By the handler's result.
    Direct,
    /// By the `Reply` that the handler gets.
    Deferred,
    /// Not at all.
    OneWay,
}

/// One argument.
pub(crate) struct Argument {
    pub(crate) name: Ident,
    pub(crate) kind: Kind,
}

/// What comes back: none, one, or a tuple.
pub(crate) enum Results {
    One(Kind),
    Tuple(Vec<Kind>),
}

impl Results {
    fn of(ty: &Type) -> Result<Self> {
        let results = match ty {
            Type::Tuple(tuple) => Self::Tuple(tuple.elems.iter().map(Kind::of).collect()),
            other => Self::One(Kind::of(other)),
        };
        if results
            .kinds()
            .iter()
            .any(|kind| matches!(kind, Kind::Bytes | Kind::Text | Kind::Caller))
        {
            return Err(Error::new_spanned(
                ty,
                "a result is owned: use `Bytes<N>` or `Text<N>`",
            ));
        }
        Ok(results)
    }

    pub(crate) fn kinds(&self) -> &[Kind] {
        match self {
            Self::One(kind) => std::slice::from_ref(kind),
            Self::Tuple(kinds) => kinds,
        }
    }

    /// The type, with the rights of `rights`.
    pub(crate) fn owned(&self, rights: &TokenStream) -> TokenStream {
        match self {
            Self::One(kind) => kind.owned(rights),
            Self::Tuple(kinds) => {
                let types = kinds.iter().map(|kind| kind.owned(rights));
                quote!((#(#types,)*))
            }
        }
    }
}

impl Method {
    /// The constant that holds the method's plan.
    pub(crate) fn plan(&self) -> Ident {
        format_ident!("{}", self.name.to_string().to_uppercase())
    }

    /// The arguments that are on the wire.
    pub(crate) fn sent(&self) -> impl Iterator<Item = &Argument> + Clone {
        self.arguments
            .iter()
            .filter(|argument| !matches!(argument.kind, Kind::Caller))
    }

    /// Whether a client gives rights away with it.
    pub(crate) fn moves(&self) -> bool {
        self.arguments
            .iter()
            .any(|argument| argument.kind.is_right())
    }

    fn carries_rights(&self) -> bool {
        self.form == Form::Deferred
            || self
                .arguments
                .iter()
                .any(|argument| argument.kind.is_descriptor())
            || self.results.kinds().iter().any(Kind::is_descriptor)
    }
}

impl Model {
    pub(crate) fn read(head: Head, item: ItemTrait) -> Result<Self> {
        if !item.generics.params.is_empty() || !item.supertraits.is_empty() {
            let text = "an interface has no generics and no supertraits";
            return Err(Error::new_spanned(&item.ident, text));
        }
        let mut next = 0;
        let methods = item
            .items
            .into_iter()
            .map(|item| match item {
                TraitItem::Fn(function) => Method::read(&function, &mut next),
                other => Err(Error::new_spanned(other, "an interface has methods only")),
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            service: head.name,
            subsystem: head.subsystem,
            visibility: item.vis,
            name: item.ident,
            docs: item.attrs,
            methods,
        })
    }

    /// The interface's marker type.
    pub(crate) fn marker(&self) -> TokenStream {
        let name = &self.name;
        quote!((dyn #name + 'static))
    }

    pub(crate) fn carries_rights(&self) -> bool {
        self.methods.iter().any(Method::carries_rights)
    }
}

impl Method {
    /// Reads a method; `next` is the first number that none before it has.
    fn read(function: &TraitItemFn, next: &mut i32) -> Result<Self> {
        let signature = &function.sig;
        let number = *next + skipped(function)?;
        // The answer's id is the request's and 100.
        if !(0..99).contains(&number) {
            return Err(Error::new_spanned(
                signature,
                "an interface has at most 99 numbers",
            ));
        }
        *next = number + 1;
        if signature.asyncness.is_none() || function.default.is_some() {
            return Err(Error::new_spanned(
                signature,
                "a method is an `async fn` without a body",
            ));
        }
        let mut inputs = signature.inputs.iter();
        let Some(FnArg::Receiver(receiver)) = inputs.next() else {
            return Err(Error::new_spanned(
                signature,
                "a method takes `&self` or `&mut self`",
            ));
        };
        let mut arguments = Vec::new();
        let mut deferred = None;
        for input in inputs {
            let FnArg::Typed(typed) = input else { continue };
            let Pat::Ident(pattern) = &*typed.pat else {
                return Err(Error::new_spanned(typed, "an argument is a plain name"));
            };
            match generic(&typed.ty) {
                Some((name, inner)) if name == "Reply" => deferred = Some(inner),
                _ => arguments.push(Argument {
                    name: pattern.ident.clone(),
                    kind: Kind::of(&typed.ty),
                }),
            }
        }
        let (form, results) = form(function, deferred.as_deref())?;
        let method = Self {
            name: signature.ident.clone(),
            number,
            docs: function
                .attrs
                .iter()
                .filter(|mark| !MARKS.iter().any(|ours| mark.path().is_ident(ours)))
                .cloned()
                .collect(),
            exclusive: receiver.mutability.is_some(),
            idempotent: is_marked(function, "idempotent"),
            form,
            arguments,
            results,
        };
        if method.idempotent && method.moves() {
            let text = "an idempotent method is sent again, so it cannot move rights";
            return Err(Error::new_spanned(signature, text));
        }
        Ok(method)
    }
}

/// The attributes of methods that are the macro's own.
const MARKS: [&str; 3] = ["idempotent", "oneway", "skip"];

/// How many numbers `#[skip(n)]` leaves out before a method.
fn skipped(function: &TraitItemFn) -> Result<i32> {
    let mark = function
        .attrs
        .iter()
        .find(|mark| mark.path().is_ident("skip"));
    mark.map_or(Ok(0), |mark| mark.parse_args::<LitInt>()?.base10_parse())
}

fn is_marked(function: &TraitItemFn, name: &str) -> bool {
    function.attrs.iter().any(|mark| mark.path().is_ident(name))
}

/// How a method is answered, and with what.
fn form(function: &TraitItemFn, deferred: Option<&Type>) -> Result<(Form, Results)> {
    let wrong = |text: &str| Err(Error::new_spanned(&function.sig, text));
    match (
        &function.sig.output,
        deferred,
        is_marked(function, "oneway"),
    ) {
        (ReturnType::Default, Some(inner), false) => Ok((Form::Deferred, Results::of(inner)?)),
        (ReturnType::Default, None, true) => Ok((Form::OneWay, Results::Tuple(Vec::new()))),
        (ReturnType::Type(_, ty), None, false) => match generic(ty) {
            Some((name, inner)) if name == "Result" => Ok((Form::Direct, Results::of(&inner)?)),
            _ => wrong("a method returns `Result<T>`"),
        },
        _ => wrong("a method returns `Result<T>`, or takes `Reply<T>`, or is `#[oneway]`"),
    }
}
