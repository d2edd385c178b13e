//! Memory objects (MACH.md O-01 to O-05, O-07, O-08): memory that a task, the pager, supplies page by page.
//!
//! Tasks map them in a window of their own, [`OBJECTS`]. A page holds a number, which lies at its start, as elsewhere. Who needs a page
//! that is missing waits, and tries again when the pager has answered: whether it is there then, or an exception, is
//! looked up anew.

use std::collections::BTreeMap;

use abi::PAGE_SIZE;
use abi::exception::BAD_ACCESS;
use abi::kern_return::KernReturn as Code;
use abi::names::Name;
use abi::vm::{copy_strategy, protection};
use interfaces::memory_object::MemoryObject;

use super::body::Part;
use super::control::answer;
use super::names::{accept, value};
use super::proxies::{Proxy, Source};
use super::vm::settled;
use super::{
    Bytes, Carried, Holder, Message, Model, Op, PortId, Registers, Seen, State, Target, TaskId,
    ThreadId, Verdict,
};

/// Where tasks map memory objects.
pub const OBJECTS: u64 = 0x78_0000;
/// How many pages of them.
pub const SHOWN: u64 = 8;
/// How many messages that give pages back may wait at a pager's port.
pub(super) const ROOM: usize = 16;
/// Pages that programs use of a memory object.
pub const LARGEST: u64 = 4;

/// What a thread does with a page of a memory object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access {
    /// Where the page lies.
    pub at: u64,
    /// The number that it writes, if it does.
    pub number: Option<u64>,
    /// The thread's registers at that moment.
    pub registers: Registers,
}

/// Memory that is to show the object of a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Showing {
    /// The port.
    pub name: Name,
    /// The memory.
    pub range: Bytes,
    /// Where in the object it begins.
    pub offset: u64,
    /// What may be done with it.
    pub rights: u32,
}

/// What a task does with a memory object that it maps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ObjectOp {
    /// `vm_map`.
    Map(Showing),
    /// The same by a call to a task's port, by this name: the memory is that task's.
    MapIn(Target, Showing),
    /// A call `create_proxy`, of a part of a port's object, with at most these protections.
    Proxy(Target, Name, Bytes, u32),
    /// A call `msync` to a task's port: of these bytes, by flags.
    Sync(Target, Bytes, u32),
    /// `vm_deallocate`.
    Unmap(Bytes),
    /// A thread reads the number where a page begins.
    Load(Access),
    /// A thread writes it.
    Store(Access),
}

impl ObjectOp {
    /// What a thread does with a page.
    pub fn access(&mut self) -> Option<&mut Access> {
        match self {
            Self::Load(access) | Self::Store(access) => Some(access),
            Self::Map(_) | Self::MapIn(..) | Self::Sync(..) | Self::Proxy(..) | Self::Unmap(_) => {
                None
            }
        }
    }

    pub(super) fn is_call(self) -> bool {
        matches!(self, Self::MapIn(..) | Self::Sync(..) | Self::Proxy(..))
    }
}

impl Access {
    /// What it takes.
    fn right(&self) -> u32 {
        match self.number {
            Some(_) => protection::WRITE,
            None => protection::READ,
        }
    }
}

/// What a memory object is.
pub(super) type ObjectId = usize;

/// What becomes of a memory object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Life {
    /// Its pager was told of it.
    Told,
    /// Its pager answers.
    Ready,
    /// Its pager will never answer.
    Dead,
    /// It is no more.
    Over,
}

#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) port: PortId,
    pub(super) control: PortId,
    pub(super) name: PortId,
    pub(super) life: Life,
    /// Whether it stays without mappings, and how copies are made.
    pub(super) attributes: [u32; 2],
    /// Who pays for it.
    payer: TaskId,
    /// The pages that are there.
    pub(super) pages: BTreeMap<u64, Content>,
    /// Pages that somebody needs.
    pub(super) requests: BTreeMap<u64, Request>,
}

/// A page that is there.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Content {
    pub(super) number: u64,
    /// Accesses that need the pager's leave.
    pub(super) lock: u32,
    /// It was written since the pager had it.
    pub(super) is_dirty: bool,
    /// It is to come back in any case.
    pub(super) is_precious: bool,
}

impl Content {
    /// Whether the pager does not have it.
    pub(super) fn is_new(&self) -> bool {
        self.is_dirty || self.is_precious
    }
}

/// A question to a pager.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Request {
    /// Whether the page is there, and locked.
    unlocks: bool,
    /// What the first one needed it for.
    access: u32,
    /// What all need it for.
    wanted: u32,
    /// The first one's task, which pays.
    payer: TaskId,
}

/// A page of a task's that shows one of a memory object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Shown {
    pub(super) object: ObjectId,
    pub(super) page: u64,
    pub(super) rights: u32,
    /// Which call it is of.
    pub(super) mapping: u64,
}

/// All memory objects, and where tasks have mapped them.
#[derive(Clone, Default, Debug)]
pub(super) struct Objects {
    pub(super) all: Vec<Object>,
    pub(super) shown: BTreeMap<(TaskId, u64), Shown>,
    /// Those of which pages were unmapped just now, the one whose last page went last behind all others.
    hidden: Vec<ObjectId>,
    mappings: u64,
    pub(super) proxies: BTreeMap<PortId, Proxy>,
    /// Ports that the kernel has given away, and that nobody has received yet: what it answers there.
    leaving: BTreeMap<PortId, Code>,
}

/// A thread that needs a page of a memory object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Paging {
    access: Access,
    turn: Turn,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Turn {
    /// It waits for this page.
    Waits(ObjectId, u64),
    /// It is to try again.
    Tries,
    /// It is to try again, and this page cannot be had.
    Fails(ObjectId, u64),
}

impl Paging {
    /// Whether it waits for its pager.
    pub(super) fn waits(&self) -> bool {
        matches!(self.turn, Turn::Waits(..))
    }

    /// It does not wait any more.
    pub(super) fn go_on(&mut self) {
        self.turn = Turn::Tries;
    }
}

/// What an access finds.
enum Found {
    Page(ObjectId, u64),
    Nothing(ObjectId, u64),
    Locked(ObjectId, u64),
    Trouble(Code),
}

/// What an access to a page of a memory object would come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Prospect {
    /// It is done.
    Done,
    /// The thread waits.
    Waits,
    /// It is an exception.
    Fails,
}

impl Model {
    /// Whether a thread needs a page of a memory object.
    pub fn is_paging(&self, thread: ThreadId) -> bool {
        matches!(self.threads[thread].state, State::Paging(_))
    }

    /// Whether a thread waits for a page of a memory object.
    pub(super) fn is_short(&self, thread: ThreadId) -> bool {
        let state = &self.threads[thread].state;
        matches!(state, State::Paging(paging) if paging.waits())
    }

    /// What an access would come to; `None`: the task has no memory object there.
    pub fn prospect(&self, task: TaskId, access: &Access) -> Option<Prospect> {
        self.objects.shown.get(&(task, access.at))?;
        Some(match self.find_page(task, access, None) {
            Found::Page(..) => Prospect::Done,
            Found::Nothing(..) | Found::Locked(..) => Prospect::Waits,
            Found::Trouble(_) => Prospect::Fails,
        })
    }

    /// Whether an operation would be an exception.
    pub fn is_trouble(&self, thread: ThreadId, op: ObjectOp) -> bool {
        match op {
            ObjectOp::Load(access) | ObjectOp::Store(access) => {
                let task = self.threads[thread].task;
                matches!(self.find_page(task, &access, None), Found::Trouble(_))
            }
            _ => false,
        }
    }

    /// Whether an exception of bad memory would be asked about.
    pub fn minds_bad_memory(&self, thread: ThreadId) -> bool {
        self.would_be_asked(thread, BAD_ACCESS)
    }

    /// How many memory objects there are.
    pub fn objects(&self) -> usize {
        let all = self.objects.all.iter();
        all.filter(|object| object.life != Life::Over).count()
    }

    /// Whether a name's port is a memory object; `None`: it cannot be one.
    pub fn is_object(&self, task: TaskId, name: Name) -> Option<bool> {
        let port = self.sends_to(task, name)?;
        let is_plain = matches!(self.ports[port].holder, Holder::Task(_));
        is_plain.then(|| self.object_at(port).is_some())
    }

    /// The object of a port that a further mapping shows.
    pub(super) fn object_at(&self, port: PortId) -> Option<ObjectId> {
        self.objects.all.iter().position(|object| {
            object.port == port && matches!(object.life, Life::Told | Life::Ready)
        })
    }

    /// How many rights to a port the kernel has because it is a memory object.
    pub(super) fn kept_as_object(&self, port: PortId) -> u64 {
        let all = self.objects.all.iter();
        all.filter(|object| object.port == port && object.life != Life::Over)
            .count() as u64
    }

    pub(super) fn judge_object(
        &mut self,
        thread: ThreadId,
        op: &Op,
        seen: Option<&Seen>,
    ) -> Verdict {
        let task = self.threads[thread].task;
        let verdict = match (op, seen) {
            (Op::Object(op), seen) => self.object_op(thread, *op, seen),
            (Op::Pager(name, op), Some(seen)) => self.pager_op(task, (*name, *op), seen),
            _ => Err("it waits, and must not".into()),
        };
        verdict.map_err(|why| format!("{op:x?}: {why}"))
    }

    fn object_op(&mut self, thread: ThreadId, op: ObjectOp, seen: Option<&Seen>) -> Verdict {
        let task = self.threads[thread].task;
        let there = || seen.ok_or("it waits, and must not");
        match op {
            ObjectOp::Map(showing) => self.map_object(task, showing, there()?),
            ObjectOp::Proxy((_, of), name, range, rights) => {
                self.make_proxy(task, (of, name), (range, rights), there()?)
            }
            ObjectOp::Sync((_, of), range, flags) => {
                self.sync_objects(of, (range, flags), there()?)
            }
            ObjectOp::MapIn((_, of), showing) => self.map_object_in(task, of, showing, there()?),
            ObjectOp::Unmap((at, size)) => {
                accept(answer(there()?)?)?;
                let gone = (task, at)..(task, at + size);
                self.hide_pages(|page| gone.contains(page));
                self.leave_objects();
                Ok(())
            }
            ObjectOp::Load(access) | ObjectOp::Store(access) => {
                self.access_object(thread, access, seen)
            }
        }
    }

    /// O-01.
    fn map_object(&mut self, task: TaskId, showing: Showing, seen: &Seen) -> Verdict {
        let mut wrong = Vec::new();
        if self.entry(task, showing.name).is_none() {
            wrong.push(Code::InvalidName);
        }
        let port = self.sends_to(task, showing.name);
        let source = port.and_then(|port| self.source_at(port));
        if source.is_none() {
            wrong.push(Code::InvalidRight);
        }
        self.show_object((task, source), showing, wrong, seen)
    }

    /// The same by a message, which carries a copy of the right.
    fn map_object_in(
        &mut self,
        caller: TaskId,
        task: TaskId,
        showing: Showing,
        seen: &Seen,
    ) -> Verdict {
        let carried = self.sends_to(caller, showing.name);
        let source = carried.and_then(|port| self.source_at(port));
        let wrong = match (carried, source) {
            (None, _) => vec![Code::InvalidCapability],
            (_, None) => vec![Code::InvalidRight],
            _ => Vec::new(),
        };
        self.show_object((task, source), showing, wrong, seen)
    }

    /// Whether a port is a task's own, and not the store's.
    pub(super) fn may_be_object(&self, port: PortId) -> bool {
        self.ports[port].holder != Holder::Kernel && self.kept_as_store(port) == 0
    }

    /// A task's memory shows the object of a port, or a proxy.
    fn show_object(
        &mut self,
        (task, source): (TaskId, Option<Source>),
        showing: Showing,
        mut wrong: Vec<Code>,
        seen: &Seen,
    ) -> Verdict {
        let Showing { offset, rights, .. } = showing;
        let (at, size) = showing.range;
        if !offset.is_multiple_of(PAGE_SIZE) || offset.checked_add(size).is_none() {
            wrong.push(Code::InvalidArgument);
        }
        if let Some(Source::Proxy(proxy)) = source {
            wrong.extend(proxy.map_wrong(&showing));
        }
        let pages = (at..at + size).step_by(PAGE_SIZE as usize);
        if pages
            .clone()
            .any(|page| self.objects.shown.contains_key(&(task, page)))
        {
            wrong.push(Code::NoSpace);
        }
        let done = settled(answer(seen)?, &wrong)?;
        let Some(source) = source.filter(|_| done) else {
            return Ok(());
        };
        value(answer(seen)?, at)?;
        let (object, before) = match source {
            Source::Port(port) => (self.object_of_port(task, port), 0),
            Source::Proxy(proxy) => (proxy.object, proxy.first),
        };
        self.objects.mappings += 1;
        for (page, number) in pages.zip(before + offset / PAGE_SIZE..) {
            let shown = Shown {
                object,
                page: number,
                rights,
                mapping: self.objects.mappings,
            };
            self.objects.shown.insert((task, page), shown);
        }
        Ok(())
    }

    /// The object of a task's port, which is made if there is none.
    pub(super) fn object_of_port(&mut self, task: TaskId, port: PortId) -> ObjectId {
        match self.object_at(port) {
            Some(object) => object,
            None => self.make_object(task, port),
        }
    }

    /// The pager pays for what is its own; while nobody can receive at the port, who maps it.
    fn make_object(&mut self, task: TaskId, port: PortId) -> ObjectId {
        let payer = match self.ports[port].holder {
            Holder::Task(pager) => pager,
            _ => task,
        };
        let [control, name] = [(); 2].map(|()| self.new_port(Holder::Kernel));
        self.objects.all.push(Object {
            port,
            control,
            name,
            life: Life::Told,
            attributes: [0; 2],
            payer,
            pages: BTreeMap::new(),
            requests: BTreeMap::new(),
        });
        let rights = [control, name].map(Carried::Send);
        let id = <dyn MemoryObject>::INIT.id;
        self.tell_pager(port, (id, vec![PAGE_SIZE]), (rights.to_vec(), None));
        self.objects.all.len() - 1
    }

    pub(super) fn tell_pager(
        &mut self,
        port: PortId,
        (id, words): (i32, Vec<u64>),
        (rights, memory): (Vec<Carried>, Option<Vec<u8>>),
    ) {
        let carried = rights.iter().map(|_| Part::Right);
        let memory = memory.map(|bytes| Part::Memory(bytes, 0));
        let message = Message {
            batch: self.batch,
            // It comes in the order of what tasks send.
            from_kernel: false,
            id,
            first: words.first().copied().unwrap_or(0),
            words,
            data: None,
            remote: Carried::Null,
            local: Carried::Null,
            parts: carried.chain(memory).collect(),
            rights,
        };
        self.push(port, message);
    }

    /// O-02, O-03, V-11: what lies at an address. `failed`: a page that cannot be had.
    fn find_page(&self, task: TaskId, access: &Access, failed: Option<(ObjectId, u64)>) -> Found {
        let Some(shown) = self.objects.shown.get(&(task, access.at)) else {
            return Found::Trouble(Code::InvalidAddress);
        };
        if shown.rights & access.right() == 0 {
            return Found::Trouble(Code::ProtectionFailure);
        }
        let object = &self.objects.all[shown.object];
        let place = (shown.object, shown.page);
        match object.pages.get(&shown.page) {
            Some(page) if page.lock & access.right() == 0 => Found::Page(place.0, place.1),
            _ if object.life == Life::Dead || failed == Some(place) => {
                Found::Trouble(Code::MemoryError)
            }
            Some(_) => Found::Locked(place.0, place.1),
            None => Found::Nothing(place.0, place.1),
        }
    }

    fn access_object(&mut self, thread: ThreadId, access: Access, seen: Option<&Seen>) -> Verdict {
        let found = self.find_page(self.threads[thread].task, &access, None);
        match (found, seen) {
            (Found::Page(object, page), Some(seen)) => {
                self.touch_page((object, page), access.number, seen)
            }
            (Found::Page(..), None) => Err("it waits, and must not".into()),
            (_, Some(seen)) => Err(format!("it must wait, and came back with {seen:x?}")),
            (found, None) => {
                self.go_without(thread, access, &found);
                Ok(())
            }
        }
    }

    fn touch_page(
        &mut self,
        (object, page): (ObjectId, u64),
        number: Option<u64>,
        seen: &Seen,
    ) -> Verdict {
        let pages = &mut self.objects.all[object].pages;
        let content = pages.get_mut(&page).ok_or("the page is not there")?;
        if let Some(number) = number {
            content.number = number;
            content.is_dirty = true;
            return accept(answer(seen)?);
        }
        value(answer(seen)?, content.number)
    }

    /// A thread waits for a page, or has an exception.
    fn go_without(&mut self, thread: ThreadId, access: Access, found: &Found) {
        match *found {
            Found::Page(..) => {}
            Found::Nothing(object, page) | Found::Locked(object, page) => {
                let asks = Request {
                    unlocks: matches!(found, Found::Locked(..)),
                    access: access.right(),
                    wanted: access.right(),
                    payer: self.threads[thread].task,
                };
                self.ask_for(object, page, asks);
                let turn = Turn::Waits(object, page);
                self.threads[thread].state = State::Paging(Box::new(Paging { access, turn }));
            }
            Found::Trouble(code) => {
                let codes = [code.0.into(), access.at];
                self.except(thread, (BAD_ACCESS, codes), access.registers);
            }
        }
    }

    /// O-03: a page is asked for once. Nothing is asked before the pager is ready.
    fn ask_for(&mut self, object: ObjectId, page: u64, asks: Request) {
        let here = &mut self.objects.all[object];
        if let Some(known) = here.requests.get_mut(&page) {
            known.wanted |= asks.wanted;
            return;
        }
        here.requests.insert(page, asks);
        if here.life == Life::Ready {
            self.send_request(object, page);
        }
    }

    /// The pager is ready. Who asked before pays for the message: who has ended asks nothing, and who waits with it asks again.
    pub(super) fn send_requests(&mut self, object: ObjectId) {
        for (page, request) in self.objects.all[object].requests.clone() {
            match self.is_over(request.payer) {
                true => self.answer_request((object, page), Had::Maybe),
                false => self.send_request(object, page),
            }
        }
    }

    fn send_request(&mut self, object: ObjectId, page: u64) {
        let here = &self.objects.all[object];
        let request = here.requests[&page];
        let words = [page * PAGE_SIZE, PAGE_SIZE, request.access.into()];
        let id = match request.unlocks {
            true => <dyn MemoryObject>::DATA_UNLOCK.id,
            false => <dyn MemoryObject>::DATA_REQUEST.id,
        };
        self.tell_pager(here.port, (id, words.to_vec()), (Vec::new(), None));
    }

    /// Who waits for a page tries again. `had`: whether it may be there.
    pub(super) fn answer_request(&mut self, (object, page): (ObjectId, u64), had: Had) {
        if self.objects.all[object].requests.remove(&page).is_none() {
            return;
        }
        self.unsettled = true;
        for thread in &mut self.threads {
            if let State::Paging(paging) = &mut thread.state
                && paging.turn == Turn::Waits(object, page)
            {
                paging.turn = match had {
                    Had::Maybe => Turn::Tries,
                    Had::Not => Turn::Fails(object, page),
                };
            }
        }
    }

    /// A thread that needed a page has tried again, and is done with it.
    pub(super) fn found_page(&mut self, thread: ThreadId, seen: &Seen) -> Verdict {
        let State::Paging(paging) = self.threads[thread].state.clone() else {
            return Err("it needs no page".into());
        };
        self.threads[thread].state = State::User;
        self.access_object(thread, paging.access, Some(seen))
    }

    /// A thread that needed a page has tried again, and does not go on.
    pub fn missed_page(&mut self, thread: ThreadId) {
        let State::Paging(paging) = self.threads[thread].state.clone() else {
            return;
        };
        let failed = match paging.turn {
            Turn::Fails(object, page) => Some((object, page)),
            _ => None,
        };
        let found = self.find_page(self.threads[thread].task, &paging.access, failed);
        self.go_without(thread, paging.access, &found);
        self.ask_on();
    }

    /// Where a thread is to try again; `None`: it need not, or cannot.
    pub fn needs(&self, thread: ThreadId) -> Option<Access> {
        match &self.threads[thread].state {
            State::Paging(paging) if !self.is_stopped(thread) => Some(paging.access),
            _ => None,
        }
    }

    /// A task has no memory any more.
    pub(super) fn unmap_objects(&mut self, task: TaskId) {
        self.hide_pages(|(of, _)| *of == task);
        self.leave_objects();
    }

    /// Pages are unmapped, from low addresses to high ones.
    fn hide_pages(&mut self, is_gone: impl Fn(&(TaskId, u64)) -> bool) {
        let (shown, hidden) = (&mut self.objects.shown, &mut self.objects.hidden);
        hidden.clear();
        shown.retain(|page, shown| {
            let stays = !is_gone(page);
            if !stays {
                hidden.retain(|object| *object != shown.object);
                hidden.push(shown.object);
            }
            stays
        });
    }

    /// O-06, O-07: what nobody maps ends, unless it is to stay: in the order in which the last pages went.
    pub(super) fn leave_objects(&mut self) {
        let mut order = std::mem::take(&mut self.objects.hidden);
        order.extend(0..self.objects.all.len());
        for object in order {
            let here = &self.objects.all[object];
            let shown = self.objects.shown.values().map(|shown| shown.object);
            let proxies = self.objects.proxies.values().map(|proxy| proxy.object);
            let stays = here.life == Life::Ready && here.attributes[0] == 1;
            let is_used = stays || shown.chain(proxies).any(|used| used == object);
            if here.life != Life::Over && !is_used {
                self.end_object(object);
            }
        }
    }

    fn end_object(&mut self, object: ObjectId) {
        self.unsettled = true;
        if !self.return_all(object) {
            return;
        }
        self.fail_requests(object);
        let here = &mut self.objects.all[object];
        here.life = Life::Over;
        let (port, ports) = (here.port, [here.control, here.name]);
        if !self.is_alive(port) {
            ports.into_iter().for_each(|port| self.die(port));
            return;
        }
        let [control, name] = ports;
        self.objects.leaving.insert(control, Code::Terminated);
        self.objects.leaving.insert(name, Code::MigBadId);
        let id = <dyn MemoryObject>::TERMINATE.id;
        let rights = ports.map(Carried::Receive).to_vec();
        self.tell_pager(port, (id, Vec::new()), (rights, None));
        self.discard(Carried::Send(port));
    }

    /// O-04: what was written comes back, and what is precious, before an object ends; `false`: not all of it has room at the port.
    fn return_all(&mut self, object: ObjectId) -> bool {
        let here = &self.objects.all[object];
        let keeps = here.attributes[1] != copy_strategy::TEMPORARY && here.life == Life::Ready;
        let port = here.port;
        loop {
            let here = &self.objects.all[object];
            let goes = |page: &Content| keeps && page.is_new();
            let first = here.pages.iter().find(|(_, content)| goes(content));
            let Some((first, like)) = first.map(|(first, content)| (*first, *content)) else {
                return true;
            };
            if self.ports[port].queue.len() >= ROOM {
                return false;
            }
            let run = (first..).take_while(|page| {
                let content = here.pages.get(page);
                content.is_some_and(|content| {
                    let same = (content.is_dirty, content.lock) == (like.is_dirty, like.lock);
                    goes(content) && same
                })
            });
            let run: Vec<u64> = run.collect();
            self.return_pages(object, &run, 0);
            for page in run {
                self.objects.all[object].pages.remove(&page);
            }
        }
    }

    /// Pages that lie one behind the other, and were all written or all not, come back in one message.
    pub(super) fn return_pages(&mut self, object: ObjectId, pages: &[u64], kept: u64) {
        let here = &self.objects.all[object];
        let mut bytes = Vec::new();
        for page in pages {
            bytes.extend(here.pages[page].number.to_le_bytes());
            bytes.resize(bytes.len().next_multiple_of(PAGE_SIZE as usize), 0);
        }
        let dirty = here.pages[&pages[0]].is_dirty.into();
        let words = vec![pages[0] * PAGE_SIZE, dirty, kept];
        let id = <dyn MemoryObject>::DATA_RETURN.id;
        self.tell_pager(here.port, (id, words), (Vec::new(), Some(bytes)));
    }

    /// O-05: who waits for an access to a page that its lock allows now goes on.
    pub(super) fn admit_waiting(&mut self, object: ObjectId, page: u64) {
        let here = &self.objects.all[object];
        let lock = here.pages.get(&page).map_or(0, |content| content.lock);
        let request = here.requests.get(&page);
        if request.is_some_and(|request| request.unlocks && request.wanted & !lock != 0) {
            self.answer_request((object, page), Had::Maybe);
        }
    }

    /// Whether a page can be paid for.
    pub(super) fn can_pay(&self, object: ObjectId) -> bool {
        !self.is_over(self.objects.all[object].payer)
    }

    /// A message has left a port: what waited for room there goes on.
    pub(super) fn go_on_ending(&mut self, port: PortId) {
        if self.object_at(port).is_some() {
            self.leave_objects();
        }
    }

    fn fail_requests(&mut self, object: ObjectId) {
        let pages = self.objects.all[object].requests.keys();
        for page in pages.copied().collect::<Vec<_>>() {
            self.answer_request((object, page), Had::Not);
        }
    }

    /// The pager will not answer any more: its port is dead, or it gave the object up.
    pub(super) fn abandon_object(&mut self, object: ObjectId) {
        self.objects.all[object].life = Life::Dead;
        self.fail_requests(object);
        self.leave_objects();
    }

    /// O-08: a port dies.
    pub(super) fn end_objects(&mut self, port: PortId) {
        self.objects.leaving.remove(&port);
        if let Some(object) = self.object_at(port) {
            self.abandon_object(object);
        }
    }

    /// What the kernel answers at a port that it has given away and that nobody has received yet.
    pub(super) fn answered_leaving(&self, port: PortId) -> Option<Code> {
        self.objects.leaving.get(&port).copied()
    }

    /// A receive right has arrived: whoever has it answers now.
    pub(super) fn has_left(&mut self, port: PortId) {
        self.objects.leaving.remove(&port);
    }
}

/// Whether a page can be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Had {
    Maybe,
    Not,
}
