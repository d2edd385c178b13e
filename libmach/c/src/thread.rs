//! `thread_*`: threads of any task; and threads of the calling one, with all that the library needs.

use abi::kern_return::KernReturn;
use abi::thread_state::{
    AVX_FLAVOR, AVX_SIZE, DEBUG_FLAVOR, DebugState, FIXED_FLAGS, FLAVOR, FLOAT_FLAVOR, FLOAT_SIZE,
    ThreadState,
};
use core::ffi::c_void;
use interfaces::task::Task;
use interfaces::thread::Thread;
use libmach::trap::Outcome;
use libmach::{SendRight, abi};

use crate::ignore;
use crate::own::{code, code_of, give, named, with};

/// Numbers of 32 bits in an `x86_thread_state64_t`.
pub const STATE_COUNT: u32 = (size_of::<ThreadState>() / 4) as u32;

type Target = SendRight<dyn Thread>;

/// `thread_create`: suspended, without registers.
///
/// # Safety
/// `thread` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn thread_create(task: u32, thread: *mut u32) -> u32 {
    let state = ThreadState {
        rflags: FIXED_FLAGS,
        ..ThreadState::default()
    };
    let made = with(task, |task: &SendRight<dyn Task>| {
        task.client().thread_create(state)
    });
    // SAFETY: the caller's promise.
    unsafe { give(made.map(named), thread) }
}

/// The registers that a program names.
///
/// # Safety
/// `state` has `count` numbers of 32 bits.
unsafe fn state_at(flavor: i32, state: *const u32, count: u32) -> Outcome<ThreadState> {
    if flavor.cast_unsigned() != FLAVOR || count < STATE_COUNT {
        return Err(KernReturn::InvalidArgument);
    }
    // SAFETY: the caller's promise: room for all of it. Any bits are registers.
    Ok(unsafe { state.cast::<ThreadState>().read_unaligned() })
}

/// `thread_create_running`.
///
/// # Safety
/// `state` has `count` numbers of 32 bits, and `thread` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn thread_create_running(
    task: u32,
    flavor: i32,
    state: *const u32,
    count: u32,
    thread: *mut u32,
) -> u32 {
    // SAFETY: the caller's promise.
    let state = unsafe { state_at(flavor, state, count) };
    let made = state.and_then(|state| {
        with(task, |task: &SendRight<dyn Task>| {
            let thread = task.client().thread_create(state)?;
            let resumed = thread.client().resume();
            // What never ran is ended again.
            resumed.inspect_err(|_| ignore(thread.client().terminate()))?;
            Ok(named(thread))
        })
    });
    // SAFETY: the caller's promise.
    unsafe { give(made, thread) }
}

/// `thread_terminate`.
#[unsafe(no_mangle)]
pub extern "C" fn thread_terminate(thread: u32) -> u32 {
    code(with(thread, |thread: &Target| thread.client().terminate()))
}

/// `thread_suspend`.
#[unsafe(no_mangle)]
pub extern "C" fn thread_suspend(thread: u32) -> u32 {
    code(with(thread, |thread: &Target| thread.client().suspend()))
}

/// `thread_resume`.
#[unsafe(no_mangle)]
pub extern "C" fn thread_resume(thread: u32) -> u32 {
    code(with(thread, |thread: &Target| thread.client().resume()))
}

/// `thread_abort`.
#[unsafe(no_mangle)]
pub extern "C" fn thread_abort(thread: u32) -> u32 {
    code(with(thread, |thread: &Target| thread.client().abort()))
}

/// `thread_abort_safely`: `KERN_FAILURE` where the thread could not begin its wait again.
#[unsafe(no_mangle)]
pub extern "C" fn thread_abort_safely(thread: u32) -> u32 {
    code(with(thread, |thread: &Target| {
        thread.client().abort_safely()
    }))
}

/// `thread_depress_abort`.
#[unsafe(no_mangle)]
pub extern "C" fn thread_depress_abort(thread: u32) -> u32 {
    code(with(thread, |thread: &Target| {
        thread.client().depress_abort()
    }))
}

/// Numbers of 32 bits in a flavor's registers.
fn count_of(flavor: i32) -> Outcome<u32> {
    let bytes = match flavor.cast_unsigned() {
        FLAVOR => size_of::<ThreadState>(),
        FLOAT_FLAVOR => FLOAT_SIZE,
        DEBUG_FLAVOR => size_of::<DebugState>(),
        AVX_FLAVOR => AVX_SIZE,
        _ => return Err(KernReturn::InvalidArgument),
    };
    Ok(bytes as u32 / 4)
}

/// The same, where the program has so many, or room for them.
fn count_within(flavor: i32, room: u32) -> Outcome<u32> {
    let count = count_of(flavor)?;
    let fits = (count <= room).then_some(count);
    fits.ok_or(KernReturn::InvalidArgument)
}

/// `thread_get_state`.
///
/// # Safety
/// `state` has room for `*count` numbers of 32 bits, and `count` may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn thread_get_state(
    thread: u32,
    flavor: i32,
    state: *mut u32,
    count: *mut u32,
) -> u32 {
    // SAFETY: the caller's promise.
    let within = count_within(flavor, unsafe { count.read() });
    let found = within.and_then(|words| {
        let flavor = flavor.cast_unsigned();
        let found = with(thread, |thread: &Target| {
            thread.client().get_state_of(flavor)
        });
        Ok((found?, words))
    });
    match found {
        Ok((bytes, words)) => {
            let size = bytes.len().min(4 * words as usize);
            // SAFETY: the caller's promise: room for so many bytes, which are no part of what came.
            unsafe {
                state
                    .cast::<u8>()
                    .copy_from_nonoverlapping(bytes.as_ptr(), size)
            };
            // SAFETY: the caller's promise.
            unsafe { count.write(words) };
            KernReturn::Success.0
        }
        Err(code) => code.0,
    }
}

/// `thread_set_state`.
///
/// # Safety
/// `state` has `count` numbers of 32 bits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn thread_set_state(
    thread: u32,
    flavor: i32,
    state: *const u32,
    count: u32,
) -> u32 {
    code(count_within(flavor, count).and_then(|words| {
        // SAFETY: the caller's promise; any bytes will do.
        let bytes = unsafe { core::slice::from_raw_parts(state.cast(), 4 * words as usize) };
        let flavor = flavor.cast_unsigned();
        with(thread, |thread: &Target| {
            thread.client().set_state_of(flavor, bytes)
        })
    }))
}

/// What a thread of [`mello_thread_start`] runs.
type Body = extern "C" fn(*mut c_void);

/// An argument on its way to another thread.
struct Argument(*mut c_void);

// SAFETY: the program gives it from one thread to another; what it means is the program's.
unsafe impl Send for Argument {}

impl Argument {
    /// Takes the whole value, so that a closure holds what may be sent.
    fn into_inner(self) -> *mut c_void {
        self.0
    }
}

/// `mello_thread_start`: a thread of this task that runs `body`, with a stack of 256 KiB and all that the library
/// needs. It ends when `body` returns.
#[unsafe(no_mangle)]
pub extern "C" fn mello_thread_start(body: Body, argument: *mut c_void) -> u32 {
    let argument = Argument(argument);
    let started = libmach::thread::spawn(move || body(argument.into_inner()));
    code(started.map(|_| ()).map_err(code_of))
}

/// `mello_thread_attach`: what a thread made by `thread_create` calls first of this library.
#[unsafe(no_mangle)]
pub extern "C" fn mello_thread_attach() -> u32 {
    code(libmach::thread::attach().map_err(code_of))
}
