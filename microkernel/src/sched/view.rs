//! What a person may want to know of a thread.

use super::{Sched, State, Wait};
use crate::base::ids::{TaskId, ThreadId};
use crate::machine::Cpu;

/// A thread as tools see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct View {
    /// Which one.
    pub id: ThreadId,
    /// Its task.
    pub task: TaskId,
    /// Where it stands.
    pub state: State,
    /// What it waits for.
    pub wait: Wait,
    /// Its effective priority.
    pub priority: u8,
    /// How often it was suspended.
    pub suspend_count: u32,
    /// The CPU that runs it.
    pub cpu: Option<Cpu>,
}

impl Sched {
    /// All threads, by ascending index.
    pub fn views(&self) -> impl Iterator<Item = View> + '_ {
        (0..self.threads.end()).filter_map(|index| self.view_at(index))
    }

    /// The thread at an index, if there is one.
    pub fn view_at(&self, index: u32) -> Option<View> {
        let id: ThreadId = self.threads.id_at(index)?;
        let thread = self.threads.get(id)?;
        Some(View {
            id,
            task: thread.task,
            state: thread.state,
            wait: thread.wait,
            priority: thread.priority,
            suspend_count: thread.suspend_count.into(),
            cpu: self.cpu_of(id),
        })
    }

    /// Who runs on each CPU, by its number.
    pub fn running(&self) -> impl Iterator<Item = (Cpu, Option<ThreadId>)> + '_ {
        let cpus = (0..).map(Cpu).zip(&self.cpus);
        cpus.filter(|(_, state)| state.online)
            .map(|(cpu, _)| (cpu, self.current(cpu)))
    }
}
