//! Ring 0 on real hardware.
//!
//! `start` assembles the machine and enters the kernel. From then on every entry comes through `entry`
//! (traps) or `exceptions` (all else), asks [`Kernel`](microkernel::kernel::Kernel) under the one lock
//! what to do, and leaves through `exit`.
//!
//! Invariants: interrupts are off in ring 0 but while a CPU idles, when it holds nothing. A CPU's current
//! frame, root and attention bits in its [`PerCpu`](percpu::PerCpu) are written by that CPU alone.

mod apic;
mod asm;
mod boot_info;
mod cpu;
mod debug;
mod entry;
mod exceptions;
mod exit;
mod interrupts;
mod io_apic;
mod kernel;
mod lock;
mod log;
mod machine;
mod machine_check;
mod memory;
mod panic;
mod percpu;
mod ports;
mod shootdown;
mod smp;
mod start;
mod stretch;
mod time;
mod user_memory;
mod vector;
mod watchdog;
