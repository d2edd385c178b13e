//! `mach_msg`: a send, a receive or both, with messages in the program's own memory.
//!
//! What the trap leaves to libmach is done here: deadlines from relative timeouts, another try after an
//! interruption (M-11), and messages that are larger than the program's buffer though the thread's buffer
//! has room for them (`stash`).

use core::slice;

use abi::classic::{Header, option, trailer};
use abi::kern_return::{KernReturn, MessageReturn};
use abi::message::{DESCRIPTOR_SIZE, Descriptor};
use abi::names::Name;
use abi::registers::{Shape, options};
use abi::trap::attribute;
use alloc::vec;
use libmach::trap::Registers;
use libmach::{abi, buffer, message, time, trap};

use crate::incoming::{Body, Facts, Incoming, trailer_size, write_header, write_trailer};
use crate::outgoing::{Outgoing, header};
use crate::release::{release, release_reply};
use crate::stash::{self, Waiting};

/// Options that there are. The trailer's are in the top byte.
const KNOWN: u32 = options::ALL & !options::PEEK | option::RECEIVE_LARGE_IDENTITY | trailer::MASK;
/// Options that the trap takes too.
const RECEIVE_OPTIONS: u32 = options::RECEIVE | options::RECEIVE_LARGE | options::RECEIVE_TIMEOUT;

/// What a call is about beside its messages.
#[derive(Clone, Copy, Debug)]
struct Call {
    option: u32,
    deadline: u64,
    /// Where to receive.
    port: Name,
}

impl Call {
    fn new(option: u32, port: u32, timeout: u32) -> Self {
        let limited = option & (options::SEND_TIMEOUT | options::RECEIVE_TIMEOUT) != 0;
        Self {
            option,
            deadline: if limited {
                time::deadline(time::ms(timeout.into()))
            } else {
                0
            },
            port: Name(port),
        }
    }

    const fn has(&self, option: u32) -> bool {
        self.option & option != 0
    }

    /// The registers, with the receive half that the call has.
    fn receiving(&self, registers: Registers) -> Registers {
        let registers = registers.receiving_on(self.port);
        Registers {
            word: registers.word | u64::from(self.option & RECEIVE_OPTIONS),
            deadline: self.deadline,
            ..registers
        }
    }
}

/// What a send's trap does when the message is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Then {
    Return,
    Receive,
}

/// Memory of the program's. One call may name the same twice, so that a reference lives for a step only.
#[derive(Clone, Copy, Debug)]
struct Area {
    start: *mut u8,
    size: usize,
}

impl Area {
    /// The bytes.
    ///
    /// # Safety
    /// The area is memory that the program lent to this call, and no other reference to it is alive.
    const unsafe fn bytes(&mut self) -> &mut [u8] {
        if self.size == 0 {
            // Then the program may have given a null pointer.
            return &mut [];
        }
        // SAFETY: the caller's promise.
        unsafe { slice::from_raw_parts_mut(self.start, self.size) }
    }
}

/// The thread's message buffer.
struct InBuffer;

impl Body for InBuffer {
    fn descriptor(&self, index: usize) -> Descriptor {
        buffer::descriptor(index)
    }

    fn data(&self, descriptors: usize, to: &mut [u8]) {
        buffer::copy_out_bytes(descriptors, to);
    }
}

/// `mach_msg`.
///
/// # Safety
/// With `MACH_SEND_MSG`, `message` has `send_size` bytes; with `MACH_RCV_MSG`, it has `receive_size`. What
/// the message gives away is the program's to give.
#[unsafe(no_mangle)]
#[allow(clippy::too_many_arguments, reason = "Mach's own signature")]
pub unsafe extern "C" fn mach_msg(
    message: *mut Header,
    option: u32,
    send_size: u32,
    receive_size: u32,
    receive_name: u32,
    timeout: u32,
    _notify: u32,
) -> u32 {
    let area = |size: u32| Area {
        start: message.cast(),
        size: size as usize,
    };
    let call = Call::new(option, receive_name, timeout);
    // SAFETY: the caller's promise.
    unsafe { run(&call, area(send_size), area(receive_size)) }
}

/// `mach_msg_overwrite`: with a buffer of its own for what is received, unless that is null.
///
/// # Safety
/// As for [`mach_msg`], `receive` with `receive_size` bytes.
#[unsafe(no_mangle)]
#[allow(clippy::too_many_arguments, reason = "Mach's own signature")]
pub unsafe extern "C" fn mach_msg_overwrite(
    message: *mut Header,
    option: u32,
    send_size: u32,
    receive_size: u32,
    receive_name: u32,
    timeout: u32,
    _notify: u32,
    receive: *mut Header,
    _receive_limit: u32,
) -> u32 {
    let to = if receive.is_null() { message } else { receive };
    let area = |start: *mut Header, size: u32| Area {
        start: start.cast(),
        size: size as usize,
    };
    let call = Call::new(option, receive_name, timeout);
    // SAFETY: the caller's promise.
    unsafe { run(&call, area(message, send_size), area(to, receive_size)) }
}

/// The whole call.
///
/// # Safety
/// The areas that the options make use of are the program's, lent for this call.
unsafe fn run(call: &Call, mut from: Area, mut to: Area) -> u32 {
    if call.option & !KNOWN != 0 {
        return KernReturn::NotSupported.0;
    }
    let receives = call.has(options::RECEIVE);
    if call.has(options::SEND) {
        // What is wrong with the receive does not stop the send (M-32).
        let at_once = receives && refused(call).is_none() && !stash::waits(call.port);
        let then = if at_once { Then::Receive } else { Then::Return };
        // SAFETY: the caller's promise; the reference ends with the call.
        match send(call, unsafe { from.bytes() }, then) {
            Err(code) => return code.0,
            Ok(None) => {}
            Ok(Some((code, registers))) => {
                // SAFETY: the caller's promise; the sender's reference is gone.
                if let Some(code) = settle(call, unsafe { to.bytes() }, code, &registers) {
                    return code.0;
                }
            }
        }
    }
    if !receives {
        return MessageReturn::Success.0;
    }
    // SAFETY: as above.
    receive(call, unsafe { to.bytes() }).0
}

/// What a receive fails with before it is tried.
fn refused(call: &Call) -> Option<MessageReturn> {
    if trailer_size(call.option).is_none() {
        Some(MessageReturn::ReceiveInvalidTrailer)
    } else if !call.port.is_valid() {
        Some(MessageReturn::ReceiveInvalidName)
    } else {
        None
    }
}

/// Sends, and receives in the same trap if it may; answers how that went.
fn send(
    call: &Call,
    from: &mut [u8],
    then: Then,
) -> Result<Option<(MessageReturn, Registers)>, MessageReturn> {
    loop {
        let outgoing = Outgoing::read(from)?;
        let registers = load(&outgoing);
        let registers = Registers {
            word: registers.word | u64::from(call.option & options::SEND_TIMEOUT),
            deadline: call.deadline,
            ..registers
        };
        let (code, got) = message::exchange(match then {
            Then::Receive => call.receiving(registers),
            Then::Return => registers,
        });
        match code.without_resources() {
            MessageReturn::SendTimedOut | MessageReturn::SendInterrupted => {
                give_back(from, &got);
                let again =
                    code == MessageReturn::SendInterrupted && !call.has(options::SEND_INTERRUPT);
                if !again {
                    return Err(code);
                }
            }
            plain if is_of_send(plain) => return Err(code),
            _ => return Ok((then == Then::Receive).then_some((code, got))),
        }
    }
}

/// Whether a code says that nothing was sent. Codes of the receive half begin at `0x1000_4000`.
const fn is_of_send(code: MessageReturn) -> bool {
    const SEND: u32 = 0x1000_0000;
    code.0 & !0xff == SEND
}

/// Puts a message into buffer and registers.
fn load(outgoing: &Outgoing<'_>) -> Registers {
    let mut count = 0;
    for descriptor in outgoing.descriptors() {
        // SAFETY: what it gives away is the program's to give (`mach_msg`).
        unsafe { buffer::set_descriptor_moving(count, descriptor) };
        count += 1;
    }
    if outgoing.shape.is_buffered() {
        buffer::copy_in_bytes(count, outgoing.data);
    }
    let Outgoing { to, reply, id, .. } = *outgoing;
    message::send_registers(0, to, reply, id, outgoing.shape, outgoing.words)
}

/// Writes a message that was not sent to where it came from, with the names that its rights have now.
fn give_back(from: &mut [u8], got: &Registers) {
    if let Some(sent) = header(from) {
        let returned = Incoming::returned(&sent, got, &InBuffer);
        if returned.size() <= from.len() {
            returned.write(&InBuffer, from);
        }
    }
}

/// Receives until there is something to tell.
fn receive(call: &Call, to: &mut [u8]) -> MessageReturn {
    if let Some(code) = refused(call) {
        return code;
    }
    loop {
        if let Some(code) = stash::receive(call.port, |waiting| hand_over(call, to, waiting)) {
            return code;
        }
        let registers = message::receive_registers(call.port);
        let (code, got) = message::exchange(call.receiving(registers));
        if let Some(code) = settle(call, to, code, &got) {
            return code;
        }
    }
}

/// What became of a receive; `None`: it was interrupted, and is to be repeated.
fn settle(
    call: &Call,
    to: &mut [u8],
    code: MessageReturn,
    got: &Registers,
) -> Option<MessageReturn> {
    match code.without_resources() {
        MessageReturn::Success
        | MessageReturn::ReceiveHeaderError
        | MessageReturn::ReceiveBodyError => Some(arrived(call, to, code, got)),
        MessageReturn::ReceiveInterrupted if !call.has(options::RECEIVE_INTERRUPT) => None,
        MessageReturn::ReceiveTooLarge => {
            // Larger than the thread's buffer: the kernel kept it, or has destroyed its body.
            tell_size(call, to, (upper_bound(got), got.local()));
            if !call.has(options::RECEIVE_LARGE) {
                release_reply(got);
            }
            Some(code)
        }
        _ => Some(code),
    }
}

/// How long a message may be that nobody has seen.
fn upper_bound(got: &Registers) -> usize {
    let shape: Shape = got.received().shape();
    let descriptors = shape.descriptors() as usize * DESCRIPTOR_SIZE;
    abi::classic::HEADER_SIZE + abi::classic::BODY_SIZE + descriptors + shape.size() as usize
}

/// A message is in registers and buffer: it goes to the program, or waits for a larger buffer.
fn arrived(call: &Call, to: &mut [u8], code: MessageReturn, got: &Registers) -> MessageReturn {
    let incoming = Incoming::received(got, &InBuffer);
    let facts = facts(call, got, &incoming, to.len());
    let size = incoming.size();
    if size + trailer_size(call.option).unwrap_or(0) <= to.len() {
        incoming.write(&InBuffer, to);
        add_trailer(call, to, (size, &facts));
        return code;
    }
    let mut image = vec![0; size];
    incoming.write(&InBuffer, &mut image);
    tell_size(call, to, (size, incoming.header.local));
    if call.has(options::RECEIVE_LARGE) {
        stash::keep(Waiting {
            under: call.port,
            local: incoming.header.local,
            image,
            facts,
            code,
        });
    } else {
        // SAFETY: the message was just received, and nobody else has seen it.
        unsafe { release(&image) };
    }
    MessageReturn::ReceiveTooLarge
}

/// What its trailer would say of a message. Words in registers come without their number; then it is the
/// one before the port's next, if nobody else receives there.
fn facts(call: &Call, got: &Registers, incoming: &Incoming, room: usize) -> Facts {
    let fits = incoming.size() <= room;
    let asked = call.option >> trailer::ELEMENTS_SHIFT & 0xf >= trailer::SEQUENCE;
    let sequence = if got.received().shape().is_buffered() {
        buffer::sequence()
    } else if asked || !fits {
        let next = trap::port_get_attribute(got.local(), attribute::SEQUENCE);
        (next.unwrap_or(1) as u32).wrapping_sub(1)
    } else {
        0
    };
    Facts {
        sequence,
        identity: got.identity(),
        label: got.label(),
    }
}

fn add_trailer(call: &Call, to: &mut [u8], (size, facts): (usize, &Facts)) {
    let start = size.next_multiple_of(4);
    let end = start + trailer_size(call.option).unwrap_or(0);
    if let Some(place) = to.get_mut(start..end) {
        write_trailer(facts, place);
    }
}

/// Says how large a message is that did not fit, trailer not counted, and where it is.
fn tell_size(call: &Call, to: &mut [u8], (size, local): (usize, Name)) {
    let identity = call.has(option::RECEIVE_LARGE_IDENTITY);
    let told = Header {
        size: size as u32,
        local: if identity { local } else { Name::NULL },
        ..Header::default()
    };
    if to.len() >= size_of::<Header>() {
        write_header(&told, to);
    }
}

/// Gives the program a message that waited, if there is room for it now.
fn hand_over(call: &Call, to: &mut [u8], waiting: &Waiting) -> Option<MessageReturn> {
    let size = waiting.image.len();
    if size + trailer_size(call.option).unwrap_or(0) <= to.len() {
        to[..size].copy_from_slice(&waiting.image);
        add_trailer(call, to, (size, &waiting.facts));
        return Some(waiting.code);
    }
    tell_size(call, to, (size, waiting.local));
    None
}
