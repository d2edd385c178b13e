//! `EXC_GUARD`: who asks for it is told who tries what with a guarded port, and nobody is stopped for it.

use abi::exception::{self, MASK_ALL, guard};
use abi::kern_return::{KernReturn as K, MessageReturn};
use abi::names::{Name, disposition, port_type, right};
use abi::trap;
use interfaces::exceptions::ExceptionPorts;
use microkernel::machine::FrameIndex;
use sim::Request;

use crate::transport::Give;
use crate::world::{Child, World, code, copy, moved};

const GUARD: u64 = 0x5eed;

impl World {
    /// Ends what a test has made: nothing is left.
    fn end(&self, handler: Name, thread: Give, child: Child<'_>) {
        let mut sim = self.sim.borrow_mut();
        sim.on(self.first).destroy(handler).unwrap();
        drop(sim);
        self.release(thread);
        child.end();
        self.at_baseline();
    }

    fn ask_for_exceptions(&self, of: Give, mask: u32, to: Name) {
        let ports = self.client::<dyn ExceptionPorts>(of);
        assert_eq!(moved(ports.set(mask, copy(to), 0, 0)), K::Success);
    }

    /// A trap of a thread's that its handler is told of, with these codes; what the trap answers after that.
    fn told(
        &self,
        (thread, handler): (FrameIndex, Name),
        (number, arguments): (i64, &[u64]),
        (codes, answer): ([u64; 2], K),
    ) -> K {
        let mut sim = self.sim.borrow_mut();
        assert_eq!(sim.on(thread).start(number, arguments), None, "it is told");
        let told = sim.on(self.first).poll(handler);
        assert_eq!(told.id, exception::RAISE);
        assert_eq!(
            told.words[..3],
            [exception::GUARD.into(), codes[0], codes[1]]
        );
        let words = [answer.0.into(), 0, 0, 0, 0, 0];
        let reply = Request::reply().id(exception::RAISE + 100).words(words);
        assert_eq!(
            sim.on(self.first).message(&reply).code,
            MessageReturn::Success
        );
        K(sim.on(thread).finish().frame.rax as u32)
    }
}

/// What is tried with a guarded port: the trap, its arguments, what the exception says and the guard that was given, and
/// how the trap fails.
type Try = (i64, [u64; 3], u64, u64, K);

fn tries(name: u64) -> [Try; 5] {
    use guard::{DESTROY, INCORRECT_GUARD, MOD_REFS};
    let refused = K::InvalidRight;
    let argument = K::InvalidArgument;
    let give_up = [name, right::RECEIVE.into(), -1_i64 as u64];
    [
        (trap::PORT_DESTROY, [name, 0, 0], DESTROY, 0, refused),
        (trap::PORT_MOD_REFS, give_up, MOD_REFS, 0, refused),
        (
            trap::PORT_DESTRUCT,
            [name, 0, 7],
            INCORRECT_GUARD,
            7,
            argument,
        ),
        (
            trap::PORT_UNGUARD,
            [name, 8, 0],
            INCORRECT_GUARD,
            8,
            argument,
        ),
        (
            trap::PORT_SWAP_GUARD,
            [name, 9, 1],
            INCORRECT_GUARD,
            9,
            argument,
        ),
    ]
}

// covers: P-19
#[test]
fn who_asks_for_it_is_told_what_was_tried_and_the_thread_goes_on() {
    let world = World::single();
    let child = world.child();
    let (thread, right) = child.thread();
    let handler = world.sim.borrow_mut().on(world.first).port();
    let on = |number, arguments: &[u64]| world.sim.borrow_mut().on(thread).trap(number, arguments);
    let port = world
        .sim
        .borrow_mut()
        .on(thread)
        .allocate(right::RECEIVE)
        .unwrap();
    let name = u64::from(port.0);
    on(trap::PORT_GUARD, &[name, GUARD, 1]).unwrap();
    // Nobody asked for it: the call fails, and that is all.
    assert_eq!(on(trap::PORT_DESTROY, &[name]), Err(K::InvalidRight));
    world.ask_for_exceptions(child.right, 1 << exception::GUARD, handler);
    for (number, arguments, tried, given, failed) in tries(name) {
        // Neither answer changes what the call said, or ends the task.
        for answer in [K::Success, K::Failure] {
            let codes = [guard::code(tried, port.0), given];
            let call = (number, &arguments[..]);
            assert_eq!(world.told((thread, handler), call, (codes, answer)), failed);
        }
    }
    on(trap::PORT_UNGUARD, &[name, GUARD]).unwrap();
    let codes = [guard::code(guard::UNGUARDED, port.0), GUARD];
    let again = (trap::PORT_UNGUARD, &[name, GUARD][..]);
    assert_eq!(
        world.told((thread, handler), again, (codes, K::Success)),
        K::InvalidArgument
    );
    let kind = world.sim.borrow_mut().on(thread).kind(port);
    assert_eq!(kind, Ok(port_type::RECEIVE), "nothing changed");
    world.end(handler, right, child);
}

// covers: P-19
#[test]
fn a_guarded_right_that_was_to_move_is_told_of() {
    let world = World::single();
    let child = world.child();
    let (thread, right) = child.thread();
    let mut sim = world.sim.borrow_mut();
    let handler = sim.on(world.first).port();
    let mut user = sim.on(thread);
    user.register_buffer();
    let port = user.allocate(right::RECEIVE).unwrap();
    user.guard(port, GUARD, 1).unwrap();
    let to = user.port();
    drop(sim);
    world.ask_for_exceptions(child.right, MASK_ALL, handler);
    let mut sim = world.sim.borrow_mut();
    let send = Request::send(to).port(port, disposition::MOVE_RECEIVE);
    assert_eq!(sim.on(thread).start_message(&send), None);
    let told = sim.on(world.first).poll(handler);
    let codes = guard::code(guard::INCORRECT_GUARD, port.0);
    assert_eq!(told.words[..3], [exception::GUARD.into(), codes, 0]);
    let reply = Request::reply().id(exception::RAISE + 100);
    let answered = sim.on(world.first).message(&reply);
    assert_eq!(answered.code, MessageReturn::Success);
    let code = MessageReturn(sim.on(thread).finish().frame.rax as u32);
    assert_eq!(code, MessageReturn::SendInvalidRight);
    drop(sim);
    world.end(handler, right, child);
}

// covers: P-19
#[test]
fn what_others_try_and_what_only_the_supervisor_would_hear_is_not_told() {
    let world = World::single();
    let child = world.child();
    let (thread, right) = child.thread();
    let handler = world.sim.borrow_mut().on(world.first).port();
    let port = world
        .sim
        .borrow_mut()
        .on(thread)
        .allocate(right::RECEIVE)
        .unwrap();
    let guarded = world.sim.borrow_mut().on(thread).guard(port, GUARD, 0);
    assert_eq!(guarded, Ok(()));
    // The port of whoever ends tasks gets what would end one, and this would not.
    let set = child.task.set_exception_port(copy(handler));
    assert_eq!(moved(set), K::Success);
    let destroyed = world.sim.borrow_mut().on(thread).destroy(port);
    assert_eq!(destroyed, Err(K::InvalidRight));
    // It is another task's port that the first one means.
    world.ask_for_exceptions(child.right, MASK_ALL, handler);
    let refused = child.task.port_unguard(port, 1);
    assert_eq!(code(refused), K::InvalidArgument);
    world.sim.borrow_mut().until_runs(thread);
    let none = world.sim.borrow_mut().on(world.first).poll(handler);
    assert_eq!(none.code, MessageReturn::ReceiveTimedOut);
    world.end(handler, right, child);
}
