//! Tasks through their control ports.

use abi::kern_return::{KernReturn as K, MessageReturn};
use abi::names::{Name, disposition, right};
use abi::notify;
use abi::task::Limits;
use abi::thread_state::ThreadState;
use abi::trap;
use abi::vm::{MAX_ADDRESS, flags, map_flags, protection};
use interfaces::memory::Entry;
use interfaces::task::Task;
use interfaces::thread::Thread;
use sim::{Config, Request, image};

use crate::transport::Give;
use crate::world::{LIMITS, PAGE, World, code, copy, moved, state};

// covers: T-01
#[test]
fn a_child_is_made_filled_started_and_ended() {
    let world = World::single();
    let child = world.child();
    child.task.set_name("child").unwrap();
    child
        .task
        .vm_write(image::DATA + PAGE - 4, b"eight by")
        .unwrap();
    let read = child.task.vm_read(image::DATA + PAGE - 4, 8).unwrap();
    assert_eq!(&*read, b"eight by");
    let mailbox = world.sim.borrow_mut().on(world.first).port();
    let service = moved(child.task.insert_send(Name::NULL, copy(mailbox)));
    assert_eq!(service, K::Success);
    let (thread, right) = child.thread();
    let info = child.task.info().unwrap();
    assert_eq!((info.threads, info.identity, &*info.name), (1, 77, "child"));

    // The child's thread sees its memory, and reaches the parent by the right that it was given.
    let mut sim = world.sim.borrow_mut();
    assert_eq!(sim.on(thread).peek::<4>(image::DATA + PAGE), *b"t by");
    let names = [Name::new(1, 1)];
    let sent = sim
        .on(thread)
        .message(&Request::send(names[0]).id(9).words([3; 6]));
    assert_eq!(sent.code, MessageReturn::Success);
    let got = sim.on(world.first).poll(mailbox);
    assert_eq!((got.id, got.words, got.identity), (9, [3; 6], 77));
    sim.on(world.first).destroy(mailbox).unwrap();
    drop(sim);

    world.release(right);
    child.end();
    world.at_baseline();
}

#[test]
fn a_child_s_limits_are_carved_from_its_parent_s() {
    let world = World::single();
    let before = world.own().ledger().unwrap();
    let child = world.child();
    let after = world.own().ledger().unwrap();
    assert_eq!(after.used.threads, before.used.threads + LIMITS.threads);
    assert!(after.used.pages >= before.used.pages + LIMITS.pages);
    assert_eq!(child.task.ledger().unwrap().limits, LIMITS);
    let greedy = Limits {
        pages: u32::MAX,
        ..LIMITS
    };
    assert_eq!(code(world.own().create(greedy, 1, 0)), K::ResourceShortage);
    let grandchild = Limits {
        threads: 9,
        ..Limits::default()
    };
    assert_eq!(
        code(child.task.create(grandchild, 1, 0)),
        K::ResourceShortage
    );
    assert_eq!(code(world.own().create(LIMITS, 1, 2)), K::InvalidArgument);
    child.end();
    assert_eq!(world.own().ledger().unwrap(), before);
    world.at_baseline();
}

#[test]
fn memory_of_another_task_obeys_the_same_rules_as_one_s_own() {
    let world = World::single();
    let child = world.child();
    let task = &child.task;
    let at = task.vm_allocate(0, 200 * PAGE, flags::ANYWHERE).unwrap();
    assert_eq!(code(task.vm_allocate(at, PAGE, flags::FIXED)), K::NoSpace);
    assert_eq!(
        code(task.vm_allocate(MAX_ADDRESS, PAGE, 0)),
        K::InvalidAddress
    );
    for page in 0..80 {
        task.vm_write(at + page * PAGE, &[page as u8; 16]).unwrap();
    }
    assert_eq!(code(task.vm_protect(at, PAGE, 2, 1)), K::InvalidArgument);
    task.vm_protect(at, 80 * PAGE, 0, protection::READ).unwrap();
    assert_eq!(code(task.vm_write(at, b"no")), K::ProtectionFailure);
    let regions = task.regions(at).unwrap();
    assert_eq!((regions[0].address, regions[0].size), (at, 80 * PAGE));
    assert_eq!(
        (regions[0].protection, regions[0].resident),
        (protection::READ, 80)
    );
    assert_ne!(regions[0].object, 0);
    task.vm_deallocate(at, 200 * PAGE).unwrap();
    assert_eq!(code(task.vm_read(at, 8)), K::InvalidAddress);
    let left = task.regions(at).unwrap();
    assert!(left.iter().all(|region| region.address >= at + 200 * PAGE));
    let last = image::DATA + image::DATA_PAGES * PAGE;
    let cut = task.vm_read(last - 8, 100).unwrap();
    assert_eq!(cut.len(), 8, "the mapping ends before");
    child.end();
    world.at_baseline();
}

#[test]
fn a_memory_entry_is_mapped_into_another_task_and_ends_with_its_rights() {
    let world = World::single();
    let child = world.child();
    let both = protection::READ | protection::WRITE;
    let word = u64::from(both) << map_flags::CURRENT_SHIFT
        | u64::from(both) << map_flags::MAXIMUM_SHIFT
        | map_flags::ANYWHERE;
    let source = world.trap(trap::VM_ALLOCATE, &[0, 4 * PAGE, 1]).unwrap();
    let entry = world.own().make_entry(source, 4 * PAGE, both).unwrap();
    let client = world.client::<dyn Entry>(entry);
    assert_eq!(client.bounds(), Ok((4 * PAGE, both)));
    let part = client.part(PAGE, PAGE, protection::READ).unwrap();
    let map = |entry, size, offset| child.task.vm_map(entry, 0, size, offset, word);
    let at = map(entry, 4 * PAGE, 0).unwrap();
    assert_eq!(
        moved(map(part, PAGE, 0)),
        K::InvalidRight,
        "it is only to be read"
    );
    assert_eq!(moved(map(entry, 5 * PAGE, 0)), K::InvalidArgument);
    assert_eq!(
        moved(map(child.right, PAGE, 0)),
        K::InvalidRight,
        "no memory entry"
    );
    assert_eq!(
        moved(map(Give(Name::DEAD, disposition::COPY_SEND), PAGE, 0)),
        K::InvalidCapability
    );
    world
        .sim
        .borrow_mut()
        .on(world.first)
        .poke(source + PAGE, b"shared");
    assert_eq!(&*child.task.vm_read(at + PAGE, 6).unwrap(), b"shared");
    world.release(entry);
    world.release(part);
    child.task.vm_write(at, b"still mapped").unwrap();
    child.end();
    world
        .trap(trap::VM_DEALLOCATE, &[source, 4 * PAGE])
        .unwrap();
    world.at_baseline();
}

// covers: P-14 P-15
#[test]
fn rights_go_into_a_task_and_out_of_it() {
    let world = World::single();
    let child = world.child();
    let task = &child.task;
    let port = task.port_allocate(right::RECEIVE).unwrap();
    assert_eq!(code(task.port_allocate(99)), K::InvalidValue);
    assert_eq!(
        code(task.extract_send(port, disposition::COPY_SEND)),
        K::InvalidRight
    );
    assert_eq!(
        code(task.extract_send(port, disposition::MAKE_SEND_ONCE)),
        K::InvalidValue
    );
    assert_eq!(
        code(task.extract_send(Name::new(50, 1), disposition::MAKE_SEND)),
        K::InvalidName
    );
    let send = task.extract_send(port, disposition::MAKE_SEND).unwrap();
    let listed = task.rights(Name::NULL).unwrap();
    assert_eq!(
        (listed.len(), listed[0].name, listed[0].send_rights),
        (1, port, 1)
    );
    assert!(task.rights(port).unwrap().is_empty());

    // The same port joins its name; another one does not fit under it.
    assert_eq!(task.insert_send(port, send), Ok(port));
    assert_eq!(
        moved(task.insert_send(Name::new(60, 1), send)),
        K::RightExists
    );
    let other = world.sim.borrow_mut().on(world.first).port();
    assert_eq!(moved(task.insert_send(port, copy(other))), K::NameExists);
    let receive = Give(other, disposition::MOVE_RECEIVE);
    assert_eq!(
        moved(task.insert_send(Name::NULL, receive)),
        K::MigTypeError
    );
    assert_eq!(
        world.trap(trap::PORT_TYPE, &[other.0.into()]),
        Ok(abi::names::port_type::DEAD_NAME.into()),
        "what a failed call brought is destroyed (G-02)"
    );
    let third = world.sim.borrow_mut().on(world.first).port();
    let there = task
        .insert_receive(Name::NULL, Give(third, disposition::MOVE_RECEIVE))
        .unwrap();
    let moved_in = task.rights(port).unwrap();
    assert_eq!((moved_in[0].name, moved_in[0].send_rights), (there, 1));
    world.release(copy(other));
    world.release(copy(third));
    world.release(send);
    child.end();
    world.at_baseline();
}

#[test]
fn rights_come_under_the_names_that_were_chosen() {
    let world = World::single();
    let child = world.child();
    let task = &child.task;
    let port = || world.sim.borrow_mut().on(world.first).port();
    let ports = [port(), port(), port(), port(), port()];
    let chosen = [(3, 1), (4, 7), (2, 255), (70, 0), (4000, 3)].map(|(i, g)| Name::new(i, g));
    for (name, port) in chosen.iter().zip(ports) {
        assert_eq!(task.insert_send(*name, copy(port)), Ok(*name));
        let checked = world.sim.borrow();
        assert_eq!(checked.kernel.check(&checked.machine), Ok(()));
    }
    let other = port();
    for (name, refused) in [
        (Name::new(3, 1), K::NameExists),
        (Name::new(3, 2), K::NameExists),
        (Name::new(0, 5), K::InvalidValue),
        (Name::DEAD, K::InvalidValue),
        (Name::new(8001, 1), K::ResourceShortage),
    ] {
        assert_eq!(
            moved(task.insert_send(name, copy(other))),
            refused,
            "{name:?}"
        );
    }
    assert_eq!(
        moved(task.insert_send(Name::new(9, 1), copy(ports[0]))),
        K::RightExists
    );
    let receive = Give(other, disposition::MOVE_RECEIVE);
    assert_eq!(
        task.insert_receive(Name::new(71, 9), receive),
        Ok(Name::new(71, 9))
    );
    // Names of the kernel's choice go between them.
    let mut fresh: Vec<u32> = (0..80)
        .map(|_| task.port_allocate(right::DEAD_NAME).unwrap().index())
        .collect();
    fresh.sort_unstable();
    fresh.dedup();
    assert_eq!(fresh.len(), 80);
    assert!(chosen.iter().all(|name| !fresh.contains(&name.index())));
    let listed = task.rights(Name::NULL).unwrap();
    assert_eq!(listed.len(), 32);
    for port in ports {
        world.trap(trap::PORT_DESTROY, &[port.0.into()]).unwrap();
    }
    world.release(copy(other));
    child.end();
    world.at_baseline();
}

// covers: T-02
#[test]
fn a_dead_task_answers_nothing() {
    let world = World::single();
    let child = world.child();
    let (_, thread) = child.thread();
    let mut sim = world.sim.borrow_mut();
    let mut me = sim.on(world.first);
    let notes = me.port();
    for right in [child.right, thread] {
        me.request(right.0, notify::DEAD_NAME, 0, notes).unwrap();
    }
    drop(sim);
    child.task.terminate().unwrap();
    let mut told: Vec<_> = (0..2)
        .map(|_| world.sim.borrow_mut().on(world.first).poll(notes))
        .map(|note| (note.id, note.words[0]))
        .collect();
    told.sort_unstable();
    let mut expected = [child.right, thread].map(|right| (notify::DEAD_NAME, right.0.0.into()));
    expected.sort_unstable();
    assert_eq!(told, expected);
    // Ending it once more is a call to nobody, as is any other.
    for right in [child.right, thread] {
        for id in [<dyn Task>::TERMINATE.id, <dyn Thread>::TERMINATE.id] {
            let answer = world.port(right.0).raw(&Request::call(right.0).id(id));
            assert_eq!(answer.code, MessageReturn::SendInvalidDest);
        }
        // One reference more came with the notification.
        world.release(right);
        world.release(right);
    }
    world.trap(trap::PORT_DESTROY, &[notes.0.into()]).unwrap();
    world.at_baseline();
}

// covers: T-02
#[test]
fn a_task_ends_itself() {
    let world = World::single();
    let child = world.child();
    let (thread, right) = child.thread();
    let mut sim = world.sim.borrow_mut();
    let task = sim.on(thread).trap(trap::TASK_SELF, &[]).unwrap();
    let goodbye = Request::call(Name(task as u32)).id(<dyn Task>::TERMINATE.id);
    assert_eq!(sim.on(thread).start_message(&goodbye), None);
    drop(sim);
    world.release(right);
    world.release(child.right);
    world.at_baseline();
}

// covers: G-01 G-02
#[test]
fn what_is_no_request_is_refused_and_what_it_carries_destroyed() {
    let world = World::single();
    let child = world.child();
    let port = world.port(child.right.0);
    let call = |id: i32| Request::call(child.right.0).id(id);
    let answer = |request: Request| {
        let reply = port.raw(&request);
        assert_eq!(reply.code, MessageReturn::Success);
        assert!(reply.body.is_none());
        K(reply.words[0] as u32)
    };
    assert_eq!(answer(call(3499)), K::MigBadId);
    assert_eq!(answer(call(1)), K::MigBadId);
    let short = <dyn Task>::PORT_ALLOCATE.id;
    assert_eq!(answer(call(short).words([u64::MAX; 6])), K::MigBadArguments);
    assert_eq!(
        answer(call(<dyn Task>::CREATE.id).data(&[0; 16])),
        K::MigBadArguments
    );
    let write = <dyn Task>::VM_WRITE.id;
    let lying: Vec<u8> = [0_u64, 1 << 40]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    assert_eq!(answer(call(write).data(&lying)), K::MigBadArguments);
    let invalid_text: Vec<u8> = [1_u64, 0xff]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    assert_eq!(
        answer(call(<dyn Task>::SET_NAME.id).data(&invalid_text)),
        K::MigBadArguments
    );
    let mailbox = world.sim.borrow_mut().on(world.first).port();
    let lost = call(3499).port(mailbox, disposition::MOVE_RECEIVE);
    assert_eq!(answer(lost), K::MigBadId);
    let kind = world.trap(trap::PORT_TYPE, &[mailbox.0.into()]).unwrap();
    assert_eq!(kind, u64::from(abi::names::port_type::DEAD_NAME));
    world.release(copy(mailbox));
    assert_eq!(
        answer(call(<dyn Task>::INSERT_SEND.id)),
        K::MigTypeError,
        "no right in it"
    );
    child.end();
    world.at_baseline();
}

#[test]
fn answers_that_nobody_takes_end_and_are_paid_for() {
    let world = World::single();
    let child = world.child();
    // No reply right at all: the new right in the answer ends.
    let create = <dyn Task>::THREAD_CREATE.id;
    let state: Vec<u8> = [0; 20 * 8].to_vec();
    let one_way = Request::send(child.right.0).id(create).data(&state);
    assert_eq!(
        world.port(child.right.0).raw(&one_way).code,
        MessageReturn::Success
    );
    assert_eq!(child.task.info().unwrap().threads, 1);
    // A reply port that nobody reads: the answers are the caller's messages.
    let mut sim = world.sim.borrow_mut();
    let mailbox = sim.on(world.first).port();
    drop(sim);
    let before = world.own().ledger().unwrap().used.messages;
    let info = Request::send(child.right.0)
        .id(<dyn Task>::INFO.id)
        .replying(mailbox, disposition::MAKE_SEND);
    for _ in 0..20 {
        assert_eq!(
            world.port(child.right.0).raw(&info).code,
            MessageReturn::Success
        );
    }
    assert_eq!(world.own().ledger().unwrap().used.messages, before + 20);
    world.trap(trap::PORT_DESTROY, &[mailbox.0.into()]).unwrap();
    assert_eq!(world.own().ledger().unwrap().used.messages, before);
    child.end();
    world.at_baseline();
}

// covers: T-03
#[test]
fn a_suspended_task_does_not_run() {
    let world = World::single();
    let child = world.child();
    let (thread, right) = child.thread();
    child.task.suspend().unwrap();
    child.task.suspend().unwrap();
    child.task.resume().unwrap();
    assert_eq!(
        world
            .client::<dyn Thread>(right)
            .info()
            .unwrap()
            .suspend_count,
        1
    );
    world.sim.borrow_mut().pass_time(100_000_000);
    assert_eq!(world.sim.borrow().cpu_of(thread), None);
    let resumed = world.client::<dyn Thread>(right).resume();
    assert_eq!(code(resumed), K::Failure, "the task holds it");
    child.task.resume().unwrap();
    assert_eq!(code(child.task.resume()), K::Failure);
    assert_eq!(
        world.sim.borrow_mut().on(thread).trap(trap::NULL, &[]),
        Ok(0)
    );
    world.release(right);
    child.end();
    world.at_baseline();
}

// covers: T-03
#[test]
fn what_is_resumed_in_a_suspended_task_runs_when_the_task_does_and_misses_nothing() {
    for cpus in 1..=4 {
        let world = World::new(Config::with_cpus(cpus));
        let child = world.child();
        let fresh = child.task.thread_create(state()).unwrap();
        let client = world.client::<dyn Thread>(fresh);
        let index = client.info().unwrap().index;
        let [(sleeper, sleeper_right), (waiter, waiter_right)] = [(); 2].map(|()| child.thread());
        let semaphore = world.own().semaphore_create(0, 0).unwrap();
        let name = child.task.insert_send(Name::NULL, semaphore).unwrap();
        let mut sim = world.sim.borrow_mut();
        let until = sim.now() + 500_000_000;
        let sleeps = sim.on(sleeper).start(trap::WAIT_UNTIL, &[until]);
        assert_eq!(sleeps, None);
        let waits = sim.on(waiter).start(trap::SEMAPHORE_WAIT, &[name.0.into()]);
        assert_eq!(waits, None);
        drop(sim);
        child.task.suspend().unwrap();
        child.task.suspend().unwrap();
        // Its own suspension is over, its task's is not.
        client.resume().unwrap();
        assert_eq!(code(client.resume()), K::Failure);
        // What the others wait for comes.
        world
            .trap(trap::SEMAPHORE_SIGNAL, &[semaphore.0.0.into()])
            .unwrap();
        world.sim.borrow_mut().pass_time(1_000_000_000);
        child.task.resume().unwrap();
        world.sim.borrow_mut().pass_time(1_000_000_000);
        let rights = [fresh, sleeper_right, waiter_right];
        for (thread, right) in [index, sleeper, waiter].into_iter().zip(rights) {
            let mut sim = world.sim.borrow_mut();
            assert_eq!(sim.cpu_of(thread), None);
            assert_eq!(sim.take_answer(thread), None);
            assert!(!sim.is_in_user_mode(thread), "it ran");
            drop(sim);
            let info = world.client::<dyn Thread>(right).info().unwrap();
            assert_eq!((info.suspend_count, info.state), (1, 0));
        }
        child.task.resume().unwrap();
        assert_eq!(code(child.task.resume()), K::Failure);
        for thread in [sleeper, waiter] {
            assert_eq!(world.sim.borrow_mut().on(thread).finish().frame.rax, 0);
        }
        assert_eq!(
            world.sim.borrow_mut().on(index).trap(trap::NULL, &[]),
            Ok(0)
        );
        for right in [fresh, sleeper_right, waiter_right, semaphore] {
            world.release(right);
        }
        child.end();
        world.at_baseline();
    }
}

// covers: T-02 T-03 T-07
#[test]
fn nothing_runs_any_more_when_its_suspension_or_end_is_answered() {
    for cpus in 2..=4 {
        let world = World::new(Config::with_cpus(cpus));
        let child = world.child();
        let (thread, right) = child.thread();
        let client = world.client::<dyn Thread>(right);
        let runs = || {
            let mut sim = world.sim.borrow_mut();
            sim.until_runs(thread);
            sim.on(world.first).cpu();
            assert!(sim.cpu_of(thread).is_some(), "the two share a CPU");
        };
        let stands = || assert_eq!(world.sim.borrow().cpu_of(thread), None);
        for _ in 0..10 {
            runs();
            client.suspend().unwrap();
            stands();
            client.resume().unwrap();
            runs();
            child.task.suspend().unwrap();
            stands();
            child.task.resume().unwrap();
        }
        runs();
        client.terminate().unwrap();
        stands();
        assert_eq!(world.sim.borrow().kernel.census().threads, 1);
        world.release(right);
        let (thread, right) = child.thread();
        let mut sim = world.sim.borrow_mut();
        sim.until_runs(thread);
        sim.on(world.first).cpu();
        drop(sim);
        child.task.terminate().unwrap();
        assert_eq!(world.sim.borrow().cpu_of(thread), None);
        assert_eq!(world.sim.borrow().kernel.census().threads, 1);
        world.release(right);
        world.release(child.right);
        world.at_baseline();
    }
}

#[test]
fn threads_are_listed_and_bad_registers_refused() {
    let world = World::single();
    let child = world.child();
    let bad = ThreadState {
        rip: 1 << 47,
        ..state()
    };
    assert_eq!(code(child.task.thread_create(bad)), K::InvalidArgument);
    let (index, first) = child.thread();
    let found = child.task.thread(index).unwrap();
    assert_eq!(found.0, first.0, "the same port, the same name");
    assert_eq!(code(child.task.thread(index + 1)), K::InvalidArgument);
    let foreign = world.sim.borrow().first();
    assert_eq!(code(child.task.thread(foreign)), K::InvalidArgument);
    world.release(first);
    world.release(found);
    let again = child.task.thread(index).unwrap();
    assert_eq!(
        world.client::<dyn Thread>(again).info().unwrap().index,
        index
    );
    world.release(again);
    child.end();
    world.at_baseline();
}

// covers: T-01
#[test]
fn exceptions_of_a_child_go_where_its_creator_s_go() {
    let world = World::single();
    let handler = world.sim.borrow_mut().on(world.first).port();
    assert_eq!(
        moved(world.own().set_exception_port(copy(handler))),
        K::Success
    );
    let child = world.child();
    let (thread, right) = child.thread();
    let mut sim = world.sim.borrow_mut();
    let cpu = sim.until_runs(thread);
    assert!(sim.read(cpu, 0x1000, &mut [0]).is_err());
    let raised = sim.on(world.first).poll(handler);
    assert_eq!((raised.id, raised.identity), (abi::exception::RAISE, 77));
    assert_eq!(raised.words[2], 0x1000);
    drop(sim);
    world.release(right);
    child.end();
    let mut sim = world.sim.borrow_mut();
    sim.on(world.first).message(&Request::reply());
    sim.on(world.first).destroy(handler).unwrap();
    drop(sim);
    world.at_baseline();
}

#[test]
fn nothing_gathers_at_ports_of_the_kernel_s() {
    let world = World::single();
    let host = Name(world.trap(trap::HOST_SELF, &[]).unwrap() as u32);
    // A handler of exceptions that is the kernel is none.
    let child = world.child();
    assert_eq!(moved(child.task.set_exception_port(copy(host))), K::Success);
    let (thread, right) = child.thread();
    let mut sim = world.sim.borrow_mut();
    let cpu = sim.until_runs(thread);
    assert!(sim.read(cpu, 0x1000, &mut [0]).is_err());
    drop(sim);
    assert_eq!(
        world
            .port(child.right.0)
            .raw(&Request::call(child.right.0))
            .code,
        MessageReturn::SendInvalidDest
    );
    world.release(right);
    world.release(child.right);
    // Nor is it one who receives answers.
    let own = Name(world.trap(trap::TASK_SELF, &[]).unwrap() as u32);
    let request = Request::send(own)
        .id(<dyn Task>::INFO.id)
        .replying(host, disposition::COPY_SEND);
    for _ in 0..3 {
        assert_eq!(world.port(own).raw(&request).code, MessageReturn::Success);
    }
    world.release(copy(own));
    world.release(copy(host));
    world.at_baseline();
}

#[test]
fn exceptions_that_nobody_takes_are_paid_for() {
    let world = World::single();
    let child = world.child();
    let handler = world.sim.borrow_mut().on(world.first).port();
    assert_eq!(
        moved(child.task.set_exception_port(copy(handler))),
        K::Success
    );
    let mut raised = 0;
    for _ in 0..LIMITS.messages + 1 {
        let (thread, right) = child.thread();
        let mut sim = world.sim.borrow_mut();
        let cpu = sim.until_runs(thread);
        assert!(sim.read(cpu, 0x1000, &mut [0]).is_err());
        drop(sim);
        // When the account is empty, the exception finds no handler.
        if world.client::<dyn Thread>(right).terminate().is_err() {
            world.release(right);
            break;
        }
        world.release(right);
        raised += 1;
    }
    assert_eq!(raised, LIMITS.messages);
    world
        .sim
        .borrow_mut()
        .on(world.first)
        .destroy(handler)
        .unwrap();
    world.release(child.right);
    world.at_baseline();
}

#[test]
fn a_personality_gets_the_system_calls_that_are_not_mach_s() {
    let world = World::single();
    let child = world.child();
    assert_eq!(
        code(child.task.set_personality(MAX_ADDRESS)),
        K::InvalidArgument
    );
    child.task.set_personality(0x45_0000).unwrap();
    let (index, right) = child.thread();
    let mut sim = world.sim.borrow_mut();
    let cpu = sim.until_runs(index);
    assert_eq!(sim.trap(cpu, 39, &[1, 2, 3]), None);
    assert_eq!(sim.cpu_of(index), Some(cpu), "it goes on at once");
    let frame = *sim.machine.registers(index);
    assert_eq!((frame.rip, frame.rcx), (0x45_0000, image::CODE));
    assert_eq!((frame.r11, frame.rax, frame.rdi), (frame.rflags, 39, 1));
    drop(sim);
    world.release(right);
    child.end();
    world.at_baseline();
}

#[test]
fn a_fork_that_cannot_be_paid_for_leaves_nothing() {
    let world = World::single();
    let at = world.trap(trap::VM_ALLOCATE, &[0, 200 * PAGE, 1]).unwrap();
    for page in 0..100 {
        world
            .sim
            .borrow_mut()
            .on(world.first)
            .poke(at + page * PAGE, &[1]);
    }
    let mut refused = 0;
    for kernel_bytes in (0..4096).step_by(64) {
        let few = Limits {
            kernel_bytes,
            ..LIMITS
        };
        match world.own().create(few, 1, 1) {
            Ok(right) => {
                world.client::<dyn Task>(right).terminate().unwrap();
                world.release(right);
            }
            Err(error) => {
                assert_eq!(error.code(), K::ResourceShortage);
                refused += 1;
            }
        }
    }
    assert!((2..64).contains(&refused), "{refused} of 64");
    world.trap(trap::VM_DEALLOCATE, &[at, 200 * PAGE]).unwrap();
    world.at_baseline();
}

// covers: T-01
#[test]
fn a_fork_inherits_a_snapshot() {
    let world = World::single();
    let at = world.trap(trap::VM_ALLOCATE, &[0, 200 * PAGE, 1]).unwrap();
    for page in 0..100 {
        world
            .sim
            .borrow_mut()
            .on(world.first)
            .poke(at + page * PAGE, &[page as u8 + 1]);
    }
    let right = world
        .own()
        .create(
            Limits {
                pages: 400,
                ..LIMITS
            },
            78,
            1,
        )
        .unwrap();
    let task = world.client::<dyn Task>(right);
    world.sim.borrow_mut().on(world.first).poke(at, b"parent");
    assert_eq!(&*task.vm_read(at, 1).unwrap(), &[1]);
    assert_eq!(&*task.vm_read(at + 99 * PAGE, 1).unwrap(), &[100]);
    task.vm_write(at + PAGE, b"child").unwrap();
    assert_eq!(
        world.sim.borrow_mut().on(world.first).peek::<1>(at + PAGE),
        [2]
    );
    task.terminate().unwrap();
    world.release(right);
    world.trap(trap::VM_DEALLOCATE, &[at, 200 * PAGE]).unwrap();
    world.at_baseline();
}
