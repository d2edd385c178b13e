//! `mach_msg_server`: receives requests, lets a function answer them, sends the answers.
//!
//! The contract (G-02): the function fills in the reply and says whether it knew the request. Success, or
//! `MIG_NO_REPLY`, means that it has taken what the request brought; after any other code all of it is
//! released here, and the client gets the code alone. A reply tells its code behind an NDR record, as MIG's
//! do, or in its first word, as those of libmach's interfaces do.

use abi::classic::{HEADER_SIZE, Header, MAX_TRAILER_SIZE, NDR_RECORD, bits};
use abi::kern_return::{KernReturn, MessageReturn};
use abi::names::disposition;
use abi::registers::options;
use alloc::vec;
use alloc::vec::Vec;
use core::ptr;
use core::slice;
use libmach::abi;

use crate::message::mach_msg;
use crate::outgoing::u32_at;
use crate::release::mach_msg_destroy;

/// What answers one request. The request's size is that of its header.
pub type Demux = unsafe extern "C" fn(request: *mut Header, reply: *mut Header) -> i32;

/// Bytes of `mig_reply_error_t`.
const ERROR_SIZE: usize = HEADER_SIZE + NDR_RECORD.len() + 4;

/// A message buffer, aligned as C's structures are.
struct Buffer(Vec<u64>);

impl Buffer {
    fn new(size: usize) -> Self {
        Self(vec![0; size.div_ceil(8)])
    }

    fn header(&mut self) -> *mut Header {
        self.0.as_mut_ptr().cast()
    }

    fn size(&self) -> u32 {
        (self.0.len() * 8) as u32
    }
}

/// `mach_msg_server`: serves `port`, a receive right or a set, until a receive fails. Messages have at most
/// `max_size` bytes, trailer not counted; `option` are options of the receive.
///
/// # Safety
/// `demux` writes a whole message to `reply`, of at most `max_size` bytes, or leaves it as it is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mach_msg_server(
    demux: Demux,
    max_size: u32,
    port: u32,
    option: u32,
) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { serve(demux, (max_size, port, option), |_| true) }
}

/// `mach_msg_server_once`: serves one request.
///
/// # Safety
/// As for [`mach_msg_server`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mach_msg_server_once(
    demux: Demux,
    max_size: u32,
    port: u32,
    option: u32,
) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { serve(demux, (max_size, port, option), |served| served == 0) }
}

/// The loop; `goes_on` says by the number of served requests whether there is another one.
///
/// # Safety
/// As for [`mach_msg_server`].
unsafe fn serve(
    demux: Demux,
    (max_size, port, option): (u32, u32, u32),
    goes_on: impl Fn(u64) -> bool,
) -> u32 {
    let size = (max_size as usize).max(ERROR_SIZE) + MAX_TRAILER_SIZE;
    let (mut request, mut reply) = (Buffer::new(size), Buffer::new(size));
    // The reply that is to be sent with the next receive.
    let mut pending = false;
    let mut served = 0;
    while goes_on(served) {
        let code = if pending {
            // The answer goes out and the next request comes in, in one trap, in the answer's place.
            core::mem::swap(&mut request, &mut reply);
            // SAFETY: the buffer holds the reply that `answer` made, and has room for a request.
            unsafe { exchange(&mut request, options::RECEIVE | option, port) }
        } else {
            let (at, room) = (request.header(), request.size());
            // SAFETY: the buffer has that room.
            unsafe { mach_msg(at, options::RECEIVE | option, 0, room, port, 0, 0) }
        };
        if is_lost(code) {
            // The client is gone, or does not take its answer: that is no failure of the server.
            // SAFETY: the message was not sent, and its content is still this function's.
            unsafe { discard(&mut request) };
            pending = false;
            continue;
        }
        if code != MessageReturn::Success.0 {
            return code;
        }
        // SAFETY: the caller's promise.
        pending = unsafe { answer(demux, &mut request, &mut reply) };
        served += 1;
    }
    if pending {
        // SAFETY: the buffer holds the reply that `answer` made.
        let code = unsafe { exchange(&mut reply, 0, 0) };
        if is_lost(code) {
            // SAFETY: as above.
            unsafe { discard(&mut reply) };
        } else {
            return code;
        }
    }
    MessageReturn::Success.0
}

/// Sends a reply, and does what else `option` says in the same trap.
///
/// # Safety
/// The buffer holds a reply.
unsafe fn exchange(reply: &mut Buffer, option: u32, port: u32) -> u32 {
    let (at, room) = (reply.header(), reply.size());
    // SAFETY: the caller's promise.
    let Header { bits, size, .. } = unsafe { at.read() };
    // A send-once right always finds room; a client with a slow queue does not hold the server up.
    let once = bits & bits::REMOTE_MASK == u32::from(disposition::MOVE_SEND_ONCE);
    let send = if once {
        options::SEND
    } else {
        options::SEND | options::SEND_TIMEOUT
    };
    // SAFETY: the caller's promise; the buffer has that room.
    unsafe { mach_msg(at, send | option, size, room, port, 0, 0) }
}

const fn is_lost(code: u32) -> bool {
    code == MessageReturn::SendInvalidDest.0 || code == MessageReturn::SendTimedOut.0
}

/// Releases what an answer that was not sent would have brought.
///
/// # Safety
/// The buffer holds a whole message.
unsafe fn discard(reply: &mut Buffer) {
    // SAFETY: the caller's promise.
    unsafe { mach_msg_destroy(reply.header()) };
}

/// Lets the request be answered; says whether there is a reply to send.
///
/// # Safety
/// As for [`mach_msg_server`]; `request` holds a received message.
unsafe fn answer(demux: Demux, request: &mut Buffer, reply: &mut Buffer) -> bool {
    let (from, to) = (request.header(), reply.header());
    // SAFETY: the caller's promise: a message was received.
    let asked = unsafe { from.read() };
    // Until the function says otherwise, the request is an unknown one.
    let error = unknown(&asked);
    // SAFETY: the buffer is larger than an error reply, and nothing else points into it.
    unsafe { ptr::copy_nonoverlapping(error.as_ptr(), to.cast(), error.len()) };
    // SAFETY: the caller's promise.
    unsafe { demux(from, to) };
    // SAFETY: the function left a whole header there.
    let Header { bits, size, .. } = unsafe { to.read() };
    // SAFETY: the caller's promise: a whole message.
    let written = unsafe { slice::from_raw_parts(to.cast::<u8>(), size as usize) };
    if bits & bits::COMPLEX == 0 {
        let code = code_of(written);
        if code == KernReturn::MigNoReply {
            return false;
        }
        if code != KernReturn::Success {
            // SAFETY: a received message, whose reply right now belongs to the reply.
            unsafe {
                (*from).remote = abi::names::Name::NULL;
                mach_msg_destroy(from);
            }
        }
    }
    // SAFETY: as above.
    unsafe { (*to).remote.is_valid() }
}

/// The reply to a request that nobody knows.
fn unknown(asked: &Header) -> [u8; ERROR_SIZE] {
    let mut error = [0; ERROR_SIZE];
    let header = Header {
        bits: asked.bits & bits::REMOTE_MASK,
        size: ERROR_SIZE as u32,
        remote: asked.remote,
        id: asked.id.wrapping_add(abi::transport::REPLY_OFFSET),
        ..Header::default()
    };
    crate::incoming::write_header(&header, &mut error);
    error[HEADER_SIZE..][..NDR_RECORD.len()].copy_from_slice(&NDR_RECORD);
    let code = KernReturn::MigBadId.0.to_le_bytes();
    error[ERROR_SIZE - code.len()..].copy_from_slice(&code);
    error
}

/// The code of a reply without descriptors.
pub fn code_of(reply: &[u8]) -> KernReturn {
    let body = reply.get(HEADER_SIZE..).unwrap_or(&[]);
    let at = if body.starts_with(&NDR_RECORD) {
        NDR_RECORD.len()
    } else {
        0
    };
    u32_at(body, at).map_or(KernReturn::Success, KernReturn)
}
