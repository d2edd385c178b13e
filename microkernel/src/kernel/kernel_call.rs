//! Messages to the kernel's own ports.

use abi::kern_return::{KernReturn, MessageReturn};
use abi::trace::{self, Kind as TraceKind};
use abi::transport::REPLY_OFFSET;

use super::Kernel;
use super::paging::Pause;

use crate::base::ids::{BodyId, MessageId, PortId, ThreadId};
use crate::ipc::answer::{Answer, Answered, Asked};
use crate::ipc::message::Made;
use crate::ipc::port::{Kind, Object};
use crate::ipc::send::Call;
use crate::ipc::{self, Ipc};
use crate::kobj::{self, Core, Reply, Scratch};
use crate::machine::{Cpu, Event, Machine, Next};
use crate::sched::Flags;
use crate::task::{Layers, Tasks};
use crate::trap::{self, Caller, Outcome};
use crate::vm::STALLED;

/// A short call to a kernel object.
#[derive(Clone, Copy)]
struct Called {
    caller: Caller,
    /// Identity of the caller's task.
    identity: u64,
    ends: Ends,
    object: Object,
}

/// Between which ports a call goes.
#[derive(Clone, Copy)]
struct Ends {
    /// The caller's reply object.
    own: PortId,
    /// The object's port.
    port: PortId,
}

impl Kernel {
    /// Answers a message to a kernel object in the caller's time, then does its receive half (M-13).
    pub(super) fn kernel_call<M: Machine>(
        &mut self,
        machine: &mut M,
        cpu: Cpu,
        caller: Caller,
        (object, id): (Object, MessageId),
    ) -> Outcome {
        self.tell_kernel_call(machine, cpu, id);
        let Some(request) = self.ipc.messages.get(id) else {
            return Outcome::Message(MessageReturn::SendNoBuffer);
        };
        let (words, body, mut made) = (request.words, request.body, request.made);
        let asked = Asked::by(request, &words);
        self.counters.kernel_calls += 1;
        let (mut core, scratch) = self.core(machine, cpu, caller, (body, &mut made));
        let reply = serve(&mut core, scratch, object, &asked);
        if is_stalled(reply) {
            return self.stall_call(machine, cpu, caller, (id, made));
        }
        finish(&mut core, scratch, (caller, id), reply)
    }

    /// A short call of the current thread's to a kernel object's port, which was
    /// [found](crate::ipc::fast::Refused::ToKernel) on the fast path. Its registers are in the frame.
    #[inline(always)]
    pub fn call<M: Machine>(&mut self, machine: &mut M, cpu: Cpu, port: PortId) -> Next {
        match self.called(cpu, port) {
            Some(called) => self.call_object(machine, cpu, called),
            None => self.handle_generally(machine, cpu, Event::Trap),
        }
    }

    /// Who calls what, unless something is special about the caller.
    #[inline(always)]
    fn called(&mut self, cpu: Cpu, port: PortId) -> Option<Called> {
        let current = self.sched.current(cpu);
        let (thread, from) = self.sched.threads.find_known(current)?;
        let Kind::Kernel(object) = self.ipc.ports.get(port)?.kind else {
            return None;
        };
        // A request that turns out to have steps becomes a message: it has room for that before it does anything.
        if !(from.flags - Flags::SLOT_FULL).is_empty() || self.ipc.messages.make_room().is_err() {
            return None;
        }
        Some(Called {
            caller: Caller {
                thread,
                task: from.task,
            },
            identity: from.identity,
            ends: Ends {
                own: from.reply_port,
                port,
            },
            object,
        })
    }

    /// Such a call: the request is no message, unless it turns out to have steps.
    #[inline(always)]
    fn call_object<M: Machine>(&mut self, machine: &mut M, cpu: Cpu, called: Called) -> Next {
        let Called {
            caller,
            identity,
            ends: Ends { own, port },
            object,
        } = called;
        let counters = &mut self.counters;
        counters.traps = counters.traps.wrapping_add(1);
        counters.kernel_calls = counters.kernel_calls.wrapping_add(1);
        let frame = machine.frame(caller.thread.index());
        let words = frame.words;
        let asked = Asked {
            id: (frame.rdx >> 32) as i32,
            identity,
            words: &words,
            size: 0,
        };
        let mut made = None;
        let (mut core, scratch) = self.core(machine, cpu, caller, (None, &mut made));
        let reply = serve(&mut core, scratch, object, &asked);
        if let Some(reply) = reply
            && reply.code == KernReturn::Success
            && self.goes_on(cpu, caller.thread, own)
            && let Some(words) = self.scratch.short(reply)
            && self.ipc.count_answer(own)
        {
            let id = asked.id.wrapping_add(REPLY_OFFSET);
            Answer::write_short(machine.frame(caller.thread.index()), id, words);
            return Next::Run(caller.thread.index());
        }
        let ends = Ends { own, port };
        self.finish_call(machine, cpu, caller, (ends, asked, reply, made))
    }

    /// Whether nothing follows from what a kernel object did: its caller goes on, and still waits on this reply
    /// object.
    #[inline(always)]
    fn goes_on(&mut self, cpu: Cpu, thread: ThreadId, own: PortId) -> bool {
        let stays = thread.is(self.sched.current(cpu)) && !self.sched.cpu(cpu).reschedule;
        stays
            && self.sched.woken.is_empty()
            && self.sched.threads.get(thread).is_some_and(|thread| {
                (thread.flags - Flags::SLOT_FULL).is_empty() && thread.reply_port == own
            })
            && self.is_settled()
    }

    /// The end of such a call which has consequences, an answer that is not short, or steps.
    #[inline(never)]
    fn finish_call<M: Machine>(
        &mut self,
        machine: &mut M,
        cpu: Cpu,
        caller: Caller,
        (Ends { own, port }, asked, reply, mut made): (
            Ends,
            Asked<'_>,
            Option<Reply>,
            Option<Made>,
        ),
    ) -> Next {
        let (mut core, scratch) = self.core(machine, cpu, caller, (None, &mut made));
        let Layers { ipc, cx } = &mut core.layers;
        match reply {
            Some(reply) if reply.code != STALLED && ipc.awaits(cx.sched, caller.thread, own) => {
                let id = asked.id.wrapping_add(REPLY_OFFSET);
                ipc.answer_at_once(cx, caller.thread, (own, id), scratch.answer(reply));
            }
            reply => {
                let outcome = match ipc.keep_request((port, own), &asked) {
                    Some(id) if is_stalled(reply) => {
                        self.stall_call(machine, cpu, caller, (id, made))
                    }
                    Some(id) => finish(&mut core, scratch, (caller, id), reply),
                    None => lose(&mut core, scratch, reply),
                };
                self.conclude(machine, cpu, caller, outcome);
            }
        }
        self.go_back(machine, cpu, caller.thread)
    }

    /// A request needs a page of a pager's first: the thread waits for it, and the request is served again.
    #[cold]
    fn stall_call<M: Machine>(
        &mut self,
        machine: &mut M,
        cpu: Cpu,
        caller: Caller,
        (id, made): (MessageId, Option<Made>),
    ) -> Outcome {
        let waits = self.await_pager(machine, cpu, caller.thread);
        let (tasks, mut layers) = self.layers(machine, cpu);
        match waits {
            Ok(pause) => {
                let (ipc, cx) = (layers.ipc, &mut layers.cx);
                ipc.put_off_request(cx, caller.thread, (id, made));
                self.set_flag(caller.thread, Flags::RETRY);
                match pause {
                    Pause::Blocked => Outcome::Blocked,
                    Pause::Again => Outcome::Again,
                }
            }
            Err(code) => match made.and_then(|made| made.undone(code)) {
                Some(rest) => {
                    let (ipc, cx) = (layers.ipc, &mut layers.cx);
                    ipc.put_off_request(cx, caller.thread, (id, Some(rest)));
                    Outcome::Again
                }
                None => {
                    abandon(tasks, &mut layers, made);
                    conclude(&mut layers, caller, id, answer_code(code))
                }
            },
        }
    }

    /// All that a request reaches, and room for its data. `carried` is its body, and what earlier steps made.
    #[inline(always)]
    fn core<'a, M: Machine>(
        &'a mut self,
        machine: &'a mut M,
        cpu: Cpu,
        caller: Caller,
        (body, made): (Option<BodyId>, &'a mut Option<Made>),
    ) -> (Core<'a, M>, &'a mut Scratch) {
        let core = Core {
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
            next: kobj::Next::Answer,
        };
        (core, &mut self.scratch)
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
            // The object ended between two steps, as it was to, or else.
            abandon(tasks, &mut layers, made);
            let code = match made {
                Some(Made::Ending) => KernReturn::Success,
                _ => KernReturn::Terminated,
            };
            conclude(&mut layers, caller, id, answer_code(code))
        };
        self.conclude(machine, cpu, caller, outcome);
    }
}

/// Whether what was served has to wait for a pager.
fn is_stalled(reply: Option<Reply>) -> bool {
    reply.is_some_and(|reply| reply.code == STALLED)
}

/// An answer that is a code alone.
fn answer_code(code: KernReturn) -> Answer<'static> {
    Answer::short(kobj::words_of(code))
}

/// Serves a request; `None`: a step of it is done.
#[inline(always)]
fn serve<M: Machine>(
    core: &mut Core<'_, M>,
    scratch: &mut Scratch,
    object: Object,
    asked: &Asked<'_>,
) -> Option<Reply> {
    let reply = kobj::serve(core, scratch, object, asked);
    if core.next == kobj::Next::Again {
        return None;
    }
    if reply.code != KernReturn::Success && reply.code != STALLED {
        abandon(core.tasks, &mut core.layers, *core.made);
    }
    Some(reply)
}

/// Answers a request that is a message, or puts it off.
fn finish<M: Machine>(
    core: &mut Core<'_, M>,
    scratch: &mut Scratch,
    (caller, id): (Caller, MessageId),
    reply: Option<Reply>,
) -> Outcome {
    let layers = &mut core.layers;
    match reply {
        Some(reply) => conclude(layers, caller, id, scratch.answer(reply)),
        None => {
            let request = (id, *core.made);
            layers
                .ipc
                .put_off_request(&mut layers.cx, caller.thread, request);
            Outcome::Again
        }
    }
}

/// Ends a request that finds no memory to become a message.
#[cold]
fn lose<M: Machine>(
    core: &mut Core<'_, M>,
    scratch: &mut Scratch,
    reply: Option<Reply>,
) -> Outcome {
    abandon(core.tasks, &mut core.layers, *core.made);
    if let Some(carried) = reply.and_then(|reply| scratch.answer(reply).carried) {
        core.layers.ipc.end_carried(&mut core.layers.cx, carried);
    }
    Outcome::Message(MessageReturn::SendNoBuffer)
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
