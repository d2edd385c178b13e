//! The one lock, and what it guards: the kernel and the machine that it drives.

use core::mem::MaybeUninit;

use ksync::Lock;
use microkernel::base::ids::PortId;
use microkernel::ipc::fast::{Passed, Refused};
use microkernel::kernel::{Boot, BootError, Kernel};
use microkernel::machine::{Cpu, Event, Next, Request};

use super::machine::Hardware;

/// The kernel and its machine.
pub(crate) struct Guarded {
    pub(crate) machine: Hardware,
    kernel: MaybeUninit<Kernel>,
    ready: bool,
}

/// Everything that ring 0 shares between CPUs, but for free memory and flushes.
pub(crate) static KERNEL: Lock<Guarded> = Lock::new(Guarded {
    machine: Hardware::new(),
    kernel: MaybeUninit::uninit(),
    ready: false,
});

impl Guarded {
    /// Makes the kernel. Once, before any event.
    ///
    /// # Errors
    /// See [`BootError`].
    #[inline(never)]
    pub(crate) fn boot(&mut self, boot: &Boot) -> Result<(), BootError> {
        self.kernel.write(Kernel::new(&mut self.machine, boot)?);
        self.ready = true;
        Ok(())
    }

    /// Asks the kernel what a CPU does after an event, other than a message that it could pass on.
    #[inline(always)]
    pub(crate) fn handle(&mut self, cpu: Cpu, event: Event) -> Next {
        let (kernel, machine) = self.parts();
        kernel.handle_generally(machine, cpu, event)
    }

    /// As [`handle`](Self::handle), of the null trap; `None`: the trap is another one.
    #[inline(always)]
    pub(crate) fn null_trap(&mut self, cpu: Cpu) -> Option<Next> {
        let (kernel, machine) = self.parts();
        kernel.null_trap(machine, cpu)
    }

    /// As [`handle`](Self::handle), of a trap that is not the null trap.
    #[inline(always)]
    pub(crate) fn trap(&mut self, cpu: Cpu) -> Next {
        let (kernel, machine) = self.parts();
        kernel.trap(machine, cpu)
    }

    /// As [`handle`](Self::handle), of an exception of the CPU's thread.
    #[inline(always)]
    pub(crate) fn exception(&mut self, cpu: Cpu, vector: u8, code: u64) -> Next {
        let (kernel, machine) = self.parts();
        kernel.exception(machine, cpu, vector, code)
    }

    /// As [`handle`](Self::handle), of a short call to a kernel object.
    #[inline(always)]
    pub(crate) fn call(&mut self, cpu: Cpu, port: PortId) -> Next {
        let (kernel, machine) = self.parts();
        kernel.call(machine, cpu, port)
    }

    /// Asks the kernel to pass a message on.
    #[inline(always)]
    pub(crate) fn pass(&mut self, cpu: Cpu, request: Request) -> Result<Passed, Refused> {
        let (kernel, machine) = self.parts();
        kernel.pass(machine, cpu, request)
    }

    /// As [`pass`](Self::pass), of a message that carries one right.
    #[inline(always)]
    pub(crate) fn pass_with_right(
        &mut self,
        cpu: Cpu,
        request: Request,
    ) -> Result<Passed, Refused> {
        let (kernel, machine) = self.parts();
        kernel.pass_with_right(machine, cpu, request)
    }

    #[inline(always)]
    fn parts(&mut self) -> (&mut Kernel, &mut Hardware) {
        debug_assert!(self.ready);
        // SAFETY: events come from user mode, which `boot` makes possible, and from CPUs that idle,
        // which they do after `boot` only.
        let kernel = unsafe { self.kernel.assume_init_mut() };
        (kernel, &mut self.machine)
    }

    /// The kernel, if there is one already.
    pub(crate) fn kernel(&self) -> Option<&Kernel> {
        // SAFETY: `ready` is set when it was written.
        self.ready.then(|| unsafe { self.kernel.assume_init_ref() })
    }
}
