//! A thread's port.

use abi::kern_return::{KernReturn, MessageReturn};
use abi::thread_state::ThreadState;
use abi::transport::Result;
use interfaces::bounded::{Bytes, List};
use interfaces::thread::{Info, LastMessage, Thread};

use super::info::of_thread;
use super::processor::words;
use super::thread_state::{self as state, Checked};
use super::transport::{Held, KernelRights, Reply, Request, serve as dispatch};
use super::{Core, policy};
use crate::base::KernResult;
use crate::base::ids::ThreadId;
use crate::ipc::alarm::Hand;
use crate::ipc::message::Made;
use crate::ipc::receive::End;
use crate::machine::{FrameIndex, Machine};
use crate::sched::{self, Flags, Policy, State, Wait, check_state, get_state};
use crate::task::Tasks;

/// A thread that is asked something.
struct ThreadObject<'a, 'k, M: Machine> {
    core: &'a mut Core<'k, M>,
    id: ThreadId,
}

#[inline(never)]
pub(super) fn serve<M: Machine>(
    core: &mut Core<'_, M>,
    id: ThreadId,
    request: Request<'_>,
) -> Reply {
    dispatch::<dyn Thread, _>(ThreadObject { core, id }, request)
}

/// Whether a thread's registers may be looked at.
enum Stopped {
    /// They may.
    Yes,
    /// Another CPU is about to stop it.
    Soon,
}

impl<M: Machine> ThreadObject<'_, '_, M> {
    fn thread(&self) -> KernResult<&sched::Thread> {
        let thread = self.core.layers.cx.sched.threads.get(self.id);
        thread
            .filter(|thread| !thread.flags.contains(Flags::TERMINATE))
            .ok_or(KernReturn::Terminated)
    }

    /// Whether the thread stands still: it is suspended, or waits for something.
    ///
    /// # Errors
    /// `Failure`: nothing keeps it from running.
    fn stopped(&mut self) -> KernResult<Stopped> {
        let thread = self.thread()?;
        let (suspended, state) = (thread.suspend_count > 0, thread.state);
        // Who has an exception that nobody handles runs once more: to end its task.
        let waits = suspended && !thread.flags.contains(Flags::UNHANDLED);
        let context = &mut self.core.layers.cx;
        let elsewhere = context
            .sched
            .cpu_of(self.id)
            .filter(|cpu| *cpu != context.cpu);
        match state {
            State::Held | State::Blocked => Ok(Stopped::Yes),
            State::Running if suspended => match elsewhere {
                Some(cpu) => {
                    context.machine.kick(cpu);
                    Ok(Stopped::Soon)
                }
                None => Err(KernReturn::Failure),
            },
            // It lost its CPU to another thread before that CPU noticed, and waits for a turn that it is not to have.
            State::Ready if waits => {
                context.sched.settle(context.machine, context.cpu);
                context.sched.hold(self.id);
                Ok(Stopped::Yes)
            }
            State::Ready | State::Running => Err(KernReturn::Failure),
        }
    }

    /// A thread that is to stop may run on another CPU: the request is answered when it does so no more.
    fn until_it_stops(&mut self, made: Made) -> Result<()> {
        let cx = &mut self.core.layers.cx;
        let thread = cx.sched.threads.get(self.id);
        let stops = Flags::SUSPENDED | Flags::TERMINATE;
        let stops = thread.is_some_and(|thread| thread.flags.intersects(stops));
        let elsewhere = cx.sched.cpu_of(self.id).filter(|cpu| *cpu != cx.cpu);
        match elsewhere {
            Some(cpu) if stops => {
                cx.machine.kick(cpu);
                *self.core.made = Some(made);
                Err(self.core.again())
            }
            _ => Ok(()),
        }
    }

    /// Whether a wait can be begun again as if there had been none.
    fn can_begin_again(thread: &sched::Thread) -> bool {
        match thread.wait {
            // The answer, or what the handler decides, would find nobody.
            Wait::Reply | Wait::Exception(..) => false,
            // A message whose rights are used up, or a request that is half done.
            Wait::Page => thread.parked.is_none(),
            _ => true,
        }
    }

    /// Ends what the thread, which is blocked, waits for.
    fn end_wait(&mut self, wait: Wait) {
        let cx = &mut self.core.layers.cx;
        match wait {
            Wait::Page => self.leave_pager(),
            Wait::Futex | Wait::Semaphore(_) | Wait::Deadline => {
                cx.sched.leave_wait(self.id);
                let frame = cx.machine.frame(self.id.index());
                frame.rax = KernReturn::Aborted.0.into();
                frame.rdx = 0;
                cx.sched.wake(self.id);
            }
            _ => self.core.layers.ipc.end_wait(cx, self.id, End::Aborted),
        }
    }

    /// Ends a wait for a pager: a trap that was waiting answers that it was aborted, an access is done again.
    fn leave_pager(&mut self) {
        let id = self.id;
        let layers = &mut self.core.layers;
        layers.cx.sched.leave_wait(id);
        let Some(thread) = layers.cx.sched.threads.get_mut(id) else {
            return;
        };
        if !thread.flags.contains(Flags::RETRY) {
            layers.cx.sched.wake(id);
            return;
        }
        thread.forget_retry();
        let begun = thread.parked.is_some();
        let sending = layers.ipc.is_sending(&layers.cx, id);
        let frame = layers.cx.machine.frame(id.index());
        frame.rax = match frame.rax as i64 {
            // Its rights are used up: it was not only interrupted.
            abi::trap::MACH_MSG if sending => MessageReturn::SendInvalidMemory.0.into(),
            abi::trap::MACH_MSG if begun => MessageReturn::ReceiveInterrupted.0.into(),
            abi::trap::MACH_MSG => MessageReturn::SendInterrupted.0.into(),
            _ => KernReturn::Aborted.0.into(),
        };
        let made = layers.ipc.drop_request(&mut layers.cx, id);
        layers.cx.sched.wake(id);
        if let Some(made) = made {
            self.core.tasks.abandon(&mut self.core.layers, made);
        }
    }

    /// Sets registers, once the thread stands still.
    fn set_checked(&mut self, checked: &Checked<'_>) -> Result<()> {
        if let Stopped::Soon = self.stopped()? {
            return Err(self.core.again());
        }
        let general = matches!(checked, Checked::General(_));
        let thread = self.thread()?;
        // The end of a wait writes general registers: it comes first, by `abort`.
        let waits = thread.state == State::Blocked && !matches!(thread.wait, Wait::Exception(..));
        if general && waits {
            return Err(KernReturn::Failure.into());
        }
        let (id, frame) = (self.id, self.frame());
        let layers = &mut self.core.layers;
        state::set(layers.cx.machine, frame, checked)?;
        if !general {
            return Ok(());
        }
        if let Some(thread) = layers.cx.sched.threads.get_mut(id) {
            thread.forget_retry();
        }
        if let Some(made) = layers.ipc.drop_request(&mut layers.cx, id) {
            self.core.tasks.abandon(&mut self.core.layers, made);
        }
        Ok(())
    }

    fn frame(&self) -> FrameIndex {
        self.id.index()
    }
}

impl<M: Machine> Thread for ThreadObject<'_, '_, M> {
    type Rights = KernelRights;

    async fn terminate(&mut self) -> Result<()> {
        if self.core.made.is_some() {
            return self.until_it_stops(Made::Ending);
        }
        self.thread()?;
        let core = &mut *self.core;
        Tasks::terminate_thread(&mut core.layers, self.id);
        let state = core
            .layers
            .cx
            .sched
            .threads
            .get(self.id)
            .map(|thread| thread.state);
        // The CPU that runs it ends it on the way out of the kernel.
        if !matches!(state, Some(State::Running) | None) {
            core.tasks.reap_thread(&mut core.layers, self.id);
        }
        self.until_it_stops(Made::Ending)
    }

    async fn suspend(&mut self) -> Result<()> {
        self.thread()?;
        let core = &mut *self.core;
        if core.made.is_none() {
            core.tasks.suspend_thread(&mut core.layers, self.id)?;
        }
        self.until_it_stops(Made::Stopping)
    }

    async fn resume(&mut self) -> Result<()> {
        self.thread()?;
        let core = &mut *self.core;
        Ok(core.tasks.resume_thread(&mut core.layers, self.id)?)
    }

    async fn abort(&mut self) -> Result<()> {
        let thread = self.thread()?;
        if thread.state == State::Blocked {
            self.end_wait(thread.wait);
        }
        Ok(())
    }

    async fn info(&self) -> Result<Info> {
        let thread = self.thread()?;
        Ok(Info {
            index: self.id.index(),
            suspend_count: thread.suspend_count.into(),
            priority: thread.base.into(),
            state: thread.wait.code(),
            cpu_time: thread.cpu_time,
        })
    }

    async fn get_state(&mut self) -> Result<ThreadState> {
        match self.stopped()? {
            Stopped::Soon => Err(self.core.again()),
            Stopped::Yes => {
                let frame = self.frame();
                Ok(get_state(self.core.layers.cx.machine.frame(frame)))
            }
        }
    }

    async fn set_state(&mut self, state: ThreadState) -> Result<()> {
        check_state(&state)?;
        self.set_checked(&Checked::General(state))
    }

    async fn get_state_of(&mut self, flavor: u32) -> Result<Bytes<768>> {
        match self.stopped()? {
            Stopped::Soon => Err(self.core.again()),
            Stopped::Yes => {
                let thread = self.frame();
                Ok(state::get(self.core.layers.cx.machine, thread, flavor)?)
            }
        }
    }

    async fn set_state_of(&mut self, flavor: u32, state: &[u8]) -> Result<()> {
        self.set_checked(&state::check(flavor, state)?)
    }

    async fn set_priority(&mut self, priority: u32, fixed: u32) -> Result<()> {
        let policy = match fixed {
            0 => Policy::Timeshare,
            1 => Policy::Fixed,
            _ => return Err(KernReturn::InvalidArgument.into()),
        };
        let priority = super::priority(priority)?;
        let task = self.core.tasks.get(self.thread()?.task);
        let limit = task.map_or(0, |task| task.priority_limit);
        if priority > limit {
            return Err(KernReturn::NoAccess.into());
        }
        let cx = &mut self.core.layers.cx;
        if let Some(thread) = cx.sched.threads.get_mut(self.id) {
            thread.wishes.priority = priority;
            thread.wishes.policy = policy;
        }
        cx.sched.grant(cx.machine, cx.cpu, self.id, limit);
        Ok(())
    }

    async fn set_policy(&mut self, flavor: u32, words: List<u32, 4>) -> Result<()> {
        self.thread()?;
        Ok(policy::set(self.core, self.id, flavor, &words)?)
    }

    async fn policy(&self, flavor: u32) -> Result<List<u32, 4>> {
        self.thread()?;
        Ok(policy::get(self.core, self.id, flavor)?)
    }

    async fn depress_abort(&mut self) -> Result<()> {
        self.thread()?;
        let cx = &mut self.core.layers.cx;
        if cx.sched.end_depression(cx.machine, cx.cpu, self.id) {
            Ok(())
        } else {
            Err(KernReturn::NotDepressed.into())
        }
    }

    async fn assign(&mut self, set: Held) -> Result<()> {
        self.thread()?;
        Ok(self.core.steers_set(&set)?)
    }

    async fn assign_default(&mut self) -> Result<()> {
        self.thread()?;
        Ok(())
    }

    async fn assignment(&mut self) -> Result<Held> {
        self.thread()?;
        Ok(self.core.give_set(Hand::Ask)?)
    }

    async fn info_of(&mut self, flavor: u32, count: u32) -> Result<List<u32, 40>> {
        let now = self.core.layers.cx.machine.now();
        let thread = self.thread()?;
        let task = self.core.tasks.get(thread.task);
        let limit = task.map_or(0, |task| task.priority_limit);
        let told = of_thread((self.id, thread), limit, flavor, now)?;
        words(&told, count, KernReturn::InvalidArgument)
    }

    async fn last_message(&mut self) -> Result<LastMessage> {
        if let Stopped::Soon = self.stopped()? {
            return Err(self.core.again());
        }
        let thread = self.thread()?;
        // The guess is right if the slot's right is still that thread's.
        let threads = &self.core.layers.cx.sched.threads;
        let client = thread.slot_of.and_then(|id| Some((id, threads.get(id)?)));
        let client = client.filter(|(_, client)| client.reply_port.is(thread.slot));
        let (client, client_task) =
            client.map_or((0, 0), |(id, client)| (id.index() + 1, client.task.index()));
        let frame = self.frame();
        Ok(LastMessage {
            id: self.core.layers.cx.machine.frame(frame).heard,
            client,
            client_task,
        })
    }

    async fn abort_safely(&mut self) -> Result<()> {
        let thread = self.thread()?;
        if thread.state != State::Blocked {
            return Ok(());
        }
        if !Self::can_begin_again(thread) {
            return Err(KernReturn::Failure.into());
        }
        self.end_wait(thread.wait);
        Ok(())
    }
}
