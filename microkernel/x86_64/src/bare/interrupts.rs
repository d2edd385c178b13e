//! What each interrupt and exception means.

use microkernel::machine::{Access, Event};

use super::exceptions::vector as exception;
use super::lock;
use super::percpu::{Pause, PerCpu};
use super::{apic, asm, debug, exceptions, exit, shootdown, time, vector};

/// Vectors of the local APIC and of devices.
pub(crate) mod number {
    /// The first interrupt line's vector; the others follow.
    pub(crate) const LINES: u8 = 0x30;
    /// One past the last line's.
    pub(crate) const LINES_END: u8 = 0xe0;
    /// Another CPU asks for a look at the run queues.
    pub(crate) const KICK: u8 = 0xe0;
    /// Another CPU set this one's deadline.
    pub(crate) const DEADLINE: u8 = 0xe1;
    /// Another CPU changed mappings.
    pub(crate) const SHOOTDOWN: u8 = 0xe2;
    /// The timer.
    pub(crate) const TIMER: u8 = 0xe3;
    /// What the local APIC raises when an interrupt went away. Its low four bits are set.
    pub(crate) const SPURIOUS: u8 = 0xef;
}

/// Does what an interrupt asks for, and leaves ring 0.
pub(crate) fn dispatch(area: &'static PerCpu, number: u8, code: u64) -> ! {
    let pause = area.pause.replace(Pause::None);
    match number {
        exception::NO_VECTORS => vector::first_use(area),
        exception::DOUBLE_FAULT | exception::MACHINE_CHECK => exceptions::stop(area, number, code),
        exception::DEBUG => {
            let code = debug::met(area);
            ask(
                area,
                Event::Exception {
                    vector: number,
                    code,
                },
            )
        }
        exception::PAGE_FAULT => {
            let (address, access) = (asm::read_cr2(), access(code));
            ask(area, Event::Fault { address, access })
        }
        0..exception::EXCEPTIONS => {
            let mut kernel = lock::take();
            let next = kernel.exception(area.cpu(), number, code);
            exit::leave(kernel, next)
        }
        number::SHOOTDOWN => {
            shootdown::answer();
            apic::end_of_interrupt();
        }
        number::KICK => {
            apic::end_of_interrupt();
            ask(area, Event::Kick)
        }
        number::DEADLINE => {
            apic::end_of_interrupt();
            time::program(area);
        }
        number::TIMER => {
            apic::end_of_interrupt();
            if time::is_due(area) {
                ask(area, Event::Timer)
            }
        }
        number::LINES..number::LINES_END => fire(area, number),
        // Spurious: no end of interrupt. Any other number is of nobody.
        _ => {}
    }
    match pause {
        Pause::None => exit::resume(area),
        Pause::Idle => exit::wait(area),
        Pause::Work => ask(area, Event::Continue),
    }
}

fn access(code: u64) -> Access {
    if code & 1 << 4 != 0 {
        Access::Execute
    } else if code & 1 << 1 != 0 {
        Access::Write
    } else {
        Access::Read
    }
}

/// Tells the kernel, and leaves ring 0 as it says.
pub(crate) fn ask(area: &'static PerCpu, event: Event) -> ! {
    let mut kernel = lock::take();
    let next = kernel.handle(area.cpu(), event);
    exit::leave(kernel, next)
}

/// A device's line fired. Returns when the kernel need not know.
fn fire(area: &'static PerCpu, vector: u8) {
    let line = u32::from(vector - number::LINES);
    let mut kernel = lock::take();
    let deliver = kernel.machine.line_fired(line);
    apic::end_of_interrupt();
    if deliver {
        let next = kernel.handle(area.cpu(), Event::Interrupt { line });
        exit::leave(kernel, next)
    }
}

const _: () = {
    let lines = (number::LINES_END - number::LINES) as usize;
    assert!(lines == microkernel_x86_64::lines::MAX_LINES);
    assert!(number::SPURIOUS & 0xf == 0xf);
};
