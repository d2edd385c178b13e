//! Calls of tasks' ports on their memory that do what traps do, and what is listed of it.

use abi::PAGE_SIZE;
use abi::names::Name;
use abi::vm::{flags, protection};
use interfaces::task::Task;
use interfaces::vm::Vm;

use super::World;
use super::calls::with_right;
use super::generate::{NOWHERE, Names};
use super::vm::registers;
use crate::message::Request;
use crate::model::{
    BEYOND, Bytes, LISTED, Seen, Span, TaskId, TaskVm, ThreadId, VmCall, VmOp, WINDOW, Wrong,
};

impl Names<'_> {
    /// A call that is not of the `Vm` family.
    pub(super) fn task_vm(&mut self, of: TaskId) -> VmCall {
        let op = match self.rng.below(12) {
            0..3 => match self.allocation(of) {
                VmOp::Allocate(span, flags) => TaskVm::Allocate(self.own_span(of, span), flags),
                _ => TaskVm::Allocate(self.own_span(of, Span::Buffer), flags::FIXED),
            },
            3 => {
                let span = self.span();
                TaskVm::Deallocate(self.own_span(of, span))
            }
            4..6 => match self.protect() {
                VmOp::Protect(span, which, rights) => {
                    let which = if which > 1 {
                        self.rng.pick(&[2, which])
                    } else {
                        which
                    };
                    TaskVm::Protect(self.own_span(of, span), which, rights)
                }
                _ => TaskVm::Regions(WINDOW),
            },
            6 => {
                let wrong = self.rng.pick(&[Wrong::Null, Wrong::Task]);
                TaskVm::Map(wrong, self.mapping_in(of))
            }
            7..9 => TaskVm::Write(self.few_bytes(of), self.rng.word() | 1),
            9..11 => {
                let at = self.run_of_pages().0;
                let odd = [at, at, at + 8, WINDOW - PAGE_SIZE, 1 << 47];
                TaskVm::Regions(self.rng.pick(&odd))
            }
            _ => return VmCall::Statistics,
        };
        VmCall::OfTask(op)
    }

    /// The buffer that a thread has is its own task's.
    fn own_span(&mut self, of: TaskId, span: Span) -> Span {
        match span {
            Span::Buffer if of != self.task || !self.model.has_buffer(self.thread) => {
                let (at, size) = self.run_of_pages();
                Span::At(at, size)
            }
            span => span,
        }
    }

    /// Few enough bytes for a message, mostly where a task may write and a number lies.
    fn few_bytes(&mut self, of: TaskId) -> Bytes {
        let found = match self.rng.below(4) {
            0 => None,
            1 => self.page_without(of, protection::WRITE),
            _ => self.page_for(of, protection::WRITE),
        };
        let page = found.unwrap_or_else(|| self.run_of_pages().0);
        let here = [(page, 8), (page, 8), (page - 8, 16), (page + 16, 8)];
        match self.rng.below(12) {
            0 => (page, 0),
            1 => (NOWHERE, 8),
            2 => (u64::MAX - 3, 8),
            3 => (page - 16, PAGE_SIZE + 24),
            _ => self.rng.pick(&here),
        }
    }
}

impl World {
    pub(super) fn task_vm(&mut self, thread: ThreadId, (name, op): (Name, TaskVm)) -> Seen {
        let trap = |world: &Self, op: VmOp| registers(world.threads[thread].0, &op).1;
        let (id, words) = match op {
            TaskVm::Allocate(span, flags) => {
                let words = trap(self, VmOp::Allocate(span, flags));
                (<dyn Task>::VM_ALLOCATE.id, words)
            }
            TaskVm::Deallocate(span) => {
                let words = trap(self, VmOp::Deallocate(span));
                (<dyn Task>::VM_DEALLOCATE.id, words)
            }
            TaskVm::Protect(span, which, rights) => {
                let words = trap(self, VmOp::Protect(span, which, rights));
                (<dyn Task>::VM_PROTECT.id, words)
            }
            TaskVm::Map(wrong, mapping) => {
                let words = trap(self, VmOp::Map(mapping));
                let right = match wrong {
                    Wrong::Null => Name::NULL,
                    Wrong::Task => self.selves[thread].task,
                };
                let id = <dyn Task>::VM_MAP.id;
                // The trap names the entry first.
                return self.coded(thread, &with_right(name, (id, right), &words[1..]));
            }
            TaskVm::Write(range, number) => {
                let (at, bytes) = (range.0, numbered(range, number));
                let head = [at, bytes.len() as u64];
                let mut data: Vec<u8> = head.iter().flat_map(|word| word.to_le_bytes()).collect();
                data.extend(&bytes);
                let request = Request::call(name).id(<dyn Task>::VM_WRITE.id);
                return self.coded(thread, &request.data(&data));
            }
            TaskVm::Regions(at) => {
                let mut listed = self.regions(thread, (name, at), BEYOND);
                listed.retain(|[start, size, ..]| start + size > WINDOW && *start < BEYOND);
                return Seen::Told(listed.concat());
            }
        };
        let mut all = [0; 6];
        all[..words.len()].copy_from_slice(&words);
        self.coded(thread, &Request::call(name).id(id).words(all))
    }

    /// Lists the mappings of a task from one address up to another, or to the end.
    fn regions(
        &mut self,
        thread: ThreadId,
        (name, mut at): (Name, u64),
        end: u64,
    ) -> Vec<[u64; LISTED]> {
        let mut all: Vec<[u64; LISTED]> = Vec::new();
        while at < end {
            let request = Request::call(name).id(<dyn Task>::REGIONS.id);
            let seen = self.telling_call(thread, &request.words([at, 0, 0, 0, 0, 0]));
            let Seen::Told(words) = seen else {
                panic!("a task does not tell its mappings: {seen:?}");
            };
            let listed = words[1..].as_chunks().0.iter().take(words[0] as usize);
            all.extend(listed);
            match all.last() {
                Some([start, size, ..]) if words[0] > 0 => at = start + size,
                _ => break,
            }
        }
        all
    }

    /// What is told of a task's memory, how many mappings and large pages it lists, and how many pages its account has.
    pub(super) fn vm_numbers(&mut self, thread: ThreadId, name: Name) -> Seen {
        let seen = self.telling_call(thread, &Request::call(name).id(<dyn Vm>::STATISTICS.id));
        let Seen::Told(mut told) = seen else {
            return seen;
        };
        let listed = self.regions(thread, (name, 0), u64::MAX);
        let large = listed.iter().map(|region| region[LISTED - 1]).sum();
        told.extend([listed.len() as u64, large]);
        let request = Request::call(name).id(<dyn Task>::LEDGER.id);
        if let Seen::Told(account) = self.telling_call(thread, &request) {
            // Limits of names, messages, threads, pages and bytes, and then what is used.
            told.push(account[5 + 3]);
        }
        Seen::Told(told)
    }
}

/// Zeros, and a number at the start of each page.
pub(super) fn numbered((at, size): Bytes, number: u64) -> Vec<u8> {
    let mut bytes = vec![0; size as usize];
    let first = at
        .checked_next_multiple_of(PAGE_SIZE)
        .map(|first| first - at);
    for place in (first.unwrap_or(size)..size).step_by(PAGE_SIZE as usize) {
        bytes[place as usize..][..8].copy_from_slice(&number.to_le_bytes());
    }
    bytes
}
