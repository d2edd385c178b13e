//! The state of a server, between handlers that wait: many with `&self` or one with `&mut self`.
//!
//! Whoever cannot go on at once queues; the queue is served in order, so that neither side starves.
//! One thread: the lock is no barrier, only an order.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::cell::{Cell, Ref, RefCell, RefMut};
use core::future::Future;
use core::ops::{Deref, DerefMut};
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use abi::transport::Lock;

/// A server's state and who waits for it.
#[derive(Debug, Default)]
pub struct Locked<S> {
    state: RefCell<S>,
    queue: RefCell<VecDeque<(u64, Waker)>>,
    tickets: Cell<u64>,
}

impl<S> Locked<S> {
    /// Nobody has the state.
    pub const fn new(state: S) -> Self {
        Self {
            state: RefCell::new(state),
            queue: RefCell::new(VecDeque::new()),
            tickets: Cell::new(0),
        }
    }

    /// The state, when nobody queues for it and it is free.
    #[inline(always)]
    fn at_once<'a, G>(&'a self, take: fn(&'a RefCell<S>) -> Option<G>) -> Option<G> {
        if self.queue.borrow().is_empty() {
            take(&self.state)
        } else {
            None
        }
    }

    /// Queues for the state. In a box, so that the handlers that need not wait stay small.
    #[cold]
    fn wait<'a, G: 'a>(&'a self, take: fn(&'a RefCell<S>) -> Option<G>) -> Queued<'a, G> {
        Box::pin(Wait {
            lock: self,
            take,
            ticket: None,
        })
    }

    /// Wakes whoever is first in the queue.
    #[inline(always)]
    fn released(&self) {
        if let Some((_, waker)) = self.queue.borrow().front() {
            waker.wake_by_ref();
        }
    }
}

type Queued<'a, G> = Pin<Box<dyn Future<Output = G> + 'a>>;

/// Waiting for the state; `take` tries to borrow it.
struct Wait<'a, S, G> {
    lock: &'a Locked<S>,
    take: fn(&'a RefCell<S>) -> Option<G>,
    ticket: Option<u64>,
}

impl<'a, S, G> Future for Wait<'a, S, G> {
    type Output = G;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<G> {
        let mut queue = self.lock.queue.borrow_mut();
        let first = match self.ticket {
            None => queue.is_empty(),
            Some(ticket) => queue.front().is_some_and(|(front, _)| *front == ticket),
        };
        if first && let Some(guard) = (self.take)(&self.lock.state) {
            if self.ticket.is_some() {
                queue.pop_front();
                drop(queue);
                self.ticket = None;
                // The next one may share.
                self.lock.released();
            }
            return Poll::Ready(guard);
        }
        let waker = context.waker().clone();
        match self.ticket {
            Some(ticket) => {
                if let Some(entry) = queue.iter_mut().find(|(found, _)| *found == ticket) {
                    entry.1 = waker;
                }
            }
            None => {
                let ticket = self.lock.tickets.get();
                self.lock.tickets.set(ticket + 1);
                queue.push_back((ticket, waker));
                drop(queue);
                self.ticket = Some(ticket);
            }
        }
        Poll::Pending
    }
}

impl<S, G> Drop for Wait<'_, S, G> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.lock
                .queue
                .borrow_mut()
                .retain(|(found, _)| *found != ticket);
            self.lock.released();
        }
    }
}

/// The state, shared or alone; dropping it lets the next one in.
#[derive(Debug)]
pub struct Held<'a, S, G> {
    guard: Option<G>,
    lock: &'a Locked<S>,
}

impl<S, G: Deref<Target = S>> Deref for Held<'_, S, G> {
    type Target = S;

    #[inline(always)]
    fn deref(&self) -> &S {
        match &self.guard {
            Some(guard) => guard,
            None => unreachable!("the guard is only taken by `drop`"),
        }
    }
}

impl<S, G: DerefMut<Target = S>> DerefMut for Held<'_, S, G> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut S {
        match &mut self.guard {
            Some(guard) => guard,
            None => unreachable!("the guard is only taken by `drop`"),
        }
    }
}

impl<S, G> Drop for Held<'_, S, G> {
    #[inline(always)]
    fn drop(&mut self) {
        drop(self.guard.take());
        self.lock.released();
    }
}

impl<S> Lock<S> for Locked<S> {
    type Shared<'a>
        = Held<'a, S, Ref<'a, S>>
    where
        S: 'a;
    type Exclusive<'a>
        = Held<'a, S, RefMut<'a, S>>
    where
        S: 'a;

    #[inline(always)]
    async fn shared(&self) -> Self::Shared<'_> {
        let guard = match self.at_once(|state| state.try_borrow().ok()) {
            Some(guard) => guard,
            None => self.wait(|state| state.try_borrow().ok()).await,
        };
        Held {
            guard: Some(guard),
            lock: self,
        }
    }

    #[inline(always)]
    async fn exclusive(&self) -> Self::Exclusive<'_> {
        let guard = match self.at_once(|state| state.try_borrow_mut().ok()) {
            Some(guard) => guard,
            None => self.wait(|state| state.try_borrow_mut().ok()).await,
        };
        Held {
            guard: Some(guard),
            lock: self,
        }
    }
}
