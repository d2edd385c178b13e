//! The machine that kernel tests run on, the driver that plays the threads, and the model.
//!
//! [`machine::SimMachine`] implements the kernel's `Machine` with ordinary data, deterministically.
//! [`Sim`] joins it with a kernel: a test says which trap, fault or memory access the thread of a CPU
//! makes, and follows what the kernel answers. [`User`] gives traps their types.
//! [`model`] is an independent statement of the rules of rights and messages, and [`program`] runs
//! random programs on both; [`attack`] makes hostile traps beside a witness that must not notice.
//!
//! Everything goes through the kernel's public surface and the trap ABI. Violations panic: this is a
//! library for tests.
#![forbid(unsafe_code)]

pub mod attack;
pub mod image;
pub mod machine;
pub mod message;
pub mod model;
pub mod play;
pub mod program;
mod rng;
mod sim;
mod spawn;
pub mod surface;
pub mod user;

pub use message::{Reply, Request};
pub use play::Actor;
pub use rng::Rng;
pub use sim::{Answer, Config, Faulted, Path, Sim, VARIABLE};
pub use user::User;
