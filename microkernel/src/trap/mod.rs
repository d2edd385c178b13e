//! The trap table: from registers to a value, and from the value to what the kernel does.

mod decode;
mod futex;
mod semaphore;
mod switch;

pub use decode::Trap;

use abi::kern_return::{KernReturn, MessageReturn};
use abi::names::{Name, right};
use abi::registers::options;
use interfaces::clock::Time;

use crate::base::KernResult;
use crate::base::ids::{MessageId, PortId, SpaceId, TaskId, ThreadId};
use crate::ipc::alarm::{Clock, deadline};
use crate::ipc::entry::Rights;
use crate::ipc::port::{Guard, Kind, Object};
use crate::ipc::receive::Received;
use crate::ipc::send::{Call, Sent};
use crate::ipc::stage::Resumed;
use crate::machine::{Machine, NEVER, Resume};
use crate::sched::Wait;
use crate::task::{Layers, Place, Task, Tasks};
use crate::vm::{MapRequest, Progress, STALLED, Source};

/// How a trap ends.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub enum Outcome {
    /// It returns a code, and one result.
    Return(KernResult<u64>),
    /// `mach_msg` returns; all but a code of its own is in the registers already.
    Message(MessageReturn),
    /// A message is in the registers.
    Received,
    /// The thread waits; its wait is set.
    Blocked,
    /// It gave up the CPU, to this thread if there is one, and returns success when it runs again.
    Yielded(Option<ThreadId>),
    /// The thread waits, which is set, and has given its turn, to this thread if there is one.
    Passed(Option<ThreadId>),
    /// A step is done; the same trap goes on.
    Again,
    /// The kernel is to answer a message to one of its own ports, and then to receive if that is asked.
    KernelCall(Object, MessageId),
    /// The calling thread ends.
    ThreadEnds,
    /// Its task ends.
    TaskEnds,
    /// No trap has this number.
    Unknown,
}

/// The thread that trapped, and where it belongs.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// The thread.
    pub thread: ThreadId,
    /// Its task.
    pub task: TaskId,
}

/// Does what a trap asks for.
#[inline(always)]
pub fn perform<M: Machine>(
    tasks: &mut Tasks,
    layers: &mut Layers<'_, M>,
    caller: Caller,
    trap: Trap,
) -> Outcome {
    let Some(task) = tasks.get(caller.task) else {
        return Outcome::Unknown;
    };
    layers.ipc.names.count_trap(task.space);
    match trap {
        Trap::Null => Outcome::Return(Ok(0)),
        Trap::Clock => Outcome::Return(Ok(layers.cx.machine.now())),
        Trap::Unknown => Outcome::Unknown,
        Trap::Refused => Outcome::Return(Err(KernReturn::NotSupported)),
        Trap::Port(trap) => {
            let done = slot_trap(layers, task, caller, trap);
            Outcome::Return(done.unwrap_or_else(|| port_trap(layers, task, trap)))
        }
        Trap::Semaphore(trap) => semaphore::perform(layers, task, caller, trap),
        Trap::Memory(trap) => memory_trap(layers, task, trap),
        Trap::ThreadSelf | Trap::TaskSelf | Trap::HostSelf => {
            Outcome::Return(self_trap(layers, task, caller, trap))
        }
        Trap::Switch(trap) => switch::perform(layers, task, caller, trap),
        Trap::WaitUntil { deadline } => wait_until(layers, caller, deadline),
        Trap::ClockSleep { clock, kind, time } => {
            match clock_deadline(layers, task, clock, (kind, time)) {
                Ok(deadline) => wait_until(layers, caller, deadline),
                Err(code) => Outcome::Return(Err(code)),
            }
        }
        Trap::FutexWait {
            address,
            expected,
            deadline,
        } => futex::wait(layers, task, caller, (address, expected), deadline),
        Trap::FutexWake { address, count } => {
            Outcome::Return(futex::wake(layers, task, address, count))
        }
        Trap::FutexRequeue {
            address,
            expected,
            wakes,
            to,
            moves,
        } => {
            let words = ((address, expected), to);
            Outcome::Return(futex::requeue(layers, task, words, (wakes, moves)))
        }
        Trap::MessageBuffer { address, size } => {
            Outcome::Return(message_buffer(layers, task, caller, (address, size)))
        }
        Trap::TaskExit => Outcome::TaskEnds,
        Trap::ThreadExit => Outcome::ThreadEnds,
        Trap::ReplySlotTake => Outcome::Return(take_slot(layers, task, caller)),
        Trap::SetFsBase { address } => Outcome::Return(set_fs_base(layers, caller, address)),
        Trap::InterruptAcknowledge { name } => Outcome::Return(acknowledge(layers, task, name)),
        Trap::IoRead {
            name,
            offset,
            width,
        } => Outcome::Return(
            io_port(layers, task, name, (offset, width))
                .map(|port| layers.cx.machine.port_read(port, width as u8).into()),
        ),
        Trap::IoWrite {
            name,
            offset,
            width,
            value,
        } => Outcome::Return(io_port(layers, task, name, (offset, width)).map(|port| {
            layers.cx.machine.port_write(port, width as u8, value);
            0
        })),
    }
}

/// `mach_msg`, all of it that the fast path did not do.
pub fn mach_msg<M: Machine>(layers: &mut Layers<'_, M>, caller: Caller) -> Outcome {
    let call = Call::decode(layers.cx.machine.frame(caller.thread.index()));
    if !call.has(options::SEND) {
        let thread = layers.cx.sched.threads.get(caller.thread);
        if let Some(space) = thread.map(|thread| thread.space) {
            layers.ipc.names.count_trap(space);
        }
        return receive(layers, caller, &call);
    }
    let sent = layers.ipc.send(&mut layers.cx, caller.thread, &call);
    after_send(layers, caller, &call, sent)
}

/// What follows from a send.
#[inline(always)]
fn after_send<M: Machine>(
    layers: &mut Layers<'_, M>,
    caller: Caller,
    call: &Call,
    sent: Result<Sent, MessageReturn>,
) -> Outcome {
    match sent {
        Err(code) => {
            // One that waits for a page is still being sent.
            if code.0 != STALLED.0 {
                layers.ipc.end_call(&mut layers.cx, caller.thread, call);
            }
            Outcome::Message(code)
        }
        Ok(Sent::Again) => Outcome::Again,
        Ok(Sent::Kernel(object, message)) => Outcome::KernelCall(object, message),
        Ok(Sent::Done) => receive(layers, caller, call),
        Ok(Sent::Blocked) => {
            if call.has(options::SEND_TIMEOUT) {
                let cx = &mut layers.cx;
                cx.sched
                    .arm(cx.machine, cx.cpu, caller.thread, call.deadline);
            }
            Outcome::Blocked
        }
    }
}

/// The next step of a `mach_msg` whose message has many rights; `None`: the thread is at something else.
pub fn resume_mach_msg<M: Machine>(layers: &mut Layers<'_, M>, caller: Caller) -> Option<Outcome> {
    let resumed = layers.ipc.resume_message(&mut layers.cx, caller.thread)?;
    Some(match resumed {
        Resumed::Again => Outcome::Again,
        Resumed::Sent(sent) => {
            let call = Call::decode(layers.cx.machine.frame(caller.thread.index()));
            after_send(layers, caller, &call, sent)
        }
        Resumed::Received => Outcome::Received,
        Resumed::Returned(code) => Outcome::Message(code),
    })
}

/// The receive half, if there is one.
pub fn receive<M: Machine>(layers: &mut Layers<'_, M>, caller: Caller, call: &Call) -> Outcome {
    if !call.has(options::RECEIVE) {
        return Outcome::Message(MessageReturn::Success);
    }
    match layers.ipc.receive(&mut layers.cx, caller.thread, call) {
        Ok(Received::Done) => Outcome::Received,
        Ok(Received::Blocked) => Outcome::Blocked,
        Err(code) => Outcome::Message(code),
    }
}

/// A trap on the name of the reply slot, if it is one.
fn slot_trap<M: Machine>(
    layers: &mut Layers<'_, M>,
    task: &Task,
    Caller { thread, .. }: Caller,
    trap: decode::PortTrap,
) -> Option<KernResult<u64>> {
    use decode::PortTrap as T;
    const SLOT: Name = Name::REPLY_SLOT;
    let (ipc, cx) = (&mut *layers.ipc, &mut layers.cx);
    Some(match trap {
        T::Deallocate { name: SLOT } | T::Destroy { name: SLOT } => {
            ipc.end_slot(cx, thread).map(|()| 0)
        }
        T::Type { name: SLOT } => ipc.slot_type(cx, thread).map(u64::from),
        T::GetRefs { name: SLOT, right } => ipc.slot_refs(cx, thread, right).map(u64::from),
        T::ModRefs {
            name: SLOT,
            right,
            delta,
        } => ipc.mod_slot(cx, thread, right, delta).map(|()| 0),
        T::InsertRight {
            from: SLOT,
            name,
            disposition,
        } => ipc
            .insert_from_slot(cx, thread, (task.space, name), disposition)
            .map(|()| 0),
        _ => return None,
    })
}

fn port_trap<M: Machine>(
    layers: &mut Layers<'_, M>,
    task: &Task,
    trap: decode::PortTrap,
) -> KernResult<u64> {
    use decode::PortTrap as T;
    let (ipc, cx, space) = (&mut *layers.ipc, &mut layers.cx, task.space);
    let named = |name: Name| u64::from(name.0);
    match trap {
        T::Allocate { kind } => ipc.allocate(cx, space, kind).map(named),
        T::Construct { arguments } => ipc.construct(cx, space, arguments).map(named),
        T::AllocateName { kind, name } => ipc.allocate_name(cx, space, kind, name).map(named),
        T::Destruct { name, delta, guard } => {
            ipc.destruct(cx, space, (name, guard), delta).map(|()| 0)
        }
        T::Guard {
            name,
            value,
            strict,
        } => {
            let guard = Guard::decode(value, strict)?;
            ipc.guard(space, name, guard).map(|()| 0)
        }
        T::Unguard { name, value } => ipc.unguard(cx, space, (name, value)).map(|()| 0),
        T::SwapGuard { name, old, new } => ipc.swap_guard(cx, space, name, (old, new)).map(|()| 0),
        T::Destroy { name } => ipc.destroy(cx, space, name).map(|()| 0),
        T::Deallocate { name } => ipc.deallocate(cx, space, name).map(|()| 0),
        T::ModRefs { name, right, delta } => {
            ipc.mod_refs(cx, space, name, right, delta).map(|()| 0)
        }
        T::GetRefs { name, right } => ipc.get_refs(space, name, right).map(u64::from),
        T::MoveMember { member, set } => ipc.move_member(space, member, set).map(|()| 0),
        T::InsertMember { member, set } => ipc.insert_member(space, member, set).map(|()| 0),
        T::ExtractMember { member, set } => ipc.extract_member(space, member, set).map(|()| 0),
        T::InsertRight {
            name,
            from,
            disposition,
        } => ipc
            .insert_right(cx, space, name, from, disposition)
            .map(|()| 0),
        T::Type { name } => ipc.type_of(space, name).map(u64::from),
        T::GetAttribute { name, attribute } => ipc.attribute(space, name, attribute),
        T::SetAttribute {
            name,
            attribute,
            value,
        } => ipc
            .set_attribute(space, name, (attribute, value))
            .map(|()| 0),
        T::RequestNotification(request) => ipc.request_notification(cx, space, request).map(named),
        T::ArmTimer { name, deadline } => ipc.arm_timer(cx, space, name, deadline).map(|()| 0),
        T::Timer(trap) => timer_trap(layers, space, trap),
    }
}

fn timer_trap<M: Machine>(
    layers: &mut Layers<'_, M>,
    space: SpaceId,
    trap: decode::TimerTrap,
) -> KernResult<u64> {
    use decode::TimerTrap as T;
    let (ipc, cx) = (&mut *layers.ipc, &mut layers.cx);
    match trap {
        T::Create => ipc.create_timer(cx, space).map(|name| name.0.into()),
        T::Destroy(name) => {
            ipc.timer(space, name)?;
            ipc.mod_refs(cx, space, name, right::RECEIVE, -1)?;
            Ok(0)
        }
        T::Arm(name, deadline) => {
            ipc.timer(space, name)?;
            ipc.arm_timer(cx, space, name, deadline)?;
            Ok(0)
        }
        T::Cancel(name) => {
            let deadline = ipc.timer(space, name)?;
            ipc.arm_timer(cx, space, name, NEVER)?;
            Ok(if deadline == NEVER { 0 } else { deadline })
        }
    }
}

fn memory_trap<M: Machine>(
    layers: &mut Layers<'_, M>,
    task: &Task,
    trap: decode::MemoryTrap,
) -> Outcome {
    use decode::MemoryTrap as T;
    if let T::Map { size, offset, .. } = trap
        && offset.checked_add(size).is_none()
    {
        return Outcome::Return(Err(KernReturn::InvalidArgument));
    }
    let source = match trap {
        T::Map { entry, offset, .. } if entry != Name::NULL => {
            match map_source(layers, task, entry, offset) {
                Ok(source) => source,
                Err(code) => return Outcome::Return(Err(code)),
            }
        }
        _ => Source::Anonymous,
    };
    let (vm, mut context) = layers.vm();
    let progress = match trap {
        T::Allocate {
            address,
            size,
            flags,
        } => vm.allocate(&mut context, task.map, (address, size), flags),
        T::Deallocate { address, size } => vm
            .deallocate(&mut context, task.map, address, size)
            .map(done_with_nothing),
        T::Protect {
            address,
            size,
            which,
            protection,
        } => {
            let range = (address, size);
            vm.protect(&mut context, task.map, range, which, protection)
                .map(done_with_nothing)
        }
        T::Map {
            address,
            size,
            flags,
            ..
        } => {
            let request = MapRequest::decode((address, size), flags, source);
            let mapped = vm.map(&mut context, task.map, request);
            if let Source::Pager(pager, _) = source {
                vm.drop_pager(pager);
            }
            mapped
        }
    };
    match progress {
        Ok(Progress::Done(result)) => Outcome::Return(Ok(result)),
        Ok(Progress::More) => Outcome::Again,
        Err(code) => Outcome::Return(Err(code)),
    }
}

fn done_with_nothing(progress: Progress) -> Progress<u64> {
    match progress {
        Progress::Done(()) => Progress::Done(0),
        Progress::More => Progress::More,
    }
}

/// The port that a name holds a send right to.
fn send_right<M: Machine>(
    layers: &mut Layers<'_, M>,
    task: &Task,
    name: Name,
) -> KernResult<PortId> {
    let entry = layers
        .ipc
        .look_up(task.space, name)
        .ok_or(KernReturn::InvalidName)?;
    let (rights, port) = (entry.rights, entry.port);
    port.filter(|_| rights.contains(Rights::SEND))
        .ok_or(KernReturn::InvalidRight)
}

/// The object that a name holds a send right to.
fn kernel_object<M: Machine>(
    layers: &mut Layers<'_, M>,
    task: &Task,
    name: Name,
) -> KernResult<Object> {
    let port = send_right(layers, task, name)?;
    match layers.ipc.ports.get(port).map(|port| port.kind) {
        Some(Kind::Kernel(object)) => Ok(object),
        _ => Err(KernReturn::InvalidRight),
    }
}

/// What mapping the port behind a name shows.
fn map_source<M: Machine>(
    layers: &mut Layers<'_, M>,
    task: &Task,
    name: Name,
    offset: u64,
) -> KernResult<Source> {
    let port = send_right(layers, task, name)?;
    layers
        .ipc
        .map_source(&mut layers.cx, port, offset, task.ledger)
}

fn self_trap<M: Machine>(
    layers: &mut Layers<'_, M>,
    task: &Task,
    caller: Caller,
    trap: Trap,
) -> KernResult<u64> {
    let port = match trap {
        Trap::ThreadSelf => Tasks::thread_port(layers, caller.thread)?,
        Trap::TaskSelf => task
            .special(layers.ipc, Place::KERNEL)
            .ok_or(KernReturn::InvalidTask)?,
        _ => task
            .special(layers.ipc, Place::HOST)
            .ok_or(KernReturn::InvalidHost)?,
    };
    let name = layers
        .ipc
        .name_for_kernel_port(&mut layers.cx, task.space, port)?;
    Ok(name.0.into())
}

fn wait_until<M: Machine>(layers: &mut Layers<'_, M>, caller: Caller, deadline: u64) -> Outcome {
    let cx = &mut layers.cx;
    let now = cx.machine.now();
    if deadline <= now {
        return Outcome::Return(Ok(now));
    }
    let mut deadline = deadline;
    if let Some(thread) = cx.sched.threads.get_mut(caller.thread) {
        thread.wait = Wait::Deadline;
        deadline = thread.sleeps_until(deadline);
    }
    if deadline != NEVER {
        cx.sched.arm(cx.machine, cx.cpu, caller.thread, deadline);
    }
    Outcome::Blocked
}

/// Until when a sleep by a clock lasts.
fn clock_deadline<M: Machine>(
    layers: &mut Layers<'_, M>,
    task: &Task,
    clock: Name,
    (kind, [seconds, nanoseconds]): (u32, [u64; 2]),
) -> KernResult<u64> {
    let bad = KernReturn::InvalidArgument;
    match kernel_object(layers, task, clock) {
        Ok(Object::Clock(Clock::System, _)) => {}
        Ok(Object::Clock(Clock::Calendar, _)) => return Err(KernReturn::Failure),
        _ => return Err(bad),
    }
    let time = Time {
        seconds: u32::try_from(seconds).map_err(|_| bad)?,
        nanoseconds: u32::try_from(nanoseconds).map_err(|_| bad)?,
    };
    deadline(kind, time, layers.cx.machine.now())
}

fn message_buffer<M: Machine>(
    layers: &mut Layers<'_, M>,
    task: &Task,
    caller: Caller,
    (address, size): (u64, u64),
) -> KernResult<u64> {
    let thread = layers.cx.sched.threads.get(caller.thread);
    let mut buffer = thread.and_then(|thread| thread.buffer);
    let (vm, mut context) = layers.vm();
    let replaced = if size > 0 {
        vm.replace_buffer(&mut context, task.map, (address, size), &mut buffer)
    } else {
        if let Some(old) = buffer.take() {
            vm.unwire_buffer(&mut context, old);
        }
        Ok(())
    };
    let first = buffer.and_then(|buffer| vm.buffer_pages(buffer).first().copied());
    if let Some(thread) = layers.cx.sched.threads.get_mut(caller.thread) {
        (thread.buffer, thread.buffer_page) = (buffer, first);
    }
    replaced.map(|()| 0)
}

fn take_slot<M: Machine>(
    layers: &mut Layers<'_, M>,
    task: &Task,
    caller: Caller,
) -> KernResult<u64> {
    let name = layers
        .ipc
        .take_slot(&mut layers.cx, caller.thread, task.space)?;
    Ok(name.0.into())
}

fn set_fs_base<M: Machine>(
    layers: &mut Layers<'_, M>,
    caller: Caller,
    address: u64,
) -> KernResult<u64> {
    if address >= abi::vm::MAX_ADDRESS {
        return Err(KernReturn::InvalidArgument);
    }
    let frame = layers.cx.machine.frame(caller.thread.index());
    frame.fs_base = address;
    // The short way back to the thread that trapped leaves the base as it is.
    frame.resume = Resume::Full;
    Ok(0)
}

fn acknowledge<M: Machine>(layers: &mut Layers<'_, M>, task: &Task, name: Name) -> KernResult<u64> {
    match kernel_object(layers, task, name)? {
        Object::Interrupt { line } if layers.cx.machine.unmask_interrupt(line) => Ok(0),
        _ => Err(KernReturn::InvalidRight),
    }
}

/// The I/O port at an offset of a range, if the range holds all bytes of the access.
fn io_port<M: Machine>(
    layers: &mut Layers<'_, M>,
    task: &Task,
    name: Name,
    (offset, width): (u64, u64),
) -> KernResult<u16> {
    let Object::IoRange { first, count } = kernel_object(layers, task, name)? else {
        return Err(KernReturn::InvalidRight);
    };
    let end = offset
        .checked_add(width)
        .ok_or(KernReturn::InvalidArgument)?;
    if !matches!(width, 1 | 2 | 4) || end > u64::from(count) {
        return Err(KernReturn::InvalidArgument);
    }
    u16::try_from(u64::from(first) + offset).map_err(|_| KernReturn::InvalidArgument)
}
