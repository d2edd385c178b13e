//! The whole of bootstrap over the host backend: its tasks are tasks of that backend, everything else
//! is what runs in the guest.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests, which end a test that cannot go on"
)]

mod crashes;
mod kills;
mod subsets;
mod system;

use interfaces::bootstrap::{Bootstrap, refusal};
use interfaces::echo::Echo;
use interfaces::supervisor::{Cause, End, Ended, State};
use libmach::host::{Task, give};
use libmach::{Error, ReceiveRight, SendRight, Untyped, abi, ms, time};
use system::{BOOT, DEMAND, System, raise, serve_echo};

// covers: B-01 B-03
#[test]
fn looking_up_starts_on_demand() {
    let system = System::start(&[(DEMAND, serve_echo)], &[]);
    assert_eq!(system.info("echo").state, State::Idle);
    assert_eq!(system.echo().client().echo(5), Ok(5));
    let info = system.info("echo");
    assert_eq!((info.state, info.restarts), (State::Running, 0));
    assert_eq!(info.task, 7);
}

// covers: B-03
#[test]
fn a_first_message_starts_on_demand() {
    const CLIENT: &str = "name = 'client'\nstart = 'boot'\n\
        rights = { echo = { service = 'test.echo' } }\nrestart = 'never'";
    let system = System::start(
        &[
            (DEMAND, serve_echo),
            (CLIENT, |context| {
                let echo = context.send_right::<dyn Echo>("echo").unwrap();
                assert_eq!(echo.client().add(3), Ok(3));
                context.exit(9);
            }),
        ],
        &[],
    );
    let ended = system.wait_for("client", |info| info.state == State::Stopped);
    assert_eq!(&*ended.reason, "ended by itself with status 9");
    assert_eq!(system.info("echo").state, State::Running);
}

// covers: B-05
#[test]
fn queued_requests_survive_kills_and_kills_do_not_count() {
    let system = System::start(&[(BOOT, serve_echo)], &[]);
    let echo = system.echo();
    for kill in 1..=20 {
        system.wait_for("echo", |info| info.state == State::Running);
        assert_eq!(echo.client().add(1), Ok(1), "a new life begins at zero");
        system.supervisor.client().kill("echo").unwrap();
        let info = system.wait_for("echo", |info| info.restarts == kill);
        assert_eq!((info.deaths_in_row, info.cause), (0, Cause::Order));
    }
    // Stopped, requests wait in the queue; started, they are served.
    system.wait_for("echo", |info| info.state == State::Running);
    system.supervisor.client().stop("echo").unwrap();
    system.wait_for("echo", |info| info.state == State::Stopped);
    let waiting = Task::spawn(vec![("echo", give(system.echo()))], |context| {
        let echo = context.send_right::<dyn Echo>("echo").unwrap();
        assert_eq!(echo.client().add(4), Ok(4));
    });
    time::sleep(ms(20));
    assert_eq!(system.info("echo").state, State::Stopped);
    system.supervisor.client().start("echo").unwrap();
    system.wait_for("echo", |info| info.state == State::Running);
    waiting.join();
}

#[test]
fn eight_exceptions_in_a_row_fail_it_and_start_clears_that() {
    let system = System::start(
        &[(BOOT, |context| {
            let boot = context.send_right::<dyn Bootstrap>("bootstrap").unwrap();
            let _port = boot.client().check_in("test.echo").unwrap();
            raise(&context);
        })],
        &[],
    );
    let failed = system.wait_for("echo", |info| info.state == State::Failed);
    assert_eq!((failed.deaths_in_row, failed.restarts), (8, 7));
    assert_eq!(failed.cause, Cause::Exception);
    let says = "died 8 times in a row, last: EXC_BAD_ACCESS at address 0x10, rip 0x401000";
    assert_eq!(&*failed.reason, says);
    let refused = system.look_up("test.echo");
    assert_eq!(refused, Err(Error::Code(refusal::SERVICE_FAILED)));
    system.supervisor.client().start("echo").unwrap();
    let again = system.info("echo");
    assert!(again.deaths_in_row < 8 && again.state != State::Failed);
}

#[test]
fn who_waits_for_a_failed_service_learns_it() {
    const CLIENT: &str = "name = 'client'\nstart = 'boot'\n\
        rights = { bad = { service = 'test.bad' } }\nrestart = 'never'";
    const BAD: &str = "name = 'bad'\nstart = 'demand'\nservices = ['test.bad']\n\
        rights = { x = { service = 'no.such' } }";
    let system = System::start(
        &[
            (BAD, serve_echo),
            (CLIENT, |context| {
                let bad = context.send_right::<dyn Echo>("bad").unwrap();
                let died = Error::ServerDied {
                    maybe_executed: true,
                };
                assert_eq!(bad.client().add(1), Err(died));
                assert_eq!(bad.client().add(1), Err(died), "not only the first");
                context.exit(1);
            }),
        ],
        &[],
    );
    let ended = system.wait_for("client", |info| info.state == State::Stopped);
    assert_eq!(&*ended.reason, "ended by itself with status 1");
    let bad = system.info("bad");
    assert_eq!(bad.state, State::Failed);
    assert_eq!(&*bad.reason, "right `x`: no manifest declares no.such");
}

#[test]
fn a_silent_server_is_replaced() {
    const BEATING: &str = "name = 'echo'\nstart = 'boot'\nservices = ['test.echo']\nheartbeat = 30";
    let system = System::start(&[(BEATING, serve_echo)], &[]);
    let info = system.wait_for("echo", |info| info.restarts >= 1);
    assert_eq!(info.cause, Cause::Silence);
    assert_eq!(&*info.reason, "silent for two heartbeats of 30 ms");
}

#[test]
fn a_reported_violation_replaces_the_server_and_needs_the_right() {
    const CLIENT: &str = "name = 'client'\nstart = 'boot'\nrestart = 'never'\n\
        rights = { echo = { service = 'test.echo' } }";
    let system = System::start(
        &[
            (BOOT, serve_echo),
            (CLIENT, |context| {
                let boot = context.send_right::<dyn Bootstrap>("bootstrap").unwrap();
                boot.client().violated("test.echo", "answers lies").unwrap();
                context.exit(0);
            }),
        ],
        &[],
    );
    let info = system.wait_for("echo", |info| info.restarts == 1);
    assert_eq!(info.cause, Cause::Protocol);
    assert_eq!(
        &*info.reason,
        "broke its protocol: answers lies (says client)"
    );
    let stranger = system.bootstrap.client().violated("test.echo", "x");
    assert_eq!(stranger, Err(Error::Code(refusal::NOT_PRIVILEGED)));
}

// covers: B-02
#[test]
fn power_over_services_needs_a_manifest_that_names_it() {
    let system = System::start(&[(BOOT, serve_echo)], &[]);
    let refused = |code| Err(Error::Code(code));
    let supervisor = system.look_up("org.mello.supervisor");
    assert_eq!(supervisor, refused(refusal::NOT_PRIVILEGED));
    assert_eq!(system.look_up("no.such"), refused(refusal::UNKNOWN_SERVICE));
    let stolen = system.bootstrap.client().check_in("test.echo");
    assert_eq!(stolen, Err(Error::Code(refusal::NOT_PRIVILEGED)));
    let client = system.supervisor.client();
    assert_eq!(
        client.kill("no-such"),
        Err(Error::Code(refusal::NO_SUCH_PROGRAM))
    );
}

#[test]
fn programs_get_a_console_and_their_end_is_told() {
    let system = System::start(
        &[],
        &[
            ("good", |context| {
                assert!(context.send_right::<Untyped>("console").is_ok());
                assert!(context.send_right::<Untyped>("bootstrap").is_ok());
                assert!(context.send_right::<Untyped>("supervisor").is_err());
                context.exit(42);
            }),
            ("bad", |context| raise(&context)),
            ("plain", |_| {}),
        ],
    );
    let console = ReceiveRight::<Untyped>::new().unwrap();
    let client = system.supervisor.client();
    let run = |name| {
        let console = console.make_send().unwrap();
        let (number, _task) = client.run(name, "a\0b", console).map_err(Error::from)?;
        client.wait(number)
    };
    let end = |how, value| {
        let signal = if how == End::Exception {
            abi::signal::SIGSEGV
        } else {
            0
        };
        Ok(Ended { how, value, signal })
    };
    assert_eq!(run("good"), end(End::Exited, 42));
    assert_eq!(run("plain"), end(End::Exited, 0));
    let kind = abi::exception::BAD_ACCESS.into();
    assert_eq!(run("bad"), end(End::Exception, kind));
    let none = Err(Error::Code(refusal::NO_SUCH_PROGRAM));
    assert_eq!(run("none"), none);
    assert_eq!(run("../etc"), none);
    assert_eq!(client.wait(99), none);
}

// covers: B-01 B-02
#[test]
fn a_registered_name_lives_as_long_as_its_port_and_its_maker() {
    const MAKER: &str = "name = 'maker'\nstart = 'boot'\nrestart = 'never'";
    let system = System::start(
        &[
            (BOOT, serve_echo),
            (MAKER, |context| {
                let boot = context.send_right::<dyn Bootstrap>("bootstrap").unwrap();
                let client = boot.client();
                let port = ReceiveRight::<Untyped>::new().unwrap();
                let register = |name| client.register(name, port.make_send().unwrap());
                register("my.own").unwrap();
                let in_use = Error::Code(refusal::NAME_IN_USE);
                assert_eq!(register("my.own").map_err(Error::from), Err(in_use));
                // A port that outlives its maker.
                let echo = client.look_up("test.echo").unwrap();
                client.register("my.echo", echo).unwrap();
                drop(port);
                wait_until_unknown(&boot, "my.own");
                let echo = client.look_up("my.echo").unwrap();
                client.register("all.well", echo).unwrap();
                time::sleep(ms(600_000));
            }),
        ],
        &[],
    );
    while system.look_up("all.well").is_err() {
        time::sleep(ms(1));
    }
    assert!(system.look_up("my.echo").is_ok());
    let foreign = system.look_up("my.echo").unwrap();
    let refused = system.bootstrap.client().register("not.mine", foreign);
    let denied = Error::Code(refusal::NOT_PRIVILEGED);
    assert_eq!(refused.map_err(Error::from), Err(denied));
    system.supervisor.client().kill("maker").unwrap();
    wait_until_unknown(&system.bootstrap, "my.echo");
    wait_until_unknown(&system.bootstrap, "all.well");
}

fn wait_until_unknown(names: &SendRight<dyn Bootstrap>, name: &str) {
    let unknown = Err(Error::Code(refusal::UNKNOWN_SERVICE));
    for _ in 0..5000 {
        if names.client().look_up(name).map(drop) == unknown {
            return;
        }
        time::sleep(ms(1));
    }
    panic!("{name} is still known");
}

#[test]
fn tasks_have_names() {
    const NAMED: &str = "name = 'named'\nstart = 'boot'\nrestart = 'never'";
    let system = System::start(
        &[(NAMED, |context| {
            let boot = context.send_right::<dyn Bootstrap>("bootstrap").unwrap();
            let name = boot.client().name_of(context.identity()).unwrap();
            assert_eq!(&*name, "named");
            assert_eq!(&*boot.client().name_of(0).unwrap(), "kernel");
            assert_eq!(&*boot.client().name_of(u64::MAX).unwrap(), "");
            context.exit(3);
        })],
        &[],
    );
    let ended = system.wait_for("named", |info| info.state == State::Stopped);
    assert_eq!(&*ended.reason, "ended by itself with status 3");
}
