//! The classic layout and back, without a trap.

use abi::classic::{Header, bits};
use abi::kern_return::MessageReturn;
use abi::message::{Descriptor, MAX_DESCRIPTORS, descriptor};
use abi::names::{Name, disposition};
use abi::registers::{Received, ReplyKind, Shape, pair};
use cmach::incoming::{Body, Facts, Incoming, trailer_size, write_header, write_trailer};
use cmach::outgoing::{Outgoing, header};
use libmach::abi;
use libmach::trap::Registers;

/// A message's bytes: header, then `body`.
fn message(bits: u32, body: &[u8]) -> Vec<u8> {
    let head = Header {
        bits,
        size: 24 + body.len() as u32,
        remote: Name(0x101),
        local: Name(0x202),
        voucher: 0,
        id: -7,
    };
    let mut bytes = vec![0; 24];
    write_header(&head, &mut bytes);
    bytes.extend(body);
    bytes
}

const CALL: u32 = disposition::COPY_SEND as u32 | (disposition::MAKE_SEND_ONCE as u32) << 8;

/// What lies in a thread's buffer.
#[derive(Default)]
struct Fake {
    descriptors: Vec<Descriptor>,
    data: Vec<u8>,
}

impl Body for Fake {
    fn descriptor(&self, index: usize) -> Descriptor {
        self.descriptors[index]
    }

    fn data(&self, descriptors: usize, to: &mut [u8]) {
        assert_eq!(descriptors, self.descriptors.len());
        to.copy_from_slice(&self.data);
    }
}

fn arrived(incoming: &Incoming, body: &impl Body) -> Vec<u8> {
    let mut bytes = vec![0; incoming.size()];
    incoming.write(body, &mut bytes);
    bytes
}

// covers: M-01
#[test]
fn a_header_is_read_field_by_field() {
    let bytes = message(CALL, &[]);
    let read = Outgoing::read(&bytes).unwrap();
    assert_eq!(read.to, (Name(0x101), disposition::COPY_SEND));
    assert_eq!(read.reply, (Name(0x202), disposition::MAKE_SEND_ONCE));
    assert_eq!((read.id, read.shape), (-7, Shape::buffered(0, 0)));
    assert_eq!(header(&bytes).unwrap().size, 24);
}

// covers: M-07
#[test]
fn a_null_reply_name_is_never_the_own_reply_object() {
    let mut bytes = message(CALL, &[]);
    bytes[12..16].fill(0);
    let read = Outgoing::read(&bytes).unwrap();
    assert_eq!(read.reply, (Name::NULL, disposition::NONE));
    // What no reply can have is the kernel's to refuse.
    let receive = u32::from(disposition::COPY_SEND) | u32::from(disposition::MOVE_RECEIVE) << 8;
    bytes[..4].copy_from_slice(&receive.to_le_bytes());
    let read = Outgoing::read(&bytes).unwrap();
    assert_eq!(read.reply, (Name::NULL, disposition::MOVE_RECEIVE));
}

#[test]
fn six_words_travel_in_registers_and_nothing_else_does() {
    let words: Vec<u8> = (1..=6_u64).flat_map(u64::to_le_bytes).collect();
    let bytes = message(CALL, &words);
    let read = Outgoing::read(&bytes).unwrap();
    assert_eq!((read.shape, read.words), (Shape::SHORT, [1, 2, 3, 4, 5, 6]));
    let bytes = message(CALL, &words[..44]);
    let read = Outgoing::read(&bytes).unwrap();
    assert_eq!((read.shape, read.words), (Shape::buffered(44, 0), [0; 6]));
    assert_eq!(read.data, &words[..44]);
}

#[test]
fn an_error_reply_tells_its_code_in_the_first_word_too() {
    let mut body = abi::classic::NDR_RECORD.to_vec();
    body.extend((-303_i32).to_le_bytes());
    let bytes = message(CALL, &body);
    let read = Outgoing::read(&bytes).unwrap();
    assert_eq!(read.shape, Shape::buffered(12, 0));
    assert_eq!(read.words[0], u64::from((-303_i32).cast_unsigned()));
}

// covers: M-01 M-20
#[test]
fn what_is_no_message_is_refused() {
    let refused = |bytes: &[u8]| Outgoing::read(bytes).unwrap_err();
    assert_eq!(
        refused(&message(CALL, &[])[..20]),
        MessageReturn::SendMsgTooSmall
    );
    assert_eq!(
        refused(&message(CALL, &[1, 2])),
        MessageReturn::SendMsgTooSmall
    );
    assert_eq!(
        refused(&message(CALL | 1 << 30, &[])),
        MessageReturn::SendInvalidHeader
    );
    assert_eq!(
        refused(&message(CALL | 19 << 16, &[])),
        MessageReturn::SendInvalidVoucher
    );
    let complex = CALL | bits::COMPLEX;
    // No room for the count, then none for what it counts.
    assert_eq!(
        refused(&message(complex, &[])),
        MessageReturn::SendMsgTooSmall
    );
    assert_eq!(
        refused(&message(complex, &[2, 0, 0, 0])),
        MessageReturn::SendMsgTooSmall
    );
    let mut short = vec![1, 0, 0, 0];
    short.extend([0; 11]);
    short.push(descriptor::OUT_OF_LINE);
    assert_eq!(
        refused(&message(complex, &short)),
        MessageReturn::SendMsgTooSmall
    );
    let many = (MAX_DESCRIPTORS as u32 + 1).to_le_bytes();
    assert_eq!(
        refused(&message(complex, &many)),
        MessageReturn::SendTooLarge
    );
    assert_eq!(
        refused(&message(CALL, &[0; 9000])),
        MessageReturn::SendTooLarge
    );
}

#[test]
fn descriptors_survive_the_way_there_and_back() {
    let port = Descriptor {
        kind: descriptor::PORT,
        disposition: disposition::MOVE_SEND,
        name: 0x303,
        ..Descriptor::default()
    };
    let memory = Descriptor {
        kind: descriptor::OUT_OF_LINE,
        flags: descriptor::DEALLOCATE,
        address: 0x1234_5678_9abc,
        size: 77,
        ..Descriptor::default()
    };
    let ports = Descriptor {
        kind: descriptor::OUT_OF_LINE_PORTS,
        disposition: disposition::MOVE_RECEIVE,
        name: 5,
        address: 0x8000,
        ..Descriptor::default()
    };
    let body = Fake {
        descriptors: vec![port, memory, ports],
        data: vec![9; 8],
    };
    let shape = Received::new(Shape::buffered(8, 3), ReplyKind::SendOnce);
    let registers = Registers {
        word: pair(shape.0, 0x404),
        receive: pair(55, 0x505),
        ..Registers::default()
    };
    let incoming = Incoming::received(&registers, &body);
    // Header, count, 12 + 16 + 16 bytes of descriptors, data.
    assert_eq!(incoming.size(), 24 + 4 + 44 + 8);
    let bytes = arrived(&incoming, &body);
    let seen = header(&bytes).unwrap();
    let expected = u32::from(disposition::MOVE_SEND_ONCE) | u32::from(disposition::MOVE_SEND) << 8;
    assert_eq!(seen.bits, expected | bits::COMPLEX);
    assert_eq!(
        (seen.remote, seen.local, seen.id),
        (Name(0x505), Name(0x404), 55)
    );
    let read = Outgoing::read(&bytes).unwrap();
    assert_eq!(read.descriptors().collect::<Vec<_>>(), body.descriptors);
    assert_eq!(
        (read.data, read.shape),
        (&[9; 8][..], Shape::buffered(8, 3))
    );
}

// covers: M-08
#[test]
fn an_unknown_descriptor_is_left_to_the_kernel() {
    let mut body = vec![2, 0, 0, 0];
    body.extend([0; 12]);
    body.extend([0; 11]);
    body.push(77);
    body.extend([0; 8]);
    let bytes = message(CALL | bits::COMPLEX, &body);
    let read = Outgoing::read(&bytes).unwrap();
    let kinds: Vec<u8> = read.descriptors().map(|found| found.kind).collect();
    assert_eq!(kinds, [descriptor::PORT, 77]);
    assert_eq!(read.shape, Shape::buffered(0, 2));
}

// covers: M-10
#[test]
fn what_came_back_is_where_the_sender_had_it() {
    let sent = header(&message(CALL, &[0; 48])).unwrap();
    let registers = Registers {
        word: pair(Shape::SHORT.0, 0x111),
        receive: pair(0, 0x222),
        words: [6; 6],
        ..Registers::default()
    };
    let bytes = arrived(
        &Incoming::returned(&sent, &registers, &Fake::default()),
        &Fake::default(),
    );
    let seen = header(&bytes).unwrap();
    assert_eq!(
        (seen.remote, seen.local, seen.id),
        (Name(0x111), Name(0x222), -7)
    );
    let held = u32::from(disposition::MOVE_SEND) | u32::from(disposition::MOVE_SEND_ONCE) << 8;
    assert_eq!((seen.bits, bytes.len()), (held, 72));
    // Sent once more, it moves what it made before.
    let again = Outgoing::read(&bytes).unwrap();
    assert_eq!(again.to.1, disposition::MOVE_SEND);
    assert_eq!(again.words, [6; 6]);
}

#[test]
fn only_the_kernel_makes_notifications() {
    let dead_name = |identity| {
        let registers = Registers {
            receive: pair(abi::notify::DEAD_NAME as u32, 0),
            deadline: identity,
            words: [0x909, 0, 0, 0, 0, 0],
            ..Registers::default()
        };
        arrived(
            &Incoming::received(&registers, &Fake::default()),
            &Fake::default(),
        )
    };
    let own = dead_name(0);
    assert_eq!(own.len(), 36);
    assert_eq!(own[24..32], abi::classic::NDR_RECORD);
    assert_eq!(own[32..], 0x909_u32.to_le_bytes());
    // Somebody's message with that id is a message like any other.
    assert_eq!(dead_name(5).len(), 72);
}

// covers: M-35
#[test]
fn a_trailer_has_the_elements_asked_for() {
    let facts = Facts {
        sequence: 3,
        identity: 0x0000_0002_0000_0001,
        label: u64::MAX,
    };
    let sizes = [8, 12, 20, 52, 60, 0, 0, 68, 68, 0];
    for (elements, size) in sizes.into_iter().enumerate() {
        let found = trailer_size((elements as u32) << 24);
        assert_eq!(found, Some(size).filter(|size| *size > 0));
    }
    assert_eq!(trailer_size(1 << 28), None);
    let mut whole = [0xee; 68];
    write_trailer(&facts, &mut whole);
    let words: Vec<u32> = whole
        .as_chunks()
        .0
        .iter()
        .map(|bytes| u32::from_le_bytes(*bytes))
        .collect();
    assert_eq!(words[..7], [0, 68, 3, 1, 2, 1, 2]);
    assert_eq!(words[7..], [0, 0, 0, 0, 0, 0, u32::MAX, u32::MAX, 0, 0]);
    let mut short = [0xee; 12];
    write_trailer(&facts, &mut short);
    assert_eq!(short, [0, 0, 0, 0, 12, 0, 0, 0, 3, 0, 0, 0]);
}

//
#[test]
fn an_exception_has_mig_s_layout_and_so_has_its_answer() {
    let port = |name| Descriptor {
        kind: descriptor::PORT,
        disposition: disposition::MOVE_SEND,
        name,
        ..Descriptor::default()
    };
    let body = Fake {
        descriptors: vec![port(0x301), port(0x402)],
        data: Vec::new(),
    };
    for (id, size) in [(2405, 8), (2401, 4)] {
        let registers = Registers {
            word: Received::new(Shape::buffered(0, 2), ReplyKind::SendOnce)
                .0
                .into(),
            receive: pair(id as u32, 0x505),
            words: [1, 2, 0x8000_0000_1234_5678, 9, 9, 9],
            ..Registers::default()
        };
        let bytes = arrived(&Incoming::received(&registers, &body), &body);
        let rest = &bytes[24 + 4 + 2 * 12..];
        assert_eq!(rest[..8], abi::classic::NDR_RECORD);
        assert_eq!(rest[8..16], [1, 0, 0, 0, 2, 0, 0, 0]);
        assert_eq!(rest[16..16 + size], 2_u64.to_le_bytes()[..size]);
        let last = 0x8000_0000_1234_5678_u64.to_le_bytes();
        assert_eq!(rest[16 + size..], last[..size], "nothing follows");
    }
    let mut answer = message(CALL, &abi::classic::NDR_RECORD);
    answer.extend([0; 4]);
    let short = |id: i32| {
        let mut answer = answer.clone();
        answer[20..24].copy_from_slice(&id.to_le_bytes());
        Outgoing::read(&answer).unwrap().shape == Shape::SHORT
    };
    assert!(short(2505) && short(2501));
    assert!(!short(2506) && !short(100));
}
