//! What the interface macro's output is written against.
//!
//! An interface is a trait; its marker type is the trait's `dyn` type, so that one name serves
//! both: `impl Counter for Server`, `SendRight<dyn Counter>`. Two sides meet here:
//!
//! - a client needs a [`Transport`] (libmach: a send right), which carries a call;
//! - a server needs a [`Request`] (libmach: a received message; kernel: a message to a kernel
//!   object) and a [`Lock`] around its state.
//!
//! [`Rights`] names the types that stand for port rights on one side. The values of a call are
//! [`Wire`] data (words), rights and memory. When all words of a message fit, they travel in
//! registers, otherwise all of them as inline data; a reply's word 0 is always its code.
//!
//! Nothing here allocates or traps; the kernel uses the same dispatch as every server.

mod describe;
mod direct;
mod error;
mod wire;

pub use describe::{Argument, Description, Kind, Method};
pub use direct::{Direct, poll_once};
pub use error::{Error, Refused, Result};
pub use wire::{LONG, Sink, Source, Span, Wire};

use core::future::Future;
use core::ops::{Deref, DerefMut};
use core::time::Duration;

/// Words of a request that travel in registers.
pub const REQUEST_WORDS: usize = crate::message::WORDS;
/// Words of a reply's results that travel in registers; word 0 is the code.
pub const REPLY_WORDS: usize = crate::message::WORDS - 1;
/// A reply's id is its request's plus this.
pub const REPLY_OFFSET: i32 = 100;

/// The interface of a right whose messages have none, or one that its holder does not know.
#[derive(Clone, Copy, Debug)]
pub enum Untyped {}

/// The types that stand for rights and memory on one side of the wire.
pub trait Rights: Sized + 'static {
    /// A right to send messages of interface `I`.
    type Send<I: ?Sized + 'static>;
    /// A right to send one message of interface `I`.
    type SendOnce<I: ?Sized + 'static>;
    /// The right to receive messages of interface `I`.
    type Receive<I: ?Sized + 'static>;
    /// Any number of rights to send messages of interface `I`.
    type Sends<I: ?Sized + 'static>;
    /// Out-of-line memory that the holder owns.
    type Memory;
    /// The duty to answer a call with a `T`, now or later.
    type Reply<T: 'static>;
}

/// An interface: implemented by the `dyn` type of each `#[interface]` trait.
pub trait Interface {
    /// The name under which bootstrap knows the service.
    const NAME: &'static str;
    /// Id of the first request.
    const SUBSYSTEM: i32;
    /// Names, ids and kinds, for tools.
    const DESCRIPTION: &'static Description;
    /// The client over a transport.
    type Client<T: Transport>;

    /// The client over `transport`.
    fn client<T: Transport>(transport: T) -> Self::Client<T>;
}

/// How a `S` serves the interface: implemented by the `dyn` type for each server of the trait.
pub trait Serve<S, R: Rights>: Interface {
    /// Decodes a request, and lets its handler run as the request says.
    ///
    /// `'s` is how long a handler may wait: `'static` on an executor, one call in the kernel.
    fn dispatch<'s, D, L, Q>(server: D, request: Q) -> Q::Answer
    where
        D: Deref<Target = L> + 's,
        L: Lock<S> + 's,
        Q: Request<'s, Rights = R>,
        S: 's;
}

/// What is known of a method's messages before any value is.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Id of the request.
    pub id: i32,
    /// May be repeated when the server died.
    pub idempotent: bool,
    /// The request's words at most; beyond [`REQUEST_WORDS`] they lie in the buffer.
    pub request_words: usize,
    /// The request's descriptors.
    pub request_descriptors: usize,
    /// The results' words at most; beyond [`REPLY_WORDS`] they lie in the buffer.
    pub reply_words: usize,
    /// The reply's descriptors.
    pub reply_descriptors: usize,
}

/// A message being written by a server: words, and rights that are moved into it.
pub trait Outgoing<R: Rights>: Sink {
    /// Moves a send right into the message.
    fn send<I: ?Sized + 'static>(&mut self, right: R::Send<I>);
    /// Moves a send-once right into the message.
    fn send_once<I: ?Sized + 'static>(&mut self, right: R::SendOnce<I>);
    /// Moves a receive right into the message.
    fn receive<I: ?Sized + 'static>(&mut self, right: R::Receive<I>);
    /// Moves send rights into the message, as one array.
    fn sends<I: ?Sized + 'static>(&mut self, rights: R::Sends<I>);
    /// Moves memory into the message.
    fn memory(&mut self, memory: R::Memory);
}

/// A message being written by a client: memory is lent, the kernel copies it on write.
pub trait Lending<R: Rights>: Outgoing<R> {
    /// Sends a copy of `data`, out of line.
    fn lend(&mut self, data: &[u8]);
}

/// A message being read, rights in the order in which they were written.
///
/// Each `Err` says that the message is not of the expected shape, or that the right is dead.
pub trait Incoming<R: Rights>: Source {
    /// Takes the next right out.
    fn send<I: ?Sized + 'static>(&mut self) -> Result<R::Send<I>>;
    /// Takes the next right out.
    fn send_once<I: ?Sized + 'static>(&mut self) -> Result<R::SendOnce<I>>;
    /// Takes the next right out.
    fn receive<I: ?Sized + 'static>(&mut self) -> Result<R::Receive<I>>;
    /// Takes the next array of send rights out.
    fn sends<I: ?Sized + 'static>(&mut self) -> Result<R::Sends<I>>;
    /// Takes the next memory out.
    fn memory(&mut self) -> Result<R::Memory>;
}

/// What carries a client's calls.
pub trait Transport {
    /// The rights on this side.
    type Rights: Rights;
    /// A request being written.
    type Out: Lending<Self::Rights>;
    /// A reply being read.
    type In: Incoming<Self::Rights>;
    /// What a call answers: a `Result` when it blocks, a future of one when it does not.
    type Answer<O: 'static, E: 'static>;
    /// The same with a deadline.
    type Limited<'a>: Transport<Rights = Self::Rights>
    where
        Self: 'a;

    /// The same, each call ending with [`Error::TimedOut`] when `limit` has passed.
    fn limited(&self, limit: Duration) -> Self::Limited<'_>;

    /// A call whose request can be written again.
    fn call<O: 'static>(
        &self,
        plan: Plan,
        write: impl Fn(&mut Self::Out),
        read: fn(&mut Self::In) -> Result<O>,
    ) -> Self::Answer<O, Error>;

    /// A call that moves rights: when it is not sent, `restore` reads them back out.
    fn call_moving<O: 'static, B: 'static>(
        &self,
        plan: Plan,
        write: impl FnOnce(&mut Self::Out),
        read: fn(&mut Self::In) -> Result<O>,
        restore: fn(&mut Self::In) -> Result<B>,
    ) -> Self::Answer<O, Refused<B>>;

    /// A message without an answer.
    fn send(&self, plan: Plan, write: impl FnOnce(&mut Self::Out)) -> Result<()> {
        self.send_moving(plan, write, |_| Ok(()))
            .map_err(|refused| refused.error)
    }

    /// A message without an answer that moves rights.
    fn send_moving<B: 'static>(
        &self,
        plan: Plan,
        write: impl FnOnce(&mut Self::Out),
        restore: fn(&mut Self::In) -> Result<B>,
    ) -> Result<(), Refused<B>>;
}

/// Who sent a request, and through which port.
///
/// An argument `caller: Caller` of a method is not on the wire: the server's side fills it in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Caller {
    /// The sending task's identity token, set by that task's creator.
    pub identity: u64,
    /// Label of the port that the request came through.
    pub label: u64,
}

/// A request to be served, and where its answer goes.
pub trait Request<'s> {
    /// The rights on this side.
    type Rights: Rights;
    /// The request's content.
    type In: Incoming<Self::Rights> + 's;
    /// An answer being written.
    type Out: Outgoing<Self::Rights>;
    /// What [`Serve::dispatch`] ends with.
    type Answer;

    /// The message id.
    fn id(&self) -> i32;
    /// Who sent it.
    fn caller(&self) -> Caller;
    /// The content. What is left in it when the request is gone is released.
    fn input(&mut self) -> &mut Self::In;
    /// The content, for a handler that reads byte strings where they lie.
    fn take_input(&mut self) -> Self::In;
    /// Answers at once.
    fn answer<T>(self, plan: Plan, result: Result<T>, write: fn(T, &mut Self::Out))
    -> Self::Answer;
    /// Lets a handler run and answers with its result, which `write` puts into the message.
    fn handle<T: 'static, F>(
        self,
        plan: Plan,
        handler: F,
        write: fn(T, &mut Self::Out),
    ) -> Self::Answer
    where
        F: Future<Output = Result<T>> + 's;
    /// Lets a handler run that gives no answer (any more).
    fn run<F>(self, plan: Plan, handler: F) -> Self::Answer
    where
        F: Future<Output = ()> + 's;
    /// Takes the duty to answer out of the request, to be kept as long as the server likes.
    fn defer<T: 'static>(
        &mut self,
        plan: Plan,
        write: fn(T, &mut Self::Out),
    ) -> <Self::Rights as Rights>::Reply<T>;
    /// Ends a request without an answer.
    fn done(self) -> Self::Answer;
}

/// Access to a server's state: many handlers with `&self`, or one with `&mut self`.
pub trait Lock<S> {
    /// The state, shared.
    type Shared<'a>: Deref<Target = S>
    where
        Self: 'a;
    /// The state, alone.
    type Exclusive<'a>: DerefMut<Target = S>
    where
        Self: 'a;

    /// Waits until no handler has the state alone.
    fn shared(&self) -> impl Future<Output = Self::Shared<'_>>;
    /// Waits until no other handler has the state.
    fn exclusive(&self) -> impl Future<Output = Self::Exclusive<'_>>;
}
