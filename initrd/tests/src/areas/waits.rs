//! Threads of another task in every wait that there is: suspended, aborted, ended.

use interfaces::exceptions::ExceptionPorts;
use interfaces::semaphore::Semaphore;
use interfaces::task::Task;
use libmach::abi::exception::{MASK_ALL, behavior};
use libmach::abi::kern_return::{KernReturn as K, MessageReturn as M};
use libmach::abi::names::{Name, disposition};
use libmach::abi::registers::Shape;
use libmach::abi::trace::wait;
use libmach::abi::trap as number;
use libmach::message::{NO_REPLY, call_registers, receive_registers, send_registers};
use libmach::trap::Registers;
use libmach::{ReceiveRight, SendRight, Untyped, message, trap};

use super::cases;
use crate::case::{Check, World, check, equal};
use crate::child::{Child, exceptions};
use crate::raw::{self, Words};

cases! { "waits":
    "a thread is suspended and resumed in every wait" => suspended,
    "an abort ends every wait with its code" => aborted,
    "the code of an aborted wait is seen and rewritten while the thread is suspended" => rewritten,
    "a safe abort ends what can be begun again" => safely,
    "a thread is ended in every wait" => ended,
    "a task with threads in every wait is ended" => task_ended,
    "a suspended task's threads do not run, whoever resumes them" => task_suspended,
}

/// A wait.
#[derive(Clone, Copy, Debug)]
struct Kind {
    /// Which of [`enter`]'s.
    number: u64,
    /// What the kernel says that the thread waits for.
    state: u32,
    /// What an aborted wait answers.
    code: u32,
}

const fn kind(number: u64, state: u32, code: u32) -> Kind {
    Kind {
        number,
        state,
        code,
    }
}

/// All of them but that for another thread's stop, which nobody holds up.
const ALL: [Kind; 11] = [
    kind(0, wait::RECEIVE, M::ReceiveInterrupted.0),
    kind(1, wait::RECEIVE, M::ReceiveInterrupted.0),
    kind(2, wait::SEND, M::SendInterrupted.0),
    kind(3, wait::REPLY, M::ReceiveInterrupted.0),
    kind(4, wait::FUTEX, K::Aborted.0),
    kind(5, wait::DEADLINE, K::Aborted.0),
    kind(6, wait::SEMAPHORE, K::Aborted.0),
    kind(7, wait::SEMAPHORE, K::Aborted.0),
    kind(8, wait::DEADLINE, K::Aborted.0),
    // The thread goes on behind its breakpoint.
    kind(9, wait::EXCEPTION, 0),
    kind(10, wait::PAGE, K::Aborted.0),
];

/// Word of the page: how often the wait was left.
const LEFT: usize = 0;
/// Word: the code of the last wait.
const CODE: usize = 1;
/// Words: what the thread calls a port whose queue is full, a semaphore.
const FULL: usize = 2;
const SEMAPHORE: usize = 3;
/// Word: a futex.
const FUTEX: usize = 4;

/// Waits over and over.
extern "C" fn enter(page: &Words, kind: u64) {
    loop {
        let code = wait_once(page, kind).unwrap_or(u32::MAX);
        page.set(CODE, code.into());
        page.set(LEFT, page.get(LEFT) + 1);
    }
}

fn code(result: trap::Outcome<()>) -> u32 {
    result.err().unwrap_or(K::Success).0
}

fn exchange(registers: Registers) -> u32 {
    message::exchange(registers).0.0
}

fn wait_once(page: &Words, kind: u64) -> libmach::Result<u32> {
    let forever = u64::MAX;
    Ok(match kind {
        0 => {
            let port = ReceiveRight::<Untyped>::new()?;
            exchange(receive_registers(port.name()))
        }
        1 => {
            let (port, set) = (ReceiveRight::<Untyped>::new()?, libmach::PortSet::new()?);
            set.insert(&port)?;
            exchange(receive_registers(set.name()))
        }
        2 => {
            let to = (Name(page.get(FULL) as u32), disposition::COPY_SEND);
            exchange(send_registers(0, to, NO_REPLY, 1, Shape::SHORT, [0; 6]))
        }
        3 => {
            let port = ReceiveRight::<Untyped>::new()?;
            let right = port.make_send()?;
            exchange(call_registers(right.name(), 1, Shape::SHORT, [0; 6]))
        }
        4 => code(trap::futex_wait(page.half(FUTEX), 0, forever)),
        5 => code(trap::wait_until(forever)),
        6 => raw::semaphore(number::SEMAPHORE_WAIT, [page.get(SEMAPHORE), 0, 0]).0,
        7 => {
            let semaphore = page.get(SEMAPHORE);
            let both = [semaphore, page.get(SEMAPHORE + 2), forever];
            raw::semaphore(number::SEMAPHORE_TIMED_WAIT_SIGNAL, both).0
        }
        8 => code(trap::thread_switch(
            Name::NULL,
            number::switch_option::WAIT,
            forever,
        )),
        9 => {
            raw::breakpoint();
            0
        }
        _ => {
            // A pager that never says a word.
            let pager = ReceiveRight::<Untyped>::new()?;
            let object = pager.make_send()?;
            let address = raw::map(object.name(), 4096)?;
            let ended = code(raw::look(address));
            raw::deallocate(address, 4096)?;
            ended
        }
    })
}

/// A child in a wait, and what it needs for it.
struct Scene {
    child: Child,
    _full: ReceiveRight<Untyped>,
    _handler: ReceiveRight<Untyped>,
    _semaphores: [SendRight<dyn Semaphore>; 2],
}

impl Scene {
    fn set(kind: Kind) -> Check<Self> {
        let child = Child::new(enter, kind.number)?;
        let full = ReceiveRight::<Untyped>::new()?;
        full.set_queue_limit(1)?;
        let right = full.make_send()?;
        let sent = message::send(
            right.name(),
            disposition::COPY_SEND,
            1,
            Shape::SHORT,
            [0; 6],
        );
        equal("the message that fills the queue", sent, M::Success)?;
        child.page.set(FULL, child.give(right)?.0.into());
        let own = SendRight::<dyn Task>::from_name(trap::task_self()?);
        let [first, second] = [(), ()].map(|()| own.client().semaphore_create(0, 0));
        let semaphores = [first?, second?];
        for (semaphore, word) in semaphores.iter().zip([SEMAPHORE, SEMAPHORE + 2]) {
            child
                .page
                .set(word, child.give(semaphore.duplicate()?)?.0.into());
        }
        let handler = ReceiveRight::<Untyped>::new()?;
        let ports: SendRight<dyn ExceptionPorts> = exceptions(&child.thread)?;
        let form = behavior::DEFAULT | behavior::WIDE_CODES;
        ports
            .client()
            .set(MASK_ALL, handler.make_send()?, form, 0)?;
        child.run()?;
        child.until_it_waits(kind.state)?;
        Ok(Self {
            child,
            _full: full,
            _handler: handler,
            _semaphores: semaphores,
        })
    }
}

// covers: F-11 T-03 T-07
fn suspended(_: &World) -> Check {
    for kind in ALL {
        let Scene { child, .. } = &Scene::set(kind)?;
        let left = child.page.get(LEFT);
        for _ in 0..3 {
            child.thread.client().suspend()?;
            let info = child.thread.client().info()?;
            equal("suspensions", info.suspend_count, 1)?;
            child.thread.client().resume()?;
            child.until_it_waits(kind.state)?;
        }
        let found = child.page.get(LEFT);
        check!(found == left, "{kind:?} was left");
        let again = child.thread.client().resume();
        check!(again.is_err(), "one resume too many succeeds");
    }
    Ok(())
}

// covers: F-11 T-09
fn aborted(_: &World) -> Check {
    for kind in ALL {
        let Scene { child, .. } = &Scene::set(kind)?;
        for _ in 0..3 {
            let left = child.page.get(LEFT);
            // Stopped meanwhile, it leaves its wait, and goes on when it may.
            child.thread.client().suspend()?;
            child.thread.client().abort()?;
            equal("left while suspended", child.page.get(LEFT), left)?;
            child.thread.client().resume()?;
            let went_on = child.until(LEFT, left + 1);
            check!(went_on.is_ok(), "{kind:?}: {went_on:?}");
            child.until_it_waits(kind.state)?;
            let found = child.page.get(CODE);
            check!(found == u64::from(kind.code), "{kind:?}: {found:#x}");
        }
    }
    Ok(())
}

// covers: T-08 T-09
fn rewritten(_: &World) -> Check {
    const OTHER: u64 = 0x51;
    for kind in ALL.into_iter().filter(|kind| kind.state != wait::EXCEPTION) {
        let Scene { child, .. } = &Scene::set(kind)?;
        let thread = child.thread.client();
        thread.suspend()?;
        thread.abort()?;
        let mut state = thread.get_state()?;
        check!(state.rax == kind.code.into(), "{kind:?}: {:#x}", state.rax);
        state.rax = OTHER;
        thread.set_state(state)?;
        thread.resume()?;
        child.until(CODE, OTHER)?;
    }
    Ok(())
}

// covers: T-09
fn safely(_: &World) -> Check {
    for kind in ALL {
        let Scene { child, .. } = &Scene::set(kind)?;
        let left = child.page.get(LEFT);
        let ended = child.thread.client().abort_safely();
        if matches!(kind.state, wait::REPLY | wait::EXCEPTION) {
            equal("code", ended, Err(K::Failure.into()))?;
            child.until_it_waits(kind.state)?;
            equal("waits that were left", child.page.get(LEFT), left)?;
        } else {
            ended?;
            child.until(LEFT, left + 1)?;
            equal("code", child.page.get(CODE), kind.code.into())?;
        }
    }
    Ok(())
}

// covers: F-11 T-07
fn ended(_: &World) -> Check {
    for kind in ALL {
        for suspended in [false, true] {
            let Scene { child, .. } = &Scene::set(kind)?;
            let left = child.page.get(LEFT);
            if suspended {
                child.thread.client().suspend()?;
            }
            child.thread.client().terminate()?;
            equal("threads", child.task.client().info()?.threads, 0)?;
            check!(child.page.get(LEFT) == left, "{kind:?}: it ran on");
            check!(
                child.thread.client().info().is_err(),
                "{kind:?}: its port lives"
            );
        }
    }
    Ok(())
}

// covers: F-11 T-02
fn task_ended(_: &World) -> Check {
    for kind in ALL {
        let Scene { child, .. } = &Scene::set(kind)?;
        child.task.client().terminate()?;
        child.until_gone()?;
        check!(
            child.thread.client().info().is_err(),
            "{kind:?}: its thread lives"
        );
    }
    Ok(())
}

/// Counts.
extern "C" fn counts(page: &Words, _: u64) {
    loop {
        page.set(0, page.get(0) + 1);
        // Others run meanwhile.
        trap::thread_switch(Name::NULL, 0, 0).unwrap_or_default();
    }
}

/// Waits until a child counted on, from now.
fn until_it_counts(child: &Child) -> Check {
    let now = child.page.get(0);
    let end = libmach::time::deadline(libmach::ms(10_000));
    while child.page.get(0) == now {
        check!(libmach::time::now() < end, "it does not run");
        libmach::time::sleep(libmach::ms(1));
    }
    Ok(())
}

// covers: T-03
fn task_suspended(_: &World) -> Check {
    let child = Child::new(counts, 0)?;
    let (task, thread) = (child.task.client(), child.thread.client());
    let early = task.resume();
    check!(early.is_err(), "a task that runs is resumed");
    task.suspend()?;
    thread.resume()?;
    // No thread of it runs: its registers can be had, and stay.
    let before = (thread.get_state()?.rip, child.page.get(0));
    libmach::time::sleep(libmach::ms(5));
    equal(
        "place and count",
        (thread.get_state()?.rip, child.page.get(0)),
        before,
    )?;
    task.suspend()?;
    task.resume()?;
    equal("suspensions of the task", task.info()?.suspend_count, 1)?;
    equal("count", child.page.get(0), before.1)?;
    task.resume()?;
    until_it_counts(&child)?;
    thread.suspend()?;
    let stopped = child.page.get(0);
    task.suspend()?;
    task.resume()?;
    equal("count of a suspended thread", child.page.get(0), stopped)?;
    thread.resume()?;
    until_it_counts(&child)
}
