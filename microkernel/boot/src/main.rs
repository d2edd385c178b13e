//! The boot stub: entered in 32-bit mode by PVH (QEMU's `-kernel`) or Multiboot2 (GRUB), it starts the kernel by the
//! Limine boot protocol. The logic is in the library beside it; `machine` holds what touches the machine.

#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod machine;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("the boot stub runs on the bare machine: build it with --target x86_64-unknown-none");
}
