//! A kill at each stage of a server's life. What a request meets there is the same each time: before it
//! was received it is served by the next life, after that it dies with this one, and is repeated when it may be.

use std::sync::atomic::{AtomicU32, Ordering};

use bootstrap::programs::MAX_PROGRAMS;
use interfaces::bootstrap::{Bootstrap, refusal};
use interfaces::echo::Echo;
use interfaces::supervisor::{Cause, State};
use libmach::abi::kern_return::{KernReturn, MessageReturn};
use libmach::abi::names::disposition;
use libmach::abi::registers::Shape;
use libmach::host::{Task, give};
use libmach::{Context, Error, ReceiveRight, Result, Service, Untyped, message, ms, time};

use crate::system::{BOOT, STILLBORN, System, serve_echo};

/// Far longer than any test.
const FOR_EVER: std::time::Duration = ms(600_000);

fn check_in(context: &Context) -> ReceiveRight {
    let boot = context.send_right::<dyn Bootstrap>("bootstrap").unwrap();
    boot.client().check_in("test.echo").unwrap()
}

/// Waits until so many lives have come to the stage that a test is about.
fn wait_until(lives: &AtomicU32, count: u32) {
    for _ in 0..5000 {
        if lives.load(Ordering::SeqCst) == count {
            return;
        }
        time::sleep(ms(1));
    }
    panic!("{lives:?} of {count} lives came so far");
}

/// A client of its own, which adds 1 and expects an answer.
fn adds(system: &System, expected: Result<u64>) -> Task {
    Task::spawn(vec![("echo", give(system.echo()))], move |context| {
        let echo = context.send_right::<dyn Echo>("echo").unwrap();
        assert_eq!(echo.client().add(1), expected);
    })
}

/// The kill was one, by order, and the server that is there now serves.
fn assert_back(system: &System, restarts: u32) {
    let info = system.wait_for("echo", |info| info.state == State::Running);
    assert_eq!((info.restarts, info.deaths_in_row), (restarts, 0));
    assert_eq!(info.cause, Cause::Order);
    assert_eq!(system.echo().client().echo(9), Ok(9));
}

// covers: B-05
#[test]
fn before_check_in() {
    static LIVES: AtomicU32 = AtomicU32::new(0);
    let body = |context| {
        if LIVES.fetch_add(1, Ordering::SeqCst) < 3 {
            time::sleep(FOR_EVER);
        }
        serve_echo(context);
    };
    let system = System::start(&[(BOOT, body)], &[]);
    let client = adds(&system, Ok(1));
    for kill in 1..=3 {
        wait_until(&LIVES, kill);
        assert_eq!(system.info("echo").state, State::Starting);
        system.supervisor.client().kill("echo").unwrap();
    }
    client.join();
    assert_back(&system, 3);
}

// covers: B-05
#[test]
fn between_check_in_and_first_receive() {
    static LIVES: AtomicU32 = AtomicU32::new(0);
    let body = |context| {
        if LIVES.load(Ordering::SeqCst) < 3 {
            let _port = check_in(&context);
            LIVES.fetch_add(1, Ordering::SeqCst);
            time::sleep(FOR_EVER);
        }
        serve_echo(context);
    };
    let system = System::start(&[(BOOT, body)], &[]);
    let client = adds(&system, Ok(1));
    for kill in 1..=3 {
        wait_until(&LIVES, kill);
        assert_eq!(system.info("echo").state, State::Running);
        system.supervisor.client().kill("echo").unwrap();
    }
    client.join();
    assert_back(&system, 3);
}

/// A server that never answers what it receives.
struct Mute(&'static AtomicU32);

impl Echo for Mute {
    async fn echo(&self, _: u64) -> Result<u64> {
        self.0.fetch_add(1, Ordering::SeqCst);
        core::future::pending().await
    }

    async fn add(&mut self, _: u64) -> Result<u64> {
        self.0.fetch_add(1, Ordering::SeqCst);
        core::future::pending().await
    }
}

// covers: B-05 G-03
#[test]
fn what_is_queued_behind_a_request_in_service_is_served_by_the_next_life() {
    const QUEUED: u64 = 5;
    static LIVES: AtomicU32 = AtomicU32::new(0);
    static RECEIVED: AtomicU32 = AtomicU32::new(0);
    let body = |context: Context| {
        if LIVES.fetch_add(1, Ordering::SeqCst) > 0 {
            return serve_echo(context);
        }
        // It takes one request, and no more.
        let port = check_in(&context);
        let (code, _) = message::receive_until(port.name(), u64::MAX);
        assert_eq!(code, MessageReturn::Success);
        RECEIVED.fetch_add(1, Ordering::SeqCst);
        let quiet = ReceiveRight::<Untyped>::new().unwrap();
        message::receive_until(quiet.name(), u64::MAX);
    };
    let system = System::start(&[(BOOT, body)], &[]);
    let maybe_executed = true;
    let in_service = adds(&system, Err(Error::ServerDied { maybe_executed }));
    wait_until(&RECEIVED, 1);
    // Nobody waits for the answers to these: they lie in the queue when the server is ended.
    let echo = system.echo();
    for _ in 0..QUEUED {
        let add = (<dyn Echo>::ADD.id, [1, 0, 0, 0, 0, 0]);
        let sent = message::send(
            echo.name(),
            disposition::COPY_SEND,
            add.0,
            Shape::SHORT,
            add.1,
        );
        assert_eq!(sent, MessageReturn::Success);
    }
    system.supervisor.client().kill("echo").unwrap();
    in_service.join();
    // Each of them counted once, and the one in service not at all.
    assert_eq!(echo.client().add(0), Ok(QUEUED));
    assert_back(&system, 1);
}

// covers: B-05 G-03
#[test]
fn while_serving() {
    static RECEIVED: AtomicU32 = AtomicU32::new(0);
    let body = |context| {
        if RECEIVED.load(Ordering::SeqCst) < 2 {
            let service = Service::<dyn Echo>::on(check_in(&context).cast());
            return service.serve(Mute(&RECEIVED)).unwrap();
        }
        serve_echo(context);
    };
    let system = System::start(&[(BOOT, body)], &[]);
    let maybe_executed = true;
    let client = adds(&system, Err(Error::ServerDied { maybe_executed }));
    wait_until(&RECEIVED, 1);
    system.supervisor.client().kill("echo").unwrap();
    client.join();
    // The next life is mute too, but what may be repeated is repeated to the one after it.
    let client = Task::spawn(vec![("echo", give(system.echo()))], |context| {
        let echo = context.send_right::<dyn Echo>("echo").unwrap();
        assert_eq!(echo.client().echo(5), Ok(5));
    });
    wait_until(&RECEIVED, 2);
    system.supervisor.client().kill("echo").unwrap();
    client.join();
    assert_back(&system, 2);
}

#[test]
fn while_its_death_is_processed() {
    let system = System::start(&[(BOOT, serve_echo)], &[]);
    let client = adds(&system, Ok(1));
    client.join();
    // Nothing waits between them: most meet a task that is dead already, or that was just made.
    for _ in 0..200 {
        system.supervisor.client().kill("echo").unwrap();
    }
    let client = adds(&system, Ok(1));
    client.join();
    let info = system.wait_for("echo", |info| info.state == State::Running);
    assert!((1..=200).contains(&info.restarts), "{info:?}");
    assert_eq!((info.deaths_in_row, info.cause), (0, Cause::Order));
}

#[test]
fn the_last_of_several_orders_counts() {
    let system = System::start(&[(BOOT, serve_echo)], &[]);
    let client = system.supervisor.client();
    for _ in 0..20 {
        system.wait_for("echo", |info| info.state == State::Running);
        client.stop("echo").unwrap();
        client.kill("echo").ok();
        client.stop("echo").ok();
        system.wait_for("echo", |info| info.state == State::Stopped);
        client.restart("echo").unwrap();
        client.kill("echo").unwrap();
        assert_eq!(system.echo().client().echo(3), Ok(3));
    }
}

#[test]
fn a_program_that_is_dead_before_it_runs_is_told() {
    let system = System::start(&[], &[(STILLBORN, |_| {})]);
    let client = system.supervisor.client();
    // More often than programs are remembered.
    for _ in 0..MAX_PROGRAMS + 2 {
        let console = ReceiveRight::<Untyped>::new().unwrap();
        let console = console.make_send().unwrap();
        let started = client.run(STILLBORN, "", console);
        // Its control port is dead, and so there is none to give.
        let error = Error::Code(KernReturn::ResourceShortage);
        assert_eq!(started.map_err(Error::from), Err(error));
    }
    let none = Error::Code(refusal::NO_SUCH_PROGRAM);
    assert_eq!(client.wait(1), Err(none), "nothing of it is kept");
}
