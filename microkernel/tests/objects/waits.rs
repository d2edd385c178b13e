//! A thread in each of its waits: suspended, resumed, ended, answered with nonsense.

use abi::kern_return::{KernReturn as K, MessageReturn};
use abi::message::{Descriptor, descriptor};
use abi::names::{Name, disposition, right};
use abi::thread_state::ThreadState;
use abi::transport::REPLY_OFFSET;
use abi::trap;
use interfaces::thread::{Thread, ThreadClient};
use sim::{Request, image};

use crate::transport::{Give, Port};
use crate::world::{Child, PAGE, World, code, copy, moved};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Waits {
    ForMessage,
    InSet,
    ForRoom,
    ForAnswer,
    ForTime,
    /// With its turn given to another thread.
    Passing,
    AtFutex,
    AtSemaphore,
    ForHandler,
}

const ALL: [Waits; 9] = [
    Waits::ForMessage,
    Waits::InSet,
    Waits::ForRoom,
    Waits::ForAnswer,
    Waits::ForTime,
    Waits::Passing,
    Waits::AtFutex,
    Waits::AtSemaphore,
    Waits::ForHandler,
];

impl Waits {
    /// What an aborted wait answers; `None`: it was in no trap.
    fn aborted(self) -> Option<u64> {
        match self {
            Self::ForMessage | Self::InSet | Self::ForAnswer => {
                Some(MessageReturn::ReceiveInterrupted.0.into())
            }
            Self::ForRoom => Some(MessageReturn::SendInterrupted.0.into()),
            Self::ForTime | Self::Passing | Self::AtFutex | Self::AtSemaphore => {
                Some(K::Aborted.0.into())
            }
            Self::ForHandler => None,
        }
    }

    /// Whether it can be begun again as if there had been none.
    fn is_safe(self) -> bool {
        !matches!(self, Self::ForAnswer | Self::ForHandler)
    }
}

/// A child whose thread waits, and two ports of the first task.
struct Scene<'w> {
    world: &'w World,
    child: Child<'w>,
    index: u32,
    /// The thread.
    right: Give,
    /// Its queue is full.
    full: Name,
    /// It gets calls and exceptions.
    service: Name,
}

impl<'w> Scene<'w> {
    fn new(world: &'w World, waits: Waits) -> Self {
        let mut sim = world.sim.borrow_mut();
        let mut me = sim.on(world.first);
        let (full, service) = (me.port(), me.port());
        me.set_attribute(full, trap::attribute::QUEUE_LIMIT, 1)
            .unwrap();
        me.message(&Request::send(full));
        drop(sim);
        let child = world.child();
        let handler = child.task.set_exception_port(copy(service));
        assert_eq!(moved(handler), K::Success);
        let [full_there, there] =
            [full, service].map(|port| child.task.insert_send(Name::NULL, copy(port)).unwrap());
        let (index, right) = child.thread();
        enter(&child, index, waits, (full_there, there));
        Self {
            world,
            child,
            index,
            right,
            full,
            service,
        }
    }

    fn thread(&self) -> ThreadClient<Port<'w>> {
        self.world.client::<dyn Thread>(self.right)
    }

    /// Ends the child. What its thread sent is still there; where it waits no more, and what answers it finds nobody.
    fn end(self, waits: Waits) {
        self.world.release(self.right);
        self.child.end();
        let mut sim = self.world.sim.borrow_mut();
        let mut me = sim.on(self.world.first);
        if matches!(waits, Waits::ForAnswer | Waits::ForHandler) {
            assert_eq!(me.poll(self.service).code, MessageReturn::Success);
            let late = me.message(&Request::reply()).code;
            assert_eq!(late, MessageReturn::SendInvalidDest);
        }
        me.destroy(self.full).unwrap();
        me.destroy(self.service).unwrap();
        drop(sim);
        self.world.at_baseline();
    }
}

/// Brings the child's thread into a wait. Its names of `full` and `service` are given.
fn enter(child: &Child<'_>, index: u32, waits: Waits, (full, service): (Name, Name)) {
    let semaphore = (waits == Waits::AtSemaphore).then(|| {
        let right = child.task.semaphore_create(0, 0).unwrap();
        let name = child.task.insert_send(Name::NULL, right).unwrap();
        child.world.release(right);
        name
    });
    let mut sim = child.world.sim.borrow_mut();
    let mut user = sim.on(index);
    let port = user.port();
    let started = match waits {
        Waits::ForMessage => user.start_message(&Request::receive(port)),
        Waits::InSet => {
            let set = user.allocate(right::PORT_SET).unwrap();
            user.insert_member(port, set).unwrap();
            user.start_message(&Request::receive(set))
        }
        Waits::ForRoom => {
            let send = Request::send(full).replying(port, disposition::MAKE_SEND_ONCE);
            user.start_message(&send)
        }
        Waits::ForAnswer => user.start_message(&Request::call(service)),
        Waits::ForTime => {
            assert_eq!(user.start(trap::WAIT_UNTIL, &[u64::MAX]), None);
            None
        }
        Waits::Passing => {
            let thread = user.trap(trap::THREAD_SELF, &[]).unwrap();
            let wait = [thread, trap::switch_option::WAIT, u64::MAX];
            assert_eq!(user.start(trap::THREAD_SWITCH, &wait), None);
            None
        }
        Waits::AtFutex => {
            let word = [image::DATA, 0, u64::MAX];
            assert_eq!(user.start(trap::FUTEX_WAIT, &word), None);
            None
        }
        Waits::AtSemaphore => {
            let semaphore = semaphore.unwrap();
            assert_eq!(
                user.start(trap::SEMAPHORE_WAIT, &[semaphore.0.into()]),
                None
            );
            None
        }
        Waits::ForHandler => {
            let cpu = user.cpu();
            assert!(sim.read(cpu, 0x1000, &mut [0]).is_err());
            None
        }
    };
    assert_eq!(started, None, "{waits:?}");
}

// covers: F-11 T-07 T-09
#[test]
fn a_thread_is_suspended_resumed_and_ended_in_every_wait() {
    for waits in ALL {
        for suspended in [false, true] {
            let world = World::single();
            let scene = Scene::new(&world, waits);
            let thread = scene.thread();
            let state = thread.info().unwrap().state;
            assert_ne!(state, 0, "{waits:?}");
            for _ in 0..2 {
                thread.suspend().unwrap();
                assert_eq!(thread.info().unwrap().suspend_count, 1);
                thread.resume().unwrap();
                assert_eq!(
                    thread.info().unwrap().state,
                    state,
                    "{waits:?}: it waits on"
                );
            }
            if suspended {
                thread.suspend().unwrap();
            }
            thread.terminate().unwrap();
            let left = scene.child.task.info().unwrap().threads;
            assert_eq!(left, 0, "{waits:?}");
            scene.end(waits);
        }
    }
}

// covers: T-08 T-09
#[test]
fn what_an_aborted_wait_answers_is_seen_and_rewritten_while_the_thread_is_suspended() {
    for waits in ALL {
        let world = World::single();
        let scene = Scene::new(&world, waits);
        let (thread, index) = (scene.thread(), scene.index);
        thread.suspend().unwrap();
        let before = thread.get_state().unwrap();
        let early = code(thread.set_state(before));
        if waits == Waits::ForHandler {
            assert_eq!(early, K::Success, "no trap of its own would write them");
        } else {
            assert_eq!(early, K::Failure, "{waits:?}: its end would write them");
            assert!((before.rax as i64) < 0, "{waits:?}: it has no answer yet");
        }
        thread.abort().unwrap();
        assert_eq!(thread.info().unwrap().state, 0, "{waits:?}: it waits on");
        let found = thread.get_state().unwrap();
        assert_eq!(
            found.rax,
            waits.aborted().unwrap_or(before.rax),
            "{waits:?}"
        );
        let rewritten = ThreadState {
            rax: 0x51,
            rdx: 0x52,
            ..found
        };
        thread.set_state(rewritten).unwrap();
        assert_eq!(thread.get_state(), Ok(rewritten));
        let mut sim = world.sim.borrow_mut();
        sim.registers_were_set(index);
        assert_eq!(sim.cpu_of(index), None);
        drop(sim);
        thread.resume().unwrap();
        let mut sim = world.sim.borrow_mut();
        sim.until_runs(index);
        let frame = *sim.machine.registers(index);
        assert_eq!((frame.rax, frame.rdx), (0x51, 0x52), "{waits:?}");
        drop(sim);
        scene.end(waits);
    }
}

// covers: T-09
#[test]
fn a_safe_abort_ends_what_can_be_begun_again_and_nothing_else() {
    for waits in ALL {
        let world = World::single();
        let scene = Scene::new(&world, waits);
        let (thread, index) = (scene.thread(), scene.index);
        let state = thread.info().unwrap().state;
        if !waits.is_safe() {
            assert_eq!(code(thread.abort_safely()), K::Failure, "{waits:?}");
            assert_eq!(thread.info().unwrap().state, state, "it waits on");
            scene.end(waits);
            continue;
        }
        thread.abort_safely().unwrap();
        let answer = world.sim.borrow_mut().on(index).finish();
        assert_eq!(Some(answer.frame.rax), waits.aborted(), "{waits:?}");
        // A thread that does not wait has nothing to be ended.
        assert_eq!(thread.abort_safely(), Ok(()));
        scene.end(waits);
    }
}

/// An answer that is more, or less, than an answer to an exception is.
fn nonsense(variant: usize, port: Name, memory: u64) -> Request {
    let answer = Request::reply().id(abi::exception::RAISE + REPLY_OFFSET);
    let out_of_line = Descriptor {
        kind: descriptor::OUT_OF_LINE,
        address: memory,
        size: 2 * PAGE,
        ..Descriptor::default()
    };
    match variant {
        0 => answer.id(-1),
        1 => answer.id(abi::exception::RAISE),
        2 => answer.port(port, disposition::MAKE_SEND),
        3 => answer.port(port, disposition::MOVE_RECEIVE),
        4 => answer.replying(port, disposition::MAKE_SEND_ONCE),
        5 => answer.data(&[0xff; 3000]),
        6 => answer.words([K::Failure.0.into(), !0, !0, !0, !0, !0]),
        7 => answer.words([!0; 6]),
        _ => {
            let mut answer = answer.port(port, disposition::MAKE_SEND_ONCE);
            answer
                .body
                .get_or_insert_default()
                .descriptors
                .push(out_of_line);
            answer
        }
    }
}

// covers: F-10
#[test]
fn nonsense_in_an_answer_to_an_exception_hurts_and_leaks_nothing() {
    for variant in 0..9 {
        let world = World::single();
        let child = world.child();
        let mut sim = world.sim.borrow_mut();
        let mut me = sim.on(world.first);
        let (handler, port) = (me.port(), me.allocate(right::RECEIVE).unwrap());
        drop(sim);
        let set = child.task.set_exception_port(copy(handler));
        assert_eq!(moved(set), K::Success);
        let (index, thread) = child.thread();
        let mut sim = world.sim.borrow_mut();
        let cpu = sim.until_runs(index);
        assert!(sim.read(cpu, 0x1000, &mut [0]).is_err());
        let mut me = sim.on(world.first);
        assert_eq!(me.poll(handler).id, abi::exception::RAISE);
        let answer = nonsense(variant, port, image::DATA);
        assert_eq!(
            me.message(&answer).code,
            MessageReturn::Success,
            "{variant}"
        );
        if matches!(variant, 2 | 4 | 8) {
            // The right that came along has ended.
            let counts = [
                trap::attribute::SEND_RIGHTS,
                trap::attribute::SEND_ONCE_RIGHTS,
            ];
            assert_eq!(
                counts.map(|count| me.attribute(port, count)),
                [Ok(0), Ok(0)]
            );
        }
        if variant == 3 {
            assert_eq!(me.kind(port), Err(K::InvalidName));
        } else {
            me.destroy(port).unwrap();
        }
        drop(sim);
        // None of them is a success: the task ends, for nobody else handles its exception.
        let left = child.task.info().map(|info| info.threads);
        assert_ne!(left, Ok(1), "{variant}");
        world.release(thread);
        let right: Give = child.right;
        if left.is_ok() {
            child.end();
        } else {
            world.release(right);
        }
        world
            .sim
            .borrow_mut()
            .on(world.first)
            .destroy(handler)
            .unwrap();
        world.at_baseline();
    }
}
