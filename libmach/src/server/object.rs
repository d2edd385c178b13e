//! An object that requests are dispatched to: one handler future at a time without allocating.

use alloc::boxed::Box;
use alloc::rc::Rc;
use core::cell::RefCell;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use abi::transport::Serve;

use super::lock::Locked;
use super::request::{Answer, ServerRequest};
use super::tasks::Boxed;
use crate::packet::Mach;

/// What became of a request.
pub(crate) enum Delivered {
    /// Handled; the answer lies in registers and buffer.
    Now(Answer),
    /// The handler waits.
    Later(Boxed),
}

/// Something that requests go to.
pub(crate) trait Object {
    /// Dispatches a request and polls its handler once.
    fn deliver(&self, request: ServerRequest) -> Delivered;
}

/// An object from its dispatch function. `F` is the one future type that this function makes.
struct Dispatched<D, F> {
    dispatch: D,
    /// The place where the next handler's future is built: allocated once, and again only when a
    /// handler waits and takes it along.
    spare: RefCell<Option<Place<F>>>,
}

type Place<F> = Pin<Box<Option<F>>>;

/// Makes an object of a server's state.
pub(crate) fn object<I, S>(state: Rc<Locked<S>>) -> Rc<dyn Object>
where
    I: ?Sized + Serve<S, Mach> + 'static,
    S: 'static,
{
    let dispatch = move |request| {
        let state = Rc::clone(&state);
        async move { I::dispatch(&*state, request).await }
    };
    Rc::new(Dispatched {
        dispatch,
        spare: RefCell::new(None),
    })
}

impl<D, F> Object for Dispatched<D, F>
where
    D: Fn(ServerRequest) -> F,
    F: Future<Output = Answer> + 'static,
{
    #[inline]
    fn deliver(&self, request: ServerRequest) -> Delivered {
        let spare = self.spare.take();
        let mut place = spare.unwrap_or_else(|| Box::pin(None));
        place.set(Some((self.dispatch)(request)));
        let mut context = Context::from_waker(Waker::noop());
        let polled = match place.as_mut().as_pin_mut() {
            Some(future) => future.poll(&mut context),
            None => Poll::Ready(Answer::None),
        };
        match polled {
            Poll::Ready(answer) => {
                place.set(None);
                self.spare.replace(Some(place));
                Delivered::Now(answer)
            }
            Poll::Pending => Delivered::Later(Box::pin(Placed(place))),
        }
    }
}

/// A handler that waits, in the place where it was built.
struct Placed<F>(Place<F>);

impl<F: Future<Output = Answer>> Future for Placed<F> {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        match self.0.as_mut().as_pin_mut() {
            Some(future) => future.poll(context),
            None => Poll::Ready(Answer::None),
        }
    }
}
