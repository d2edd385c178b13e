//! Exceptions, with a crash reporter that answers, is silent, or dies.

use std::sync::atomic::{AtomicU32, Ordering};

use interfaces::bootstrap::Bootstrap;
use interfaces::bounded::{Bytes, List, Text};
use interfaces::crash::{Crash, CrashReporter, Filed, Summary};
use interfaces::supervisor::{Cause, State};
use interfaces::task::Task as Control;
use libmach::{Caller, Context, Mach, ReceiveRight, Result, SendRight, Service, abi, ms, time};

use super::system::{System, raise};

const REPORTER: &str = "name = 'reporter'\nstart = 'boot'\nservices = ['org.mello.crash-reporter']";
const VICTIM: &str = "name = 'victim'\nstart = 'boot'\nrestart = 'never'";
const SUMMARY: &str = "EXC_BAD_ACCESS at address 0x10, rip 0x401000";

fn check_in(context: &Context) -> ReceiveRight<dyn CrashReporter> {
    let boot = context.send_right::<dyn Bootstrap>("bootstrap").unwrap();
    let port = boot.client().check_in("org.mello.crash-reporter").unwrap();
    port.cast()
}

/// Knows where everything happened.
struct Reporter;

impl CrashReporter for Reporter {
    type Rights = Mach;

    async fn report(
        &mut self,
        _: Caller,
        task: SendRight<dyn Control>,
        name: &str,
        what: Crash,
    ) -> Result<Filed> {
        assert_eq!((name, what.subcode), ("victim", 0x10));
        // The task is still there.
        assert!(abi::names::Name::NULL != task.name());
        let place = Text::cut("victim::main");
        Ok(Filed { number: 5, place })
    }

    async fn reports(&self, _: u64) -> Result<List<Summary, 8>> {
        Ok(List::default())
    }

    async fn read(&self, _: u64, _: u32) -> Result<Bytes<1024>> {
        Ok(Bytes::EMPTY)
    }
}

fn died(system: &System) -> String {
    let info = system.wait_for("victim", |info| info.state == State::Stopped);
    assert_eq!(info.cause, Cause::Exception);
    info.reason.to_string()
}

#[test]
fn a_death_is_told_with_its_report() {
    let reporter = |context: Context| {
        Service::on(check_in(&context)).serve(Reporter).unwrap();
    };
    let system = System::start(&[(REPORTER, reporter), (VICTIM, |c| raise(&c))], &[]);
    assert_eq!(
        died(&system),
        format!("{SUMMARY}; in victim::main; report 5")
    );
}

/// Raises two exceptions, as two threads would.
fn raise_twice(context: Context) {
    let to = context
        .send_right::<libmach::Untyped>("exceptions")
        .unwrap();
    let words = [abi::exception::BAD_ACCESS.into(), 1, 0x10, 0x40_1000, 0, 0];
    let (how, id) = (abi::names::disposition::COPY_SEND, abi::exception::RAISE);
    let shape = abi::registers::Shape::SHORT;
    libmach::message::send(to.name(), how, id, shape, words);
    raise(&context);
}

#[test]
fn a_task_has_one_report_however_many_threads_crash() {
    static REPORTS: AtomicU32 = AtomicU32::new(0);
    let counting = |context: Context| {
        let port = check_in(&context);
        // Both exceptions are there before the first is answered.
        time::sleep(ms(50));
        loop {
            let (code, request) = libmach::message::receive(port.name());
            assert_eq!(code, abi::kern_return::MessageReturn::Success);
            REPORTS.fetch_add(1, Ordering::SeqCst);
            drop(libmach::SendOnce::<libmach::Untyped>::from_name(
                request.reply(),
            ));
        }
    };
    let system = System::start(&[(REPORTER, counting), (VICTIM, raise_twice)], &[]);
    died(&system);
    assert_eq!(REPORTS.load(Ordering::SeqCst), 1);
}

#[test]
fn a_silent_reporter_delays_a_death_and_nothing_else() {
    let silent = |context: Context| {
        let _port = check_in(&context);
        time::sleep(ms(600_000));
    };
    let system = System::start(&[(REPORTER, silent), (VICTIM, |c| raise(&c))], &[]);
    let alive = system.wait_for("victim", |info| info.state == State::Running);
    assert_eq!(alive.cause, Cause::None);
    assert!(
        system.look_up("org.mello.crash-reporter").is_ok(),
        "others are served"
    );
    assert_eq!(died(&system), SUMMARY);
}

#[test]
fn a_reporter_that_dies_of_its_task_leaves_it_no_report() {
    let mortal = |context: Context| {
        let port = check_in(&context);
        // It takes the request with it.
        let (code, _) = libmach::message::receive(port.name());
        assert_eq!(code, abi::kern_return::MessageReturn::Success);
        context.exit(1);
    };
    let system = System::start(&[(REPORTER, mortal), (VICTIM, |c| raise(&c))], &[]);
    assert_eq!(died(&system), SUMMARY);
}

#[test]
fn the_reporter_s_own_exception_is_not_asked_about() {
    static LIVES: AtomicU32 = AtomicU32::new(0);
    let broken = |context: Context| {
        let _port = check_in(&context);
        if LIVES.fetch_add(1, Ordering::SeqCst) == 0 {
            raise(&context);
        }
        time::sleep(ms(600_000));
    };
    let system = System::start(&[(REPORTER, broken)], &[]);
    let info = system.wait_for("reporter", |info| info.restarts == 1);
    assert_eq!((info.cause, &*info.reason), (Cause::Exception, SUMMARY));
}
