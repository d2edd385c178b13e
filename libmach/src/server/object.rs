//! An object that requests are dispatched to, and the places of its handlers.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::any::Any;
use core::cell::RefCell;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use abi::kern_return::KernReturn;
use abi::transport::Serve;

use super::answer::ReplyTo;
use super::lock::Locked;
use super::request::{Answer, Run, ServerRequest};
use super::runtime::Inner;
use crate::packet::Mach;
use crate::trap::Registers;

/// Something that requests go to.
pub(crate) trait Object {
    /// Dispatches a request; its handler has run, or waits in the task list.
    fn deliver(&self, runtime: &Inner, registers: &Registers) -> Answer;
}

struct Served<I: ?Sized, S> {
    state: Rc<Locked<S>>,
    places: Places,
    interface: core::marker::PhantomData<fn(&I)>,
}

/// Makes an object of a server's state.
pub(crate) fn object<I, S>(state: S) -> Rc<dyn Object>
where
    I: ?Sized + Serve<S, Mach> + 'static,
    S: 'static,
{
    Rc::new(Served::<I, S> {
        state: Rc::new(Locked::new(state)),
        places: Places {
            base: I::SUBSYSTEM,
            spare: RefCell::default(),
        },
        interface: core::marker::PhantomData,
    })
}

impl<I, S> Object for Served<I, S>
where
    I: ?Sized + Serve<S, Mach> + 'static,
    S: 'static,
{
    fn deliver(&self, runtime: &Inner, registers: &Registers) -> Answer {
        let on = Dispatch {
            runtime,
            places: &self.places,
        };
        I::dispatch(Rc::clone(&self.state), ServerRequest::new(registers, on))
    }
}

/// Runs one request of an object.
struct Dispatch<'a> {
    runtime: &'a Inner,
    places: &'a Places,
}

impl Run<'static> for Dispatch<'_> {
    const MAY_NOT_WAIT: KernReturn = KernReturn::ResourceShortage;

    #[inline(always)]
    fn run<O, F>(
        self,
        id: i32,
        handler: F,
        finish: impl FnOnce(O) -> Answer + 'static,
    ) -> Option<Answer>
    where
        F: Future<Output = O> + 'static,
    {
        let mut place = self.places.take::<F>(id);
        place.set(Some(handler));
        let future = (*place).as_mut().as_pin_mut()?;
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => {
                place.set(None);
                self.places.put(id, place);
                Some(finish(output))
            }
            Poll::Pending => {
                let waiting = async move { finish(Placed(*place).await) };
                self.runtime.wait(Box::pin(waiting)).then_some(Answer::None)
            }
        }
    }

    fn take_reply(&self) -> ReplyTo {
        self.runtime.take_reply()
    }
}

/// A handler that waits, in the place where it was built.
struct Placed<F>(Place<F>);

impl<F: Future> Future for Placed<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        match self.0.as_mut().as_pin_mut() {
            Some(future) => future.poll(context),
            // Only filled places are made.
            None => Poll::Pending,
        }
    }
}

/// Where a handler's future lives. Empty between requests.
pub(crate) type Place<F> = Pin<Box<Option<F>>>;

/// A place for each method, allocated at its first request and again only when a handler waits and
/// takes it along: an ordinary request allocates nothing.
pub(crate) struct Places {
    base: i32,
    spare: RefCell<Vec<Option<Box<dyn Any>>>>,
}

impl Places {
    fn index(&self, id: i32) -> usize {
        id.wrapping_sub(self.base) as usize
    }

    /// The place of the method with this request id, out of the list.
    #[inline(always)]
    pub(crate) fn take<F: 'static>(&self, id: i32) -> Box<Place<F>> {
        let spare = match self.spare.borrow_mut().get_mut(self.index(id)) {
            Some(spare) => spare.take(),
            None => None,
        };
        match spare.map(Box::<dyn Any>::downcast) {
            Some(Ok(place)) => place,
            _ => Box::new(Box::pin(None)),
        }
    }

    /// Puts an empty place back.
    #[inline(always)]
    pub(crate) fn put<F: 'static>(&self, id: i32, place: Box<Place<F>>) {
        let mut spare = self.spare.borrow_mut();
        match spare.get_mut(self.index(id)) {
            Some(slot) => *slot = Some(place),
            None => {
                drop(spare);
                self.grow(id, place);
            }
        }
    }

    #[cold]
    fn grow(&self, id: i32, place: Box<dyn Any>) {
        let mut spare = self.spare.borrow_mut();
        spare.resize_with(self.index(id) + 1, || None);
        if let Some(slot) = spare.last_mut() {
            *slot = Some(place);
        }
    }
}
