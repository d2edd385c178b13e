//! A server as its writer sees it: typed arguments, rights that own, memory, a deferred reply,
//! events to watchers; its client; and its tests on the host backend.
//!
//! A real one has its interface in `libmach/interfaces`, its logic in a library and its wiring in a
//! `main.rs` (`cargo xtask new server NAME`); here all of it is on one page.

use abi::kern_return::KernReturn;
use libmach::{Context, Error, Mach, Memory, Refused, Reply, Result, SendRight, ms};
use macros::interface;

/// What watchers are told.
#[interface(name = "org.mello.counter.events", subsystem = 4300)]
pub trait CounterEvents {
    /// The counter is `n` now.
    #[oneway]
    async fn changed(&mut self, n: u64);
}

/// A counter.
#[interface(name = "org.mello.counter", subsystem = 4400)]
pub trait Counter {
    /// The number. Repeated by the client when the server died.
    #[idempotent]
    async fn get(&self) -> Result<u64>;
    /// Adds `n`. Not repeated: `ServerDied { maybe_executed }`.
    async fn add(&mut self, n: u64) -> Result<u64>;
    /// A sum over `data`, which travels out of line and is copied on write.
    #[idempotent]
    async fn digest(&self, data: Memory) -> Result<u64>;
    /// Tells `to` of every change.
    async fn watch(&mut self, to: SendRight<dyn CounterEvents>) -> Result<()>;
    /// Answers when the number is at least `n`.
    async fn reaches(&mut self, n: u64, reply: Reply<u64>);
}

/// Watchers, and callers who wait, at the most.
const ROOM: usize = 8;

/// The server's state.
#[derive(Debug, Default)]
pub struct Server {
    n: u64,
    watchers: heapless::Vec<SendRight<dyn CounterEvents>, ROOM>,
    waiting: heapless::Vec<(u64, Reply<u64>), ROOM>,
}

impl Counter for Server {
    type Rights = Mach;

    async fn get(&self) -> Result<u64> {
        Ok(self.n)
    }

    async fn add(&mut self, n: u64) -> Result<u64> {
        let sum = self.n.checked_add(n).ok_or(KernReturn::InvalidArgument)?;
        self.n = sum;
        // Who does not take its events must not hold the server up, and is forgotten.
        self.watchers
            .retain(|to| to.client().with_deadline(ms(0)).changed(sum).is_ok());
        while let Some(at) = self.waiting.iter().position(|(least, _)| *least <= sum) {
            let (_, reply) = self.waiting.swap_remove(at);
            reply.send(Ok(sum));
        }
        Ok(sum)
    }

    async fn digest(&self, data: Memory) -> Result<u64> {
        Ok(data.iter().map(|byte| u64::from(*byte)).sum())
    }

    async fn watch(&mut self, to: SendRight<dyn CounterEvents>) -> Result<()> {
        let full = |_| KernReturn::ResourceShortage.into();
        self.watchers.push(to).map_err(full)
    }

    async fn reaches(&mut self, n: u64, reply: Reply<u64>) {
        if n <= self.n {
            reply.send(Ok(self.n));
        } else if let Err((_, reply)) = self.waiting.push((n, reply)) {
            reply.send(Err(KernReturn::ResourceShortage.into()));
        }
    }
}

/// A whole program: what checks in, serves.
#[libmach::main]
fn main(context: Context) -> Result<()> {
    context.check_in::<dyn Counter>()?.serve(Server::default())
}

/// What a client does.
///
/// # Errors
/// What its calls end with.
pub fn client(context: &Context, events: SendRight<dyn CounterEvents>) -> Result<u64> {
    let counter = context.look_up::<dyn Counter>()?;
    counter.add(2)?;
    counter.digest(&[1, 2, 3])?;
    // A right that moves into a message is gone when it was sent, and back when it was not.
    match counter.watch(events) {
        Ok(()) => {}
        Err(Refused {
            error: Error::TimedOut,
            rights: Some((events,)),
        }) => counter.with_deadline(ms(50)).watch(events)?,
        Err(refused) => return Err(refused.into()),
    }
    counter.with_deadline(ms(5000)).get()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

    use std::cell::RefCell;
    use std::rc::Rc;

    use abi::kern_return::KernReturn;
    use libmach::host::{Names, Task};
    use libmach::{Error, ReceiveRight, Runtime, ms};

    use super::{Counter, CounterEvents, client, program_main};

    fn start() -> (Names, Task) {
        let names = Names::start().unwrap();
        let task = names.spawn(|context| program_main(context).unwrap());
        (names, task.unwrap())
    }

    #[test]
    fn the_client_and_the_server_understand_each_other() {
        let (names, _server) = start();
        let events = ReceiveRight::<dyn CounterEvents>::new().unwrap();
        let context = names.context().unwrap();
        assert_eq!(client(&context, events.make_send().unwrap()), Ok(2));

        let counter = context.look_up::<dyn Counter>().unwrap();
        assert_eq!(counter.digest(&[1; 10_000]), Ok(10_000));
        assert_eq!(counter.add(40), Ok(42));
        let too_far = counter.add(u64::MAX);
        assert_eq!(too_far, Err(Error::Code(KernReturn::InvalidArgument)));

        // The watcher, which is a server too, is told of what happened since it was named.
        struct Watcher(Rc<RefCell<Vec<u64>>>);
        impl CounterEvents for Watcher {
            async fn changed(&mut self, n: u64) {
                self.0.borrow_mut().push(n);
            }
        }
        assert_eq!(counter.add(8), Ok(50));
        let told = Rc::new(RefCell::new(Vec::new()));
        let runtime = Runtime::new().unwrap();
        runtime.serve(events, Watcher(Rc::clone(&told))).unwrap();
        let (timer, seen) = (runtime.clone(), Rc::clone(&told));
        let all = async move {
            while seen.borrow().len() < 2 {
                timer.sleep(ms(1)).await.unwrap();
            }
        };
        assert_eq!(runtime.run_until(all), Ok(()));
        assert_eq!(*told.borrow(), [42, 50]);
    }

    /// A task that waits for the counter to reach `n`, and what it was told.
    fn waiter(names: &Names, n: u64) -> (Task, std::sync::mpsc::Receiver<Result<u64, Error>>) {
        let (said, heard) = std::sync::mpsc::channel();
        let task = names.spawn(move |context| {
            let counter = context.look_up::<dyn Counter>().unwrap();
            said.send(counter.reaches(n)).unwrap();
        });
        (task.unwrap(), heard)
    }

    #[test]
    fn an_answer_that_is_kept_comes_when_its_time_has_come() {
        let (names, _server) = start();
        let counter = names.context().unwrap().look_up::<dyn Counter>().unwrap();
        assert_eq!(counter.add(1), Ok(1));
        assert_eq!(counter.reaches(1), Ok(1), "at once");
        let (_waiter, heard) = waiter(&names, 5);
        let answer = loop {
            let n = counter.add(1).unwrap();
            if let Ok(answer) = heard.try_recv() {
                break answer;
            }
            assert!(n < 1_000_000, "the answer never came");
        };
        assert!(matches!(answer, Ok(5..)));
    }

    #[test]
    fn an_answer_that_is_never_given_is_an_error() {
        let (names, server) = start();
        let waiters: Vec<_> = (0..super::ROOM).map(|_| waiter(&names, 9)).collect();
        let counter = names.context().unwrap().look_up::<dyn Counter>().unwrap();
        // Whoever comes when there is no room is told so: one of all these.
        let shortage = Err(Error::Code(KernReturn::ResourceShortage));
        let (_one_more, late) = waiter(&names, 9);
        let refused = loop {
            let told = waiters.iter().map(|(_, heard)| heard).chain([&late]);
            if let Some(answer) = told.into_iter().find_map(|heard| heard.try_recv().ok()) {
                break answer;
            }
            assert_eq!(counter.get(), Ok(0));
        };
        assert_eq!(refused, shortage);
        server.kill();
        let died = Error::ServerDied {
            maybe_executed: true,
        };
        let left = waiters.iter().map(|(_, heard)| heard.recv());
        let told: Vec<_> = left.chain([late.recv()]).flatten().collect();
        assert_eq!(told, [Err(died); super::ROOM]);
    }
}
