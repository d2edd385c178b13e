//! Exceptions: who is asked, in which form, and what becomes of the answers.

use abi::exception::{self, MASK_ALL, behavior};
use abi::kern_return::{KernReturn as K, MessageReturn};
use abi::message::{Descriptor, descriptor};
use abi::names::{Name, disposition};
use abi::registers::options;
use abi::start::names::HOST_PRIVILEGED;
use abi::thread_state::{FLAVOR, ThreadState};
use abi::transport::REPLY_OFFSET;
use abi::trap;
use interfaces::exceptions::{ExceptionPorts, ExceptionPortsClient, Setting};
use interfaces::thread::Thread;
use microkernel::machine::{Cpu, Event, FrameIndex};
use sim::{Config, Reply, Request, image};

use crate::transport::{Give, Port};
use crate::world::{Child, World, code, copy, moved, state};

/// Where nothing is mapped; more than 32 bits.
const NOWHERE: u64 = 0x12_3456_7000;

/// The flags that a thread starts with.
const FLAGS: u64 = 0x202;

impl World {
    fn mailbox(&self) -> Name {
        self.sim.borrow_mut().on(self.first).port()
    }

    fn exceptions(&self, of: Give) -> ExceptionPortsClient<Port<'_>> {
        self.client::<dyn ExceptionPorts>(of)
    }

    fn host_exceptions(&self) -> ExceptionPortsClient<Port<'_>> {
        self.root(HOST_PRIVILEGED).client::<dyn ExceptionPorts>()
    }

    /// The thread reads where nothing is.
    fn fault(&self, thread: FrameIndex) {
        let mut sim = self.sim.borrow_mut();
        let cpu = sim.until_runs(thread);
        sim.expect_other_registers(thread);
        assert!(sim.read(cpu, NOWHERE, &mut [0]).is_err());
    }

    fn poll(&self, port: Name) -> Reply {
        self.sim.borrow_mut().on(self.first).poll(port)
    }

    /// The first thread answers what its reply slot holds.
    fn answer(&self, id: i32, words: [u64; 6]) {
        self.send(&Request::reply().id(id + REPLY_OFFSET).words(words));
    }

    fn send(&self, request: &Request) {
        let sent = self.sim.borrow_mut().on(self.first).message(request);
        assert_eq!(sent.code, MessageReturn::Success);
    }

    fn destroy(&self, port: Name) {
        self.sim.borrow_mut().on(self.first).destroy(port).unwrap();
    }

    /// Whether a right's object is gone.
    fn is_dead(&self, right: Give) -> bool {
        let call = self.port(right.0).raw(&Request::call(right.0));
        call.code == MessageReturn::SendInvalidDest
    }
}

const REFUSE: [u64; 6] = [K::Failure.0 as u64, 0, 0, 0, 0, 0];

fn state_of(data: &[u8]) -> Vec<u64> {
    let words = data.chunks_exact(8);
    words
        .map(|word| u64::from_le_bytes(word.try_into().unwrap()))
        .collect()
}

fn state_bytes(state: &ThreadState) -> Vec<u8> {
    let s = state;
    let words = [
        s.rax, s.rbx, s.rcx, s.rdx, s.rdi, s.rsi, s.rbp, s.rsp, s.r8, s.r9, s.r10, s.r11, s.r12,
        s.r13, s.r14, s.r15, s.rip, s.rflags, s.fs_base, s.gs_base,
    ];
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

//
#[test]
fn the_thread_s_handler_is_asked_then_the_task_s_then_the_host_s() {
    let world = World::single();
    let child = world.child();
    let (thread, right) = child.thread();
    let ports = [(); 3].map(|()| world.mailbox());
    let levels = [
        world.exceptions(right),
        world.exceptions(child.right),
        world.host_exceptions(),
    ];
    for (level, port) in levels.iter().zip(ports) {
        assert_eq!(moved(level.set(MASK_ALL, copy(port), 0, 0)), K::Success);
    }
    // Each refuses, the last one does not.
    world.fault(thread);
    for (n, port) in ports.iter().enumerate() {
        let raised = world.poll(*port);
        assert_eq!((raised.id, raised.identity), (exception::RAISE, 77));
        assert_eq!(raised.words[..3], [1, 1, NOWHERE]);
        let words = if n < 2 { REFUSE } else { [0; 6] };
        world.answer(raised.id, words);
        world.sim.borrow_mut().until_runs(world.first);
        world.sim.borrow_mut().pass_time(30_000_000);
    }
    world.sim.borrow_mut().until_runs(thread);
    // The first success ends it: nobody else is asked.
    world.fault(thread);
    assert_eq!(world.poll(ports[0]).code, MessageReturn::Success);
    world.answer(exception::RAISE, [0; 6]);
    world.sim.borrow_mut().until_runs(thread);
    assert_eq!(world.poll(ports[1]).code, MessageReturn::ReceiveTimedOut);
    // A level whose port is dead, or that has none for the type, is passed over.
    world.destroy(ports[0]);
    levels[1].clear(1 << exception::BAD_ACCESS).unwrap();
    world.fault(thread);
    assert_eq!(world.poll(ports[2]).words[2], NOWHERE);
    // When the last one refuses too, the task ends.
    world.answer(exception::RAISE, REFUSE);
    world.sim.borrow_mut().pass_time(30_000_000);
    assert!(world.is_dead(child.right));
    levels[2].clear(MASK_ALL).unwrap();
    world.destroy(ports[1]);
    world.destroy(ports[2]);
    world.release(right);
    world.release(child.right);
    world.at_baseline();
}

//
#[test]
fn every_type_comes_with_its_codes() {
    let world = World::single();
    let child = world.child();
    let (thread, right) = child.thread();
    let port = world.mailbox();
    let ports = world.exceptions(child.right);
    assert_eq!(moved(ports.set(MASK_ALL, copy(port), 0, 0)), K::Success);
    let vectors = [
        (0, exception::ARITHMETIC),
        (1, exception::BREAKPOINT),
        (3, exception::BREAKPOINT),
        (4, exception::ARITHMETIC),
        (6, exception::BAD_INSTRUCTION),
        (12, exception::BAD_ACCESS),
        (13, exception::BAD_ACCESS),
        (16, exception::ARITHMETIC),
        (17, exception::BAD_ACCESS),
        (19, exception::ARITHMETIC),
    ];
    for (vector, kind) in vectors {
        let mut sim = world.sim.borrow_mut();
        let cpu = sim.until_runs(thread);
        sim.expect_other_registers(thread);
        sim.event(cpu, Event::Exception { vector, code: 5 });
        drop(sim);
        let raised = world.poll(port);
        assert_eq!(raised.words[..3], [kind.into(), vector.into(), 5]);
        world.answer(raised.id, [0; 6]);
    }
    for (number, kind) in [(39, exception::SYSCALL), (-999, exception::MACH_SYSCALL)] {
        let mut sim = world.sim.borrow_mut();
        let cpu = sim.until_runs(thread);
        sim.expect_other_registers(thread);
        assert_eq!(sim.trap(cpu, number, &[]), None);
        drop(sim);
        let raised = world.poll(port);
        assert_eq!(raised.words[..3], [kind.into(), number as u64, 0]);
        world.answer(raised.id, [0; 6]);
    }
    world.fault(thread);
    let raised = world.poll(port);
    let access = [1, K::InvalidAddress.0.into(), NOWHERE];
    assert_eq!(raised.words[..3], access);
    world.answer(raised.id, [0; 6]);
    world.destroy(port);
    world.release(right);
    child.end();
    world.at_baseline();
}

//
#[test]
fn a_handler_is_told_in_the_form_that_it_was_set_with() {
    let world = World::single();
    let child = world.child();
    let (thread, right) = child.thread();
    let port = world.mailbox();
    let ports = world.exceptions(child.right);
    let wide = behavior::WIDE_CODES;
    let forms = [
        (behavior::DEFAULT, 2401),
        (behavior::STATE, 2402),
        (behavior::STATE_IDENTITY, 2403),
        (behavior::DEFAULT | wide, 2405),
        (behavior::STATE | wide, 2406),
        (behavior::STATE_IDENTITY | wide, 2407),
    ];
    for (form, id) in forms {
        let set = ports.set(MASK_ALL, copy(port), form, FLAVOR);
        assert_eq!(moved(set), K::Success);
        world.fault(thread);
        let raised = world.poll(port);
        assert_eq!((raised.id, raised.identity), (id, 77));
        let subcode = if form & wide != 0 {
            NOWHERE
        } else {
            NOWHERE & 0xffff_ffff
        };
        let body = raised.body.unwrap();
        let told = if form & !wide == behavior::DEFAULT {
            assert_eq!(body.data, []);
            raised.words[..3].to_vec()
        } else {
            let words = state_of(&body.data);
            assert_eq!(words[3], FLAVOR.into());
            let mut expected = state();
            expected.rflags = FLAGS;
            assert_eq!(body.data[32..], state_bytes(&expected));
            words[..3].to_vec()
        };
        assert_eq!(told, [1, 1, subcode]);
        let rights: Vec<u32> = body.descriptors.iter().map(|right| right.name).collect();
        if form & !wide == behavior::STATE {
            assert_eq!(rights, []);
        } else {
            assert_eq!(rights, [right.0.0, child.right.0.0]);
            world.release(right);
            world.release(child.right);
        }
        let mut reply = Request::reply().id(id + REPLY_OFFSET);
        if form & !wide != behavior::DEFAULT {
            reply = reply.data(&body.data[32..]);
        }
        world.send(&reply);
        world.sim.borrow_mut().until_runs(thread);
    }
    world.destroy(port);
    world.release(right);
    child.end();
    world.at_baseline();
}

//
#[test]
fn masks_behaviors_and_flavors_that_are_none_are_refused() {
    let world = World::single();
    let child = world.child();
    let (_, right) = child.thread();
    let port = world.mailbox();
    for of in [right, child.right] {
        let ports = world.exceptions(of);
        let bad = [
            (1, behavior::DEFAULT, 0),
            (1 << 14, behavior::DEFAULT, 0),
            (MASK_ALL, 4, 0),
            (MASK_ALL, 5, FLAVOR),
            (MASK_ALL, 0x4000_0001, 0),
            (MASK_ALL, behavior::DEFAULT, 1),
            (MASK_ALL, behavior::DEFAULT, 260),
            (MASK_ALL, behavior::STATE, 0),
            (MASK_ALL, behavior::STATE_IDENTITY, 3),
            (MASK_ALL, behavior::BRIEF, FLAVOR),
            (MASK_ALL, behavior::WIDE_CODES, 0),
        ];
        for (mask, behavior, flavor) in bad {
            let set = ports.set(mask, copy(port), behavior, flavor);
            assert_eq!(moved(set), K::InvalidArgument);
            let swap = ports.swap(mask, copy(port), behavior, flavor);
            assert_eq!(moved(swap), K::InvalidArgument);
        }
        assert_eq!(code(ports.clear(1)), K::InvalidArgument);
        assert_eq!(code(ports.get(1 << 14, 0)), K::InvalidArgument);
        assert_eq!(code(ports.get(MASK_ALL, 0)), K::Failure, "nothing was set");
    }
    world.destroy(port);
    world.release(right);
    child.end();
    world.at_baseline();
}

// covers: X-04 X-06
#[test]
fn the_registers_in_an_answer_are_the_thread_s_as_far_as_they_may_be() {
    let world = World::single();
    let child = world.child();
    let (thread, right) = child.thread();
    let port = world.mailbox();
    let ports = world.exceptions(right);
    let form = behavior::STATE | behavior::WIDE_CODES;
    let set = ports.set(MASK_ALL, copy(port), form, FLAVOR);
    assert_eq!(moved(set), K::Success);
    world.fault(thread);
    assert_eq!(world.poll(port).id, 2406);
    let wanted = ThreadState {
        rbx: 9,
        rip: image::CODE + 16,
        rflags: u64::MAX,
        ..state()
    };
    world.send(&Request::reply().id(2506).data(&state_bytes(&wanted)));
    world.sim.borrow_mut().until_runs(thread);
    let frame = *world.sim.borrow_mut().machine.registers(thread);
    assert_eq!((frame.rbx, frame.rip), (9, image::CODE + 16));
    assert_eq!(frame.rflags & 0x2_7000, 0, "no I/O privilege, no nesting");
    assert_eq!(frame.rflags & 0x200, 0x200, "interrupts stay on");
    // Registers that no user thread may have are no answer.
    world.fault(thread);
    assert_eq!(world.poll(port).id, 2406);
    let kernel = ThreadState {
        rip: 0xffff_8000_0000_0000,
        ..state()
    };
    world.send(&Request::reply().id(2506).data(&state_bytes(&kernel)));
    world.sim.borrow_mut().pass_time(30_000_000);
    assert!(world.is_dead(child.right));
    world.destroy(port);
    world.release(right);
    world.release(child.right);
    world.at_baseline();
}

//
#[test]
fn a_handler_repairs_the_thread_or_ends_it() {
    let world = World::single();
    let child = world.child();
    let (thread, right) = child.thread();
    let port = world.mailbox();
    let ports = world.exceptions(child.right);
    let set = ports.set(MASK_ALL, copy(port), behavior::DEFAULT, 0);
    assert_eq!(moved(set), K::Success);
    // Its registers.
    world.fault(thread);
    let raised = world.poll(port);
    let told = raised.body.unwrap().descriptors[0];
    let slot = world.trap(trap::REPLY_SLOT_TAKE, &[]).unwrap();
    let client = world.client::<dyn Thread>(copy(Name(told.name)));
    let moved_on = ThreadState {
        rip: image::CODE + 32,
        ..state()
    };
    client.set_state(moved_on).unwrap();
    let reply = Request::send(Name(slot as u32)).disposed(disposition::MOVE_SEND_ONCE);
    world.send(&reply.id(2501));
    world.sim.borrow_mut().until_runs(thread);
    let frame = *world.sim.borrow_mut().machine.registers(thread);
    assert_eq!(frame.rip, image::CODE + 32);
    world.release(right);
    world.release(child.right);
    // Its memory.
    world.fault(thread);
    world.poll(port);
    child.task.vm_allocate(NOWHERE, 4096, 0).unwrap();
    world.answer(2401, [0; 6]);
    let mut sim = world.sim.borrow_mut();
    let cpu = sim.until_runs(thread);
    assert!(sim.read(cpu, NOWHERE, &mut [0]).is_ok());
    drop(sim);
    child.task.vm_deallocate(NOWHERE, 4096).unwrap();
    world.release(right);
    world.release(child.right);
    // Or not at all.
    world.fault(thread);
    world.poll(port);
    world.client::<dyn Thread>(right).terminate().unwrap();
    world.answer_to_nobody();
    for right in [right, right, child.right] {
        world.release(right);
    }
    world.destroy(port);
    child.end();
    world.at_baseline();
}

impl World {
    /// The first thread answers somebody who is gone.
    fn answer_to_nobody(&self) {
        let sent = self
            .sim
            .borrow_mut()
            .on(self.first)
            .message(&Request::reply().id(2501));
        assert_ne!(sent.code, MessageReturn::ReceiveTimedOut);
        // What is left in the slot, if the send did not use it up, ends.
        self.trap(trap::PORT_DEALLOCATE, &[Name::REPLY_SLOT.0.into()])
            .ok();
    }
}

//
#[test]
fn ports_are_set_got_in_groups_and_swapped() {
    let world = World::single();
    let child = world.child();
    let (_, right) = child.thread();
    let [a, b] = [(); 2].map(|()| world.mailbox());
    for ports in [
        world.exceptions(right),
        world.exceptions(child.right),
        world.host_exceptions(),
    ] {
        let wide = behavior::DEFAULT | behavior::WIDE_CODES;
        let settings = [
            (1 << 1 | 1 << 3, a, behavior::DEFAULT, 0),
            (1 << 2, b, behavior::DEFAULT, 0),
            (1 << 4 | 1 << 6, a, wide, 0),
            (1 << 7, a, behavior::STATE, FLAVOR),
        ];
        for (mask, port, behavior, flavor) in settings {
            let set = ports.set(mask, copy(port), behavior, flavor);
            assert_eq!(moved(set), K::Success);
        }
        for (index, (mask, port, behavior, flavor)) in settings.into_iter().enumerate() {
            let (setting, got) = ports.get(MASK_ALL, index as u32).unwrap();
            let expected = Setting {
                mask,
                behavior,
                flavor,
            };
            assert_eq!((setting, got.0), (expected, port));
            world.release(got);
        }
        assert_eq!(code(ports.get(MASK_ALL, 4)), K::Failure);
        let (setting, got) = ports.get(1 << 3, 0).unwrap();
        assert_eq!((setting.mask, got.0), (1 << 3, a), "only what was asked");
        world.release(got);
        // A swap answers what was there.
        let (old, got) = match ports.swap(1 << 1 | 1 << 3, copy(b), wide, 0) {
            Ok(old) => old,
            Err(refused) => panic!("{:?}", refused.error),
        };
        assert_eq!((old.behavior, got.0), (behavior::DEFAULT, a));
        world.release(got);
        let (setting, got) = ports.get(1 << 3, 0).unwrap();
        assert_eq!((setting.behavior, got.0), (wide, b));
        world.release(got);
        // Several, or none: nothing changes.
        for mask in [1 << 1 | 1 << 2, 1 << 9, 1 << 2 | 1 << 9] {
            assert_eq!(moved(ports.swap(mask, copy(a), wide, 0)), K::Failure);
        }
        ports.clear(MASK_ALL).unwrap();
        assert_eq!(code(ports.get(MASK_ALL, 0)), K::Failure);
    }
    // The host's are the privileged host port's alone.
    let host = Name(world.trap(trap::HOST_SELF, &[]).unwrap() as u32);
    let ports = world.exceptions(copy(host));
    assert_eq!(code(ports.clear(MASK_ALL)), K::MigBadId);
    world.release(copy(host));
    world.destroy(a);
    world.destroy(b);
    world.release(right);
    child.end();
    world.at_baseline();
}

/// Answers that are not what they should be.
fn malformed(world: &World, id: i32) -> [Request; 9] {
    let spare = world.mailbox();
    let reply = || Request::reply().id(id + REPLY_OFFSET);
    let memory = |size| {
        let mut request = reply().data(&[]);
        if let Some(body) = &mut request.body {
            body.descriptors.push(Descriptor {
                kind: descriptor::OUT_OF_LINE,
                address: image::DATA,
                size,
                ..Descriptor::default()
            });
        }
        request
    };
    let make = disposition::MAKE_SEND;
    [
        reply().port(spare, make),
        reply()
            .port(spare, make)
            .port(spare, disposition::MAKE_SEND_ONCE),
        reply().port(spare, disposition::MOVE_RECEIVE),
        memory(4096),
        memory(0),
        reply().data(&[]),
        reply().data(&[0; 152]),
        reply().data(&[0xff; 4000]),
        Request::reply().id(id),
    ]
}

//
#[test]
fn malformed_answers_are_refusals_and_leave_nothing() {
    for form in [behavior::BRIEF, behavior::DEFAULT, behavior::STATE] {
        for variant in 0..9 {
            answer_malformed(form, variant, |_| Name::REPLY_SLOT);
            answer_malformed(form, variant, |world| {
                Name(world.trap(trap::REPLY_SLOT_TAKE, &[]).unwrap() as u32)
            });
        }
    }
}

/// The task's handler answers badly; the host's is asked, and the thread goes on.
fn answer_malformed(form: u32, variant: usize, reply: fn(&World) -> Name) {
    let world = World::single();
    let child = world.child();
    let (thread, right) = child.thread();
    let [port, last] = [(); 2].map(|()| world.mailbox());
    let flavor = if form == behavior::STATE { FLAVOR } else { 0 };
    let set = world
        .exceptions(child.right)
        .set(MASK_ALL, copy(port), form, flavor);
    assert_eq!(moved(set), K::Success);
    let host = world.host_exceptions();
    assert_eq!(moved(host.set(MASK_ALL, copy(last), 0, 0)), K::Success);
    world.fault(thread);
    let raised = world.poll(port);
    let spare = malformed(&world, raised.id);
    let mut request = spare[variant].clone();
    request.remote.0 = reply(&world);
    world.send(&request);
    if form == behavior::DEFAULT {
        world.release(right);
        world.release(child.right);
    }
    let again = world
        .sim
        .borrow_mut()
        .on(world.first)
        .message(&Request::receive(last));
    assert_eq!((again.id, again.words[2]), (exception::RAISE, NOWHERE));
    world.answer(again.id, [0; 6]);
    world.sim.borrow_mut().until_runs(thread);
    host.clear(MASK_ALL).unwrap();
    world.release(right);
    child.end();
    // Among them the port that answers took along, if they did not take it away.
    for name in spare.iter().filter_map(|request| {
        let body = request.body.as_ref()?;
        body.descriptors.first().filter(|d| d.name != 0)
    }) {
        world
            .sim
            .borrow_mut()
            .on(world.first)
            .destroy(Name(name.name))
            .ok();
    }
    world.destroy(port);
    world.destroy(last);
    world.at_baseline();
}

//
#[test]
fn a_thread_that_waits_for_its_handler_can_be_ended_suspended_and_aborted() {
    for cpus in 1..=2 {
        let world = World::new(Config::with_cpus(cpus));
        let child = world.child();
        let port = world.mailbox();
        let ports = world.exceptions(child.right);
        assert_eq!(moved(ports.set(MASK_ALL, copy(port), 0, 0)), K::Success);
        // Ended: the answer comes too late.
        let (thread, right) = child.thread();
        world.fault(thread);
        world.poll(port);
        world.client::<dyn Thread>(right).terminate().unwrap();
        world.answer_to_nobody();
        world.release(right);
        // Suspended with its task: the answer is taken, the thread runs after the resumption.
        let (thread, right) = child.thread();
        world.fault(thread);
        world.poll(port);
        child.task.suspend().unwrap();
        world.answer(exception::RAISE, [0; 6]);
        world.sim.borrow_mut().pass_time(30_000_000);
        assert_eq!(world.sim.borrow().cpu_of(thread), None);
        child.task.resume().unwrap();
        world.sim.borrow_mut().until_runs(thread);
        // Aborted: it goes on, into the same exception.
        world.fault(thread);
        world.poll(port);
        world.client::<dyn Thread>(right).abort().unwrap();
        world.answer_to_nobody();
        world.fault(thread);
        assert_eq!(world.poll(port).words[2], NOWHERE);
        child.end();
        world.answer_to_nobody();
        world.destroy(port);
        world.release(right);
        world.at_baseline();
    }
}

/// A second task whose thread handles exceptions of the first child's.
fn handler_task<'w>(world: &'w World, victim: Give) -> (Child<'w>, FrameIndex, Give, Name) {
    let handler = world.child();
    let (index, right) = handler.thread();
    let mut sim = world.sim.borrow_mut();
    sim.on(index).register_buffer();
    let port = sim.on(index).port();
    drop(sim);
    let send = handler
        .task
        .extract_send(port, disposition::MAKE_SEND)
        .unwrap();
    let set = world.exceptions(victim).set(MASK_ALL, send, 0, 0);
    assert_eq!(moved(set), K::Success);
    world.release(send);
    (handler, index, right, port)
}

// covers: X-01 X-08
#[test]
fn when_the_handler_dies_the_thread_tries_again() {
    for received in [true, false] {
        let world = World::single();
        let child = world.child();
        let (thread, right) = child.thread();
        let (handler, index, handler_right, port) = handler_task(&world, right);
        let last = world.mailbox();
        let ports = world.exceptions(child.right);
        assert_eq!(moved(ports.set(MASK_ALL, copy(last), 0, 0)), K::Success);
        world.fault(thread);
        if received {
            let raised = world.sim.borrow_mut().on(index).poll(port);
            assert_eq!(raised.words[2], NOWHERE);
        }
        handler.end();
        // It runs: nobody was asked in the handler's place.
        world.sim.borrow_mut().until_runs(thread);
        assert_eq!(world.poll(last).code, MessageReturn::ReceiveTimedOut);
        // The next time the dead port is passed over.
        world.fault(thread);
        assert_eq!(world.poll(last).words[2], NOWHERE);
        world.answer(exception::RAISE, [0; 6]);
        world.sim.borrow_mut().until_runs(thread);
        world.destroy(last);
        world.release(handler_right);
        world.release(right);
        child.end();
        world.at_baseline();
    }
}

//
#[test]
fn a_waiting_handler_gets_the_cpu_at_once_and_its_answer_gives_it_back() {
    let world = World::single();
    let child = world.child();
    let (thread, right) = child.thread();
    let (handler, index, handler_right, port) = handler_task(&world, right);
    let cpu = Cpu(0);
    // Nobody else is awake.
    let first = world.mailbox();
    let mut sim = world.sim.borrow_mut();
    let waits = sim.on(index).start_message(&Request::receive(port));
    assert_eq!(waits, None);
    let until = sim.now() + 1_000_000_000;
    let rest = Request::receive(first)
        .with(options::RECEIVE_TIMEOUT)
        .until(until);
    let waits = sim.on(world.first).start_message(&rest);
    assert_eq!(waits, None);
    sim.until_runs(thread);
    let answer = Request::reply()
        .id(exception::RAISE + REPLY_OFFSET)
        .then_receive(port);
    for (number, kind) in [(NOWHERE, 1), (39, exception::SYSCALL)] {
        sim.expect_other_registers(thread);
        if kind == 1 {
            assert!(sim.read(cpu, number, &mut [0]).is_err());
        } else {
            assert_eq!(sim.trap(cpu, number as i64, &[]), None);
        }
        assert_eq!(sim.current(cpu), index, "the handler runs next");
        let raised = sim.on(index).finish_message();
        assert_eq!(raised.words[0], kind.into());
        assert_eq!(sim.on(index).start_message(&answer), None);
        assert_eq!(sim.current(cpu), thread, "and then the thread");
    }
    sim.pass_time(2_000_000_000);
    let ended = sim.on(world.first).finish_message();
    assert_eq!(ended.code, MessageReturn::ReceiveTimedOut);
    drop(sim);
    world.destroy(first);
    for right in [right, handler_right] {
        world.release(right);
    }
    child.end();
    handler.end();
    world.at_baseline();
}
