//! Threads that give way, and threads that work at somebody else's priority.

use abi::kern_return::KernReturn as K;
use abi::names::{Name, disposition};
use abi::transport::Interface;
use abi::trap::{self, switch_option};
use interfaces::thread::{Thread, ThreadClient};
use microkernel::machine::{Cpu, Event, FrameIndex};
use sim::{Request, Sim};

use crate::transport::{Give, Port};
use crate::world::{Child, World, code};

const CPU: Cpu = Cpu(0);

impl World {
    fn thread(&self, right: Give) -> ThreadClient<Port<'_>> {
        self.client::<dyn Thread>(right)
    }

    /// The first thread comes before all others, when it does not rest.
    pub(crate) fn first_comes_first(&self) {
        let name = self.trap(trap::THREAD_SELF, &[]).unwrap();
        let own = Give(Name(name as u32), disposition::COPY_SEND);
        self.thread(own).set_priority(100, 1).unwrap();
        self.release(own);
    }

    /// It rests no more.
    pub(crate) fn wake_first(&self, end: u64) {
        let mut sim = self.sim.borrow_mut();
        let rest = end.saturating_sub(sim.now()) + 1;
        sim.pass_time(rest);
        assert_eq!(sim.on(self.first).finish().frame.rax, 0);
    }

    /// The first thread rests until a time, so that the others have the CPU.
    pub(crate) fn rest(&self, time: u64) -> u64 {
        let mut sim = self.sim.borrow_mut();
        let until = sim.now() + time;
        let rests = sim.on(self.first).start(trap::WAIT_UNTIL, &[until]);
        assert_eq!(rests, None);
        until
    }
}

fn depress(sim: &mut Sim, thread: FrameIndex, until: u64) {
    let cpu = sim.until_runs(thread);
    let arguments = [0, switch_option::DEPRESS, until];
    sim.trap(cpu, trap::THREAD_SWITCH, &arguments);
}

/// Two threads of a task, one of them before the other; the first thread of all comes before both.
fn rivals(world: &World, child: &Child<'_>) -> [(FrameIndex, Give); 2] {
    world.first_comes_first();
    [60, 10].map(|priority| {
        let (thread, right) = child.thread();
        world.thread(right).set_priority(priority, 1).unwrap();
        (thread, right)
    })
}

// covers: T-11
#[test]
fn a_depressed_thread_runs_after_all_others_until_its_time_is_over() {
    let world = World::single();
    let child = world.child();
    let [(high, high_right), (low, low_right)] = rivals(&world, &child);
    assert_eq!(
        code(world.thread(high_right).depress_abort()),
        K::NotDepressed
    );
    let end = world.rest(1_000_000_000);
    let mut sim = world.sim.borrow_mut();
    let now = sim.now();
    depress(&mut sim, high, now);
    assert_eq!(sim.current(CPU), high, "a time that is past");
    let until = now + 100_000_000;
    depress(&mut sim, high, until);
    assert_eq!(sim.current(CPU), low);
    sim.pass_time(50_000_000);
    assert_eq!(sim.current(CPU), low, "slices change nothing");
    sim.pass_time(60_000_000);
    assert_eq!(sim.current(CPU), high, "its time is over");
    // By order.
    depress(&mut sim, high, u64::MAX);
    assert_eq!(sim.current(CPU), low);
    drop(sim);
    world.wake_first(end);
    world.thread(high_right).depress_abort().unwrap();
    assert_eq!(
        code(world.thread(high_right).depress_abort()),
        K::NotDepressed
    );
    let end = world.rest(1_000_000_000);
    let mut sim = world.sim.borrow_mut();
    assert_eq!(sim.current(CPU), high);
    for option in [3, 6, 7, u64::MAX] {
        let bad = sim.on(high).trap(trap::THREAD_SWITCH, &[0, option, 0]);
        assert_eq!(bad, Err(K::InvalidArgument));
    }
    // And the one that only waits.
    for option in [switch_option::WAIT, switch_option::OSLOCK_WAIT] {
        let wait = [0, option, sim.now() + 10_000_000];
        assert_eq!(sim.on(high).start(trap::THREAD_SWITCH, &wait), None);
        assert_eq!(sim.current(CPU), low);
        sim.pass_time(11_000_000);
        assert_eq!(sim.current(CPU), high);
        assert_eq!(sim.on(high).finish().frame.rax, 0);
    }
    drop(sim);
    world.wake_first(end);
    for right in [high_right, low_right] {
        world.thread(right).suspend().unwrap();
        world.release(right);
    }
    child.end();
    world.at_baseline();
}

// covers: T-11
#[test]
fn a_depressed_thread_has_a_priority_that_it_is_given_when_it_is_depressed_no_more() {
    let world = World::single();
    let child = world.child();
    let [(high, high_right), (low, low_right)] = rivals(&world, &child);
    let end = world.rest(1_000_000_000);
    depress(&mut world.sim.borrow_mut(), high, u64::MAX);
    world.wake_first(end);
    world.thread(high_right).set_priority(50, 1).unwrap();
    let end = world.rest(1_000_000_000);
    assert_eq!(world.sim.borrow().current(CPU), low, "it still gives way");
    world.wake_first(end);
    world.thread(high_right).depress_abort().unwrap();
    assert_eq!(world.thread(high_right).info().unwrap().priority, 50);
    let end = world.rest(1_000_000_000);
    assert_eq!(world.sim.borrow().current(CPU), high);
    world.wake_first(end);
    for right in [high_right, low_right] {
        world.thread(right).terminate().unwrap();
        world.release(right);
    }
    child.end();
    world.at_baseline();
}

// covers: T-11
#[test]
fn who_is_depressed_without_end_wakes_from_a_wait_in_time() {
    let (mut sim, first) = Sim::single();
    depress(&mut sim, first, u64::MAX);
    let until = sim.now() + 10_000_000;
    assert_eq!(sim.on(first).start(trap::WAIT_UNTIL, &[until]), None);
    sim.pass_time(11_000_000);
    assert_eq!(sim.on(first).finish().frame.rax, 0);
    let name = sim.on(first).trap(trap::THREAD_SELF, &[]);
    assert!(name.is_ok());
}

// covers: T-11
#[test]
fn a_thread_gives_its_turn_to_the_one_that_it_names_if_that_could_be_next() {
    let world = World::single();
    let child = world.child();
    world.first_comes_first();
    let threads = [(); 4].map(|()| child.thread());
    for ((_, right), priority) in threads.into_iter().zip([60, 60, 60, 50]) {
        world.thread(right).set_priority(priority, 1).unwrap();
    }
    let [a, b, c, low] = threads.map(|(index, _)| index);
    let name = |right: Give| child.task.insert_send(Name::NULL, right).unwrap();
    let names = threads.map(|(_, right)| name(right));
    let port = child.task.port_allocate(abi::names::right::RECEIVE);
    let end = world.rest(1_000_000_000);
    let mut sim = world.sim.borrow_mut();
    assert_eq!(sim.current(CPU), a);
    let mut give = |to: Name, option, expected| {
        let until = sim.now() + 1_000_000;
        let arguments = [to.0.into(), option, until];
        sim.trap(CPU, trap::THREAD_SWITCH, &arguments);
        assert_eq!(sim.current(CPU), expected);
        assert_eq!(sim.kernel.check(&sim.machine), Ok(()));
    };
    let none = switch_option::NONE;
    give(names[2], none, c);
    // One that comes after others, or itself, or no thread: whoever is next, which is the one that waits longest.
    give(names[3], none, b);
    give(names[1], none, a);
    give(port.unwrap(), none, c);
    give(Name::DEAD, none, b);
    give(names[2], switch_option::OSLOCK_DEPRESS, c);
    give(Name::NULL, none, a);
    give(names[1], none, c);
    assert_ne!(sim.current(CPU), low);
    drop(sim);
    world.wake_first(end);
    for (_, right) in threads {
        world.thread(right).terminate().unwrap();
        world.release(right);
    }
    child.end();
    world.at_baseline();
}

/// Four threads of a child, of fixed priorities, while the first task's rests.
struct Four<'w> {
    world: &'w World,
    child: Child<'w>,
    threads: [(FrameIndex, Give); 4],
    /// What the child calls them.
    names: [Name; 4],
    /// When the first task's thread wakes.
    end: u64,
}

impl<'w> Four<'w> {
    fn new(world: &'w World, priorities: [u32; 4]) -> Self {
        let child = world.child();
        world.first_comes_first();
        let threads = [(); 4].map(|()| child.thread());
        for ((_, right), priority) in threads.into_iter().zip(priorities) {
            world.thread(right).set_priority(priority, 1).unwrap();
        }
        let names = threads.map(|(_, right)| child.task.insert_send(Name::NULL, right).unwrap());
        let end = world.rest(1_000_000_000);
        Self {
            world,
            child,
            threads,
            names,
            end,
        }
    }

    fn end(self) {
        self.world.wake_first(self.end);
        for (_, right) in self.threads {
            self.world.thread(right).terminate().unwrap();
            self.world.release(right);
        }
        self.child.end();
        self.world.at_baseline();
    }
}

/// The CPU's thread gives its turn up; who runs then.
fn swtch(sim: &mut Sim, number: i64) -> FrameIndex {
    let back = sim.trap(CPU, number, &[7, 7, trap::swtch::WHOLE]);
    assert!(back.is_none());
    assert_eq!(sim.kernel.check(&sim.machine), Ok(()));
    sim.current(CPU)
}

/// What a thread that runs again was told.
fn told(sim: &mut Sim, thread: FrameIndex) -> u64 {
    assert_eq!(sim.current(CPU), thread);
    let frame = sim.take_answer(thread).unwrap().frame;
    assert_eq!((frame.rax, frame.rdi, frame.rsi), (0, 7, 7));
    frame.rdx
}

/// The CPU's thread sleeps so long.
fn sleep(sim: &mut Sim, time: u64) {
    let until = sim.now() + time;
    assert!(sim.trap(CPU, trap::WAIT_UNTIL, &[until]).is_none());
}

// covers: T-11
#[test]
fn who_gives_up_its_turn_learns_whether_others_wait_when_it_is_back() {
    let world = World::single();
    let four = Four::new(&world, [60, 60, 50, 10]);
    let [a, b, low, lowest] = four.threads.map(|(index, _)| index);
    let mut sim = world.sim.borrow_mut();
    assert_eq!(sim.current(CPU), a);
    // To the next one of the same priority and back: the two below wait all the time.
    assert_eq!(swtch(&mut sim, trap::SWTCH), b);
    assert_eq!(swtch(&mut sim, trap::SWTCH), a);
    assert_eq!(told(&mut sim, a), 1);
    // To nobody but those below, who do not get it.
    assert_eq!(swtch(&mut sim, trap::SWTCH), b);
    assert_eq!(told(&mut sim, b), 1);
    sleep(&mut sim, 100_000_000);
    assert_eq!(told(&mut sim, a), 1);
    let back = sim.trap(CPU, trap::SWTCH, &[]).unwrap();
    assert_eq!((back.frame.rax, back.frame.rdx), (0, 1));
    // The others sleep now, too.
    sleep(&mut sim, 90_000_000);
    assert_eq!(sim.current(CPU), low);
    sleep(&mut sim, 80_000_000);
    assert_eq!(sim.current(CPU), lowest);
    for number in [trap::SWTCH, trap::SWTCH_PRI] {
        let back = sim.trap(CPU, number, &[7, 7, 0]).unwrap();
        assert_eq!((back.frame.rax, back.frame.rdx), (0, 0), "nobody waits");
    }
    // One wakes that is above: this one waits now.
    sim.pass_time(81_000_000);
    assert_eq!(sim.current(CPU), low);
    assert_eq!(sim.take_answer(low).unwrap().frame.rax, 0);
    assert_eq!(swtch_back(&mut sim), 1);
    drop(sim);
    four.end();
}

/// The second half alone: nothing is given up.
fn swtch_back(sim: &mut Sim) -> u64 {
    let thread = sim.current(CPU);
    let arguments = [0, 0, trap::swtch::BACK];
    let back = sim.trap(CPU, trap::SWTCH, &arguments).unwrap();
    assert_eq!(sim.current(CPU), thread);
    back.frame.rdx
}

// covers: T-11
#[test]
fn who_gives_up_its_turn_to_anybody_has_its_priority_back_with_it() {
    let world = World::single();
    let four = Four::new(&world, [60, 50, 10, 10]);
    let [high, middle, low, other] = four.threads.map(|(index, _)| index);
    let mut sim = world.sim.borrow_mut();
    assert_eq!(swtch(&mut sim, trap::SWTCH_PRI), middle);
    assert_eq!(swtch(&mut sim, trap::SWTCH_PRI), low);
    // They sleep, so that a thread of the lowest priority has its turn before 10 ms are over.
    sleep(&mut sim, 500_000_000);
    assert_eq!(sim.current(CPU), other);
    sleep(&mut sim, 1_000_000);
    assert_eq!(told(&mut sim, high), 1, "the other one waits, depressed");
    // The one that wakes does not come before it.
    sim.pass_time(2_000_000);
    assert_eq!(sim.current(CPU), high);
    // It does come before the one that is depressed, until 10 ms are over.
    sleep(&mut sim, 200_000_000);
    assert_eq!(sim.current(CPU), other);
    sim.pass_time(11_000_000);
    assert_eq!(told(&mut sim, middle), 1);
    assert_eq!(swtch(&mut sim, trap::SWTCH_PRI), other);
    sim.pass_time(9_000_000);
    assert_eq!(sim.current(CPU), other);
    sim.pass_time(2_000_000);
    assert_eq!(told(&mut sim, middle), 1);
    drop(sim);
    four.end();
}

// covers: T-11
#[test]
fn who_waits_leaves_its_turn_to_the_one_that_it_names() {
    let world = World::single();
    let four = Four::new(&world, [60, 50, 50, 10]);
    let [high, first, second, _] = four.threads.map(|(index, _)| index);
    let mut sim = world.sim.borrow_mut();
    let mut wait = |to: Name, option, time, expected| {
        let until = sim.now() + time;
        let arguments = [to.0.into(), option, until];
        let waits = sim.trap(CPU, trap::THREAD_SWITCH, &arguments);
        assert!(waits.is_none());
        assert_eq!(sim.current(CPU), expected);
        sim.pass_time(time + 1);
        assert_eq!(sim.current(CPU), high);
        assert_eq!(sim.take_answer(high).unwrap().frame.rax, 0);
        assert_eq!(sim.kernel.check(&sim.machine), Ok(()));
    };
    let [_, to_first, _, to_low] = four.names;
    // Without a name it is the first in line, which stands behind the other one when its turn is over.
    wait(Name::NULL, switch_option::WAIT, 1_000_000, first);
    wait(to_first, switch_option::WAIT, 1_000_000, first);
    wait(to_first, switch_option::OSLOCK_WAIT, 1_000_000, first);
    // One that others come before: the first in line.
    wait(to_low, switch_option::WAIT, 1_000_000, second);
    // No time at all is a yield, here to nobody.
    let arguments = [to_first.0.into(), switch_option::WAIT, 0];
    let back = sim.trap(CPU, trap::THREAD_SWITCH, &arguments).unwrap();
    assert_eq!((sim.current(CPU), back.frame.rax), (high, 0));
    drop(sim);
    four.end();
}

// covers: T-15
#[test]
fn servers_work_at_the_priority_of_who_waits_for_them() {
    let world = World::single();
    let child = world.child();
    let [client, middle, front, back] = [(); 4].map(|()| child.thread());
    world.first_comes_first();
    for ((_, right), priority) in [(client, 60), (middle, 40), (front, 20), (back, 10)] {
        world.thread(right).set_priority(priority, 1).unwrap();
    }
    let end = world.rest(1_000_000_000);
    let mut sim = world.sim.borrow_mut();
    // Two servers, one behind the other, wait; the thread between them and the client is awake.
    sim.on(client.0).cpu();
    let [port, deep] = [(); 2].map(|()| sim.on(client.0).port());
    for name in [port, deep] {
        sim.on(client.0)
            .insert_right(name, name, disposition::MAKE_SEND)
            .ok();
    }
    let nap = sim.now() + 1_000_000;
    let nap_of = |sim: &mut Sim, (thread, until): (FrameIndex, u64)| {
        assert_eq!(sim.on(thread).start(trap::WAIT_UNTIL, &[until]), None);
    };
    nap_of(&mut sim, (client.0, nap));
    nap_of(&mut sim, (middle.0, nap));
    for (server, name) in [(front.0, port), (back.0, deep)] {
        let waits = sim.on(server).start_message(&Request::receive(name));
        assert_eq!(waits, None);
    }
    sim.pass_time(2_000_000);
    assert_eq!(sim.current(CPU), client.0);
    sim.on(client.0).finish();
    let look_around = |sim: &mut Sim| {
        sim.event(CPU, Event::Kick);
        sim.current(CPU)
    };
    // One hop, and another one: the thread in the middle does not come between.
    assert_eq!(sim.on(client.0).start_message(&call(port)), None);
    assert_eq!(look_around(&mut sim), front.0);
    sim.on(front.0).finish_message();
    // The slot's right is kept for later.
    let kept = sim.on(front.0).take_slot().unwrap();
    assert_eq!(sim.on(front.0).start_message(&call(deep)), None);
    assert_eq!(look_around(&mut sim), back.0);
    sim.on(back.0).finish_message();
    let again = Request::reply().then_receive(deep);
    assert_eq!(sim.on(back.0).start_message(&again), None);
    assert_eq!(
        look_around(&mut sim),
        front.0,
        "it still works for the client"
    );
    sim.on(front.0).finish_message();
    let answer = Request::send(kept)
        .disposed(disposition::MOVE_SEND_ONCE)
        .then_receive(port);
    assert_eq!(sim.on(front.0).start_message(&answer), None);
    assert_eq!(sim.current(CPU), client.0);
    // The loans are over: a call of the thread in the middle runs at its own priority.
    let nap = sim.now() + 1_000_000;
    nap_of(&mut sim, (client.0, nap));
    assert_eq!(sim.current(CPU), middle.0);
    assert_eq!(sim.on(middle.0).start_message(&call(port)), None);
    sim.pass_time(2_000_000);
    assert_eq!(look_around(&mut sim), client.0);
    drop(sim);
    world.wake_first(end);
    for (_, right) in [client, middle, front, back] {
        world.thread(right).suspend().unwrap();
        world.release(right);
    }
    child.end();
    world.at_baseline();
}

fn call(to: Name) -> Request {
    Request::call(to)
}

// covers: T-13
#[test]
fn what_threads_do_not_offer_is_refused_and_not_feigned() {
    let world = World::single();
    let child = world.child();
    let (_, right) = child.thread();
    let own = world.trap(trap::TASK_SELF, &[]).unwrap();
    let last = <dyn Thread>::DESCRIPTION.methods.last().unwrap();
    let beyond = last.id + 1;
    for id in beyond..beyond + 20 {
        let answer = world.port(right.0).raw(&Request::call(right.0).id(id));
        assert_eq!(answer.words[0], u64::from(K::MigBadId.0));
    }
    world.release(Give(Name(own as u32), disposition::COPY_SEND));
    world.release(right);
    child.end();
    world.at_baseline();
}
