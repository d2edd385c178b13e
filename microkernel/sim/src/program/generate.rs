//! Which trap a step of a random program makes: derived from the step's seed and the model's state, so
//! that a program from which steps were taken out still makes sense.

mod bodies;
mod crowd;
mod meet;
mod ports;
mod semaphores;

use abi::exception::{MASK_ALL, TYPES, behavior};
use abi::names::{Name, disposition, port_type, queue_limit, right};
use abi::notify;
use abi::registers::options;
use abi::task::special;
use abi::thread_state::FLAVOR;
use abi::trap::attribute;

use super::world::Theme;
use crate::image;
use crate::message::Request;
use crate::model::{
    Form, HandlerOp, Kept, KeptOp, Level, Model, Op, REQUEST, SelfOp, SemaphoreOp, Subject, TaskId,
    ThreadId, TimeOp, Trouble,
};
use crate::rng::Rng;

/// How many names a task has before its program turns to getting rid of some.
const MANY_NAMES: usize = 24;

/// What handlers of exceptions are told, mostly: the last two are nothing.
const FORMS: [Form; 8] = [
    (behavior::BRIEF, 0),
    (behavior::BRIEF, 0),
    (behavior::DEFAULT, 0),
    (behavior::DEFAULT | behavior::WIDE_CODES, FLAVOR),
    (behavior::STATE, FLAVOR),
    (behavior::STATE_IDENTITY | behavior::WIDE_CODES, FLAVOR),
    (behavior::BRIEF | behavior::WIDE_CODES, 0),
    (behavior::STATE, 0),
];

/// A name that no table reaches to.
pub(super) const FAR: Name = Name(0xdead_0001);

/// Where nothing is mapped; more than 32 bits.
pub(super) const NOWHERE: u64 = 0x12_3456_7000;

/// Where a thread may go on.
pub(super) const ENTRY: u64 = image::CODE + 16;

/// What a thread may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Patience {
    /// Whatever comes to mind.
    MayWait,
    /// Nothing that waits.
    NeverWaits,
}

/// A trap for a thread.
pub(super) fn op(
    model: &Model,
    thread: ThreadId,
    (theme, patience): (Theme, Patience),
    rng: &mut Rng,
) -> Op {
    let mut names = Names {
        model,
        thread,
        task: model.task_of(thread),
        rng,
    };
    if let Some(op) = names.first(patience) {
        return op;
    }
    if names.live().len() > MANY_NAMES && names.rng.one_in(2) {
        return names.release();
    }
    if let Some(op) = names.awaited() {
        return op;
    }
    if let Some(op) = names.themed(theme, patience) {
        return op;
    }
    if patience == Patience::MayWait
        && names.rng.one_in(4)
        && let Some(request) = names.meet()
    {
        return Op::Message(names.worded(request));
    }
    match names.rng.below(175) {
        0..12 => names.create(),
        12..26 => names.release(),
        26..30 => names.look(),
        30..32 => names.guard(),
        32..39 => names.sets(),
        39..47 => names.insert(),
        47..49 => names.set_attribute(),
        49..51 => names.misuse(),
        51..57 => names.request(),
        57 if names.rng.one_in(4) => Op::TakeSlot,
        57 | 58 => names.buffer(),
        59..67 => names.semaphore(patience),
        67..69 => names.kept(),
        69..74 => names.handler(),
        74..81 => names.trouble(),
        81 if names.rng.one_in(2) => names.terminate(),
        82..86 => names.control_ports(),
        100..106 => names.control(),
        106..109 => names.itself(),
        109..114 => names.futex(patience),
        114..118 => names.timer(),
        118..122 => names.host(),
        122..125 => names.policy(),
        125..128 => names.task(),
        128..132 => names.time(patience),
        132..134 => names.ask(),
        134..136 => names.state(),
        136..148 => names.machine(),
        148..153 => names.device(),
        153..160 => names.vm(),
        160..166 => names.clocks(),
        166..171 => names.crowd(patience),
        171.. => names.buffer(),
        _ => Op::Message(names.message(patience)),
    }
}

/// What a thread's trap is chosen by.
pub(super) struct Names<'a> {
    pub(super) model: &'a Model,
    pub(super) thread: ThreadId,
    pub(super) task: TaskId,
    pub(super) rng: &'a mut Rng,
}

impl Names<'_> {
    /// What a thread does before anything else.
    fn first(&mut self, patience: Patience) -> Option<Op> {
        if !self.model.is_known(self.task, Subject::Thread(self.thread)) {
            return Some(Op::Itself(SelfOp::ThreadSelf));
        }
        if !self.model.is_known(self.task, Subject::Task(self.task)) {
            return Some(Op::Itself(SelfOp::TaskSelf));
        }
        let has_buffer = self.model.has_buffer(self.thread);
        (!has_buffer).then(|| self.without_buffer(patience))
    }

    /// What the program's theme has a thread do, mostly.
    fn themed(&mut self, theme: Theme, patience: Patience) -> Option<Op> {
        match theme {
            Theme::Memory if !self.rng.one_in(4) => Some(self.vm()),
            Theme::Pager if !self.model.was_made(self.task) && !self.rng.one_in(6) => {
                Some(self.object(patience))
            }
            Theme::Everything | Theme::Memory | Theme::Pager => None,
        }
    }

    /// What somebody waits for, now and then: an answer, an interrupt, what the kernel tells, the next era.
    fn awaited(&mut self) -> Option<Op> {
        if self.rng.one_in(4)
            && let Some(answer) = self.answer()
        {
            return Some(Op::Message(answer));
        }
        if self.model.has_reply_right(self.thread) && self.rng.one_in(8) {
            return Some(Op::TakeSlot);
        }
        if self.rng.one_in(8)
            && let Some(op) = self.drive()
        {
            return Some(op);
        }
        let mut news = self.live();
        news.retain(|name| self.model.has_news(self.task, *name));
        if !news.is_empty() && self.rng.one_in(16) {
            return Some(Op::Message(Request::poll(self.rng.pick(&news))));
        }
        (self.model.awaits_era() && self.rng.one_in(24)).then_some(Op::Time(TimeOp::Pass))
    }

    pub(super) fn live(&self) -> Vec<Name> {
        self.model.names(self.task).0
    }

    /// Any name: mostly one that there is.
    pub(super) fn any(&mut self) -> Name {
        let (live, past) = self.model.names(self.task);
        let odd = [Name::NULL, Name::DEAD, Name::REPLY_SLOT, FAR, Name(5)];
        match self.rng.below(20) {
            0 => self.rng.pick(&odd),
            1 | 2 if !past.is_empty() => self.rng.pick(&past),
            _ if live.is_empty() => Name::NULL,
            _ => self.rng.pick(&live),
        }
    }

    /// A name of a kind: mostly.
    pub(super) fn of_kind(&mut self, bits: u32) -> Name {
        let mut live = self.live();
        live.retain(|name| self.model.bits(self.task, *name) & bits != 0);
        if live.is_empty() || self.rng.one_in(16) {
            return self.any();
        }
        self.rng.pick(&live)
    }

    fn create(&mut self) -> Op {
        match self.rng.below(13) {
            0..4 => Op::Allocate {
                right: right::RECEIVE,
            },
            12 => Op::AllocateName {
                right: self.rng.below(6) as u32,
                name: self.chosen(),
            },
            4 | 5 => Op::Allocate {
                right: right::PORT_SET,
            },
            6 => Op::Allocate {
                right: right::DEAD_NAME,
            },
            7 => Op::Allocate {
                right: self.rng.pick(&[right::SEND, right::SEND_ONCE, 5, 99]),
            },
            _ => self.construct(),
        }
    }

    pub(super) fn release(&mut self) -> Op {
        let name = self.any();
        match self.rng.below(8) {
            0..3 if name.is_valid() => Op::Deallocate { name },
            3 if name.is_valid() => Op::Destroy { name },
            4 => {
                let name = self.of_kind(port_type::RECEIVE);
                Op::Destruct {
                    name,
                    delta: self.rng.pick(&[0, 0, -1, -2, 1]),
                    guard: self.rng.below(2) as u64,
                }
            }
            _ => {
                let kind = self.rng.below(6) as u32;
                let edge = [-65535, 65535, 65534, -70000];
                let delta = if self.rng.one_in(8) {
                    self.rng.pick(&edge)
                } else {
                    self.rng.pick(&[-1, -1, -2, 0, 1, 2])
                };
                Op::ModRefs {
                    name,
                    right: kind,
                    delta,
                }
            }
        }
    }

    pub(super) fn look(&mut self) -> Op {
        let name = match self.any() {
            name if name.is_valid() => name,
            _ => Name(7),
        };
        match self.rng.below(3) {
            0 => Op::Type { name },
            1 => Op::Refs {
                name,
                right: self.rng.below(6) as u32,
            },
            _ => Op::Attribute {
                name,
                attribute: 1 + self.rng.below(8) as u64,
            },
        }
    }

    fn sets(&mut self) -> Op {
        let (member, set) = (
            self.of_kind(port_type::RECEIVE),
            self.of_kind(port_type::PORT_SET),
        );
        let fit = |name: Name| {
            if name == Name::REPLY_SLOT {
                Name(7)
            } else {
                name
            }
        };
        let (member, set) = (fit(member), fit(set));
        let to_set = if set.is_valid() { set } else { Name(7) };
        match self.rng.below(6) {
            0 | 1 => Op::MoveMember {
                member,
                set: to_set,
            },
            2 => Op::MoveMember {
                member,
                set: Name::NULL,
            },
            3 | 4 => Op::InsertMember {
                member,
                set: to_set,
            },
            _ => {
                let members = self.model.memberships(self.task);
                let (member, set) = match members.is_empty() || self.rng.one_in(4) {
                    true => (member, to_set),
                    false => self.rng.pick(&members),
                };
                Op::ExtractMember { member, set }
            }
        }
    }

    /// A right that joins its own name: mostly.
    fn insert(&mut self) -> Op {
        if self.rng.one_in(3) {
            return self.moved();
        }
        let make = !self.rng.one_in(3);
        let (wanted, disposition) = match make {
            true => (port_type::RECEIVE, disposition::MAKE_SEND),
            false => (port_type::SEND, disposition::COPY_SEND),
        };
        let right = self.of_kind(wanted);
        let other = self.of_kind(port_type::RECEIVE);
        let elsewhere = self.rng.one_in(10) && self.model.bits(self.task, other) != 0;
        Op::InsertRight {
            name: if elsewhere { other } else { right },
            right,
            disposition,
        }
    }

    fn set_attribute(&mut self) -> Op {
        let name = match self.rng.one_in(6) {
            true => self.any(),
            false => self.of_kind(port_type::RECEIVE),
        };
        let name = if name == Name::REPLY_SLOT {
            Name::NULL
        } else {
            name
        };
        let (attribute, value) = match self.rng.below(4) {
            0 | 1 => {
                let limits = [1, 2, 5, u64::from(queue_limit::MAX), 1025];
                (attribute::QUEUE_LIMIT, self.rng.pick(&limits))
            }
            2 if self.rng.one_in(2) => {
                let label = self.rng.word();
                let any = self.any();
                let name = match any.is_valid() && any != Name::REPLY_SLOT && self.rng.one_in(4) {
                    true => any,
                    false => name,
                };
                return Op::SetLabel { name, label };
            }
            2 => (attribute::LABEL, self.rng.word()),
            _ => (attribute::SEQUENCE, self.rng.below(1000) as u64),
        };
        Op::SetAttribute {
            name,
            attribute,
            value,
        }
    }

    /// A name of a semaphore: mostly.
    fn of_semaphore(&mut self) -> Name {
        let mut live = self.live();
        live.retain(|name| self.model.is_semaphore(self.task, *name));
        if live.is_empty() || self.rng.one_in(10) {
            return self.any();
        }
        self.rng.pick(&live)
    }

    fn semaphore(&mut self, patience: Patience) -> Op {
        let name = self.of_semaphore();
        let make = SemaphoreOp::Create {
            policy: self.rng.pick(&[0, 0, 0, 1, 1, 1, 2]),
            value: self
                .rng
                .pick(&[0, 0, 0, 1, 2, 0x7fff_ffff, 0x7fff_ffff, 0x8000_0000]),
        };
        let is_one = self.model.is_semaphore(self.task, name);
        let waiters = self.model.waiters(self.task);
        let op = match self.rng.below(16) {
            kind if !waiters.is_empty() && kind > 11 => {
                let (name, thread) = self.rng.pick(&waiters);
                SemaphoreOp::SignalThread { name, thread }
            }
            0 => make,
            _ if !is_one && self.rng.one_in(2) => make,
            1..3 => {
                let mut full = self.live();
                full.retain(|name| self.model.is_full(self.task, *name));
                let name = match full.is_empty() || self.rng.one_in(3) {
                    true => name,
                    false => self.rng.pick(&full),
                };
                SemaphoreOp::Signal { name }
            }
            3 => SemaphoreOp::SignalAll {
                name: if self.rng.one_in(2) { self.any() } else { name },
            },
            4 => {
                let thread = self.rng.pick(&self.model.known_threads(self.task));
                SemaphoreOp::SignalThread { name, thread }
            }
            5 if is_one && self.rng.one_in(2) => SemaphoreOp::Destroy { name },
            kind => SemaphoreOp::Wait {
                name,
                signal: (kind > 11).then(|| self.of_semaphore()),
                until: self.until(patience),
            },
        };
        Op::Semaphore(self.by_message(op))
    }

    /// A port that is kept for the task.
    fn kept(&mut self) -> Op {
        let which = match self.rng.below(4) {
            0 => Kept::Special(self.rng.pick(&[special::BOOTSTRAP, 3])),
            index => Kept::Registered(self.rng.pick(&[index as u32, 0])),
        };
        let name = self.of_kind(port_type::SEND);
        let has = self.model.bits(self.task, name) & port_type::SEND != 0;
        Op::Kept(match (self.rng.below(5), which) {
            (0..3, _) if has => KeptOp::Set { which, name },
            (3, Kept::Special(which)) => KeptOp::Clear { which },
            _ => {
                let kept = self.model.kept(self.task);
                let which = match kept.is_empty() || self.rng.one_in(2) {
                    true => which,
                    false => self.rng.pick(&kept),
                };
                KeptOp::Get { which }
            }
        })
    }

    /// An exception port.
    fn handler(&mut self) -> Op {
        let threads = self.model.known_threads(self.task);
        let level = match self.rng.below(3) {
            0 => Level::Thread(self.rng.pick(&threads)),
            // The first task alone knows the host's privileged port.
            1 if self.task == 0 => Level::Host,
            _ => Level::Task,
        };
        let mask = match self.rng.below(8) {
            0..3 => MASK_ALL,
            3..5 => self.rng.pick(&[0b10, 0b110, 0b1010]),
            5 => self.rng.pick(&[0, 1, 1 << TYPES]),
            _ => MASK_ALL & self.rng.word() as u32 & self.rng.word() as u32,
        };
        let form = self.rng.pick(&FORMS);
        let name = match self.rng.one_in(12) {
            true => self.of_kind(port_type::DEAD_NAME),
            false => self.of_kind(port_type::SEND),
        };
        let has = self.model.can_bind(self.task, name);
        let op = match self.rng.below(9) {
            0..4 if has => HandlerOp::Set { mask, name, form },
            4 if has => HandlerOp::Swap { mask, name, form },
            8 if has => return Op::Handler(Level::Task, HandlerOp::SetFatal { name }),
            5 => HandlerOp::Clear { mask },
            _ => HandlerOp::Get {
                mask: self.rng.pick(&[mask, MASK_ALL]),
                index: self.rng.below(3) as u32,
            },
        };
        Op::Handler(level, op)
    }

    /// An exception, mostly one that somebody handles. The first task's end would be the machine's.
    pub(super) fn trouble(&mut self) -> Op {
        let troubles = [
            Trouble::Access(NOWHERE),
            self.fault(),
            self.fault(),
            Trouble::Vector(0, 5),
            Trouble::Vector(3, 0),
            Trouble::Vector(6, 0),
            Trouble::Syscall(39),
        ];
        let mut handled = troubles.to_vec();
        handled.retain(|trouble| self.model.has_handler(self.thread, *trouble));
        let foolhardy = self.rng.one_in(16);
        if self.task != 0 && (foolhardy || !handled.is_empty()) {
            let denied = |trouble: &Trouble| matches!(trouble, Trouble::Denied(..));
            if !foolhardy && handled.iter().any(denied) && self.rng.one_in(2) {
                handled.retain(denied);
            }
            let among = if foolhardy { &troubles } else { &handled[..] };
            return Op::Raise(self.rng.pick(among), [0; 20]);
        }
        if self.rng.one_in(4) {
            let entry = self.rng.pick(&[0, ENTRY, ENTRY, 1 << 47]);
            return Op::Personality { entry };
        }
        self.handler()
    }

    /// The end of a task or thread, mostly of a thread; not of the first task's, which have been counted.
    fn terminate(&mut self) -> Op {
        let mut subjects = self.model.subjects(self.task);
        let tasks_too = self.rng.one_in(4);
        if self.task != 0 && self.rng.one_in(4) {
            return Op::Exit(match tasks_too {
                true => Subject::Task(self.task),
                false => Subject::Thread(self.thread),
            });
        }
        subjects.retain(|(_, subject)| match *subject {
            Subject::Task(task) => task != 0 && tasks_too,
            Subject::Thread(thread) => {
                self.model.task_of(thread) != 0 && !self.model.leaves_rights(thread)
            }
        });
        match subjects.is_empty() {
            true => self.look(),
            false => Op::Terminate {
                name: self.rng.pick(&subjects).0,
            },
        }
    }

    /// An answer to an exception: mostly one that deals with it.
    fn answer(&mut self) -> Option<Request> {
        let mut names = self.live();
        names.push(Name::REPLY_SLOT);
        let known = names.into_iter().filter_map(|name| {
            let answer = match name {
                Name::REPLY_SLOT => self.model.answer_by_slot(self.thread),
                name => self.model.answer_by_name(self.task, name),
            };
            Some((name, answer?))
        });
        let known: Vec<_> = known.collect();
        if known.is_empty() {
            return None;
        }
        let (name, (id, state)) = self.rng.pick(&known);
        let once = disposition::MOVE_SEND_ONCE;
        let mut request = Request::send(name).disposed(once).id(id);
        if let Some(mut registers) = state {
            if self.rng.one_in(2) {
                let at = self.rng.below(registers.len());
                registers[at] = self.rng.pick(&[0, ENTRY, u64::MAX]);
            }
            let bytes: Vec<u8> = registers
                .iter()
                .flat_map(|word| word.to_le_bytes())
                .collect();
            request = request.data(&bytes[..self.rng.pick(&[160, 160, 160, 152])]);
        }
        Some(match self.rng.below(8) {
            0 => request.id(id + 1),
            1 => request.words([5, 0, 0, 0, 0, 0]),
            2 => request.port(self.any(), disposition::COPY_SEND),
            _ => request,
        })
    }

    fn request(&mut self) -> Op {
        let to = match self.rng.below(6) {
            0 => Name::NULL,
            _ => self.of_kind(port_type::RECEIVE),
        };
        let (kind, id) = match self.rng.below(10) {
            8 | 9 => (
                port_type::SEND | port_type::SEND_ONCE | port_type::DEAD_NAME,
                notify::SEND_POSSIBLE,
            ),
            0..4 => (
                port_type::SEND | port_type::SEND_ONCE | port_type::DEAD_NAME,
                notify::DEAD_NAME,
            ),
            4 | 5 => (port_type::RECEIVE, notify::NO_SENDERS),
            6 => (port_type::RECEIVE, notify::PORT_DESTROYED),
            _ => (port_type::RECEIVE, 0o103),
        };
        let mut name = self.of_kind(kind);
        if !name.is_valid() || name == Name::REPLY_SLOT {
            name = Name(7);
        }
        let to = if to.is_valid() && to != Name::REPLY_SLOT {
            to
        } else {
            Name::NULL
        };
        // A port that announces its own destruction to itself would travel into its own queue.
        let to = if name == to && id == notify::PORT_DESTROYED {
            Name::NULL
        } else {
            to
        };
        Op::Notify {
            name,
            id,
            sync: self.rng.below(3) as u64,
            to,
        }
    }

    pub(super) fn message(&mut self, patience: Patience) -> Request {
        let sources = port_type::RECEIVE | port_type::PORT_SET;
        let request = match self.rng.below(20) {
            0..8 => self.send(),
            8..13 => Request::poll(self.with_mail()),
            13 | 14 => Request::receive(self.of_kind(sources)),
            15..18 => self.call(),
            18 => Request::reply(),
            _ => {
                let from = self.of_kind(sources);
                self.reply(Request::reply(), from)
            }
        };
        let mut request = self.worded(request);
        if request.options & options::RECEIVE != 0 {
            request = self.may_stay(request);
        }
        if patience == Patience::NeverWaits && request.options & options::RECEIVE != 0 {
            return request.with(options::RECEIVE_TIMEOUT);
        }
        self.limited(request, patience)
    }

    pub(super) fn worded(&mut self, request: Request) -> Request {
        let id = match self.model.is_kernel(self.task, request.remote.0) {
            true => REQUEST,
            // Others than those of the kernel's messages.
            false => self.rng.below(900) as i32,
        };
        request.id(id).words([(); 6].map(|()| self.rng.word()))
    }

    /// Somewhere to receive from: mostly where a message is.
    pub(super) fn with_mail(&mut self) -> Name {
        let mut live = self.live();
        live.retain(|name| self.model.has_mail(self.task, *name));
        if live.is_empty() || self.rng.one_in(3) {
            return self.of_kind(port_type::RECEIVE | port_type::PORT_SET);
        }
        self.rng.pick(&live)
    }

    fn send(&mut self) -> Request {
        let wanted = port_type::SEND | port_type::RECEIVE | port_type::SEND_ONCE;
        let to = self.of_kind(wanted);
        let how = self.disposition(to);
        let mut request = Request::send(to).disposed(how);
        if self.rng.one_in(3) {
            let reply = match self.rng.one_in(6) {
                true => self.any(),
                false => self.of_kind(wanted | port_type::DEAD_NAME),
            };
            let reply = if reply == Name::NULL {
                Name::DEAD
            } else {
                reply
            };
            request = request.replying(reply, self.disposition(reply));
        }
        if self.rng.one_in(2) {
            for _ in 0..self.rng.below(4) {
                request = self.part(request);
            }
            request = request.data(&[7; 100][..self.rng.below(100)]);
        }
        if request.body.is_none() && self.rng.one_in(2) {
            request = request.with(options::SEND_TIMEOUT);
            if self.rng.one_in(2) {
                request = request.with(options::SEND_NOTIFY);
            }
        }
        request
    }

    fn call(&mut self) -> Request {
        let to = self.of_kind(port_type::SEND);
        let how = self.disposition(to);
        let request = Request::call(to).disposed(how);
        match (self.model.is_kernel(self.task, to), self.rng.below(8)) {
            // The kernel alone makes rights to its ports.
            (true, 0) => request.disposed(disposition::MAKE_SEND),
            (true, _) => self.enclose(request),
            (false, _) => request,
        }
    }

    /// A disposition that a name can have: mostly.
    fn disposition(&mut self, name: Name) -> u8 {
        let bits = self.model.bits(self.task, name);
        let mut fitting = Vec::new();
        if bits & port_type::SEND != 0 || bits & port_type::DEAD_NAME != 0 {
            fitting.extend([disposition::COPY_SEND, disposition::MOVE_SEND]);
        }
        if bits & port_type::RECEIVE != 0 {
            fitting.extend([disposition::MAKE_SEND, disposition::MAKE_SEND_ONCE]);
        }
        if bits & port_type::SEND_ONCE != 0 || name == Name::REPLY_SLOT {
            fitting.push(disposition::MOVE_SEND_ONCE);
        }
        if fitting.is_empty() || self.rng.one_in(20) {
            return disposition::MOVE_SEND + self.rng.below(5) as u8;
        }
        self.rng.pick(&fitting)
    }
}
