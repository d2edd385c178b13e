//! Messages to the kernel's own ports.

use abi::kern_return::KernReturn;
use abi::trace::{self, Kind as TraceKind};

use super::Kernel;
use crate::base::ids::{MessageId, ThreadId};
use crate::ipc::answer::{Answer, Answered};
use crate::ipc::message::Made;
use crate::ipc::port::{Kind, Object};
use crate::ipc::send::Call;
use crate::ipc::{self, Ipc};
use crate::kobj::{self, Core, Next, Reply};
use crate::machine::{Cpu, Machine};
use crate::task::{Layers, Tasks};
use crate::trap::{self, Caller, Outcome};

impl Kernel {
    /// Answers a message to a kernel object in the caller's time, then does its receive half (M-13).
    pub(super) fn kernel_call<M: Machine>(
        &mut self,
        machine: &mut M,
        cpu: Cpu,
        caller: Caller,
        (object, id): (Object, MessageId),
    ) -> Outcome {
        self.counters.kernel_calls += 1;
        let request = self.ipc.messages.get(id);
        let (body, made) = request.map_or((None, None), |request| (request.body, request.made));
        self.tell_kernel_call(machine, cpu, id);
        let mut core = Core {
            tasks: &mut self.tasks,
            layers: Layers {
                ipc: &mut self.ipc,
                cx: ipc::Context {
                    machine,
                    sched: &mut self.sched,
                    ledgers: &mut self.ledgers,
                    vm: &mut self.vm,
                    cpu,
                },
            },
            counters: &mut self.counters,
            log: &mut self.log,
            memory: self.memory,
            caller: kobj::Caller {
                thread: caller.thread,
                task: caller.task,
            },
            body,
            made,
            next: Next::Answer,
        };
        let reply = kobj::serve(&mut core, &mut self.scratch, object, id);
        if core.next == Next::Again {
            let layers = &mut core.layers;
            let request = (id, core.made);
            layers
                .ipc
                .put_off_request(&mut layers.cx, caller.thread, request);
            return Outcome::Again;
        }
        if reply.words[0] != u64::from(KernReturn::Success.0) {
            abandon(core.tasks, &mut core.layers, core.made);
        }
        let answer = Answer {
            words: reply.words,
            data: self.scratch.data(&reply),
            carried: reply.carried,
        };
        conclude(&mut core.layers, caller, id, answer)
    }

    #[inline(always)]
    fn tell_kernel_call<M: Machine>(&mut self, machine: &mut M, cpu: Cpu, id: MessageId) {
        if self.sched.trace.is_detailed()
            && let Some(request) = self.ipc.messages.get(id)
        {
            let message = trace::message(request.id, u32::MAX);
            let what = (request.port.index().into(), message);
            self.sched.note(machine, cpu, TraceKind::KernelCall, what);
        }
    }

    /// The next step of a request that was put off.
    pub(super) fn resume_call<M: Machine>(&mut self, machine: &mut M, cpu: Cpu, thread: ThreadId) {
        let Some(task) = self.sched.threads.get(thread).map(|thread| thread.task) else {
            return;
        };
        let caller = Caller { thread, task };
        let (tasks, mut layers) = self.layers(machine, cpu);
        let Some(id) = Ipc::resume_request(&mut layers.cx, thread) else {
            return;
        };
        let request = layers.ipc.messages.get(id);
        let (port, made) = request.map_or((None, None), |r| (Some(r.port), r.made));
        let kind = layers.ipc.ports.find(port).map(|port| port.kind);
        let outcome = if let Some(Kind::Kernel(object)) = kind {
            self.kernel_call(machine, cpu, caller, (object, id))
        } else {
            // The object ended between two steps.
            abandon(tasks, &mut layers, made);
            let answer = Answer {
                words: Reply::code(KernReturn::Terminated).words,
                data: &[],
                carried: None,
            };
            conclude(&mut layers, caller, id, answer)
        };
        self.conclude(machine, cpu, caller, outcome);
    }
}

/// Ends what a request which failed had made in its earlier steps.
fn abandon<M: Machine>(tasks: &mut Tasks, layers: &mut Layers<'_, M>, made: Option<Made>) {
    if let Some(made) = made {
        tasks.abandon(layers, made);
    }
}

/// Answers a request, and does the caller's receive half.
fn conclude<M: Machine>(
    layers: &mut Layers<'_, M>,
    caller: Caller,
    request: MessageId,
    answer: Answer<'_>,
) -> Outcome {
    let call = Call::decode(layers.cx.machine.frame(caller.thread.index()));
    let answered = layers
        .ipc
        .answer(&mut layers.cx, (caller.thread, &call), request, answer);
    match answered {
        Answered::Received => Outcome::Received,
        Answered::Sent => trap::receive(layers, caller, &call),
    }
}
