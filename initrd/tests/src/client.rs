//! Threads that call `echo` in loops while something happens to it, and count what they see.
//!
//! A client may be told to rest, so that the system can be counted with it. A wait for a client is one
//! for its word, and ends early only when nothing moves any more.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use interfaces::echo::Echo;
use libmach::abi::kern_return::KernReturn;
use libmach::abi::names::Name;
use libmach::sync::Mutex;
use libmach::{Error, SendRight, ms, thread, time, trap};

use crate::case::{Check, Verdict, check, equal};

/// How long an answer, or rest, may take: only a system that hangs takes longer.
const PATIENCE: Duration = ms(30_000);

/// What a client is to do.
mod order {
    pub(super) const REST: u32 = 0;
    pub(super) const CALL: u32 = 1;
    pub(super) const END: u32 = 2;
}

/// What one call came to.
enum Seen {
    Answer,
    Death,
    Fault(String),
}

/// What a client and who commands it tell each other.
#[derive(Debug)]
pub(crate) struct Client {
    order: AtomicU32,
    /// 1: it does nothing.
    rests: AtomicU32,
    answers: AtomicU32,
    /// The number of answers that somebody waits for.
    wanted: AtomicU32,
    deaths: AtomicU32,
    /// The first thing that went wrong.
    fault: Mutex<Option<String>>,
}

impl Client {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            order: AtomicU32::new(order::CALL),
            rests: AtomicU32::new(0),
            answers: AtomicU32::new(0),
            wanted: AtomicU32::new(0),
            deaths: AtomicU32::new(0),
            fault: Mutex::new(None),
        })
    }

    /// How many calls ended with `ServerDied`.
    pub(crate) fn deaths(&self) -> u32 {
        self.deaths.load(Ordering::SeqCst)
    }

    /// The thread.
    fn live(&self, mut call: impl FnMut() -> Seen) {
        loop {
            match self.order.load(Ordering::SeqCst) {
                order::CALL => self.note(call()),
                order::REST => {
                    self.rests.store(1, Ordering::SeqCst);
                    wake(&self.rests);
                    // Whatever ends the wait, the word decides.
                    trap::futex_wait(&self.order, order::REST, u64::MAX).unwrap_or_default();
                }
                _ => return,
            }
        }
    }

    fn note(&self, seen: Seen) {
        match seen {
            Seen::Answer => {
                let answers = self.answers.fetch_add(1, Ordering::SeqCst).wrapping_add(1);
                let wanted = self.wanted.load(Ordering::SeqCst);
                if answers == wanted {
                    wake(&self.answers);
                }
                if reached(answers, wanted) {
                    // Others first, who may still wait for an answer: else each kill would cost a slice.
                    trap::thread_switch(Name::NULL, 0, 0).unwrap_or_default();
                }
            }
            Seen::Death => drop(self.deaths.fetch_add(1, Ordering::SeqCst)),
            Seen::Fault(what) => drop(self.fault.lock().get_or_insert(what)),
        }
    }

    fn command(&self, order: u32) {
        self.rests.store(0, Ordering::SeqCst);
        self.order.store(order, Ordering::SeqCst);
        wake(&self.order);
    }

    /// Waits for two answers from now on. The first one may be on its way already.
    fn served(&self) -> Check {
        let wanted = self.answers.load(Ordering::SeqCst).wrapping_add(2);
        self.wanted.store(wanted, Ordering::SeqCst);
        wait_until(&self.answers, "two answers", |answers| {
            reached(answers, wanted)
        })?;
        let fault = self.fault.lock().take();
        fault.map_or(Ok(()), |what| Err(Verdict::Failed(what)))
    }
}

/// Whether a count that wraps is at a mark, or beyond it.
const fn reached(count: u32, mark: u32) -> bool {
    count.wrapping_sub(mark) < u32::MAX / 2
}

fn wake(word: &AtomicU32) {
    // The word is mapped, so nothing can fail; how many waited does not matter.
    trap::futex_wake(word, 1).unwrap_or_default();
}

fn wait_until(word: &AtomicU32, what: &str, is_so: impl Fn(u32) -> bool) -> Check {
    let end = time::deadline(PATIENCE);
    loop {
        let value = word.load(Ordering::SeqCst);
        if is_so(value) {
            return Ok(());
        }
        let waited = trap::futex_wait(word, value, end);
        check!(
            waited != Err(KernReturn::OperationTimedOut),
            "waited in vain for {what}"
        );
    }
}

/// Two clients of one server.
#[derive(Debug)]
pub(crate) struct Clients {
    /// Its calls are idempotent.
    repeating: Arc<Client>,
    /// Its calls are not.
    pub(crate) counting: Arc<Client>,
    threads: [thread::Join; 2],
}

impl Clients {
    /// Starts both.
    pub(crate) fn start(echo: &SendRight<dyn Echo>) -> Check<Self> {
        let [repeating, counting] = [Client::new(), Client::new()];
        let first = spawn(&repeating, repeat(echo.duplicate()?))?;
        let second = spawn(&counting, count(echo.duplicate()?)).inspect_err(|_| {
            repeating.command(order::END);
        })?;
        Ok(Self {
            repeating,
            counting,
            threads: [first, second],
        })
    }

    fn both(&self) -> [&Client; 2] {
        [&self.repeating, &self.counting]
    }

    /// Waits until each has got two more answers, and no wrong one.
    pub(crate) fn served(&self) -> Check {
        for client in self.both() {
            client.served()?;
        }
        equal(
            "deaths seen by idempotent calls",
            self.repeating.deaths(),
            0,
        )
    }

    /// Both rest until told to call again.
    pub(crate) fn rest(&self) -> Check {
        for client in self.both() {
            client.command(order::REST);
        }
        for client in self.both() {
            wait_until(&client.rests, "a client to rest", |rests| rests == 1)?;
        }
        Ok(())
    }

    /// Both call again.
    pub(crate) fn call(&self) {
        for client in self.both() {
            client.command(order::CALL);
        }
    }

    /// Ends both.
    pub(crate) fn end(self) {
        for client in self.both() {
            client.command(order::END);
        }
        self.threads.into_iter().for_each(thread::Join::join);
    }
}

fn spawn(
    client: &Arc<Client>,
    call: impl FnMut() -> Seen + Send + 'static,
) -> libmach::Result<thread::Join> {
    let client = Arc::clone(client);
    thread::spawn(move || client.live(call))
}

/// Calls that may be repeated: the answer is what was said.
fn repeat(echo: SendRight<dyn Echo>) -> impl FnMut() -> Seen + Send {
    let mut number = 0;
    move || {
        number += 1;
        match echo.client().echo(number) {
            Ok(answer) if answer == number => Seen::Answer,
            Err(Error::ServerDied { .. }) => Seen::Death,
            other => Seen::Fault(format!("echo({number}) answered {other:?}")),
        }
    }
}

/// Calls that may not: the answer is one more than the last one, or 1 from a new server. A call that was
/// executed twice, or by a server of which it was said that it had died, would show.
fn count(echo: SendRight<dyn Echo>) -> impl FnMut() -> Seen + Send {
    // What an earlier client added is not known.
    let mut sum = None;
    move || match echo.client().add(1) {
        Ok(answer) if answer == 1 || sum.is_none_or(|sum| answer == sum + 1) => {
            sum = Some(answer);
            Seen::Answer
        }
        Err(Error::ServerDied { .. }) => {
            sum = Some(0);
            Seen::Death
        }
        other => Seen::Fault(format!("add(1) to {sum:?} answered {other:?}")),
    }
}
