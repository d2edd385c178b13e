//! The kernel's side of the transport traits: requests read in place, replies written once.
//!
//! A request's rights stay in its body; what a method gets is their place. Inline data is copied through
//! one scratch area, which the kernel lock protects; short requests and replies never touch it.

use abi::kern_return::KernReturn;
use abi::message::WORDS;
use abi::transport::{
    Caller, Direct, Incoming, Interface, Outgoing, Plan, REPLY_OFFSET, REPLY_WORDS,
    Request as Transported, Result, Rights, Serve, Sink, Source, Span, poll_once,
};

use super::Core;
use crate::base::ids::{ArrayId, BodyId};
use crate::ipc::answer::{Answer, Asked};
use crate::ipc::body::Carried;
use crate::ipc::right::Right;
use crate::machine::Machine;
use crate::vm::CopyId;

/// Bytes of inline data that a request may have: what libmach's buffers hold.
const REQUEST_BYTES: usize = 8192;

/// Bytes of inline data that a reply may have.
const REPLY_BYTES: usize = 4096;

/// Rights that a request of any kernel interface has at the most.
const MAX_RIGHTS: usize = 2;

/// Room for the inline data of one request, and for its reply.
pub struct Scratch {
    request: [u8; REQUEST_BYTES],
    reply: Room,
}

/// Where a reply is written: once, for what moves on with every result costs more than most methods do.
struct Room {
    /// The words in registers; word 0 is the code.
    words: [u64; WORDS],
    carried: Option<Carried>,
    /// Bytes of inline data.
    size: usize,
    data: [u8; REPLY_BYTES],
}

impl Scratch {
    /// Empty.
    pub const fn new() -> Self {
        Self {
            request: [0; REQUEST_BYTES],
            reply: Room {
                words: [0; WORDS],
                carried: None,
                size: 0,
                data: [0; REPLY_BYTES],
            },
        }
    }

    /// The words of the answer to the request that was served last, if that is all of it.
    #[inline(always)]
    pub fn short(&self, reply: Reply) -> Option<[u64; WORDS]> {
        match reply.form {
            Form::Code => Some(words_of(reply.code)),
            Form::Words => Some(self.reply.words),
            Form::Whole => None,
        }
    }

    /// The answer to the request that was served last.
    #[inline(always)]
    pub fn answer(&mut self, reply: Reply) -> Answer<'_> {
        if let Some(words) = self.short(reply) {
            return Answer::short(words);
        }
        let room = &mut self.reply;
        Answer {
            words: room.words,
            carried: room.carried.take(),
            data: room.data.get(..room.size).unwrap_or(&[]),
        }
    }
}

/// A reply's words that are a code alone.
pub const fn words_of(code: KernReturn) -> [u64; WORDS] {
    [code.0 as u64, 0, 0, 0, 0, 0]
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

/// Rights as the kernel has them.
#[derive(Clone, Copy, Debug)]
pub(super) enum KernelRights {}

/// A right of a method's arguments or results.
#[derive(Debug)]
#[must_use = "a right that is given and dropped is lost"]
pub(super) enum Held {
    /// It lies in the request, at this place.
    Received(usize),
    /// It is on its way into the reply.
    Given(Right),
}

/// Send rights of a method's results. No method takes any.
#[derive(Debug)]
#[must_use = "rights that are given and dropped are lost"]
pub(super) struct Series(pub(super) ArrayId);

/// Out-of-line memory of a method's arguments or results.
#[derive(Debug)]
#[must_use = "memory that is given and dropped is lost"]
pub(super) enum Extent {
    /// It lies in the request, at this place.
    Received(usize),
    /// It is on its way into the reply: these many bytes.
    Given(CopyId, u64),
}

impl Rights for KernelRights {
    type Send<I: ?Sized + 'static> = Held;
    type SendOnce<I: ?Sized + 'static> = Held;
    type Receive<I: ?Sized + 'static> = Held;
    type Sends<I: ?Sized + 'static> = Series;
    type Memory = Extent;
    type Reply<T: 'static> = ();
}

/// What a descriptor turned out to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Class {
    Send,
    SendOnce,
    Receive,
    /// Null or dead.
    Nothing,
    Memory,
    /// An array of rights, which no method takes.
    Ports,
}

fn class_of(carried: &Carried) -> Class {
    match carried {
        Carried::Port(Right::Send(_)) => Class::Send,
        Carried::Port(Right::SendOnce(_)) => Class::SendOnce,
        Carried::Port(Right::Receive(_)) => Class::Receive,
        Carried::Port(Right::None | Right::Dead) | Carried::Named(..) => Class::Nothing,
        Carried::Memory(..) | Carried::Mapped(..) => Class::Memory,
        Carried::Ports(_) | Carried::Placed(_) => Class::Ports,
    }
}

/// A request being read.
pub(super) struct Input<'a> {
    words: &'a [u64; WORDS],
    /// Inline data, which then has the words.
    data: Option<&'a [u8]>,
    at: usize,
    classes: [Option<Class>; MAX_RIGHTS],
    taken: usize,
}

impl<'a> Input<'a> {
    const fn new(words: &'a [u64; WORDS]) -> Self {
        Self {
            words,
            data: None,
            at: 0,
            classes: [None; MAX_RIGHTS],
            taken: 0,
        }
    }

    fn right(&mut self, wanted: Class) -> Result<Held> {
        let index = self.taken;
        self.taken += 1;
        match self.classes.get(index).copied().flatten() {
            Some(class) if class == wanted => Ok(Held::Received(index)),
            Some(Class::Nothing) => Err(KernReturn::InvalidCapability.into()),
            _ => Err(KernReturn::MigTypeError.into()),
        }
    }
}

impl Source for Input<'_> {
    fn word(&mut self) -> Option<u64> {
        let index = self.at;
        self.at = index.wrapping_add(1);
        let Some(data) = self.data else {
            return self.words.get(index).copied();
        };
        let bytes = data.get(index * 8..)?.first_chunk()?;
        Some(u64::from_le_bytes(*bytes))
    }

    fn span(&mut self) -> Option<Span> {
        let size = usize::try_from(self.word()?).ok()?;
        let start = self.at;
        let end = start.checked_add(size.div_ceil(8))?;
        if end > self.data?.len() / 8 {
            return None;
        }
        self.at = end;
        Some(Span { start, size })
    }

    fn view(&self, span: Span) -> &[u8] {
        let data = self.data.and_then(|data| data.get(span.start * 8..));
        data.and_then(|data| data.get(..span.size)).unwrap_or(&[])
    }
}

impl Incoming<KernelRights> for Input<'_> {
    fn send<I: ?Sized + 'static>(&mut self) -> Result<Held> {
        self.right(Class::Send)
    }

    fn send_once<I: ?Sized + 'static>(&mut self) -> Result<Held> {
        self.right(Class::SendOnce)
    }

    fn receive<I: ?Sized + 'static>(&mut self) -> Result<Held> {
        self.right(Class::Receive)
    }

    fn sends<I: ?Sized + 'static>(&mut self) -> Result<Series> {
        Err(KernReturn::MigTypeError.into())
    }

    fn memory(&mut self) -> Result<Extent> {
        let index = self.taken;
        self.taken += 1;
        match self.classes.get(index).copied().flatten() {
            Some(Class::Memory) => Ok(Extent::Received(index)),
            _ => Err(KernReturn::MigTypeError.into()),
        }
    }
}

/// A reply being written.
pub(super) struct Output<'a> {
    room: &'a mut Room,
    written: usize,
    length: Length,
}

/// Where a reply's words go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Length {
    /// Into registers.
    Short,
    /// They do not fit there: all are inline data.
    Long,
}

impl Sink for Output<'_> {
    #[inline(always)]
    fn word(&mut self, value: u64) {
        let index = self.written;
        self.written = index.wrapping_add(1);
        match self.length {
            Length::Short => {
                if let Some(word) = self.room.words.get_mut(index) {
                    *word = value;
                }
            }
            Length::Long => {
                let rest = self.room.data.get_mut(index * 8..);
                if let Some(place) = rest.and_then(<[u8]>::first_chunk_mut) {
                    *place = value.to_le_bytes();
                }
            }
        }
    }
}

impl Output<'_> {
    fn put(&mut self, carried: Carried) {
        debug_assert!(
            self.room.carried.is_none(),
            "no kernel interface answers with two descriptors"
        );
        self.room.carried = Some(carried);
    }

    fn carry(&mut self, held: Held) {
        if let Held::Given(right) = held {
            self.put(Carried::Port(right));
        }
    }
}

impl Outgoing<KernelRights> for Output<'_> {
    fn send<I: ?Sized + 'static>(&mut self, right: Held) {
        self.carry(right);
    }

    fn send_once<I: ?Sized + 'static>(&mut self, right: Held) {
        self.carry(right);
    }

    fn receive<I: ?Sized + 'static>(&mut self, right: Held) {
        self.carry(right);
    }

    fn sends<I: ?Sized + 'static>(&mut self, rights: Series) {
        self.put(Carried::Ports(rights.0));
    }

    fn memory(&mut self, memory: Extent) {
        if let Extent::Given(copy, size) = memory {
            self.put(Carried::Memory(Some(copy), size));
        }
    }
}

/// What a method answered: its code, and what of its results lies in the [`Scratch`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reply {
    /// The code.
    pub code: KernReturn,
    form: Form,
}

/// What a reply consists of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    /// Its code alone.
    Code,
    /// Words in registers.
    Words,
    /// Words, and a descriptor or inline data.
    Whole,
}

impl Reply {
    /// A reply that is a code alone.
    #[inline(always)]
    pub const fn code(code: KernReturn) -> Self {
        Self {
            code,
            form: Form::Code,
        }
    }
}

impl Form {
    /// Of a method's answer.
    #[inline(always)]
    const fn of(plan: &Plan) -> Self {
        if plan.reply_words > REPLY_WORDS || plan.reply_descriptors > 0 {
            Self::Whole
        } else if plan.reply_words > 0 {
            Self::Words
        } else {
            Self::Code
        }
    }
}

/// A request on its way through the dispatch.
pub(super) struct Request<'a> {
    id: i32,
    /// Of the caller's task.
    identity: u64,
    input: Input<'a>,
    room: &'a mut Room,
}

impl<'a> Request<'a> {
    /// Whether its id is one of an interface's.
    pub(super) fn is_of<I: ?Sized + Interface>(&self) -> bool {
        (0..REPLY_OFFSET).contains(&self.id.wrapping_sub(I::SUBSYSTEM))
    }

    /// A request whose words are in registers, and room for its reply and its inline data.
    #[inline(always)]
    pub(super) fn new(scratch: &'a mut Scratch, asked: &Asked<'a>) -> (Self, &'a mut [u8]) {
        let request = Self {
            id: asked.id,
            identity: asked.identity,
            input: Input::new(asked.words),
            room: &mut scratch.reply,
        };
        (request, &mut scratch.request)
    }

    /// Reads what is not in registers; `None`: it is more than any method takes.
    pub(super) fn read<M: Machine>(
        &mut self,
        core: &mut Core<'_, M>,
        body: BodyId,
        (size, bytes): (u32, &'a mut [u8]),
    ) -> Option<()> {
        let (ipc, cx) = (&*core.layers.ipc, &mut core.layers.cx);
        if size > 0 {
            self.input.data = Some(ipc.read_body(cx.machine, body, bytes)?);
        }
        for (index, class) in self.input.classes.iter_mut().enumerate() {
            *class = ipc.carried(body, index).map(class_of);
        }
        Some(())
    }
}

impl<'s, 'a: 's> Transported<'s> for Request<'a> {
    type Rights = KernelRights;
    type In = Input<'a>;
    type Out = Output<'a>;
    type Answer = Reply;

    fn id(&self) -> i32 {
        self.id
    }

    fn caller(&self) -> Caller {
        // The kernel's ports have no labels.
        Caller {
            identity: self.identity,
            label: 0,
        }
    }

    fn input(&mut self) -> &mut Input<'a> {
        &mut self.input
    }

    fn take_input(&mut self) -> Input<'a> {
        core::mem::replace(&mut self.input, Input::new(&[0; WORDS]))
    }

    #[inline(always)]
    fn answer<T>(self, plan: Plan, result: Result<T>, write: fn(T, &mut Output<'a>)) -> Reply {
        let value = match result {
            Ok(value) => value,
            Err(error) => return Reply::code(error.code()),
        };
        debug_assert!(
            plan.reply_words * 8 <= REPLY_BYTES,
            "the scratch holds every reply"
        );
        let success = KernReturn::Success;
        let form = Form::of(&plan);
        let length = match plan.reply_words > REPLY_WORDS {
            true => Length::Long,
            false => Length::Short,
        };
        if form != Form::Code {
            self.room.words = words_of(success);
        }
        if form == Form::Whole {
            self.room.carried = None;
            self.room.size = 0;
        }
        let mut out = Output {
            room: self.room,
            written: usize::from(length == Length::Short),
            length,
        };
        write(value, &mut out);
        if length == Length::Long {
            out.room.size = out.written * 8;
        }
        Reply {
            code: success,
            form,
        }
    }

    /// Inlined: a method's future, which never waits, then is no memory that it is written to and read back from.
    #[inline(always)]
    fn handle<T: 'static, F>(self, plan: Plan, handler: F, write: fn(T, &mut Output<'a>)) -> Reply
    where
        F: Future<Output = Result<T>> + 's,
    {
        let waits = Err(KernReturn::Failure.into());
        self.answer(plan, poll_once(handler).unwrap_or(waits), write)
    }

    fn run<F>(self, _: Plan, handler: F) -> Reply
    where
        F: Future<Output = ()> + 's,
    {
        poll_once(handler);
        self.done()
    }

    /// No kernel method answers later.
    fn defer<T: 'static>(&mut self, _: Plan, _: fn(T, &mut Output<'a>)) {}

    fn done(self) -> Reply {
        Reply::code(KernReturn::MigNoReply)
    }
}

/// Lets an object serve a request of its interface.
pub(super) fn serve<'s, I, S>(server: S, request: Request<'s>) -> Reply
where
    I: ?Sized + Serve<S, KernelRights>,
    S: 's,
{
    let server = Direct::new(server);
    I::dispatch(&server, request)
}
