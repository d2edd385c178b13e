//! `task_info`, `thread_info` and what the host tells by flavors.

use abi::kern_return::KernReturn;
use interfaces::bounded::List;
use interfaces::mach_host::MachHost;
use interfaces::task::Task;
use interfaces::thread::Thread;
use libmach::{SendRight, abi};

use crate::own::with;

/// Hands a flavor's words to the program.
///
/// # Safety
/// `info` has room for `*count` numbers, and `count` may be written to.
unsafe fn give_words<const N: usize>(
    found: Result<List<u32, N>, KernReturn>,
    info: *mut u32,
    count: *mut u32,
) -> u32 {
    match found {
        Ok(words) => {
            for (at, word) in words.iter().enumerate() {
                // SAFETY: the kernel gives no more words than it was told there is room for.
                unsafe { info.add(at).write(*word) };
            }
            // SAFETY: the caller's promise.
            unsafe { count.write(words.len() as u32) };
            KernReturn::Success.0
        }
        Err(code) => code.0,
    }
}

macro_rules! told {
    ($($(#[$doc:meta])* $name:ident of $target:ty: $method:ident;)+) => {$(
        $(#[$doc])*
        ///
        /// # Safety
        /// `info` has room for `*count` numbers of 32 bits, and `count` may be written to.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(of: u32, flavor: i32, info: *mut u32, count: *mut u32) -> u32 {
            // SAFETY: the caller's promise.
            let room = unsafe { count.read() };
            let flavor = flavor.cast_unsigned();
            let found = with(of, |of: &SendRight<$target>| of.client().$method(flavor, room));
            // SAFETY: the caller's promise.
            unsafe { give_words(found, info, count) }
        }
    )+};
}

told! {
    /// `task_info`.
    task_info of dyn Task: info_of;
    /// `thread_info`.
    thread_info of dyn Thread: info_of;
    /// `host_info`.
    host_info of dyn MachHost: info;
    /// `host_statistics`.
    host_statistics of dyn MachHost: statistics;
    /// `host_statistics64`.
    host_statistics64 of dyn MachHost: statistics;
}
