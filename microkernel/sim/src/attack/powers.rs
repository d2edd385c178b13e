//! Rights to devices, which some attackers get: drivers are no more trusted than others.

use abi::names::Name;
use abi::names::disposition::COPY_SEND;
use abi::start::names;
use abi::transport::Interface;
use fuzz::Generator;
use interfaces::interrupt::InterruptRoot;
use interfaces::io::IoRoot;
use interfaces::memory::MemoryRoot;
use microkernel::base::ids::TaskId;
use microkernel::machine::Cpu;

use crate::sim::Sim;

/// What the first task got from the kernel.
pub(super) struct Powers {
    holder: TaskId,
    roots: [(Name, &'static str); 3],
}

impl Powers {
    /// Of the first task, which runs on this CPU.
    pub(super) fn of(sim: &mut Sim, cpu: Cpu) -> Self {
        let first = sim.current(cpu);
        let holder = sim.task_of(first);
        let mut first = sim.on(first);
        let mut find = |label| first.root(label);
        Self {
            holder,
            roots: [
                (find(names::IO_ROOT), <dyn IoRoot>::NAME),
                (find(names::INTERRUPT_ROOT), <dyn InterruptRoot>::NAME),
                (find(names::MEMORY_ROOT), <dyn MemoryRoot>::NAME),
            ],
        }
    }

    /// Gives a task one of them.
    pub(super) fn give_one(&self, sim: &mut Sim, to: TaskId, generator: &mut Generator) {
        let Generator { pool, rng, .. } = generator;
        let (name, interface) = self.roots[rng.below(self.roots.len())];
        let from = (self.holder, name, COPY_SEND);
        let given = sim.kernel.stage_right(&mut sim.machine, from, to);
        pool.add_service(given.unwrap_or_default(), interface, rng);
    }
}
