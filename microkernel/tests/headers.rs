//! The edges of a message: what a header and descriptors may say, what the kernel stamps on it, and how it
//! comes back when it was not sent.

use abi::PAGE_SIZE;
use abi::kern_return::{KernReturn, MessageReturn as Code};
use abi::message::{Descriptor, HEADER_SIZE, MAX_DESCRIPTORS, MIN_BUFFER, descriptor};
use abi::names::{Name, disposition, port_type, right};
use abi::registers::{Shape, options, pair};
use abi::transport::REPLY_OFFSET;
use abi::trap::{self, attribute};
use sim::message::{self, Body};
use sim::user::buffer_address;
use sim::{Reply, Request, Sim, User};

/// A `mach_msg` whose shape says something else than its body.
fn with_shape(sim: &mut Sim, request: &Request, shape: u32) -> Code {
    let first = sim.first();
    let cpu = sim.until_runs(first);
    let frame = sim.machine.registers(first);
    request.load(frame);
    frame.rdi = pair(frame.rdi as u32, shape);
    let answer = sim.enter_trap(cpu).expect("it does not wait");
    Reply::from_frame(&answer.frame).code
}

/// The body that lies in a thread's buffer, whatever the code was.
fn body_of(me: &mut User<'_>, first: u32, shape: Shape) -> Body {
    let bytes: [u8; MIN_BUFFER as usize] = me.peek(buffer_address(first));
    message::body(&bytes, shape)
}

// covers: M-01
#[test]
fn a_header_with_bits_that_mean_nothing_is_refused_before_anything_changes() {
    let (mut sim, first) = Sim::single();
    let port = sim.on(first).port();
    sim.on(first).register_buffer();
    let send = Request::send(port).disposed(disposition::MOVE_SEND);
    for bit in [9, 11, 13, 14, 15, 26, 27, 31] {
        let code = sim.on(first).message(&send.clone().with(1 << bit)).code;
        assert_eq!(code, Code::SendInvalidHeader, "bit {bit}");
    }
    // A short message has nothing beside its words; a buffered one no bits of its reply.
    for shape in [1, 1 << 20, 1 << 28 | 1 << 31, 0x7000_0000] {
        let code = with_shape(&mut sim, &send, shape);
        assert_eq!(code, Code::SendInvalidHeader, "shape {shape:#x}");
    }
    let room = (MIN_BUFFER as usize - HEADER_SIZE) as u32;
    for shape in [Shape::buffered(room + 1, 0), Shape::buffered(0xf_ffff, 0)] {
        let code = with_shape(&mut sim, &send, shape.0);
        assert_eq!(code, Code::SendTooLarge);
    }
    let mut me = sim.on(first);
    let both = port_type::SEND | port_type::RECEIVE;
    assert_eq!(me.kind(port), Ok(both), "the right was not moved");
    assert_eq!(me.attribute(port, attribute::MESSAGE_COUNT), Ok(0));
    let most = with_shape(&mut sim, &send, Shape::buffered(room, 0).0);
    assert_eq!(most, Code::Success);
}

// covers: M-20
#[test]
fn descriptors_are_counted_before_and_judged_one_by_one() {
    let (mut sim, first) = Sim::single();
    let port = sim.on(first).port();
    sim.on(first).register_buffer();
    let send = Request::send(port);
    let too_many = Shape::buffered(0, MAX_DESCRIPTORS as u32 + 1);
    assert_eq!(with_shape(&mut sim, &send, too_many.0), Code::SendTooLarge);
    let no_room = Shape::buffered((MIN_BUFFER as usize - HEADER_SIZE) as u32, 1);
    assert_eq!(with_shape(&mut sim, &send, no_room.0), Code::SendTooLarge);

    let mut me = sim.on(first);
    let with = |descriptor: Descriptor| {
        let mut request = Request::send(port).port(port, disposition::COPY_SEND);
        let body = request.body.as_mut().unwrap();
        body.descriptors.push(descriptor);
        request
    };
    let bad_kinds = [5, 17, 255].map(|kind| Descriptor {
        kind,
        disposition: disposition::COPY_SEND,
        name: port.0,
        ..Descriptor::default()
    });
    let guarded_send = Descriptor {
        kind: descriptor::GUARDED_PORT,
        disposition: disposition::COPY_SEND,
        name: port.0,
        ..Descriptor::default()
    };
    let no_disposition = Descriptor {
        name: port.0,
        ..Descriptor::default()
    };
    let bad_flags = Descriptor {
        kind: descriptor::OUT_OF_LINE,
        flags: 0x8000,
        ..Descriptor::default()
    };
    for bad in bad_kinds
        .into_iter()
        .chain([guarded_send, no_disposition, bad_flags])
    {
        assert_eq!(
            me.message(&with(bad)).code,
            Code::SendInvalidType,
            "{bad:?}"
        );
    }
    let nothing = Descriptor {
        kind: descriptor::OUT_OF_LINE,
        address: 0x123,
        ..Descriptor::default()
    };
    assert_eq!(me.message(&with(nothing)).code, Code::Success);
    let got = me.poll(port).body.unwrap().descriptors;
    assert_eq!((got.len(), got[1].address, got[1].size), (2, 0, 0));
    assert_eq!(me.attribute(port, attribute::SEND_RIGHTS), Ok(1));
}

// covers: M-20 M-23 F-05
#[test]
fn volatile_memory_is_sent_as_it_is_at_the_send() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    me.register_buffer();
    let port = me.port();
    let at = me.trap(trap::VM_ALLOCATE, &[0, PAGE_SIZE, 1]).unwrap();
    me.poke(at, b"before");
    let volatile = Descriptor {
        kind: descriptor::OUT_OF_LINE_VOLATILE,
        address: at,
        size: 6,
        ..Descriptor::default()
    };
    let mut request = Request::send(port);
    request
        .body
        .get_or_insert_default()
        .descriptors
        .push(volatile);
    assert_eq!(me.message(&request).code, Code::Success);
    // Neither the memory nor its description is looked at again.
    me.poke(at, b"after!");
    me.poke(buffer_address(first), &[0xff; 256]);
    let got = me.poll(port).right();
    assert_eq!((got.kind, got.size), (descriptor::OUT_OF_LINE, 6));
    assert_eq!(&me.peek::<6>(got.address), b"before");
}

// covers: M-13
#[test]
fn the_kernel_has_answered_when_the_send_returns() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    me.register_buffer();
    let task = Name(me.trap(trap::TASK_SELF, &[]).unwrap() as u32);
    let (port, other) = (me.port(), me.port());
    // A method that there is none of: the answer is a message with a code.
    let ask = Request::send(task).id(3499);
    for how in [disposition::MAKE_SEND_ONCE, disposition::COPY_SEND] {
        assert_eq!(
            me.message(&ask.clone().replying(port, how)).code,
            Code::Success
        );
        assert_eq!(me.attribute(port, attribute::MESSAGE_COUNT), Ok(1));
        let answer = me.poll(port);
        assert_eq!((answer.id, answer.identity), (3499 + REPLY_OFFSET, 0));
        assert_eq!(answer.words[0], u64::from(KernReturn::MigBadId.0));
    }
    // Nobody to answer, or nobody any more: the send has succeeded.
    assert_eq!(me.message(&ask).code, Code::Success);
    me.mod_refs(other, right::RECEIVE, -1).unwrap();
    let to_dead = ask.clone().replying(other, disposition::COPY_SEND);
    assert_eq!(me.message(&to_dead).code, Code::Success);
    let counts = [attribute::SEND_RIGHTS, attribute::SEND_ONCE_RIGHTS];
    assert_eq!(
        counts.map(|count| me.attribute(port, count)),
        [Ok(1), Ok(0)]
    );
}

// covers: M-35
#[test]
fn the_kernel_stamps_what_a_sender_cannot_forge() {
    let mut sim = Sim::boot(sim::Config::default());
    let first = sim.first();
    let other = sim.add_task();
    let mut me = sim.on(first);
    me.register_buffer();
    let port = me.port();
    me.set_attribute(port, attribute::SEQUENCE, 40).unwrap();
    me.set_attribute(port, attribute::LABEL, 0x1abe1).unwrap();
    let send = sim.give(first, port, disposition::COPY_SEND, other);
    let mut identity = None;
    for n in 0..3 {
        let request = Request::send(send).data(b"data");
        // The whole header is made up; the kernel reads none of it.
        sim.on(other)
            .poke(buffer_address(other), &[0xee; HEADER_SIZE]);
        assert_eq!(sim.on(other).message(&request).code, Code::Success);
        let mut me = sim.on(first);
        me.poke(buffer_address(first), &[0x55; HEADER_SIZE + 8]);
        let got = me.poll(port);
        let bytes: [u8; HEADER_SIZE + 8] = me.peek(buffer_address(first));
        let header = message::header(&bytes);
        assert_eq!(header.sequence, 40 + n);
        assert_eq!((header.label, header.identity), (0x1abe1, got.identity));
        assert_eq!((header.bits, header.size, header.voucher), (0, 68, 0));
        assert_eq!(header.reserved, [0x5555_5555_5555_5555; 2], "left alone");
        assert_eq!(&bytes[HEADER_SIZE..], b"data\x55\x55\x55\x55");
        assert!(got.identity != 0 && identity.is_none_or(|old| old == got.identity));
        identity = Some(got.identity);
    }
    assert_eq!(sim.on(first).attribute(port, attribute::SEQUENCE), Ok(43));
}

// covers: M-10
#[test]
fn rights_and_memory_of_a_message_that_was_not_sent_come_back() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    me.register_buffer();
    let (queue, moved, once) = (me.port(), me.port(), me.port());
    me.set_attribute(queue, attribute::QUEUE_LIMIT, 1).unwrap();
    me.message(&Request::send(queue));
    let at = me.trap(trap::VM_ALLOCATE, &[0, PAGE_SIZE, 1]).unwrap();
    me.poke(at, b"mine");
    let memory = Descriptor {
        kind: descriptor::OUT_OF_LINE,
        flags: descriptor::DEALLOCATE,
        address: at,
        size: PAGE_SIZE,
        ..Descriptor::default()
    };
    let mut request = Request::send(queue)
        .disposed(disposition::MOVE_SEND)
        .replying(once, disposition::MAKE_SEND_ONCE)
        .with(options::SEND_TIMEOUT)
        .port(moved, disposition::MOVE_RECEIVE)
        .port(moved, disposition::MOVE_SEND)
        .data(b"inline");
    let body = request.body.as_mut().unwrap();
    body.descriptors.insert(1, memory);
    let back = me.message(&request);
    assert_eq!(back.code, Code::SendTimedOut);
    assert_eq!(back.local, queue, "the destination, not swapped");
    assert_eq!(me.refs(queue, right::SEND), Ok(1));
    assert_eq!(me.kind(back.reply), Ok(port_type::SEND_ONCE));
    let body = body_of(&mut me, first, back.shape);
    let [receive, memory, send] = body.descriptors[..] else {
        panic!("{body:?}");
    };
    assert_eq!(receive.disposition, disposition::MOVE_RECEIVE);
    assert_eq!(send.name, receive.name, "both rights under one name");
    let both = port_type::SEND | port_type::RECEIVE;
    assert_eq!(me.kind(Name(send.name)), Ok(both));
    assert_eq!(memory.size, PAGE_SIZE);
    assert_eq!(&me.peek::<4>(memory.address), b"mine");
    assert_eq!(body.data, b"inline");
    assert_eq!(me.attribute(queue, attribute::MESSAGE_COUNT), Ok(1));
}
