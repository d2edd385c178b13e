//! How long interrupts stay off: the longest stretch of each kind, in ticks of the time stamp counter.
//!
//! Interrupts are off from the entry into ring 0 until user code runs again, the CPU idles, or the kernel
//! lets pending interrupts in between two steps of its work. An emulator that counts instructions as time makes
//! a stretch's ticks its instructions, but for the few dozen of the entry's and the exit's assembly.
//!
//! What is told together ends where a program ends a line at the debug console: behind it come the longest stretches
//! since the line before, and the measurement begins anew. So a program's report has the figures of each of its parts.
//!
//! Only with the feature `stretches` is anything measured: two readings and a search in a small table each time are
//! too much for the message path. Without it [`begin`] and [`end`] are nothing.

/// Why ring 0 was entered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cause {
    /// A `mach_msg` with this message id.
    Message(u32),
    /// Another trap, whose number is in the thread's frame.
    Trap,
    /// An interrupt or exception.
    Vector(u8),
    /// The next step of what was begun by the CPU's last other cause.
    Step,
}

#[cfg(not(feature = "stretches"))]
mod nothing {
    use super::Cause;

    #[inline(always)]
    pub(crate) fn begin(_: Cause) {}

    #[inline(always)]
    pub(crate) fn end() {}

    #[inline(always)]
    pub(crate) fn written(_port: u16, _value: u32) {}
}
#[cfg(not(feature = "stretches"))]
pub(crate) use nothing::{begin, end, written};

#[cfg(feature = "stretches")]
mod measured {
    use core::fmt;
    use core::sync::atomic::{AtomicU64, Ordering};

    use microkernel::machine::MAX_CPUS;

    use super::Cause;
    use crate::bare::log::{DEBUG_CONSOLE, log};
    use crate::bare::{asm, exit, percpu};

    /// How many kinds of stretches each CPU tells apart; what comes later counts as the last one.
    const KINDS: usize = 128;

    /// What a stretch was for, as a number: the sort in the upper half, its own number in the lower.
    mod sort {
        pub(super) const MESSAGE: u64 = 1 << 32;
        pub(super) const TRAP: u64 = 2 << 32;
        pub(super) const VECTOR: u64 = 3 << 32;
        pub(super) const MASK: u64 = 7 << 32;
        /// A later step of the same.
        pub(super) const STEP: u64 = 1 << 63;
    }

    struct Kind {
        /// 0: none yet.
        what: AtomicU64,
        longest: AtomicU64,
    }

    /// What one CPU measured. Only that CPU writes it.
    struct Measured {
        /// When interrupts went off; 0: nobody said yet.
        since: AtomicU64,
        what: AtomicU64,
        kinds: [Kind; KINDS],
    }

    static CPUS: [Measured; MAX_CPUS] = [const {
        Measured {
            since: AtomicU64::new(0),
            what: AtomicU64::new(0),
            kinds: [const {
                Kind {
                    what: AtomicU64::new(0),
                    longest: AtomicU64::new(0),
                }
            }; KINDS],
        }
    }; MAX_CPUS];

    fn own() -> &'static Measured {
        &CPUS[percpu::number().0 as usize]
    }

    /// Interrupts are off from now on.
    pub(crate) fn begin(cause: Cause) {
        let own = own();
        let what = match cause {
            Cause::Message(id) => sort::MESSAGE | u64::from(id),
            Cause::Trap => {
                let frame = exit::current(percpu::this());
                // SAFETY: the frame is that of the thread that trapped on this CPU.
                sort::TRAP | u64::from(unsafe { (*frame).rax } as u32)
            }
            Cause::Vector(number) => sort::VECTOR | u64::from(number),
            Cause::Step => own.what.load(Ordering::Relaxed) | sort::STEP,
        };
        own.what.store(what, Ordering::Relaxed);
        own.since.store(asm::time_stamp(), Ordering::Relaxed);
    }

    /// They are let in again.
    pub(crate) fn end() {
        let (own, now) = (own(), asm::time_stamp());
        let since = own.since.swap(0, Ordering::Relaxed);
        if since == 0 {
            return;
        }
        let what = own.what.load(Ordering::Relaxed);
        let mut place = &own.kinds[KINDS - 1];
        for kind in &own.kinds {
            let known = kind.what.load(Ordering::Relaxed);
            if known == what || known == 0 {
                place = kind;
                break;
            }
        }
        place.what.store(what, Ordering::Relaxed);
        place
            .longest
            .fetch_max(now.saturating_sub(since), Ordering::Relaxed);
    }

    struct What(u64);

    impl fmt::Display for What {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            if self.0 & sort::STEP != 0 {
                f.write_str("a step after ")?;
            }
            let number = self.0 as u32;
            match self.0 & sort::MASK {
                sort::MESSAGE => write!(f, "message {number}"),
                sort::TRAP => write!(f, "trap {}", number as i32),
                _ => write!(f, "vector {number}"),
            }
        }
    }

    /// A program wrote a value to a port. Where that ends a line at the debug console, what was measured is told and
    /// forgotten; the trap that wrote it is not measured, for most of it is the telling.
    pub(crate) fn written(port: u16, value: u32) {
        if port != DEBUG_CONSOLE || value != u32::from(b'\n') {
            return;
        }
        for kind in CPUS.iter().flat_map(|cpu| &cpu.kinds) {
            let longest = kind.longest.swap(0, Ordering::Relaxed);
            let what = kind.what.swap(0, Ordering::Relaxed);
            if what != 0 {
                log!("kernel: stretch {longest} of {}", What(what));
            }
        }
        own().since.store(0, Ordering::Relaxed);
    }
}
#[cfg(feature = "stretches")]
pub(crate) use measured::{begin, end, written};
