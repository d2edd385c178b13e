//! From the start page to C's `main`, and out again.

use alloc::ffi::CString;
use alloc::vec::Vec;
use core::convert::Infallible;
use core::ffi::{c_char, c_int};
use core::ptr;
use core::sync::atomic::Ordering;

use abi::start::{Page, names};
use libmach::sync::Mutex;
use libmach::{Context, abi};

use crate::bootstrap::bootstrap_port;

unsafe extern "C" {
    /// The program's.
    fn main(
        count: c_int,
        arguments: *const *const c_char,
        environment: *const *const c_char,
    ) -> c_int;
}

static CONTEXT: Mutex<Option<Context>> = Mutex::new(None);

/// What the program started with.
pub(crate) fn context() -> Option<Context> {
    *CONTEXT.lock()
}

/// The program's first instruction in Rust.
#[unsafe(no_mangle)]
extern "C" fn _start(page: *const Page) -> ! {
    // SAFETY: the task's creator calls `_start` once, on the first thread, with the start page in `rdi`.
    unsafe { libmach::machine::start::enter(page, begin) }
}

fn begin(context: Context) -> Result<(), Infallible> {
    *CONTEXT.lock() = Some(context);
    let service = context.port(names::BOOTSTRAP).unwrap_or_default();
    bootstrap_port.store(service.0, Ordering::Relaxed);
    let arguments = strings(context.arguments().map(str::as_bytes));
    let count = arguments.len() - 1;
    let pairs: Vec<Vec<u8>> = context
        .variables()
        .map(|(key, value)| [key.as_bytes(), b"=", value.as_bytes()].concat())
        .collect();
    let environment = strings(pairs.iter().map(Vec::as_slice));
    // SAFETY: C's `main`; both arrays stay, and end with a null pointer.
    let status = unsafe { main(count as c_int, arguments.as_ptr(), environment.as_ptr()) };
    context.exit(status as u8)
}

/// Strings as C has them, to stay for ever, and a null pointer behind them.
fn strings<'a>(all: impl Iterator<Item = &'a [u8]>) -> Vec<*const c_char> {
    // The start page's strings end at a NUL and hold none.
    let owned = all.map(|text| CString::new(text).unwrap_or_default());
    owned
        .map(|text| text.into_raw().cast_const())
        .chain([ptr::null()])
        .collect()
}

/// `exit`: ends the program; the low 8 bits are its status.
#[unsafe(no_mangle)]
extern "C" fn exit(status: c_int) -> ! {
    match context() {
        Some(context) => context.exit(status as u8),
        None => libmach::machine::start::exit(),
    }
}

/// `abort`: ends the program with an exception.
#[unsafe(no_mangle)]
extern "C" fn abort() -> ! {
    panic!("abort was called");
}
