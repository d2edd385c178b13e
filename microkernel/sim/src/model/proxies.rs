//! Proxies of memory objects (MACH.md O-09): rights to map a part of one, with at most some protection. An object stays for as long
//! as it has one.

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn as Code;
use abi::names::Name;
use abi::vm::protection;

use super::control::answer;
use super::entries::window_wrong;
use super::objects::{Life, ObjectId, Showing};
use super::vm::settled;
use super::{Bytes, Carried, Holder, Model, PortId, Seen, TaskId, Verdict};

/// A part of a memory object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Proxy {
    pub(super) object: ObjectId,
    /// Its first page.
    pub(super) first: u64,
    /// How many pages.
    pub(super) count: u64,
    /// The most protection that it gives.
    pub(super) maximum: u32,
}

/// What a mapping can show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Source {
    /// The object of a task's port.
    Port(PortId),
    Proxy(Proxy),
}

impl Proxy {
    /// Why it has no such part, with such protection.
    fn part_wrong(&self, (offset, size): Bytes, rights: u32) -> Vec<Code> {
        let mut wrong = window_wrong((offset, size), rights);
        if offset.saturating_add(size) > self.count * PAGE_SIZE {
            wrong.push(Code::InvalidArgument);
        }
        if rights & !self.maximum & protection::ALL != 0 {
            wrong.push(Code::ProtectionFailure);
        }
        wrong
    }

    /// Why it is not mapped so.
    pub(super) fn map_wrong(&self, showing: &Showing) -> Vec<Code> {
        let mut wrong = Vec::new();
        if showing.offset.saturating_add(showing.range.1) > self.count * PAGE_SIZE {
            wrong.push(Code::InvalidArgument);
        }
        if showing.rights & !self.maximum != 0 {
            wrong.push(Code::InvalidRight);
        }
        wrong
    }
}

impl Model {
    /// A task's names of proxies, how many pages each has and the most protection; of objects whose pager still answers.
    pub fn proxies(&self, task: TaskId) -> Vec<(Name, u64, u32)> {
        let names = self.tasks[task].names.keys();
        let known = names.filter_map(|name| {
            let proxy = self.proxy_at(self.sends_to(task, *name)?)?;
            let answers = matches!(
                self.objects.all[proxy.object].life,
                Life::Told | Life::Ready
            );
            answers.then_some((*name, proxy.count, proxy.maximum))
        });
        known.collect()
    }

    /// How many proxies there are.
    pub fn proxy_count(&self) -> usize {
        self.objects.proxies.len()
    }

    pub(super) fn proxy_at(&self, port: PortId) -> Option<Proxy> {
        self.objects.proxies.get(&port).copied()
    }

    /// What a mapping of a port shows, if it can be.
    pub(super) fn source_at(&self, port: PortId) -> Option<Source> {
        match self.proxy_at(port) {
            Some(proxy) => Some(Source::Proxy(proxy)),
            None => self.may_be_object(port).then_some(Source::Port(port)),
        }
    }

    /// O-09. `task`: whose port was called.
    pub(super) fn make_proxy(
        &mut self,
        caller: TaskId,
        (task, name): (TaskId, Name),
        (range, rights): (Bytes, u32),
        seen: &Seen,
    ) -> Verdict {
        let carried = self.sends_to(caller, name);
        let source = carried.and_then(|port| self.source_at(port));
        let wrong = match (carried, source) {
            (_, Some(Source::Port(_))) => window_wrong(range, rights),
            (_, Some(Source::Proxy(proxy))) => proxy.part_wrong(range, rights),
            (None, _) => [window_wrong(range, rights), vec![Code::InvalidCapability]].concat(),
            _ => [window_wrong(range, rights), vec![Code::InvalidRight]].concat(),
        };
        let done = settled(answer(seen)?, &wrong)?;
        let Some(source) = source.filter(|_| done) else {
            return Ok(());
        };
        let (object, before) = match source {
            Source::Port(port) => (self.object_of_port(task, port), 0),
            Source::Proxy(proxy) => (proxy.object, proxy.first),
        };
        let port = self.new_port(Holder::Kernel);
        let proxy = Proxy {
            object,
            first: before + range.0 / PAGE_SIZE,
            count: range.1 / PAGE_SIZE,
            maximum: rights,
        };
        self.objects.proxies.insert(port, proxy);
        self.accept_right(caller, Carried::Send(port), Name(answer(seen)?.1 as u32))
    }

    /// The proxy of a port that dies.
    pub(super) fn end_proxy(&mut self, port: PortId) {
        if self.objects.proxies.remove(&port).is_some() {
            self.leave_objects();
        }
    }
}
