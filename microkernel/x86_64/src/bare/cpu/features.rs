//! [`Features`]: what CPUID reports, as far as the kernel cares. The same on every CPU of a machine.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::bare::asm::cpuid;

/// What the CPU can do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Features {
    pub(crate) fsgsbase: bool,
    pub(crate) smep: bool,
    pub(crate) smap: bool,
    pub(crate) umip: bool,
    /// Both PCID and `invpcid`: one without the other is not worth its code.
    pub(crate) pcid: bool,
    pub(crate) xsave: bool,
    pub(crate) x2apic: bool,
    pub(crate) tsc_deadline: bool,
    /// The exception, and the registers that say what was wrong.
    pub(crate) machine_checks: bool,
    no_execute: bool,
    syscall: bool,
}

/// What [`features`] found, one bit each, and [`KNOWN`].
static FOUND: AtomicU32 = AtomicU32::new(0);
const KNOWN: u32 = 1 << 31;

/// What CPUID said when it was asked first: under a hypervisor each question is an exit.
#[inline]
pub(crate) fn features() -> Features {
    let mut found = FOUND.load(Ordering::Relaxed);
    if found == 0 {
        found = ask() | KNOWN;
        FOUND.store(found, Ordering::Relaxed);
    }
    let has = |bit: u32| found >> bit & 1 != 0;
    Features {
        fsgsbase: has(0),
        smep: has(1),
        smap: has(2),
        umip: has(3),
        pcid: has(4),
        xsave: has(5),
        x2apic: has(6),
        tsc_deadline: has(7),
        machine_checks: has(8),
        no_execute: has(9),
        syscall: has(10),
    }
}

#[cold]
fn ask() -> u32 {
    let basic = cpuid(1, 0);
    let (b, c) = if cpuid(0, 0).eax >= 7 {
        let extended = cpuid(7, 0);
        (extended.ebx, extended.ecx)
    } else {
        (0, 0)
    };
    let amd = cpuid(0x8000_0001, 0);
    // In the order of the fields.
    let bits = [
        b & 1,
        b >> 7,
        b >> 20,
        c >> 2,
        basic.ecx >> 17 & b >> 10,
        basic.ecx >> 26,
        basic.ecx >> 21,
        basic.ecx >> 24,
        basic.edx >> 7 & basic.edx >> 14,
        amd.edx >> 20,
        amd.edx >> 11,
    ];
    bits.iter().rev().fold(0, |found, bit| found << 1 | bit & 1)
}

impl Features {
    /// What the kernel cannot do without.
    ///
    /// # Errors
    /// What is missing.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if !self.no_execute {
            return Err("the CPU has no no-execute bit");
        }
        if !self.syscall {
            return Err("the CPU has no syscall instruction");
        }
        Ok(())
    }
}

impl core::fmt::Display for Features {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let names = [
            (self.fsgsbase, "fsgsbase"),
            (self.smep, "smep"),
            (self.smap, "smap"),
            (self.umip, "umip"),
            (self.pcid, "pcid"),
            (self.xsave, "xsave"),
            (self.x2apic, "x2apic"),
            (self.tsc_deadline, "tsc-deadline"),
            (self.machine_checks, "machine-checks"),
        ];
        for (there, name) in names {
            if there {
                write!(f, " {name}")?;
            }
        }
        Ok(())
    }
}
