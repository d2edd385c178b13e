//! The MelloOS microkernel as a state machine.
//!
//! All kernel state is one value, [`Kernel`](kernel::Kernel). A trap, fault, interrupt or timer is one
//! call of [`Kernel::handle`](kernel::Kernel::handle), which never blocks and answers which thread that
//! CPU runs now. Time, memory and hardware come in through one trait, [`Machine`](machine::Machine); so
//! the whole kernel runs on the host, against a simulated machine, exactly as it runs in ring 0.
//!
//! Layers, each importing only those before it: [`base`] and [`machine`]; [`sched`] and [`vm`];
//! [`ipc`]; [`task`]; [`kobj`] and [`trap`]; [`kernel`].
//!
//! Deliberately absent: statics, interior mutability, clock reads, and pointers between objects. Objects
//! live in arenas and name each other by id.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod base;
pub mod ipc;
pub mod kernel;
pub mod kobj;
pub mod machine;
pub mod sched;
pub mod task;
pub mod trap;
pub mod vm;
