//! What touches the machine: the entry, memory by identity map, the consoles of last resort, the processor, the jump.
//!
//! All of the stub's unsafe code is here. One processor runs, interrupts are off, and nothing returns.

mod console;
mod cpu;
mod entry;
mod exceptions;
mod identity;
mod port;

use core::fmt::Write;
use core::panic::PanicInfo;

use boot::{Choices, Error, Handoff, Machine, multiboot2, prepare, pvh};

use console::{Debugcon, Everywhere};
use entry::Protocol;
use identity::Identity;

/// Called by the entry code once long mode is on.
fn main(protocol: Protocol, info: u32) -> ! {
    exceptions::catch();
    match start(protocol, info) {
        Ok(handoff) => cpu::jump(&handoff),
        Err(error) => fail(format_args!("{error}")),
    }
}

fn start(protocol: Protocol, info: u32) -> Result<Handoff, Error> {
    let (stub, jump_page) = entry::layout();
    let mut memory = Identity::new(stub);
    let parsed = match protocol {
        Protocol::Pvh => pvh::parse(&memory, u64::from(info))?,
        Protocol::Multiboot2 => multiboot2::parse(&memory, u64::from(info))?,
    };
    let (no_execute, largest_page) = cpu::features();
    let machine = Machine {
        stub,
        jump_page,
        no_execute,
        largest_page,
    };
    let usable = parsed.memory.usable();
    let archive = parsed.module.1.saturating_sub(parsed.module.0);
    let direct_map = Choices::of(&parsed.command_line).direct_map();
    let handoff = prepare(&mut memory, parsed, &machine)?;
    // Nothing is lost when a line of the log is: debugcon always takes it.
    writeln!(
        Debugcon,
        "boot: {} by {protocol}, {} MiB usable, archive of {} KiB, direct map at {direct_map:#x}, entering the kernel at {:#x}",
        env!("CARGO_PKG_VERSION"),
        usable >> 20,
        archive >> 10,
        handoff.entry
    )
    .unwrap_or_default();
    Ok(handoff)
}

/// Says why there is no boot, ends QEMU if this is one, and stops.
fn fail(why: core::fmt::Arguments<'_>) -> ! {
    writeln!(Everywhere::open(), "boot: error: {why}").unwrap_or_default();
    cpu::stop()
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    fail(format_args!("a defect of the stub: {info}"))
}
