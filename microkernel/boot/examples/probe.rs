//! A kernel that prints what the boot stub told it to debugcon, checks what the protocol promises of the machine, and
//! ends QEMU: status 33 (`isa-debug-exit` value 0x10) when all is as promised, 35 when not.
//!
//! ```text
//! cargo build --release -p boot --target x86_64-unknown-none --bin boot --example probe
//! mkdir boot && cp .../examples/probe boot/kernel && echo task > boot/bootstrap.img
//! tar --format=ustar -cf boot.tar boot/kernel boot/bootstrap.img
//! qemu-system-x86_64 -kernel .../boot -initrd boot.tar -append "a b" -debugcon stdio -display none \
//!     -device isa-debug-exit,iobase=0xf4,iosize=0x04
//! ```

#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
#[path = "probe/kernel.rs"]
mod kernel;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("this kernel runs on the bare machine: build it with --target x86_64-unknown-none");
}
