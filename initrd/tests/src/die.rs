//! `tests --die KIND`: ends in a way that the supervisor must see.

use libmach::Context;
use libmach::abi::exception;
use libmach::abi::vm::protection;

use crate::{hogs, raw};

/// How the supervisor sees an end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    /// An exit with this status.
    Exit(u8),
    /// One of these exceptions.
    Exception(&'static [u32]),
}

/// An end.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// What it is called on the command line.
    pub name: &'static str,
    /// How the supervisor sees it.
    pub seen: Seen,
    act: fn(),
}

const ACCESS: Seen = Seen::Exception(&[exception::BAD_ACCESS]);
const INSTRUCTION: Seen = Seen::Exception(&[exception::BAD_INSTRUCTION]);
/// A privileged instruction and a non-canonical address are the same fault to the processor (#GP,
/// Intel SDM volume 3A, 6.15).
const PROTECTION: Seen = Seen::Exception(&[exception::BAD_INSTRUCTION, exception::BAD_ACCESS]);

/// Where the kernel lives: the upper half of the address space.
const KERNEL: u64 = 0xffff_8000_0000_0000;
/// A page that the ledger has no room for.
const HOG: Seen = Seen::Exception(&[exception::RESOURCE, exception::BAD_ACCESS]);
const HOG_SIZE: u64 = 1 << 20;
const NON_CANONICAL: u64 = 0x8000_0000_0000_0000;
const PAGE: u64 = 4096;

const fn kind(name: &'static str, seen: Seen, act: fn()) -> Kind {
    Kind { name, seen, act }
}

/// All of them.
pub const ALL: [Kind; 26] = [
    kind("regularly", Seen::Exit(7), || {}),
    kind("null-read", ACCESS, || drop(raw::peek(0, 1))),
    kind("null-write", ACCESS, || raw::poke(8, 1, 1)),
    kind("kernel-read", ACCESS, || drop(raw::peek(KERNEL, 1))),
    kind("kernel-write", ACCESS, || raw::poke(KERNEL, 1, 0)),
    kind("kernel-jump", ACCESS, || raw::jump(KERNEL)),
    kind("non-canonical-read", PROTECTION, || {
        drop(raw::peek(NON_CANONICAL, 1));
    }),
    kind("non-canonical-jump", PROTECTION, || {
        raw::jump(NON_CANONICAL)
    }),
    kind("code-write", ACCESS, || {
        raw::poke(code(), 1, 0xcc);
    }),
    kind("data-jump", ACCESS, || {
        if let Ok(address) = raw::allocate(PAGE) {
            // `ret`, which would come back from memory that may be executed.
            raw::poke(address, 1, 0xc3);
            raw::jump(address);
        }
    }),
    kind("freed-read", ACCESS, || {
        if let Ok(address) = raw::allocate(PAGE)
            && raw::deallocate(address, PAGE).is_ok()
        {
            drop(raw::peek(address, 1));
        }
    }),
    kind("read-only-write", ACCESS, || {
        if let Ok(address) = raw::allocate(PAGE)
            && raw::protect(address, PAGE, protection::READ).is_ok()
        {
            raw::poke(address, 1, 1);
        }
    }),
    kind(
        "divide-by-zero",
        Seen::Exception(&[exception::ARITHMETIC]),
        raw::divide_by_zero,
    ),
    kind("undefined-instruction", INSTRUCTION, raw::undefined),
    kind("privileged-instruction", PROTECTION, || {
        raw::privileged();
        raw::touch_port();
    }),
    kind("compatibility-code", PROTECTION, raw::enter_compatibility),
    kind("memory-hog", HOG, || {
        while let Ok(address) = raw::allocate(HOG_SIZE) {
            raw::poke(address, HOG_SIZE as usize, 1);
        }
    }),
    kind("name-hog", Seen::Exit(7), hogs::names),
    kind("message-hog", Seen::Exit(7), hogs::messages),
    kind("rights-hog", Seen::Exit(7), hogs::nested_rights),
    kind("thread-hog", Seen::Exit(7), hogs::threads),
    kind("fork-bomb", Seen::Exit(7), hogs::forks),
    kind("region-hog", Seen::Exit(7), hogs::regions),
    kind("table-hog", HOG, hogs::tables),
    kind("slow-pager", Seen::Exit(7), hogs::slow_pager),
    kind(
        "unknown-trap",
        Seen::Exception(&[exception::MACH_SYSCALL]),
        raw::unknown_trap,
    ),
];

/// Where this program's code is.
fn code() -> u64 {
    code as *const () as u64
}

/// Ends this task as `kind` says. Whoever lives on after what should have ended it exits with 99.
pub fn die(context: &Context, kind: &str) -> ! {
    match ALL.iter().find(|known| known.name == kind) {
        Some(known) => {
            (known.act)();
            match known.seen {
                Seen::Exit(status) => context.exit(status),
                Seen::Exception(_) => context.exit(99),
            }
        }
        None => context.exit(98),
    }
}
