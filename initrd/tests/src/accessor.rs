//! Children that touch memory when they are told to, and may have to wait for it.
//!
//! A child sees what this task had mapped shared when the child was made. Whatever it is told to do is done by its
//! one thread, so that the thread's wait tells how far it came.

use core::sync::atomic::Ordering;

use interfaces::vm::Place;
use libmach::abi::kern_return::KernReturn as K;
use libmach::abi::vm::map_flags;
use libmach::{Error, trap};

use crate::areas::own;
use crate::case::{Check, check};
use crate::child::Child;
use crate::raw::{self, Words};

/// Words of the page in common: what is to be done (and in three more with what), how often the child was told, how often it was done,
/// and what came of it.
const WHAT: usize = 0;
const ORDER: usize = 4;
const DONE: usize = 5;
const ANSWER: usize = 6;

/// What a child is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    /// Read a byte: the answer.
    Read(u64),
    /// Write a byte there.
    Write(u64, u8),
    /// Let the kernel look there: the answer is its code.
    Look(u64),
    /// `vm_copy` of so many bytes of its own from here to there: the answer is its code.
    Copy(u64, u64, u64),
    /// Make a private copy of so many bytes of its own: the answer is the copy's address, or 0.
    Duplicate(u64, u64),
}

impl Order {
    const fn words(self) -> [u64; 4] {
        match self {
            Self::Read(at) => [0, at, 0, 0],
            Self::Write(at, byte) => [1, at, byte as u64, 0],
            Self::Look(at) => [2, at, 0, 0],
            Self::Copy(from, size, to) => [3, from, size, to],
            Self::Duplicate(from, size) => [4, from, size, 0],
        }
    }
}

fn obey([what, first, second, third]: [u64; 4]) -> u64 {
    let code = |result: libmach::Result<()>| match result {
        Ok(()) => K::Success.0.into(),
        Err(Error::Code(code)) => code.0.into(),
        Err(_) => u64::MAX,
    };
    match what {
        0 => raw::byte(first).into(),
        1 => {
            raw::poke(first, 1, second as u8);
            0
        }
        2 => code(raw::look(first).map_err(Error::Code)),
        3 => own().map_or(u64::MAX, |own| {
            code(own.memory().copy(first, second, third))
        }),
        _ => own().map_or(0, |own| {
            let place = Place {
                size: second,
                ..Place::default()
            };
            let flags = map_flags::ANYWHERE | map_flags::COPY;
            let Ok(source) = own.duplicate() else {
                return 0;
            };
            let made = own.memory().remap(source, place, first, flags);
            made.map_or(0, |made| made.address)
        }),
    }
}

/// A child's thread.
extern "C" fn serve(page: &Words, _: u64) {
    let (order, mut done) = (page.half(ORDER), 0);
    loop {
        while order.load(Ordering::SeqCst) == done {
            // Whatever ends the wait, the word decides.
            trap::futex_wait(order, done, u64::MAX).unwrap_or_default();
        }
        done += 1;
        page.set(ANSWER, obey([0, 1, 2, 3].map(|word| page.get(word))));
        page.set(DONE, done.into());
    }
}

/// Such a child. Dropped, it ends.
#[derive(Debug)]
pub(crate) struct Accessor(pub(crate) Child);

impl Accessor {
    pub(crate) fn new() -> Check<Self> {
        let child = Child::new(serve, 0)?;
        child.run()?;
        Ok(Self(child))
    }

    /// Has it begin something.
    pub(crate) fn begin(&self, order: Order) -> Check {
        let page = &self.0.page;
        let told = page.half(ORDER);
        let number = told.load(Ordering::SeqCst);
        check!(page.get(DONE) == number.into(), "it is at something else");
        for (word, value) in (WHAT..).zip(order.words()) {
            page.set(word, value);
        }
        told.store(number + 1, Ordering::SeqCst);
        trap::futex_wake(told, 1)?;
        Ok(())
    }

    /// Has it begin something, and come as far as to wait for a page.
    pub(crate) fn stall(&self, order: Order) -> Check {
        self.begin(order)?;
        self.0.until_it_waits(libmach::abi::trace::wait::PAGE)
    }

    /// Waits until it has done what it was told last; what came of it.
    pub(crate) fn finish(&self) -> Check<u64> {
        let number = self.0.page.half(ORDER).load(Ordering::SeqCst);
        self.0.until(DONE, number.into())?;
        Ok(self.0.page.get(ANSWER))
    }

    /// Has it do something for which it need not wait for anybody.
    pub(crate) fn act(&self, order: Order) -> Check<u64> {
        self.begin(order)?;
        self.finish()
    }

    /// Ends it, and what it had mapped.
    pub(crate) fn end(self) -> Check {
        self.0.task.client().terminate()?;
        self.0.until_gone()
    }
}
