//! Suspensions when messages run out: a stop that has to wait for another CPU keeps its request, and counts only when
//! it has room for that.

use abi::kern_return::MessageReturn;
use abi::names::Name;
use abi::task::Limits;
use abi::trap::attribute;
use interfaces::task::Task;
use interfaces::thread::Thread;
use microkernel::machine::FrameIndex;
use sim::machine::Size;
use sim::{Config, Path, Reply, Request};

use crate::world::{Child, LIMITS, World, copy};

/// Messages that a queue takes.
const QUEUE: u32 = 1024;

/// A thread that runs on another CPU than who stops it, and the rights to it and its task.
struct Runner<'w> {
    child: Child<'w>,
    index: FrameIndex,
    right: Name,
}

impl<'w> Runner<'w> {
    fn new(world: &'w World) -> Self {
        let child = world.child();
        let (index, right) = child.thread();
        Self {
            child,
            index,
            right: right.0,
        }
    }

    /// It runs, and `caller` on another CPU.
    fn runs_beside(&self, caller: FrameIndex) {
        let mut sim = self.child.world.sim.borrow_mut();
        for thread in [self.index, caller] {
            sim.until_runs(thread);
        }
        assert!(sim.cpu_of(self.index).is_some(), "the two share a CPU");
    }

    /// How often it (by its task, too) and its task are suspended, and whether it runs.
    fn suspended(&self) -> (u32, u32, bool) {
        let world = self.child.world;
        let thread = world.client::<dyn Thread>(copy(self.right));
        let thread = thread.info().unwrap().suspend_count;
        let task = self.child.task.info().unwrap().suspend_count;
        let runs = world.sim.borrow().cpu_of(self.index).is_some();
        (thread, task, runs)
    }

    fn end(self) {
        let world = self.child.world;
        world.release(copy(self.right));
        self.child.end();
    }
}

/// Sends to ports of one's own until there is no room for a message; the ports, and how many messages lie in them.
fn fill(world: &World, thread: FrameIndex) -> (Vec<Name>, u32) {
    let mut sim = world.sim.borrow_mut();
    let mut user = sim.on(thread);
    let (mut ports, mut sent) = (Vec::new(), 0);
    loop {
        if sent % QUEUE == 0 {
            ports.push(user.port());
            let limit = (attribute::QUEUE_LIMIT, u64::from(QUEUE));
            user.set_attribute(ports[ports.len() - 1], limit.0, limit.1)
                .unwrap();
        }
        match user.message(&Request::send(ports[ports.len() - 1])).code {
            MessageReturn::Success => sent += 1,
            code => {
                assert_eq!(code, MessageReturn::SendNoBuffer);
                return (ports, sent);
            }
        }
    }
}

fn drain(world: &World, thread: FrameIndex, ports: Vec<Name>) {
    for port in ports {
        world.sim.borrow_mut().on(thread).destroy(port).unwrap();
    }
}

fn call(world: &World, thread: FrameIndex, (to, id): (Name, i32)) -> Reply {
    let request = Request::call(to).id(id);
    world.sim.borrow_mut().on(thread).message(&request)
}

// covers: T-03 T-07
#[test]
fn who_finds_no_room_for_a_stop_has_not_stopped_anything() {
    for path in [Path::Fast, Path::Slow] {
        let world = World::new(Config {
            path,
            size: Size {
                cpus: 2,
                // All of the messages are soon in use.
                arena_bytes: 1 << 18,
                ..Size::default()
            },
            ..Config::default()
        });
        let me = world.first;
        let runner = Runner::new(&world);
        let orders = [
            (runner.right, <dyn Thread>::SUSPEND.id),
            (runner.child.right.0, <dyn Task>::SUSPEND.id),
        ];
        for (order, expected) in orders.into_iter().zip([(1, 0, false), (1, 1, false)]) {
            runner.runs_beside(me);
            let (full, _) = fill(&world, me);
            let refused = call(&world, me, order);
            assert_eq!(refused.code, MessageReturn::SendNoBuffer);
            drain(&world, me, full);
            assert_eq!(runner.suspended(), (0, 0, true), "nothing is counted");
            // With room for one message it is counted, and answered when the thread has stopped.
            let (full, _) = fill(&world, me);
            let received = world.sim.borrow_mut().on(me).poll(full[0]).code;
            assert_eq!(received, MessageReturn::Success);
            let done = call(&world, me, order);
            assert_eq!((done.code, done.words[0]), (MessageReturn::Success, 0));
            drain(&world, me, full);
            assert_eq!(runner.suspended(), expected);
            let resumed = call(&world, me, (order.0, order.1 + 1));
            assert_eq!(resumed.words[0], 0, "the next method takes it back");
        }
        runner.end();
    }
}

// covers: T-03 T-07
#[test]
fn a_full_ledger_is_no_obstacle_to_a_stop() {
    for path in [Path::Fast, Path::Slow] {
        let world = World::new(Config {
            path,
            ..Config::with_cpus(3)
        });
        let runner = Runner::new(&world);
        let caller = world.child_within(Limits {
            messages: 4,
            ..LIMITS
        });
        let (thread, right) = caller.thread();
        let order = |to, id| (caller.task.insert_send(Name::NULL, copy(to)).unwrap(), id);
        let orders = [
            order(runner.right, <dyn Thread>::SUSPEND.id),
            order(runner.child.right.0, <dyn Task>::SUSPEND.id),
        ];
        for (order, counted) in orders.into_iter().zip([(1, 0), (1, 1)]) {
            runner.runs_beside(thread);
            let (ports, filled) = fill(&world, thread);
            assert_eq!(filled, 4);
            let answer = call(&world, thread, order);
            let (threads, tasks, runs) = runner.suspended();
            // A request without rights or memory counts as nobody's message.
            assert_eq!((answer.code, answer.words[0]), (MessageReturn::Success, 0));
            assert_eq!(((threads, tasks), runs), (counted, false));
            drain(&world, thread, ports);
            let resumed = call(&world, thread, (order.0, order.1 + 1));
            assert_eq!(resumed.words[0], 0);
        }
        world.release(right);
        caller.end();
        runner.end();
        world.at_baseline();
    }
}
