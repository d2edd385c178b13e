//! A task's ports through its control port, and the limit of its names.

use abi::kern_return::{KernReturn as K, MessageReturn as Code, resource};
use abi::message::{HEADER_SIZE, trailer};
use abi::names::{Name, disposition, port_type, right};
use abi::task::Limits;
use abi::trap;
use interfaces::task::{Peeked, Task};
use interfaces::thread::Thread;
use sim::Request;

use crate::transport::Give;
use crate::world::{LIMITS, World, code, moved};

// covers: P-37
#[test]
fn a_look_at_a_port_says_what_comes_next_and_takes_nothing() {
    let world = World::single();
    let child = world.child();
    let (index, right) = child.thread();
    let port = world.sim.borrow_mut().on(index).port();
    let peek = |trailer| child.task.port_peek(port, trailer);
    assert_eq!(code(peek(trailer::NULL)), K::Failure, "it is empty");
    assert_eq!(code(peek(trailer::CONTEXT)), K::InvalidValue);
    let mut sim = world.sim.borrow_mut();
    let mut user = sim.on(index);
    user.register_buffer();
    user.message(&Request::send(port).id(-3).data(b"seven b"));
    user.message(&Request::send(port).id(4));
    drop(sim);
    let first = Peeked {
        sequence: 0,
        size: HEADER_SIZE as u32 + 7,
        id: -3_i32 as u32,
        identity: 77,
    };
    for trailer in trailer::NULL..=trailer::AUDIT {
        assert_eq!(peek(trailer), Ok(first));
    }
    assert_eq!(world.sim.borrow_mut().on(index).poll(port).id, -3);
    let second = Peeked {
        sequence: 1,
        size: HEADER_SIZE as u32,
        id: 4,
        ..first
    };
    assert_eq!(peek(trailer::SEQUENCE), Ok(second));
    // A notification is seen as it would come.
    let mut sim = world.sim.borrow_mut();
    let mut user = sim.on(index);
    user.poll(port);
    user.message(&Request::send(port).replying(port, disposition::MAKE_SEND_ONCE));
    let once = user.poll(port).reply;
    user.deallocate(once).unwrap();
    drop(sim);
    let seen = peek(trailer::NULL).unwrap();
    assert_eq!(seen.id, abi::notify::SEND_ONCE as u32);
    assert_eq!(seen.identity, 0, "the kernel's own");
    assert_eq!(code(child.task.port_peek(once, 0)), K::InvalidName);
    let set = child.task.port_allocate(right::PORT_SET).unwrap();
    assert_eq!(code(child.task.port_peek(set, 0)), K::InvalidRight);
    world.release(right);
    child.end();
    world.at_baseline();
}

// covers: P-07 P-19
#[test]
fn names_and_guards_of_another_task_are_steered_by_its_port() {
    let world = World::single();
    let child = world.child();
    let name = Name::new(70, 9);
    let task = &child.task;
    assert_eq!(task.port_allocate_name(right::RECEIVE, name), Ok(name));
    assert_eq!(
        code(task.port_allocate_name(right::RECEIVE, name)),
        K::NameExists
    );
    assert_eq!(code(task.port_guard(name, 5, 2)), K::InvalidArgument);
    assert_eq!(task.port_guard(name, 5, 0), Ok(()));
    assert_eq!(code(task.port_guard(name, 5, 0)), K::InvalidArgument);
    assert_eq!(task.port_swap_guard(name, 5, 6), Ok(()));
    assert_eq!(code(task.port_unguard(name, 5)), K::InvalidArgument);
    assert_eq!(task.port_unguard(name, 6), Ok(()));
    assert_eq!(code(task.port_guard(Name(0x9900), 5, 0)), K::InvalidName);
    child.end();
    world.at_baseline();
}

/// A child that may have this many names.
fn few_names(names: u64) -> Limits {
    Limits {
        names: names.try_into().unwrap(),
        ..LIMITS
    }
}

// covers: P-22
#[test]
fn a_task_with_all_its_names_gets_no_more_and_others_notice_nothing() {
    let world = World::single();
    let made = world.own().create(few_names(10), 5, 0).unwrap();
    let task = world.client::<dyn Task>(made);
    let mut names = Vec::new();
    let full = loop {
        match task.port_allocate(right::RECEIVE) {
            Ok(name) => names.push(name),
            error => break code(error),
        }
    };
    assert_eq!((full, names.len()), (K::ResourceShortage, 10));
    let ledger = task.ledger().unwrap();
    assert_eq!((ledger.used.names, ledger.limits.names), (10, 10));
    for kind in [right::PORT_SET, right::DEAD_NAME] {
        assert_eq!(code(task.port_allocate(kind)), K::ResourceShortage);
    }
    let chosen = task.port_allocate_name(right::RECEIVE, Name::new(9, 3));
    assert!(chosen.is_err());
    let mut sim = world.sim.borrow_mut();
    let port = sim.on(world.first).port();
    sim.on(world.first).destroy(port).unwrap();
    drop(sim);
    task.terminate().unwrap();
    world.release(made);
    world.at_baseline();
}

// covers: M-34 P-22 N-07
#[test]
fn a_receiver_without_a_free_name_gets_the_rest_and_is_told_what_is_missing() {
    let world = World::single();
    let child = world.child_within(few_names(2));
    let (index, right) = child.thread();
    let task = &child.task;
    let mut sim = world.sim.borrow_mut();
    let mut user = sim.on(index);
    user.register_buffer();
    let port = user.allocate(right::RECEIVE).unwrap();
    drop(sim);
    let to = task.extract_send(port, disposition::MAKE_SEND).unwrap();
    let mut sim = world.sim.borrow_mut();
    sim.on(index).allocate(right::DEAD_NAME).unwrap();
    let mut me = sim.on(world.first);
    let reply = me.port();
    let send = Request::send(to.0).data(b"rest");
    let body = send.clone().id(1).port(reply, disposition::MAKE_SEND_ONCE);
    let header = send.id(2).replying(reply, disposition::MAKE_SEND_ONCE);
    assert_eq!(me.message(&body).code, Code::Success);
    assert_eq!(me.message(&header).code, Code::Success);
    for (id, part) in [(1, Code::ReceiveBodyError), (2, Code::ReceiveHeaderError)] {
        let got = sim.on(index).poll(port);
        assert_eq!(got.code.0, part.0 | resource::IPC_SPACE);
        assert_eq!((got.id, got.reply, got.shape.size()), (id, Name::NULL, 4));
        // The right that found no name ended, and its port heard of it.
        let note = sim.on(world.first).poll(reply);
        assert_eq!(note.id, abi::notify::SEND_ONCE);
    }
    let kind = sim.on(index).kind(port);
    assert_eq!(kind, Ok(port_type::RECEIVE));
    sim.on(world.first).destroy(reply).unwrap();
    drop(sim);
    assert_eq!(world.trap(trap::PORT_DEALLOCATE, &[to.0.0.into()]), Ok(0));
    world.release(right);
    child.end();
    world.at_baseline();
}

// covers: M-10 P-22 N-07
#[test]
fn what_comes_back_to_a_sender_without_a_free_name_ends_and_is_told_of() {
    let world = World::single();
    let child = world.child_within(few_names(2));
    let (index, right) = child.thread();
    let task = &child.task;
    let [queue, moved] = [0, 1].map(|_| task.port_allocate(right::RECEIVE).unwrap());
    let watched = task.extract_send(moved, disposition::MAKE_SEND).unwrap();
    let mut sim = world.sim.borrow_mut();
    let mut user = sim.on(index);
    user.register_buffer();
    user.insert_right(queue, queue, disposition::MAKE_SEND)
        .unwrap();
    user.set_attribute(queue, trap::attribute::QUEUE_LIMIT, 1)
        .unwrap();
    user.message(&Request::send(queue));
    let waits = Request::send(queue)
        .replying(queue, disposition::MAKE_SEND_ONCE)
        .port(moved, disposition::MOVE_RECEIVE)
        .data(b"rest");
    assert_eq!(user.start_message(&waits), None);
    drop(sim);
    // The name that the right had is another one's when it comes back.
    task.port_allocate(right::DEAD_NAME).unwrap();
    world.client::<dyn Thread>(right).abort().unwrap();
    let mut sim = world.sim.borrow_mut();
    let back = sim.on(index).finish_message();
    let expected = Code::SendInterrupted.0 | resource::IPC_SPACE;
    assert_eq!(
        (back.code.0, back.local, back.reply),
        (expected, queue, Name::NULL)
    );
    assert_eq!(back.shape.size(), 4);
    let kind = sim.on(world.first).kind(watched.0);
    assert_eq!(kind, Ok(port_type::DEAD_NAME));
    assert_eq!(sim.on(index).poll(queue).id, abi::notify::SEND_ONCE);
    assert_eq!(sim.on(index).poll(queue).id, 0);
    drop(sim);
    for right in [right, watched] {
        world.release(right);
    }
    child.end();
    world.at_baseline();
}

// covers: P-02
#[test]
fn a_name_whose_port_died_is_listed_as_a_dead_name() {
    let world = World::single();
    let child = world.child();
    let port = world.sim.borrow_mut().on(world.first).port();
    let given = Give(port, disposition::COPY_SEND);
    let name = child.task.insert_send(Name::NULL, given).unwrap();
    world.trap(trap::PORT_DESTROY, &[port.0.into()]).unwrap();
    let listed = child.task.rights(Name::NULL).unwrap();
    let row = listed.iter().find(|row| row.name == name).unwrap();
    assert_eq!((row.kind, row.references), (port_type::DEAD_NAME, 1));
    assert_eq!((row.port, row.send_rights), (0, 0));
    child.end();
    world.at_baseline();
}

// covers: P-02 N-06
#[test]
fn lists_tell_what_a_name_has_a_request_for() {
    let world = World::single();
    let mut sim = world.sim.borrow_mut();
    let mut me = sim.on(world.first);
    let (port, notes) = (me.port(), me.port());
    me.request(port, abi::notify::SEND_POSSIBLE, 0, notes)
        .unwrap();
    let expected = me.kind(port).unwrap();
    assert_ne!(expected & port_type::SEND_POSSIBLE_REQUEST, 0);
    drop(sim);
    let own = world.trap(trap::TASK_SELF, &[]).unwrap();
    let own = Give(Name(own as u32), disposition::COPY_SEND);
    let rights = world.client::<dyn Task>(own).rights(Name::NULL).unwrap();
    let row = rights.iter().find(|row| row.name == port).unwrap();
    assert_eq!(row.kind, expected);
    world.release(own);
    for name in [port, notes] {
        world.trap(trap::PORT_DESTROY, &[name.0.into()]).unwrap();
    }
    world.at_baseline();
}

// covers: P-15
#[test]
fn rights_to_send_once_are_made_and_moved_out_of_a_task() {
    let world = World::single();
    let child = world.child();
    let task = &child.task;
    let mailbox = task.port_allocate(right::RECEIVE).unwrap();
    let made = task.extract_send_once(mailbox, disposition::MAKE_SEND_ONCE);
    let made = made.unwrap().0;
    let names = [made.0.into(), right::SEND_ONCE.into()];
    assert_eq!(world.trap(trap::PORT_GET_REFS, &names), Ok(1));
    for wrong in [disposition::MOVE_SEND_ONCE, disposition::COPY_SEND] {
        let expected = match wrong {
            disposition::MOVE_SEND_ONCE => K::InvalidRight,
            _ => K::InvalidValue,
        };
        assert_eq!(code(task.extract_send_once(mailbox, wrong)), expected);
        assert_eq!(
            code(task.extract_send_once(Name(0x7700), wrong)),
            match wrong {
                disposition::MOVE_SEND_ONCE => K::InvalidName,
                _ => K::InvalidValue,
            }
        );
    }
    // It goes back under a name that was chosen, which no other right joins.
    let give = || Give(made, disposition::MOVE_SEND_ONCE);
    let chosen = Name::new(30, 5);
    assert_eq!(task.insert_send_once(chosen, give()), Ok(chosen));
    let made = task.extract_send_once(mailbox, disposition::MAKE_SEND_ONCE);
    let second = made.unwrap();
    assert_eq!(moved(task.insert_send_once(chosen, second)), K::NameExists);
    assert_eq!(
        task.port_peek(mailbox, 0).unwrap().id,
        abi::notify::SEND_ONCE as u32,
        "what was refused is destroyed"
    );
    let back = task.extract_send_once(chosen, disposition::MOVE_SEND_ONCE);
    let back = back.unwrap().0.0.into();
    assert_eq!(world.trap(trap::PORT_DEALLOCATE, &[back]), Ok(0));
    // The receive right comes with what is queued.
    assert_eq!(code(task.extract_receive(chosen)), K::InvalidName);
    let here = task.extract_receive(mailbox).unwrap().0;
    assert_eq!(code(task.extract_receive(mailbox)), K::InvalidName);
    let queued = world.sim.borrow_mut().on(world.first).poll(here);
    assert_eq!(queued.id, abi::notify::SEND_ONCE);
    world.trap(trap::PORT_DESTROY, &[here.0.into()]).unwrap();
    child.end();
    world.at_baseline();
}

// covers: K-02
#[test]
fn a_timer_is_not_taken_out_of_its_task_and_goes_off_there() {
    let world = World::single();
    let child = world.child();
    let (index, thread) = child.thread();
    let mut sim = world.sim.borrow_mut();
    let timer = sim.on(index).trap(trap::MK_TIMER_CREATE, &[]).unwrap();
    let armed = sim.on(index).trap(trap::MK_TIMER_ARM, &[timer, 1]);
    assert_eq!(armed, Ok(0));
    drop(sim);
    let taken = child.task.extract_receive(Name(timer as u32));
    assert_eq!(code(taken), K::InvalidRight);
    let found = world.sim.borrow_mut().on(index).poll(Name(timer as u32));
    assert_eq!(found.id, abi::notify::pending::TIMER);
    world.release(thread);
    child.end();
    world.at_baseline();
}

// covers: P-15 M-26
#[test]
fn a_receive_right_that_is_taken_out_travels_in_the_answer_and_never_to_itself() {
    let world = World::single();
    let child = world.child();
    let [inner, mailbox] = [0, 1].map(|_| child.task.port_allocate(right::RECEIVE).unwrap());
    let reply = world.sim.borrow_mut().on(world.first).port();
    let ask = |to: Name, name: Name, reply: Name| {
        let mut request = Request::send(to).replying(reply, disposition::MAKE_SEND_ONCE);
        request.words[0] = name.0.into();
        let request = request.id(<dyn Task>::EXTRACT_RECEIVE.id);
        let sent = world.sim.borrow_mut().on(world.first).message(&request);
        assert_eq!(sent.code, Code::Success);
        let checked = world.sim.borrow();
        assert_eq!(checked.kernel.check(&checked.machine), Ok(()));
    };
    let poll = |name| world.sim.borrow_mut().on(world.first).poll(name);
    ask(child.right.0, inner, reply);
    let inner = Name(poll(reply).right().name);
    ask(child.right.0, mailbox, inner);
    // The port that waits for the answer, and one whose right lies in its queue.
    let own = world.trap(trap::TASK_SELF, &[]).unwrap();
    ask(Name(own as u32), inner, inner);
    let gone = world.trap(trap::PORT_TYPE, &[inner.0.into()]);
    assert_eq!(gone, Err(K::InvalidName));
    world.trap(trap::PORT_DEALLOCATE, &[own]).unwrap();
    world.trap(trap::PORT_DESTROY, &[reply.0.into()]).unwrap();
    child.end();
    world.at_baseline();
}

// covers: P-22
#[test]
fn a_task_is_warned_once_before_it_has_all_its_names() {
    let world = World::single();
    let child = world.child();
    let (thread, right) = child.thread();
    let mut sim = world.sim.borrow_mut();
    let mut user = sim.on(thread);
    let notify = user.port();
    let request = |user: &mut sim::User<'_>, name: u64, limit: u64, notify: Name| {
        let id = abi::notify::NAMES_USED as u64;
        let words = [name, id, limit, notify.0.into()];
        user.trap(trap::PORT_REQUEST_NOTIFICATION, &words)
    };
    assert_eq!(
        request(&mut user, notify.0.into(), 9, notify),
        Err(K::InvalidName),
        "no name is watched"
    );
    assert_eq!(request(&mut user, 0, 4, notify), Ok(0));
    // Another request takes its place, and hands back the right of the one before.
    let previous = request(&mut user, 0, 3, notify).unwrap();
    let held = user.kind(Name(previous as u32));
    assert_eq!(held, Ok(port_type::SEND_ONCE));
    assert_eq!(user.poll(notify).code, Code::ReceiveTimedOut);
    // The third name.
    user.allocate(right::DEAD_NAME).unwrap();
    let told = user.poll(notify);
    assert_eq!((told.id, told.words[0]), (abi::notify::NAMES_USED, 3));
    user.allocate(right::DEAD_NAME).unwrap();
    assert_eq!(user.poll(notify).code, Code::ReceiveTimedOut, "only once");
    // Where it is so already it fires at once.
    assert_eq!(request(&mut user, 0, 2, notify), Ok(0));
    assert_eq!(user.poll(notify).words[0], 4);
    // What is armed when the task ends leaves nothing behind.
    assert_eq!(request(&mut user, 0, 1000, notify), Ok(0));
    drop(sim);
    world.release(right);
    child.end();
    world.at_baseline();
}
