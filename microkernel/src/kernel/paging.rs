//! Threads that wait for pagers, and what follows from what pagers say.

use abi::kern_return::{KernReturn, MessageReturn};
use abi::trap::MACH_MSG;

use super::{Kernel, STEP};
use crate::base::KernResult;
use crate::base::ids::ThreadId;
use crate::machine::{Cpu, Machine};
use crate::sched::Flags;
use crate::vm::{self, Effect, WaitKey};

/// What becomes of a thread whose access cannot be done yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pause {
    /// It waits.
    Blocked,
    /// It tries again at once: a step of the access is done.
    Again,
}

impl Kernel {
    /// What the current thread does needs a page of a pager's, which is asked: sets what the thread waits for.
    ///
    /// # Errors
    /// As [`Vm::await_page`](vm::Vm::await_page): what it does has failed.
    pub(super) fn await_pager<M: Machine>(
        &mut self,
        machine: &mut M,
        cpu: Cpu,
        thread: ThreadId,
    ) -> KernResult<Pause> {
        let failed = self.take_failure(thread);
        let gone = KernReturn::Terminated;
        let task = self.sched.threads.get(thread).ok_or(gone)?.task;
        let map = self.tasks.get(task).ok_or(gone)?.map;
        let (_, mut layers) = self.layers(machine, cpu);
        let (vm, mut context) = layers.vm();
        let Some(wait) = vm.await_page(&mut context, map, failed)? else {
            return Ok(Pause::Again);
        };
        if let Some(ask) = &wait.ask {
            if layers.ipc.ask_pager(&mut layers.cx, ask).is_err() {
                layers.cx.vm.fail_request(ask.request);
                return Err(KernReturn::ResourceShortage);
            }
            self.counters.paged_in += 1;
            if let Some(task) = self.tasks.arena.get_mut(task) {
                task.events.paged_in = task.events.paged_in.wrapping_add(1);
            }
        }
        self.sched.wait_page(thread, wait.key);
        Ok(Pause::Blocked)
    }

    /// The same for a trap: nothing of it has happened, and it is done again as a whole.
    pub(super) fn stall_trap<M: Machine>(&mut self, machine: &mut M, cpu: Cpu, thread: ThreadId) {
        match self.await_pager(machine, cpu, thread) {
            Ok(pause) => {
                self.set_flag(thread, Flags::RETRY);
                if pause == Pause::Blocked {
                    self.block(machine, cpu, thread);
                }
            }
            Err(code) => {
                let (_, mut layers) = self.layers(machine, cpu);
                if layers.ipc.is_sending(&layers.cx, thread) {
                    // Of what was to be sent, the header's rights are used up (M-08).
                    layers.ipc.drop_request(&mut layers.cx, thread);
                    if let Some(thread) = self.sched.threads.get_mut(thread) {
                        thread.forget_retry();
                    }
                }
                self.forget_failure(thread);
                let frame = machine.frame(thread.index());
                if frame.rax as i64 == MACH_MSG {
                    frame.rax = MessageReturn::SendInvalidMemory.0.into();
                } else {
                    frame.rax = code.0.into();
                    frame.rdx = 0;
                }
            }
        }
    }

    /// The key of a wait of this thread that ended in failure, once.
    fn take_failure(&mut self, thread: ThreadId) -> Option<WaitKey> {
        let thread = self.sched.threads.get_mut(thread)?;
        if !thread.flags.contains(Flags::PAGE_FAILED) {
            return None;
        }
        thread.flags -= Flags::PAGE_FAILED;
        Some(thread.operands)
    }

    /// A thread got through where it had waited: that it was told of a failure does not matter any more, nor, when it is
    /// not to do the trap once more, how far it had got.
    pub(super) fn forget_failure(&mut self, thread: ThreadId) {
        if let Some(thread) = self.sched.threads.get_mut(thread) {
            thread.flags -= Flags::PAGE_FAILED;
            if !thread.flags.contains(Flags::RETRY) {
                thread.awaited = 0;
            }
        }
    }

    /// Does up to a step's worth of what follows from pagers' answers and deaths.
    pub(super) fn perform_effects<M: Machine>(&mut self, machine: &mut M, cpu: Cpu) {
        let mut left = STEP;
        while left > 0
            && let Some(effect) = self.vm.next_effect()
        {
            left -= 1;
            let (_, mut layers) = self.layers(machine, cpu);
            match effect {
                Effect::Nothing => {}
                Effect::Ask(ask) => {
                    if layers.ipc.ask_pager(&mut layers.cx, &ask).is_err() {
                        layers.cx.vm.drop_request(ask.request);
                    }
                }
                Effect::Close(pager) => layers.ipc.close_memory_object(&mut layers.cx, pager),
                Effect::Reclaim => layers.ipc.reclaim(&mut layers.cx),
                Effect::Discard => layers.ipc.discard(&mut layers.cx),
                Effect::Terminate(pager) => layers.ipc.end_memory_object(&mut layers.cx, pager),
                Effect::Wake { key, failed } => {
                    let told = if failed {
                        Flags::PAGE_FAILED
                    } else {
                        Flags::empty()
                    };
                    left -= self.wake_waiters(machine, (key, told), left);
                }
            }
        }
    }

    /// Wakes up to `most` of the threads that wait by this key, with a flag; how many it were.
    fn wake_waiters<M: Machine>(
        &mut self,
        machine: &mut M,
        (key, told): (WaitKey, Flags),
        most: u32,
    ) -> u32 {
        let woken = self
            .sched
            .wake_word(key, most, |_, thread| thread.flags |= told);
        if woken < most {
            let ledgers = &mut self.ledgers;
            let mut context = vm::Context { machine, ledgers };
            self.vm.all_woken(&mut context);
        }
        woken
    }
}
