//! An object that requests are dispatched to, and the places of its handlers.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::any::Any;
use core::cell::RefCell;
use core::pin::Pin;

use abi::transport::Serve;

use super::lock::Locked;
use super::request::{Answer, ServerRequest};
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
        let request = ServerRequest::new(registers, runtime, &self.places);
        I::dispatch(Rc::clone(&self.state), request)
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
