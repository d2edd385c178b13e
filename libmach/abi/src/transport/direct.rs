//! Serving without an executor: for a server whose handlers never wait, such as the kernel.

use core::cell::{Ref, RefCell, RefMut};
use core::future::{Future, ready};
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use super::Lock;

/// State that one request at a time uses.
#[derive(Debug)]
pub struct Direct<S>(RefCell<S>);

impl<S> Direct<S> {
    /// Wraps the state.
    pub const fn new(state: S) -> Self {
        Self(RefCell::new(state))
    }

    /// The state again.
    pub fn into_inner(self) -> S {
        self.0.into_inner()
    }
}

impl<S> Lock<S> for Direct<S> {
    type Shared<'a>
        = Ref<'a, S>
    where
        S: 'a;
    type Exclusive<'a>
        = RefMut<'a, S>
    where
        S: 'a;

    fn shared(&self) -> impl Future<Output = Self::Shared<'_>> {
        ready(self.0.borrow())
    }

    fn exclusive(&self) -> impl Future<Output = Self::Exclusive<'_>> {
        ready(self.0.borrow_mut())
    }
}

/// The result of a future that does not wait; `None` of one that does (it is dropped).
#[inline(always)]
pub fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
