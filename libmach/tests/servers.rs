//! What a server may do: answer later, wait for others, die and come back.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod common;

use abi::kern_return::KernReturn;
use common::{Counter, Server};
use libmach::blocking::Blocking;
use libmach::host::{Names, Task, give};
use libmach::{
    Error, Mach, Memory, ReceiveRight, Reply, Result, Runtime, SendRight, SendRights, Service, ms,
};

fn start(names: &Names, server: impl Fn() -> Server + Send + 'static) -> Task {
    names
        .spawn(move |context| {
            let service = context.check_in::<dyn Counter>().unwrap();
            service.serve(server()).unwrap();
        })
        .unwrap()
}

/// Joins a task that is expected to panic.
fn join_panicked(task: Task) {
    let joined = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| task.join()));
    assert!(joined.is_err(), "it ended without a panic");
}

/// Starts a server again as soon as the name service has the port back.
fn restart(names: &Names, server: impl Fn() -> Server + Send + 'static) -> Task {
    names
        .spawn(move |context| {
            loop {
                match context.check_in::<dyn Counter>() {
                    Ok(service) => return service.serve(server()).unwrap(),
                    Err(error) => {
                        assert_eq!(error, Error::Code(KernReturn(1103)));
                        libmach::time::sleep(ms(1));
                    }
                }
            }
        })
        .unwrap()
}

// covers: G-05
#[test]
fn a_deferred_reply_answers_later_and_the_loop_goes_on() {
    let names = Names::start().unwrap();
    let _server = start(&names, Server::default);
    let held = names
        .spawn(|context| {
            let counter = context.look_up::<dyn Counter>().unwrap();
            assert_eq!(counter.hold(), Ok(99));
        })
        .unwrap();
    let counter = names.context().unwrap().look_up::<dyn Counter>().unwrap();
    while counter.release(99).unwrap() == 0 {
        libmach::time::sleep(ms(1));
    }
    held.join();
}

#[test]
fn a_dropped_reply_is_an_error_not_silence() {
    let names = Names::start().unwrap();
    let _server = start(&names, Server::default);
    let (said, heard) = std::sync::mpsc::channel();
    let held = names
        .spawn(move |context| {
            let counter = context.look_up::<dyn Counter>().unwrap();
            said.send(counter.hold()).unwrap();
        })
        .unwrap();
    let counter = names.context().unwrap().look_up::<dyn Counter>().unwrap();
    let answer = loop {
        counter.drop_held().unwrap();
        match heard.try_recv() {
            Ok(answer) => break answer,
            Err(_) => libmach::time::sleep(ms(1)),
        }
    };
    assert_eq!(answer, Err(Error::Code(KernReturn::Aborted)));
    held.join();
}

// covers: G-03
#[test]
fn a_call_that_is_not_idempotent_learns_of_the_servers_death() {
    let names = Names::start().unwrap();
    let server = start(&names, Server::default);
    let counter = names.context().unwrap().look_up::<dyn Counter>().unwrap();
    assert_eq!(
        counter.crash(),
        Err(Error::ServerDied {
            maybe_executed: true
        })
    );
    join_panicked(server);
}

// covers: G-03
#[test]
fn an_idempotent_call_is_repeated_over_a_restart() {
    let names = Names::start().unwrap();
    let first = start(&names, Server::default);
    let second = restart(&names, || Server {
        crashed: true,
        n: 5,
        ..Server::default()
    });
    let counter = names.context().unwrap().look_up::<dyn Counter>().unwrap();
    assert_eq!(
        counter.crash_once(),
        Ok(2),
        "the first life never answers this"
    );
    assert_eq!(counter.get(), Ok(5), "the second life answers");
    join_panicked(first);
    drop(second);
}

#[test]
fn queued_requests_survive_a_kill() {
    let names = Names::start().unwrap();
    let counter = names.context().unwrap().look_up::<dyn Counter>().unwrap();
    // Nobody serves yet: the messages wait in the service's port.
    counter.note(1).unwrap();
    counter.note(2).unwrap();
    let server = start(&names, Server::default);
    assert_eq!(counter.get(), Ok(2));
    server.kill();
    server.join();
    counter.note(8).unwrap();
    let _second = restart(&names, Server::default);
    assert_eq!(counter.get(), Ok(8));
}

/// Asks another counter while its own loop goes on.
struct Relay {
    runtime: Runtime,
    to: SendRight<dyn Counter>,
    local: u64,
}

impl Counter for Relay {
    type Rights = Mach;

    async fn get(&self) -> Result<u64> {
        Ok(self.local)
    }

    async fn add(&mut self, n: u64) -> Result<u64> {
        self.local += n;
        self.runtime.sleep(ms(100)).await?;
        Ok(self.local)
    }

    async fn digest(&self, data: Memory) -> Result<u64> {
        self.runtime.concurrent(&self.to).digest(&data).await
    }

    async fn watch(&mut self, to: SendRight<dyn common::Events>) -> Result<u64> {
        let moved = self.runtime.concurrent(&self.to).watch(to).await;
        Ok(moved?)
    }

    async fn describe(&self, _: &str, _: &[u8], n: u64) -> Result<(u64, [u64; 8])> {
        // The server there holds the reply until somebody else releases it.
        let held = self.runtime.concurrent(&self.to).hold().await?;
        Ok((held, [n; 8]))
    }

    async fn turn(
        &self,
        rights: SendRights<dyn common::Events>,
    ) -> Result<SendRights<dyn common::Events>> {
        let turned = self.runtime.concurrent(&self.to).turn(rights).await;
        turned.map_err(Error::from)
    }

    async fn pages(&self, size: u64) -> Result<Memory> {
        self.runtime.concurrent(&self.to).pages(size).await
    }

    async fn hold(&mut self, reply: Reply<u64>) {
        let limited = self.runtime.concurrent(&self.to);
        let answer = limited.with_deadline(ms(10)).never().await;
        reply.send(answer.map(|()| 0));
    }

    async fn release(&mut self, _: u64) -> Result<u64> {
        self.runtime.concurrent(&self.to).crash().await
    }

    async fn drop_held(&mut self) -> Result<()> {
        Ok(())
    }

    async fn note(&mut self, n: u64) {
        self.local = n;
    }

    async fn refuse(&self) -> Result<()> {
        self.runtime.concurrent(&self.to).refuse().await
    }

    async fn who(&self, caller: libmach::Caller) -> Result<u64> {
        Ok(caller.identity)
    }

    async fn crash_once(&self) -> Result<u64> {
        Ok(0)
    }

    async fn crash(&self) -> Result<u64> {
        Ok(0)
    }

    async fn never(&self) -> Result<()> {
        Ok(())
    }
}

/// A relay in front of a counter, and its client.
fn relay() -> (
    Task,
    Task,
    common::CounterClient<Blocking<SendRight<dyn Counter>>>,
) {
    let counter = ReceiveRight::<dyn Counter>::new().unwrap();
    let relayed = ReceiveRight::<dyn Counter>::new().unwrap();
    let (to, client) = (counter.make_send().unwrap(), relayed.make_send().unwrap());
    let counter = Task::spawn(vec![("port", give(counter))], |context| {
        let port = context.receive_right::<dyn Counter>("port").unwrap();
        Service::on(port).serve(Server::default()).unwrap();
    });
    let relay = Task::spawn(vec![("port", give(relayed)), ("to", give(to))], |context| {
        let to = context.send_right::<dyn Counter>("to").unwrap();
        let runtime = Runtime::new().unwrap();
        let server = Relay {
            runtime: runtime.clone(),
            to,
            local: 3,
        };
        runtime
            .serve(
                context.receive_right::<dyn Counter>("port").unwrap(),
                server,
            )
            .unwrap();
        runtime.run().unwrap();
    });
    (counter, relay, client.into_client())
}

// covers: G-05
#[test]
fn a_handler_awaits_another_server() {
    let (_counter, _relay, client) = relay();
    assert_eq!(client.digest(&[1, 2, 3]), Ok(6));
    assert_eq!(client.pages(100).map(|memory| memory.len()), Ok(100));
    assert_eq!(client.refuse(), Err(Error::Code(KernReturn::NoAccess)));
}

#[test]
fn a_right_goes_through_a_waiting_handler() {
    let (_counter, _relay, client) = relay();
    let events = ReceiveRight::<dyn common::Events>::new().unwrap();
    assert_eq!(client.watch(events.make_send().unwrap()), Ok(1));
    assert_eq!(
        events.send_rights(),
        Ok(1),
        "one right, held by the counter"
    );
}

// covers: G-03
#[test]
fn a_concurrent_call_ends_at_its_deadline() {
    let (_counter, _relay, client) = relay();
    assert_eq!(
        client.hold(),
        Err(Error::Code(KernReturn::OperationTimedOut))
    );
    assert_eq!(client.digest(&[4]), Ok(4), "and the next one works");
}

#[test]
fn a_concurrent_call_learns_of_the_servers_death() {
    let (counter, _relay, client) = relay();
    assert_eq!(
        client.release(0),
        Err(Error::Code(KernReturn::MigServerDied))
    );
    join_panicked(counter);
}

#[test]
fn shared_handlers_overlap_and_an_exclusive_one_waits_its_turn() {
    let (counter, _relay, client) = relay();
    // Sent before all else, it waits in the counter until that dies.
    let runtime = Runtime::new().unwrap();
    let waiting = runtime.concurrent(client.transport()).describe("", &[], 1);
    assert_eq!(client.get(), Ok(3), "it shares the state");
    let late = client.with_deadline(ms(30)).add(1);
    assert_eq!(late, Err(Error::TimedOut), "alone it cannot have the state");
    let queued = client.with_deadline(ms(30)).get();
    assert_eq!(queued, Err(Error::TimedOut), "nobody overtakes it");
    counter.kill();
    assert!(runtime.run_until(waiting).unwrap().is_err());
    assert_eq!(
        client.get(),
        Ok(4),
        "the late addition was made when its turn came"
    );
}

#[test]
fn a_flood_of_calls_that_wait_ends_in_refusals() {
    let names = Names::start().unwrap();
    let _server = start(&names, Server::default);
    let counter = names.context().unwrap().look_up::<dyn Counter>().unwrap();
    let answers = ReceiveRight::<dyn Counter>::new().unwrap();
    // What a client may do that does not wait for its answers.
    let to = (
        counter.transport().name(),
        abi::names::disposition::COPY_SEND,
    );
    let reply = (answers.name(), abi::names::disposition::MAKE_SEND_ONCE);
    let shape = abi::registers::Shape::SHORT;
    for _ in 0..1024 {
        let id = <dyn Counter>::NEVER.id;
        let registers = libmach::message::send_registers(0, to, reply, id, shape, [0; 6]);
        let (code, _) = libmach::message::exchange(registers);
        assert_eq!(code, abi::kern_return::MessageReturn::Success);
    }
    let shortage = Err(Error::Code(KernReturn::ResourceShortage));
    assert_eq!(counter.never(), shortage);
    assert_eq!(counter.get(), Ok(0), "who need not wait is served");
}

#[test]
fn an_inbox_that_nobody_reads_holds_so_many_messages_and_no_more() {
    let runtime = Runtime::new().unwrap();
    let inbox = runtime.inbox().unwrap();
    let to = inbox.port().make_send().unwrap();
    let port = ReceiveRight::<dyn Counter>::new().unwrap();
    let end = port.make_send().unwrap();
    let rights = vec![("to", give(to)), ("end", give(end))];
    let sender = Task::spawn(rights, |context| {
        let to = context.send_right::<dyn Counter>("to").unwrap();
        for n in 0..1500 {
            to.client().note(n).unwrap();
        }
        let end = context.send_right::<dyn Counter>("end").unwrap();
        end.client().note(0).unwrap();
    });
    let end = runtime.listen(port).unwrap();
    let read = async move {
        end.next().await;
        for n in 0..1024 {
            assert_eq!(inbox.next().await.word(), n);
        }
        assert!(abi::transport::poll_once(inbox.next()).is_none());
    };
    assert_eq!(runtime.run_until(read), Ok(()));
    sender.join();
}

#[test]
fn a_task_hears_of_a_ports_death_and_of_who_took_its_place() {
    let port = ReceiveRight::<dyn Counter>::new().unwrap();
    let right = std::rc::Rc::new(port.make_send().unwrap());
    let runtime = Runtime::new().unwrap();
    let waiter = || {
        let (runtime, right) = (runtime.clone(), right.clone());
        async move { runtime.died(&right).await }
    };
    let (first, second) = (waiter(), waiter());
    let late = waiter();
    let all = async move {
        let (mut first, mut second) = (Box::pin(first), Box::pin(second));
        assert!(abi::transport::poll_once(first.as_mut()).is_none());
        assert!(abi::transport::poll_once(second.as_mut()).is_none());
        assert_eq!(first.await, Err(Error::Aborted));
        drop(port);
        assert_eq!(second.await, Ok(()));
        assert_eq!(late.await, Ok(()), "it is dead already");
    };
    assert_eq!(runtime.run_until(all), Ok(()));
    let dead = abi::names::right::DEAD_NAME;
    let name = right.name();
    assert_eq!(libmach::trap::port_get_refs(name, dead), Ok(1));
}

// covers: G-04
#[test]
fn an_exported_object_ends_with_its_last_send_right() {
    struct Object(std::sync::mpsc::Sender<&'static str>);
    impl common::Events for Object {
        async fn event(&mut self, _: u64) {
            self.0.send("event").unwrap();
        }
    }
    impl Drop for Object {
        fn drop(&mut self) {
            self.0.send("ended").unwrap();
        }
    }
    let (said, heard) = std::sync::mpsc::channel();
    let port = ReceiveRight::<dyn Watch>::new().unwrap();
    let to = port.make_send().unwrap();
    let server = Task::spawn(vec![("to", give(to))], move |context| {
        let runtime = Runtime::new().unwrap();
        let object = runtime
            .export::<dyn common::Events, _>(Object(said))
            .unwrap();
        let to = context.send_right::<dyn Watch>("to").unwrap();
        to.client().watch(object).unwrap();
        runtime.run().unwrap();
    });
    let client = Task::spawn(vec![("port", give(port))], |context| {
        let port = context.receive_right::<dyn Watch>("port").unwrap();
        Service::on(port).serve(OneShot).unwrap();
    });
    assert_eq!(heard.recv(), Ok("event"));
    assert_eq!(heard.recv(), Ok("ended"));
    server.kill();
    client.kill();
}

#[test]
fn a_direct_server_does_all_but_wait() {
    let port = ReceiveRight::<dyn Counter>::new().unwrap();
    let counter = port.make_send().unwrap().into_client();
    let server = Task::spawn(vec![("port", give(port))], |context| {
        let port = context.receive_right::<dyn Counter>("port").unwrap();
        Service::on(port).serve_direct(Server::default()).unwrap();
    });
    assert_eq!(counter.add(3), Ok(3));
    assert_eq!(counter.describe("ab", &[1, 2], 1), Ok((3, [3; 8])));
    assert_eq!(counter.pages(10).map(|memory| memory[9]), Ok(7));
    assert_eq!(counter.refuse(), Err(Error::Code(KernReturn::NoAccess)));
    assert_eq!(counter.never(), Err(Error::Code(KernReturn::NotSupported)));
    let again = counter.transport().duplicate().unwrap();
    let held = Task::spawn(vec![("counter", give(again))], |context| {
        let counter = context
            .send_right::<dyn Counter>("counter")
            .unwrap()
            .into_client();
        assert_eq!(counter.hold(), Ok(5));
    });
    while counter.release(5).unwrap() == 0 {
        libmach::time::sleep(ms(1));
    }
    held.join();
    server.kill();
}

#[test]
fn a_client_that_is_gone_leaves_the_server_well() {
    let (counter, _relay, client) = relay();
    // The client's reply port dies while the server holds the answer back.
    let again = client.transport().duplicate().unwrap();
    let gone = Task::spawn(vec![("relay", give(again))], |context| {
        let relay = context
            .send_right::<dyn Counter>("relay")
            .unwrap()
            .into_client();
        assert_eq!(relay.with_deadline(ms(5)).add(1), Err(Error::TimedOut));
    });
    gone.join();
    assert_eq!(
        client.get(),
        Ok(4),
        "its addition was made, its answer dropped"
    );
    drop(counter);
}

#[test]
fn a_server_with_a_heartbeat_tells_bootstrap_again_and_again() {
    use libmach::interfaces::bootstrap::Bootstrap;
    let port = ReceiveRight::<dyn Counter>::new().unwrap();
    let bootstrap = ReceiveRight::<dyn Bootstrap>::new().unwrap();
    let right = bootstrap.make_send().unwrap();
    let rights = vec![("port", give(port)), ("bootstrap", give(right))];
    let server = Task::spawn(rights, |context| {
        let bootstrap = context.send_right::<dyn Bootstrap>("bootstrap").unwrap();
        let service = Service::on(context.receive_right::<dyn Counter>("port").unwrap());
        service
            .with_heartbeat(bootstrap, ms(1))
            .serve(Server::default())
            .unwrap();
    });
    for _ in 0..3 {
        let (_, beat) = libmach::message::receive(bootstrap.name());
        assert_eq!(beat.id(), <dyn Bootstrap>::ALIVE.id);
    }
    server.kill();
}

#[test]
fn a_program_that_exits_tells_its_status_and_is_gone() {
    use libmach::interfaces::bootstrap::Bootstrap;
    let bootstrap = ReceiveRight::<dyn Bootstrap>::new().unwrap();
    let right = bootstrap.make_send().unwrap();
    let program = Task::spawn(vec![("bootstrap", give(right))], |context| context.exit(3));
    let (_, exiting) = libmach::message::receive(bootstrap.name());
    assert_eq!(
        (exiting.id(), exiting.words[0]),
        (<dyn Bootstrap>::EXITING.id, 3)
    );
    let reply = abi::names::Name::REPLY_SLOT;
    let how = abi::names::disposition::MOVE_SEND_ONCE;
    let shape = abi::registers::Shape::SHORT;
    libmach::message::send(reply, how, exiting.id() + 100, shape, [0; 6]);
    program.join();
    assert_eq!(bootstrap.send_rights(), Ok(0), "its rights went with it");
}

/// Takes watchers.
#[macros::interface(name = "test.watch", subsystem = 9400)]
pub trait Watch {
    /// Watch.
    async fn watch(&mut self, to: SendRight<dyn common::Events>) -> Result<()>;
}

/// Sends one event to whoever wants to watch, and forgets him.
struct OneShot;

impl Watch for OneShot {
    type Rights = Mach;

    async fn watch(&mut self, to: SendRight<dyn common::Events>) -> Result<()> {
        to.client().event(1)
    }
}

#[test]
fn threads_of_a_task_share_its_rights() {
    let port = ReceiveRight::<dyn Watch>::new().unwrap();
    let to = port.make_send().unwrap();
    let name = to.name();
    let thread = libmach::thread::spawn(move || {
        let events = ReceiveRight::<dyn common::Events>::new().unwrap();
        let right = events.make_send().unwrap();
        assert_eq!(to.client().watch(right).map_err(Error::from), Ok(()));
    })
    .unwrap();
    let (_, request) = libmach::message::receive(port.name());
    assert_eq!(request.id(), <dyn Watch>::WATCH.id);
    assert_eq!(request.reply(), abi::names::Name::REPLY_SLOT);
    let words = [0; 6];
    let (how, shape) = (
        abi::names::disposition::MOVE_SEND_ONCE,
        abi::registers::Shape::SHORT,
    );
    let id = <dyn Watch>::WATCH.id + 100;
    libmach::message::send(abi::names::Name::REPLY_SLOT, how, id, shape, words);
    thread.join();
    assert_eq!(
        libmach::trap::port_get_refs(name, abi::names::right::SEND),
        Ok(0),
        "the thread's closure owned the right"
    );
}

#[test]
fn peeking_leaves_the_message_and_discarding_tells_its_sender() {
    use abi::registers::{Shape, options, pair, send_word};
    let port = ReceiveRight::<dyn Counter>::with_label(9).unwrap();
    let to = port.make_send().unwrap();
    let caller = Task::spawn(vec![("to", give(to))], |context| {
        let counter = context.send_right::<dyn Counter>("to").unwrap();
        let died = Error::ServerDied {
            maybe_executed: true,
        };
        assert_eq!(counter.client().add(1), Err(died));
    });
    let peek = libmach::trap::Registers {
        word: send_word(options::RECEIVE | options::PEEK, 0, 0, Shape::SHORT),
        receive: pair(port.name().0, 0),
        ..Default::default()
    };
    for _ in 0..2 {
        let (code, found) = libmach::message::exchange(peek);
        assert_eq!(code, abi::kern_return::MessageReturn::Success);
        assert_eq!((found.local(), found.label()), (port.name(), 9));
        assert_eq!(found.id(), 9001);
    }
    assert_eq!(libmach::server::discard(&port), 1);
    caller.join();
}
