//! Memory objects that tasks map in a window of their addresses, and accesses that wait for their pagers.

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn;
use abi::names::{Name, port_type};
use abi::trap;
use abi::vm::{inherit, map_flags, protection, sync};
use interfaces::vm::Vm;
use microkernel::machine::FrameIndex;

use super::World;
use super::calls;
use super::generate::{FAR, Names, Patience};
use crate::message::Request;
use crate::model::{
    Access, LARGEST, OBJECTS, ObjectOp, Op, Prospect, SHOWN, Seen, Showing, Target, TaskId,
    ThreadId, Verdict,
};
use crate::sim::Sim;

/// How a memory object is mapped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Trap,
    Call,
}

/// How memory is written back; the last two are no such ways.
const SYNC_FLAGS: [u32; 13] = [
    sync::SYNCHRONOUS,
    sync::SYNCHRONOUS,
    sync::SYNCHRONOUS | sync::CONTIGUOUS,
    sync::SYNCHRONOUS | sync::INVALIDATE,
    sync::SYNCHRONOUS | sync::INVALIDATE,
    sync::ASYNCHRONOUS,
    sync::INVALIDATE,
    sync::INVALIDATE,
    sync::KILL_PAGES,
    sync::KILL_PAGES,
    sync::DEACTIVATE,
    sync::SYNCHRONOUS | sync::ASYNCHRONOUS,
    0x40,
];

/// How many memory objects there are at once, mostly.
const FEW: usize = 3;
/// How often a thread tries what others keep it from.
const TURNS: usize = 100;

/// Has the first task's page tables for the window there, before they are counted.
pub(super) fn touch_window(sim: &mut Sim, first: FrameIndex) {
    let mut user = sim.on(first);
    let range = [OBJECTS, SHOWN * PAGE_SIZE];
    let made = user.trap(trap::VM_ALLOCATE, &[range[0], range[1], 0]);
    assert_eq!(made, Ok(OBJECTS));
    user.poke(OBJECTS, &[0]);
    assert_eq!(user.trap(trap::VM_DEALLOCATE, &range), Ok(0));
}

fn window() -> impl Iterator<Item = u64> {
    (0..SHOWN).map(|page| OBJECTS + page * PAGE_SIZE)
}

/// How an object is mapped.
fn map_word(showing: Showing) -> u64 {
    let now = u64::from(showing.rights) << map_flags::CURRENT_SHIFT;
    let most = u64::from(protection::ALL) << map_flags::MAXIMUM_SHIFT;
    now | most | u64::from(inherit::NONE) << map_flags::INHERIT_SHIFT
}

/// A trap's number and arguments.
fn registers(op: ObjectOp) -> (i64, Vec<u64>) {
    match op {
        ObjectOp::Map(showing) => {
            let ((at, size), offset) = (showing.range, showing.offset);
            let name = showing.name.0.into();
            (
                trap::VM_MAP,
                vec![name, at, size, offset, map_word(showing)],
            )
        }
        ObjectOp::Unmap((at, size)) => (trap::VM_DEALLOCATE, vec![at, size]),
        _ => unreachable!("no trap: {op:?}"),
    }
}

impl World {
    /// The registers that an access is made with.
    pub(super) fn note_registers(&mut self, thread: ThreadId, op: &mut ObjectOp) {
        if let Some(access) = op.access() {
            self.sim.until_runs(self.threads[thread].0);
            access.registers = self.registers_of(thread);
        }
    }

    pub(super) fn object(&mut self, thread: ThreadId, mut op: ObjectOp) -> Option<Seen> {
        let frame = self.threads[thread].0;
        if let ObjectOp::MapIn((task, _), showing) = op {
            let (at, size) = showing.range;
            let words = [at, size, 0, showing.offset, map_word(showing)];
            let request = calls::with_right(task, (<dyn Vm>::MAP.id, showing.name), &words);
            return Some(self.coded(thread, &request));
        }
        if let ObjectOp::Proxy((task, _), name, (offset, size), rights) = op {
            let words = [offset, size, rights.into()];
            let request = calls::with_right(task, (<dyn Vm>::CREATE_PROXY.id, name), &words);
            return Some(self.plain_call(thread, &request));
        }
        if let ObjectOp::Sync((task, _), (at, size), flags) = op {
            let request = Request::call(task).id(<dyn Vm>::MSYNC.id);
            let request = request.words([at, size, flags.into(), 0, 0, 0]);
            return Some(self.coded(thread, &request));
        }
        let Some(access) = op.access().copied() else {
            let (number, arguments) = registers(op);
            let mut user = self.sim.on(frame);
            let answer = user.start(number, &arguments);
            let answer = answer.unwrap_or_else(|| user.finish());
            return Some(calls::seen(&answer));
        };
        let waits = self.model.clone().step(thread, &Op::Object(op), None);
        // Others may have their turn meanwhile.
        let turns = if waits.is_ok() { 1 } else { TURNS };
        (0..turns).find_map(|_| self.try_access(frame, access))
    }

    fn try_access(&mut self, frame: FrameIndex, access: Access) -> Option<Seen> {
        let cpu = self.sim.until_runs(frame);
        let mut bytes = [0; 8];
        let done = match access.number {
            Some(number) => self.sim.write(cpu, access.at, &number.to_le_bytes()),
            None => self.sim.read(cpu, access.at, &mut bytes),
        };
        let number = u64::from_le_bytes(bytes);
        done.ok().map(|()| Seen::Trap(KernReturn::Success, number))
    }

    /// A thread that needed a page is in user mode again: it tries once more, and waits again if that fails.
    /// Those who came `back` before were first.
    pub(super) fn tries_again(
        &mut self,
        thread: ThreadId,
        back: &mut Vec<(ThreadId, Seen)>,
    ) -> Option<Seen> {
        let access = self.model.needs(thread)?;
        let frame = self.threads[thread].0;
        if !self.sim.is_in_user_mode(frame) {
            return None;
        }
        let seen = self.try_access(frame, access);
        if seen.is_none() {
            self.history
                .push(format!("thread {thread} misses {access:x?}"));
            // Who is refused may follow from somebody who has not come back yet.
            let _later = self.complete_some(back);
            self.model.missed_page(thread);
        }
        seen
    }

    /// A task's thread looks at all pages of memory objects that are there.
    pub(super) fn audit_objects(&mut self, thread: ThreadId) -> Verdict {
        let task = self.threads[thread].1;
        for at in window() {
            let access = load(at);
            if self.model.prospect(task, &access) == Some(Prospect::Done) {
                let mut op = ObjectOp::Load(access);
                self.note_registers(thread, &mut op);
                self.perform(thread, &Op::Object(op))?;
            }
        }
        Ok(())
    }

    /// The first task gives its memory objects up.
    pub(super) fn leave_objects(&mut self) -> Verdict {
        self.audit_objects(0)?;
        let all = (OBJECTS, SHOWN * PAGE_SIZE);
        self.perform(0, &Op::Object(ObjectOp::Unmap(all)))?;
        self.settle()
    }
}

fn load(at: u64) -> Access {
    Access {
        at,
        number: None,
        registers: [0; 20],
    }
}

impl Names<'_> {
    /// Something with a memory object, by its pager or by somebody who maps it.
    pub(super) fn object(&mut self, patience: Patience) -> Op {
        match self.rng.below(12) {
            0..5 => match self.pager() {
                Some(op) => op,
                None => self.ask_for_mail(),
            },
            5..7 => self.ask_for_mail(),
            7 => match self.proxy() {
                Some(op) => Op::Object(op),
                None => self.map_object(),
            },
            8 if self.rng.one_in(2) => match self.synced() {
                Some(op) => Op::Object(op),
                None => Op::Object(ObjectOp::Unmap(self.shown_pages())),
            },
            _ => match self.access(patience) {
                Some(op) => Op::Object(op),
                None => self.map_object(),
            },
        }
    }

    /// A look for messages, mostly at a memory object.
    fn ask_for_mail(&mut self) -> Op {
        let mut live = self.live();
        live.retain(|name| {
            let of_pager = self.model.is_object(self.task, *name) == Some(true);
            of_pager && self.model.has_mail(self.task, *name)
        });
        let from = match live.is_empty() {
            true => self.with_mail(),
            false => self.rng.pick(&live),
        };
        Op::Message(Request::poll(from))
    }

    /// Some pages of the window.
    fn shown_pages(&mut self) -> (u64, u64) {
        let first = self.rng.below(SHOWN as usize) as u64;
        let count = (1 + self.rng.below(LARGEST as usize) as u64).min(SHOWN - first);
        (OBJECTS + first * PAGE_SIZE, count * PAGE_SIZE)
    }

    /// Whether a task has mapped nothing there.
    fn is_free(&self, task: TaskId, (at, size): (u64, u64)) -> bool {
        let mut pages = (at..at + size).step_by(PAGE_SIZE as usize);
        pages.all(|at| self.model.prospect(task, &load(at)).is_none())
    }

    /// Where the memory that is to show an object may lie: the task's own, or that of one whose port it knows.
    fn map_target(&mut self) -> Option<Target> {
        if self.rng.one_in(2) {
            return None;
        }
        let mut known = self.with_memory();
        known.retain(|(_, of)| !self.model.was_made(*of));
        (!known.is_empty()).then(|| self.rng.pick(&known))
    }

    fn map_object(&mut self) -> Op {
        let target = self.map_target();
        let task = target.map_or(self.task, |(_, of)| of);
        let mut live = self.live();
        let many = self.model.objects() >= FEW;
        live.retain(|name| match self.model.is_object(self.task, *name) {
            Some(is_one) => is_one || !many,
            None => false,
        });
        let mut range = self.shown_pages();
        for _ in 0..3 {
            if self.is_free(task, range) {
                break;
            }
            range = self.shown_pages();
        }
        let most = LARGEST - (range.1 / PAGE_SIZE).min(LARGEST);
        let mut offset = self.rng.below(most as usize + 1) as u64 * PAGE_SIZE;
        let mut name = match live.is_empty() {
            true => Name::NULL,
            false => self.rng.pick(&live),
        };
        let mut rights = self.rng.pick(&[1, 3, 3, 3]);
        let proxies = self.model.proxies(self.task);
        if !proxies.is_empty() && self.rng.one_in(2) {
            let (proxy, pages, maximum) = self.rng.pick(&proxies);
            name = proxy;
            if !self.rng.one_in(4) {
                range.1 = range.1.min(pages * PAGE_SIZE);
                let most = pages - range.1 / PAGE_SIZE;
                offset = self.rng.below(most as usize + 1) as u64 * PAGE_SIZE;
                rights &= maximum;
            }
        } else if name == Name::NULL || self.rng.one_in(12) {
            let way = target.map_or(Way::Trap, |_| Way::Call);
            name = self.no_object(way);
        }
        // What was made for a mapping that cannot be would end at once.
        let is_proxy = proxies.iter().any(|proxy| proxy.0 == name);
        if self.model.is_object(self.task, name) != Some(true) && !is_proxy {
            if !self.is_free(task, range) {
                return Op::Object(ObjectOp::Unmap(range));
            }
        } else if self.rng.one_in(12) {
            offset = self.rng.pick(&[1, u64::MAX - 4095]);
        }
        let showing = Showing {
            name,
            range,
            offset,
            rights,
        };
        Op::Object(match target {
            Some(target) => ObjectOp::MapIn(target, showing),
            None => ObjectOp::Map(showing),
        })
    }

    /// A proxy, mostly of a memory object that there is.
    fn proxy(&mut self) -> Option<ObjectOp> {
        if self.model.proxy_count() >= FEW || self.rng.one_in(2) {
            return None;
        }
        let known = self.with_memory();
        let target = (!known.is_empty()).then(|| self.rng.pick(&known))?;
        let many = self.model.objects() >= FEW;
        let mut live = self.live();
        live.retain(|name| match self.model.is_object(self.task, *name) {
            Some(is_one) => is_one || !many,
            None => false,
        });
        live.extend(self.model.proxies(self.task).iter().map(|proxy| proxy.0));
        let name = match live.is_empty() || self.rng.one_in(8) {
            true => self.no_object(Way::Call),
            false => self.rng.pick(&live),
        };
        let first = self.rng.below(LARGEST as usize) as u64;
        let count = 1 + self.rng.below((LARGEST - first) as usize) as u64;
        let range = match self.rng.below(8) {
            0 => (self.rng.pick(&[1, u64::MAX - 4095]), PAGE_SIZE),
            _ => (first * PAGE_SIZE, count * PAGE_SIZE),
        };
        let rights = self.rng.pick(&[1, 1, 3, 3, 7, 7, 8]);
        Some(ObjectOp::Proxy(target, name, range, rights))
    }

    /// Memory that is to be written back, mostly where a task has some.
    fn synced(&mut self) -> Option<ObjectOp> {
        if self.rng.one_in(2) {
            return None;
        }
        let known = self.with_memory();
        let target = (!known.is_empty()).then(|| self.rng.pick(&known))?;
        let mut range = self.shown_pages();
        for _ in 0..4 {
            if !self.is_free(target.1, range) {
                break;
            }
            range = self.shown_pages();
        }
        range = match self.rng.below(12) {
            0 => (u64::MAX - 4095, 2 * PAGE_SIZE),
            1 => (range.0, 0),
            2 => (range.0 + 8, range.1 - 16),
            _ => range,
        };
        let flags = self.rng.pick(&SYNC_FLAGS);
        let fits = self.model.can_sync(target.1, range);
        fits.then_some(ObjectOp::Sync(target, range, flags))
    }

    /// What nobody can map.
    fn no_object(&mut self, way: Way) -> Name {
        let mut wrong = self.live();
        wrong.retain(|name| {
            let is_right = self.model.bits(self.task, *name) & port_type::SEND != 0;
            match is_right {
                true => self.model.is_semaphore(self.task, *name),
                // A message cannot carry it.
                false => way == Way::Trap,
            }
        });
        wrong.push(match way {
            Way::Trap => FAR,
            Way::Call => Name::NULL,
        });
        self.rng.pick(&wrong)
    }

    /// A look at a page that the task maps: one that its thread may make.
    fn access(&mut self, patience: Patience) -> Option<ObjectOp> {
        let foolhardy = self.rng.one_in(16);
        let may_fail = self.task != 0 && (foolhardy || self.model.minds_bad_memory(self.thread));
        let may_wait = self.task != 0 && patience == Patience::MayWait;
        let number = self.rng.one_in(2).then(|| self.rng.word());
        let accesses = window().map(|at| Access { number, ..load(at) });
        let may = |access: &Access| match self.model.prospect(self.task, access) {
            None => false,
            Some(Prospect::Done) => true,
            Some(Prospect::Waits) => may_wait,
            Some(Prospect::Fails) => may_fail,
        };
        let accesses: Vec<Access> = accesses.filter(may).collect();
        (!accesses.is_empty()).then(|| match number {
            Some(_) => ObjectOp::Store(self.rng.pick(&accesses)),
            None => ObjectOp::Load(self.rng.pick(&accesses)),
        })
    }
}
