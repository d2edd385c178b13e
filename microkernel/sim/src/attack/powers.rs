//! Rights to devices, which some attackers get: drivers are no more trusted than others.

use abi::names::Name;
use abi::names::disposition::COPY_SEND;
use abi::start::{self, names};
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
        let holder = sim.task_of(sim.current(cpu));
        let mut find = |label: &str| find(sim, cpu, label);
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

fn find(sim: &mut Sim, cpu: Cpu, label: &str) -> Name {
    let mut page = [0; size_of::<start::Page>()];
    let read = sim.read(cpu, start::ADDRESS, &mut page);
    assert!(read.is_ok(), "the start page is not there");
    let rights = &page[std::mem::offset_of!(start::Page, rights)..];
    let mut rights = rights.chunks_exact(size_of::<start::Right>());
    let found = rights.find_map(|right| {
        let (text, rest) = right.split_at(start::NAME_SIZE);
        let is_it = text.starts_with(label.as_bytes()) && text.get(label.len()) == Some(&0);
        is_it.then(|| u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]))
    });
    match found {
        Some(name) => Name(name),
        None => panic!("the start page names no {label}"),
    }
}
