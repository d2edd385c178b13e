//! A value from one task of the loop to another.

use alloc::rc::Rc;
use core::cell::RefCell;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

/// Who puts the value in.
pub(crate) struct Giver<T>(Rc<RefCell<Place<T>>>);

/// Who awaits it. Once it is gone, the value is dropped as soon as it comes.
pub(crate) struct Taker<T>(Rc<RefCell<Place<T>>>);

struct Place<T> {
    value: Option<T>,
    waker: Option<Waker>,
}

/// A place for one value, from both sides.
pub(crate) fn pair<T>() -> (Giver<T>, Taker<T>) {
    let (value, waker) = (None, None);
    let place = Rc::new(RefCell::new(Place { value, waker }));
    (Giver(Rc::clone(&place)), Taker(place))
}

impl<T> Giver<T> {
    /// Puts the value in.
    pub(crate) fn put(self, value: T) {
        let mut place = self.0.borrow_mut();
        place.value = Some(value);
        if let Some(waker) = place.waker.take() {
            waker.wake();
        }
    }
}

impl<T> Future for Taker<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut place = self.0.borrow_mut();
        match place.value.take() {
            Some(value) => Poll::Ready(value),
            None => {
                place.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
