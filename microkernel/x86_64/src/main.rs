//! The kernel's binary: ring 0's hardware half. All of it is in `bare`; the pure parts are in the library.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![deny(clippy::multiple_unsafe_ops_per_block)]

#[cfg(target_os = "none")]
mod bare;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("the kernel runs on the bare machine: build it with --target x86_64-unknown-none");
}
