//! The interface clients over the simulated machine: a call is one `mach_msg` of a thread that the test plays.

use std::cell::RefCell;
use std::time::Duration;

use abi::kern_return::{KernReturn, MessageReturn};
use abi::message::{Descriptor, descriptor};
use abi::names::{Name, disposition};
use abi::transport::{
    Error, Incoming, Interface, Lending, Outgoing, Plan, REPLY_OFFSET, REPLY_WORDS, REQUEST_WORDS,
    Refused, Result, Rights, Sink, Source, Span, Transport,
};
use abi::trap;
use abi::vm::flags;
use microkernel::machine::FrameIndex;
use sim::{Reply, Request, Sim};

/// A name, and what becomes of the right under it when it is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Give(pub(crate) Name, pub(crate) u8);

/// Rights as names.
#[derive(Debug)]
pub(crate) enum Names {}

impl Rights for Names {
    type Send<I: ?Sized + 'static> = Give;
    type SendOnce<I: ?Sized + 'static> = Give;
    type Receive<I: ?Sized + 'static> = Give;
    type Sends<I: ?Sized + 'static> = Array;
    type Memory = Extent;
    type Reply<T: 'static> = ();
}

/// Out-of-line memory, as a descriptor told of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Extent {
    pub(crate) address: u64,
    pub(crate) size: u64,
}

/// An array of rights, as a descriptor told of it: where the names lie, and how many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Array {
    pub(crate) address: u64,
    pub(crate) count: u32,
}

/// A port, as a thread reaches it.
#[derive(Clone, Copy)]
pub(crate) struct Port<'s> {
    pub(crate) sim: &'s RefCell<Sim>,
    pub(crate) thread: FrameIndex,
    pub(crate) name: Name,
}

impl<'s> Port<'s> {
    pub(crate) fn client<I: ?Sized + Interface>(self) -> I::Client<Self> {
        I::client(self)
    }

    /// A `mach_msg` call with this id and content.
    pub(crate) fn raw(&self, request: &Request) -> Reply {
        self.sim.borrow_mut().on(self.thread).message(request)
    }

    /// Memory of the thread's task with these bytes.
    fn fill(&self, data: &[u8]) -> Extent {
        let (mut sim, size) = (self.sim.borrow_mut(), data.len() as u64);
        let mut me = sim.on(self.thread);
        let anywhere = [0, size, flags::ANYWHERE];
        let address = me.trap(trap::VM_ALLOCATE, &anywhere).unwrap();
        me.poke(address, data);
        Extent { address, size }
    }

    fn free(&self, extent: Extent) {
        let range = [extent.address, extent.size];
        let mut sim = self.sim.borrow_mut();
        sim.on(self.thread)
            .trap(trap::VM_DEALLOCATE, &range)
            .unwrap();
    }

    fn exchange<O>(&self, plan: Plan, out: Out, read: fn(&mut In) -> Result<O>) -> Result<O> {
        let mut request = Request::call(self.name).id(plan.id);
        for right in out.rights {
            request = request.port(right.0, right.1);
        }
        let lent = out.lent.map(|data| self.fill(&data));
        if let Some(lent) = lent {
            request = request.memory(lent.address, lent.size);
        }
        if plan.request_words > REQUEST_WORDS {
            let data: Vec<u8> = out
                .words
                .iter()
                .flat_map(|word| word.to_le_bytes())
                .collect();
            request = request.data(&data);
        } else {
            request.words[..out.words.len()].copy_from_slice(&out.words);
        }
        let reply = self.raw(&request);
        if let Some(lent) = lent {
            self.free(lent);
        }
        if reply.code == MessageReturn::SendInvalidDest {
            return Err(Error::NotSent(reply.code));
        }
        assert_eq!(reply.code, MessageReturn::Success);
        assert_eq!(reply.id, plan.id + REPLY_OFFSET);
        let code = KernReturn(reply.words[0] as u32);
        if code != KernReturn::Success {
            assert!(reply.body.is_none(), "an error reply is simple (G-02)");
            return Err(code.into());
        }
        let body = reply.body.unwrap_or_default();
        let words = if plan.reply_words > REPLY_WORDS {
            body.data
                .chunks_exact(8)
                .map(|word| u64::from_le_bytes(word.try_into().unwrap()))
                .collect()
        } else {
            assert_eq!(body.data, []);
            reply.words[1..].to_vec()
        };
        assert_eq!(body.descriptors.len(), plan.reply_descriptors);
        read(&mut In {
            words,
            at: 0,
            descriptors: body.descriptors,
        })
    }
}

/// A request being written.
#[derive(Default)]
pub(crate) struct Out {
    words: Vec<u64>,
    rights: Vec<Give>,
    lent: Option<Vec<u8>>,
}

/// A reply being read.
pub(crate) struct In {
    words: Vec<u64>,
    at: usize,
    descriptors: Vec<Descriptor>,
}

impl Sink for Out {
    fn word(&mut self, value: u64) {
        self.words.push(value);
    }
}

impl Outgoing<Names> for Out {
    fn send<I: ?Sized + 'static>(&mut self, right: Give) {
        self.rights.push(right);
    }

    fn send_once<I: ?Sized + 'static>(&mut self, right: Give) {
        self.rights.push(right);
    }

    fn receive<I: ?Sized + 'static>(&mut self, right: Give) {
        self.rights.push(right);
    }

    fn sends<I: ?Sized + 'static>(&mut self, _: Array) {}

    fn memory(&mut self, _: Extent) {}
}

impl Lending<Names> for Out {
    fn lend(&mut self, data: &[u8]) {
        self.lent = Some(data.to_vec());
    }
}

impl Source for In {
    fn word(&mut self) -> Option<u64> {
        self.at += 1;
        self.words.get(self.at - 1).copied()
    }

    fn span(&mut self) -> Option<Span> {
        None
    }

    fn view(&self, _: Span) -> &[u8] {
        &[]
    }
}

impl Incoming<Names> for In {
    fn send<I: ?Sized + 'static>(&mut self) -> Result<Give> {
        let right = self.descriptors.pop().ok_or(Error::BadReply)?;
        assert_eq!(right.disposition, disposition::MOVE_SEND);
        Ok(Give(Name(right.name), disposition::COPY_SEND))
    }

    fn send_once<I: ?Sized + 'static>(&mut self) -> Result<Give> {
        let right = self.descriptors.pop().ok_or(Error::BadReply)?;
        assert_eq!(right.disposition, disposition::MOVE_SEND_ONCE);
        Ok(Give(Name(right.name), disposition::MOVE_SEND_ONCE))
    }

    fn receive<I: ?Sized + 'static>(&mut self) -> Result<Give> {
        let right = self.descriptors.pop().ok_or(Error::BadReply)?;
        assert_eq!(right.disposition, disposition::MOVE_RECEIVE);
        Ok(Give(Name(right.name), disposition::MOVE_RECEIVE))
    }

    fn sends<I: ?Sized + 'static>(&mut self) -> Result<Array> {
        let found = self.descriptors.pop().ok_or(Error::BadReply)?;
        assert_eq!(found.kind, descriptor::OUT_OF_LINE_PORTS);
        assert_eq!(found.disposition, disposition::MOVE_SEND);
        let (address, count) = (found.address, found.name);
        Ok(Array { address, count })
    }

    fn memory(&mut self) -> Result<Extent> {
        let found = self.descriptors.pop().ok_or(Error::BadReply)?;
        assert_eq!(found.kind, descriptor::OUT_OF_LINE);
        let (address, size) = (found.address, found.size);
        Ok(Extent { address, size })
    }
}

impl Transport for Port<'_> {
    type Rights = Names;
    type Out = Out;
    type In = In;
    type Answer<O: 'static, E: 'static> = Result<O, E>;
    type Limited<'a>
        = Self
    where
        Self: 'a;

    fn limited(&self, _: Duration) -> Self {
        *self
    }

    fn call<O: 'static>(
        &self,
        plan: Plan,
        write: impl Fn(&mut Out),
        read: fn(&mut In) -> Result<O>,
    ) -> Result<O> {
        let mut out = Out::default();
        write(&mut out);
        self.exchange(plan, out, read)
    }

    fn call_moving<O: 'static, B: 'static>(
        &self,
        plan: Plan,
        write: impl FnOnce(&mut Out),
        read: fn(&mut In) -> Result<O>,
        _: fn(&mut In) -> Result<B>,
    ) -> Result<O, Refused<B>> {
        let mut out = Out::default();
        write(&mut out);
        Ok(self.exchange(plan, out, read)?)
    }

    fn send_moving<B: 'static>(
        &self,
        _: Plan,
        _: impl FnOnce(&mut Out),
        _: fn(&mut In) -> Result<B>,
    ) -> Result<(), Refused<B>> {
        Err(Error::NoService.into())
    }
}
