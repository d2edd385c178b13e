//! A task's control port.

use abi::exception::MASK_FATAL;
use abi::kern_return::KernReturn;
use abi::message;
use abi::names::{Name, disposition};
use abi::task::{Limits, info};
use abi::thread_state::ThreadState;
use abi::trace::Kind as TraceKind;
use abi::transport::Result;
use abi::vm::MAX_ADDRESS;
use interfaces::bounded::{Bytes, List, Text};
use interfaces::task::{FIRST_THREAD, Info, Ledger, Peeked, Region, RightInfo, Task};
use interfaces::vm::Vm;

use super::info::of_task;
use super::processor::words;
use super::transport::{Extent, Held, KernelRights, Reply, Request, Series, serve as dispatch};
use super::{Core, listing, task_vm};
use crate::base::KernResult;
use crate::base::ids::{PortId, SpaceId, TaskId, ThreadId};
use crate::ipc::alarm::Hand;
use crate::ipc::message::Made;
use crate::ipc::port::{Guard, Object};
use crate::ipc::right::{Refusal, Right};
use crate::machine::Machine;
use crate::sched::semaphore::Semaphore;
use crate::sched::{Action, Form};
use crate::task::{self, Level, NewTask, NewThread, Place, Stage, Tasks};
use crate::vm::{MapId, MapRequest, Progress, STALLED, Source, Which};

/// A task that is asked something.
struct TaskObject<'a, 'k, M: Machine> {
    core: &'a mut Core<'k, M>,
    id: TaskId,
}

#[inline(never)]
pub(super) fn serve<M: Machine>(core: &mut Core<'_, M>, id: TaskId, request: Request<'_>) -> Reply {
    if request.is_of::<dyn Vm>() {
        return task_vm::serve(core, id, request);
    }
    dispatch::<dyn Task, _>(TaskObject { core, id }, request)
}

impl<M: Machine> TaskObject<'_, '_, M> {
    /// The task, while it lives.
    fn task(&self) -> KernResult<&task::Task> {
        self.core
            .tasks
            .get(self.id)
            .filter(|task| task.stage == Stage::Alive)
            .ok_or(KernReturn::InvalidTask)
    }

    fn map(&self) -> KernResult<MapId> {
        Ok(self.task()?.map)
    }

    fn space(&self) -> KernResult<SpaceId> {
        Ok(self.task()?.space)
    }

    /// A port that is kept for the task.
    fn kept(&mut self, place: Place) -> KernResult<Held> {
        let port = self.task()?.special(self.core.layers.ipc, place);
        Ok(self.core.give(port.ok_or(KernReturn::Failure)?))
    }

    /// Keeps a port for the task, or none.
    fn keep(&mut self, place: Place, port: Option<PortId>) -> KernResult<()> {
        self.task()?;
        let core = &mut *self.core;
        let task = core.tasks.arena.get_mut(self.id);
        let task = task.ok_or(KernReturn::InvalidTask)?;
        task.set_special(core.layers.ipc, place, port);
        Ok(())
    }

    /// The task's thread of this number.
    fn numbered(&self, number: u32) -> KernResult<ThreadId> {
        let threads = &self.core.layers.cx.sched.threads;
        let id = threads.id_at(number).ok_or(KernReturn::InvalidArgument)?;
        let thread = threads.get(id).filter(|thread| thread.task == self.id);
        thread.map(|_| id).ok_or(KernReturn::InvalidArgument)
    }

    /// A send right to the port of one of the task's threads.
    fn give_thread(&mut self, thread: ThreadId) -> KernResult<Held> {
        let port = Tasks::thread_port(&mut self.core.layers, thread)?;
        Ok(self.core.give(port))
    }

    /// Puts a right of the request into the task's space, under a name of the caller's choice or a fresh one.
    fn insert(&mut self, name: Name, held: Held) -> KernResult<Name> {
        let space = self.space()?;
        self.core.port_of(&held)?;
        let right = self.core.take(held);
        let layers = &mut self.core.layers;
        let put = match name {
            Name::NULL => layers
                .ipc
                .copy_out(&mut layers.cx, space, right)
                .map_err(|right| (right, KernReturn::ResourceShortage)),
            name => layers.ipc.copy_out_as(&mut layers.cx, space, right, name),
        };
        put.map_err(|(right, code)| {
            layers.ipc.release(right);
            code
        })
    }

    /// Takes or makes a right out of the task's space, by one of these dispositions.
    fn extract(&mut self, name: Name, disposition: u8, allowed: &[u8]) -> Result<Held> {
        let space = self.space()?;
        if !allowed.contains(&disposition) {
            return Err(KernReturn::InvalidValue.into());
        }
        let layers = &mut self.core.layers;
        if layers.ipc.look_up(space, name).is_none() {
            return Err(KernReturn::InvalidName.into());
        }
        match layers.ipc.can_copy_in(space, name, disposition) {
            Ok(false) => {
                let right = layers.ipc.copy_in(&mut layers.cx, space, name, disposition);
                Ok(Held::Given(right))
            }
            Ok(true) => Err(KernReturn::InvalidCapability.into()),
            Err(Refusal::NoRight) => Err(KernReturn::InvalidRight.into()),
            Err(Refusal::BadDisposition) => Err(KernReturn::InvalidValue.into()),
        }
    }

    /// Starts the child that a fork makes, or takes its next step. When it fails, the child ends with the request.
    fn fork(&mut self, new: NewTask) -> Result<TaskId> {
        let core = &mut *self.core;
        let Some(Made::Task(child)) = *core.made else {
            let parent = core.tasks.get(self.id).ok_or(KernReturn::InvalidTask)?.map;
            let child = core.tasks.create_fork(&mut core.layers, new, parent)?;
            // What it inherits comes in steps of its own: together they would be too long for one.
            *core.made = Some(Made::Task(child));
            return Err(core.again());
        };
        let map = core.tasks.get(child).ok_or(KernReturn::Terminated)?.map;
        let (vm, mut context) = core.layers.vm();
        match vm.fork_step(&mut context, map)? {
            Progress::Done(()) => Ok(child),
            Progress::More => Err(core.again()),
        }
    }
}

impl<M: Machine> Task for TaskObject<'_, '_, M> {
    type Rights = KernelRights;

    async fn terminate(&mut self) -> Result<()> {
        let core = &mut *self.core;
        core.tasks.terminate(&mut core.layers, self.id)?;
        core.counters.tasks_terminated += 1;
        Ok(())
    }

    async fn suspend(&mut self) -> Result<()> {
        self.task()?;
        let core = &mut *self.core;
        if core.made.is_none() {
            core.tasks.suspend(&mut core.layers, self.id)?;
        }
        if core.tasks.is_stopping(&core.layers, self.id) {
            *core.made = Some(Made::Stopping);
            return Err(core.again());
        }
        Ok(())
    }

    async fn resume(&mut self) -> Result<()> {
        self.task()?;
        Ok(self.core.tasks.resume(self.id)?)
    }

    async fn info(&self) -> Result<Info> {
        let task = self.task()?;
        Ok(Info {
            index: self.id.index(),
            threads: task.thread_count,
            suspend_count: task.suspend_count,
            identity: task.identity,
            priority_limit: task.priority_limit.into(),
            cpu_time: task.cpu_time,
            name: listing::label(task),
        })
    }

    async fn create(&mut self, limits: Limits, identity: u64, inherit: u32) -> Result<Held> {
        let parent = self.task()?;
        let new = NewTask {
            limits,
            parent: Some(parent.ledger),
            identity,
            priority_limit: parent.priority_limit,
        };
        let child = match inherit {
            0 => self.core.tasks.create(&mut self.core.layers, new)?,
            1 => self.fork(new)?,
            _ => return Err(KernReturn::InvalidArgument.into()),
        };
        let core = &mut *self.core;
        let family = (self.id, child);
        core.tasks.inherit_actions(&mut core.layers, family);
        core.tasks.inherit_specials(core.layers.ipc, family);
        core.tasks.inherit_size_limit(core.layers.cx.vm, family);
        core.counters.tasks_created += 1;
        core.note(TraceKind::TaskCreate, child.index().into(), 0);
        let port = core.tasks.get(child).ok_or(KernReturn::Failure)?.port;
        Ok(core.give(port))
    }

    async fn thread_create(&mut self, state: ThreadState) -> Result<Held> {
        let new = NewThread {
            task: self.id,
            state,
        };
        let core = &mut *self.core;
        let thread = core.tasks.create_thread(&mut core.layers, new)?;
        let given = self.give_thread(thread);
        if given.is_err() {
            let core = &mut *self.core;
            core.tasks.reap_thread(&mut core.layers, thread);
        }
        Ok(given?)
    }

    async fn thread(&mut self, number: u32) -> Result<Held> {
        self.task()?;
        let thread = self.numbered(number)?;
        Ok(self.give_thread(thread)?)
    }

    async fn set_exception_port(&mut self, port: Held) -> Result<()> {
        self.task()?;
        let port = self.core.port_of(&port)?;
        let form = Form::BRIEF;
        let action = Some(Action { port, form });
        let core = &mut *self.core;
        let level = Level::Task(self.id);
        core.tasks
            .set_actions(&mut core.layers, level, (MASK_FATAL, action))?;
        Ok(())
    }

    async fn insert_send(&mut self, name: Name, right: Held) -> Result<Name> {
        Ok(self.insert(name, right)?)
    }

    async fn insert_receive(&mut self, name: Name, right: Held) -> Result<Name> {
        Ok(self.insert(name, right)?)
    }

    async fn extract_send(&mut self, name: Name, disposition: u8) -> Result<Held> {
        use disposition::{COPY_SEND, MAKE_SEND, MOVE_SEND};
        self.extract(name, disposition, &[MOVE_SEND, COPY_SEND, MAKE_SEND])
    }

    async fn extract_send_once(&mut self, name: Name, disposition: u8) -> Result<Held> {
        use disposition::{MAKE_SEND_ONCE, MOVE_SEND_ONCE};
        self.extract(name, disposition, &[MOVE_SEND_ONCE, MAKE_SEND_ONCE])
    }

    async fn extract_receive(&mut self, name: Name) -> Result<Held> {
        let how = disposition::MOVE_RECEIVE;
        self.extract(name, how, &[how])
    }

    async fn insert_send_once(&mut self, name: Name, right: Held) -> Result<Name> {
        Ok(self.insert(name, right)?)
    }

    async fn port_allocate(&mut self, right: u32) -> Result<Name> {
        let space = self.space()?;
        let layers = &mut self.core.layers;
        Ok(layers.ipc.allocate(&mut layers.cx, space, right)?)
    }

    async fn port_allocate_name(&mut self, right: u32, name: Name) -> Result<Name> {
        let space = self.space()?;
        let layers = &mut self.core.layers;
        let cx = &mut layers.cx;
        Ok(layers.ipc.allocate_name(cx, space, right, name)?)
    }

    async fn port_peek(&mut self, name: Name, trailer: u32) -> Result<Peeked> {
        let space = self.space()?;
        if trailer > message::trailer::AUDIT {
            return Err(KernReturn::InvalidValue.into());
        }
        let peeked = self.core.layers.ipc.peek_port(space, name)?;
        Ok(Peeked {
            sequence: peeked.sequence,
            size: message::size_in_buffer(peeked.shape),
            id: peeked.id as u32,
            identity: peeked.identity,
        })
    }

    async fn port_guard(&mut self, name: Name, value: u64, strict: u32) -> Result<()> {
        let space = self.space()?;
        let guard = Guard::decode(value, strict.into())?;
        Ok(self.core.layers.ipc.guard(space, name, guard)?)
    }

    async fn port_unguard(&mut self, name: Name, value: u64) -> Result<()> {
        let space = self.space()?;
        let layers = &mut self.core.layers;
        Ok(layers.ipc.unguard(&mut layers.cx, space, (name, value))?)
    }

    async fn port_swap_guard(&mut self, name: Name, old: u64, new: u64) -> Result<()> {
        let space = self.space()?;
        let layers = &mut self.core.layers;
        Ok(layers
            .ipc
            .swap_guard(&mut layers.cx, space, name, (old, new))?)
    }

    async fn vm_allocate(&mut self, address: u64, size: u64, flags: u64) -> Result<u64> {
        let map = self.map()?;
        let (vm, mut context) = self.core.layers.vm();
        let progress = vm.allocate(&mut context, map, (address, size), flags)?;
        self.core.done(progress)
    }

    async fn vm_deallocate(&mut self, address: u64, size: u64) -> Result<()> {
        let map = self.map()?;
        let (vm, mut context) = self.core.layers.vm();
        let progress = vm.deallocate(&mut context, map, address, size)?;
        self.core.done(progress)
    }

    async fn vm_protect(
        &mut self,
        address: u64,
        size: u64,
        set_maximum: u32,
        protection: u32,
    ) -> Result<()> {
        let map = self.map()?;
        let which = match set_maximum {
            0 => Which::Current,
            1 => Which::Maximum,
            _ => return Err(KernReturn::InvalidArgument.into()),
        };
        let (vm, mut context) = self.core.layers.vm();
        let progress = vm.protect(&mut context, map, (address, size), which, protection)?;
        self.core.done(progress)
    }

    async fn vm_map(
        &mut self,
        entry: Held,
        address: u64,
        size: u64,
        offset: u64,
        flags: u64,
    ) -> Result<u64> {
        let map = self.map()?;
        let port = self.core.port_of(&entry)?;
        let payer = self.task()?.ledger;
        let layers = &mut self.core.layers;
        let source = layers.ipc.map_source(&mut layers.cx, port, offset, payer)?;
        let request = MapRequest::decode((address, size), flags, source);
        let (vm, mut context) = self.core.layers.vm();
        let progress = vm.map(&mut context, map, request);
        if let Source::Pager(pager, _) = source {
            vm.drop_pager(pager);
        }
        self.core.done(progress?)
    }

    async fn vm_write(&mut self, address: u64, bytes: &[u8]) -> Result<()> {
        let map = self.map()?;
        let (vm, mut context) = self.core.layers.vm();
        Ok(vm.write_bytes(&mut context, map, address, bytes)?)
    }

    async fn vm_read(&mut self, address: u64, size: u64) -> Result<Bytes<1024>> {
        let map = self.map()?;
        let mut bytes = [0; 1024];
        let size = size.min(1024) as usize;
        let to_page_end = (abi::PAGE_SIZE - address % abi::PAGE_SIZE) as usize;
        let (vm, mut context) = self.core.layers.vm();
        let wanted = &mut bytes[..size];
        let read = match vm.read_bytes(&mut context, map, address, wanted) {
            Ok(()) => size,
            Err(code) if to_page_end >= size || code == STALLED => return Err(code.into()),
            // The mapping may end with the first page.
            Err(_) => {
                let first = &mut bytes[..to_page_end];
                vm.read_bytes(&mut context, map, address, first)?;
                to_page_end
            }
        };
        Ok(Bytes::new(&bytes[..read]).unwrap_or_default())
    }

    async fn make_entry(&mut self, address: u64, size: u64, protection: u32) -> Result<Held> {
        let task = self.task()?;
        let (map, ledger) = (task.map, task.ledger);
        let (vm, mut context) = self.core.layers.vm();
        let progress = vm.make_entry(&mut context, map, (address, size), protection)?;
        let entry = self.core.done(progress)?;
        Ok(self.core.give_entry(entry, ledger)?)
    }

    async fn ledger(&self) -> Result<Ledger> {
        let id = self.task()?.ledger;
        let ledgers = &*self.core.layers.cx.ledgers;
        Ok(Ledger {
            limits: listing::limits(|what| ledgers.limit(id, what)),
            used: listing::limits(|what| ledgers.used(id, what)),
        })
    }

    async fn rights(&mut self, after: Name) -> Result<List<RightInfo, 32>> {
        let space = self.space()?;
        let end = self.core.layers.ipc.names.end(space);
        listing::listed(self.core, (after.index() + 1, end), |core, index| {
            listing::right(core.layers.ipc, space, index)
        })
    }

    async fn regions(&self, address: u64) -> Result<List<Region, 32>> {
        let map = self.map()?;
        let cx = &self.core.layers.cx;
        Ok(listing::regions(cx.vm, cx.machine, (map, address)))
    }

    async fn set_personality(&mut self, entry: u64) -> Result<()> {
        self.task()?;
        if entry >= MAX_ADDRESS {
            return Err(KernReturn::InvalidArgument.into());
        }
        if let Some(task) = self.core.tasks.arena.get_mut(self.id) {
            task.personality = entry;
        }
        Ok(())
    }

    async fn threads(&self, after: u32) -> Result<List<u32, 64>> {
        let threads = &self.core.layers.cx.sched.threads;
        let following = |thread| threads.get(thread).and_then(|thread| thread.siblings.next);
        let mut next = match after {
            FIRST_THREAD => self.task()?.first_thread,
            after => following(self.numbered(after)?),
        };
        let mut list = List::default();
        while let Some(thread) = next
            && list.push(thread.index())
        {
            next = following(thread);
        }
        Ok(list)
    }

    async fn thread_rights(&mut self) -> Result<Series> {
        let first = self.task()?.first_thread;
        listing::thread_rights(self.core, first)
    }

    async fn port_names(&mut self) -> Result<(Extent, u32)> {
        let space = self.space()?;
        listing::port_names(self.core, space)
    }

    async fn semaphore_create(&mut self, policy: u32, value: u32) -> Result<Held> {
        let ledger = self.task()?.ledger;
        let semaphore = Semaphore::new(policy, value)?;
        let cx = &mut self.core.layers.cx;
        let made = cx.sched.semaphores.insert(semaphore);
        let id = made.map_err(|_| KernReturn::ResourceShortage)?;
        let given = self.core.give_object(Object::Semaphore(id), ledger);
        let cx = &mut self.core.layers.cx;
        match &given {
            Ok(Held::Given(Right::Send(port))) => {
                if let Some(semaphore) = cx.sched.semaphores.get_mut(id) {
                    semaphore.port = Some(*port);
                }
            }
            _ => {
                cx.sched.semaphores.remove(id);
            }
        }
        Ok(given?)
    }

    async fn special_port(&mut self, which: u32) -> Result<Held> {
        Ok(self.kept(Place::special(which)?)?)
    }

    async fn set_special_port(&mut self, which: u32, port: Held) -> Result<()> {
        let place = Place::special(which)?;
        let port = self.core.port_of(&port)?;
        Ok(self.keep(place, Some(port))?)
    }

    async fn clear_special_port(&mut self, which: u32) -> Result<()> {
        Ok(self.keep(Place::special(which)?, None)?)
    }

    async fn ports_register(&mut self, index: u32, port: Held) -> Result<()> {
        let place = Place::registered(index)?;
        let port = self.core.port_of(&port)?;
        Ok(self.keep(place, Some(port))?)
    }

    async fn ports_lookup(&mut self, index: u32) -> Result<Held> {
        Ok(self.kept(Place::registered(index)?)?)
    }

    async fn set_priority_limit(&mut self, priority: u32) -> Result<()> {
        let limit = super::priority(priority)?;
        if limit > self.task()?.priority_limit {
            return Err(KernReturn::NoAccess.into());
        }
        self.core.tasks.set_priority_limit(self.id, limit);
        Ok(())
    }

    async fn set_name(&mut self, name: &str) -> Result<()> {
        self.task()?;
        let name = Text::<{ task::LABEL_SIZE }>::cut(name);
        if let Some(task) = self.core.tasks.arena.get_mut(self.id) {
            task.label = [0; task::LABEL_SIZE];
            task.label[..name.len()].copy_from_slice(name.as_bytes());
            let word = |at: usize| {
                let mut bytes = [0; 8];
                bytes.copy_from_slice(&task.label[at..at + 8]);
                u64::from_le_bytes(bytes)
            };
            let (start, rest) = (word(0), word(8));
            let index = u64::from(self.id.index());
            self.core
                .note(TraceKind::TaskName, index | rest << 32, start);
        }
        Ok(())
    }

    async fn assign(&mut self, set: Held, threads: u32) -> Result<()> {
        self.core.steers_set(&set)?;
        self.assign_default(threads).await
    }

    async fn assign_default(&mut self, threads: u32) -> Result<()> {
        self.task()?;
        // It is there already, with its threads.
        match threads {
            0 | 1 => Ok(()),
            _ => Err(KernReturn::InvalidArgument.into()),
        }
    }

    async fn assignment(&mut self) -> Result<Held> {
        self.task()?;
        Ok(self.core.give_set(Hand::Ask)?)
    }

    async fn info_of(&mut self, flavor: u32, count: u32) -> Result<List<u32, 40>> {
        self.task()?;
        if flavor == info::EVENTS {
            let after = match *self.core.made {
                Some(Made::Counted(thread)) => Some(thread),
                _ => None,
            };
            let core = &mut *self.core;
            let last = core
                .tasks
                .gather_counts(&mut core.layers.cx, self.id, after);
            if let Some(last) = last {
                *core.made = Some(Made::Counted(last));
                return Err(core.again());
            }
        }
        let layers = &self.core.layers;
        let told = of_task(self.task()?, flavor, layers)?;
        words(&told, count, KernReturn::InvalidArgument)
    }
}
