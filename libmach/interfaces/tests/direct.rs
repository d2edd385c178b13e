//! The generated dispatch as the kernel uses it: no heap, no executor, rights that are no names.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use abi::kern_return::KernReturn;
use abi::transport::{
    Caller, Direct, Error, Incoming, Outgoing, Plan, Request, Result, Rights, Serve, Sink, Source,
    Span, poll_once,
};
use interfaces::memory::{Entry, MemoryRoot};
use interfaces::thread::{Info, Thread};

/// Rights as a kernel has them: references to objects.
#[derive(Debug)]
enum Kernel {}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Reference(u32);

impl Rights for Kernel {
    type Send<I: ?Sized + 'static> = Reference;
    type SendOnce<I: ?Sized + 'static> = Reference;
    type Receive<I: ?Sized + 'static> = Reference;
    type Sends<I: ?Sized + 'static> = Reference;
    type Memory = Reference;
    type Reply<T: 'static> = ();
}

/// A message's words and rights, in and out.
#[derive(Debug, Default)]
struct Words {
    words: [u64; 32],
    at: usize,
    right: Option<Reference>,
}

impl Source for Words {
    fn word(&mut self) -> Option<u64> {
        let word = self.words.get(self.at).copied();
        self.at += 1;
        word
    }

    fn span(&mut self) -> Option<Span> {
        None
    }

    fn view(&self, _: Span) -> &[u8] {
        &[]
    }
}

impl Sink for Words {
    fn word(&mut self, value: u64) {
        self.words[self.at] = value;
        self.at += 1;
    }
}

impl Incoming<Kernel> for Words {
    fn send<I: ?Sized + 'static>(&mut self) -> Result<Reference> {
        self.right.take().ok_or(Error::BadReply)
    }

    fn send_once<I: ?Sized + 'static>(&mut self) -> Result<Reference> {
        Err(Error::BadReply)
    }

    fn receive<I: ?Sized + 'static>(&mut self) -> Result<Reference> {
        Err(Error::BadReply)
    }

    fn sends<I: ?Sized + 'static>(&mut self) -> Result<Reference> {
        Err(Error::BadReply)
    }

    fn memory(&mut self) -> Result<Reference> {
        Err(Error::BadReply)
    }
}

impl Outgoing<Kernel> for Words {
    fn send<I: ?Sized + 'static>(&mut self, right: Reference) {
        self.right = Some(right);
    }

    fn send_once<I: ?Sized + 'static>(&mut self, _: Reference) {}

    fn receive<I: ?Sized + 'static>(&mut self, _: Reference) {}

    fn sends<I: ?Sized + 'static>(&mut self, rights: Reference) {
        self.right = Some(rights);
    }

    fn memory(&mut self, _: Reference) {}
}

struct KernelRequest {
    id: i32,
    input: Words,
}

impl<'s> Request<'s> for KernelRequest {
    type Rights = Kernel;
    type In = Words;
    type Out = Words;
    type Answer = (KernReturn, Words);

    fn id(&self) -> i32 {
        self.id
    }

    fn caller(&self) -> Caller {
        Caller::default()
    }

    fn input(&mut self) -> &mut Words {
        &mut self.input
    }

    fn answer<T>(self, _: Plan, result: Result<T>, write: fn(T, &mut Words)) -> Self::Answer {
        let mut out = Words::default();
        let code = match result {
            Ok(value) => {
                write(value, &mut out);
                KernReturn::Success
            }
            Err(error) => error.code(),
        };
        (code, out)
    }

    fn take_input(&mut self) -> Words {
        std::mem::take(&mut self.input)
    }

    fn handle<T: 'static, F>(self, plan: Plan, handler: F, write: fn(T, &mut Words)) -> Self::Answer
    where
        F: Future<Output = Result<T>> + 's,
    {
        let waits = Err(KernReturn::Failure.into());
        self.answer(plan, poll_once(handler).unwrap_or(waits), write)
    }

    fn run<F>(self, _: Plan, handler: F) -> Self::Answer
    where
        F: Future<Output = ()> + 's,
    {
        poll_once(handler);
        self.done()
    }

    fn defer<T: 'static>(&mut self, _: Plan, _: fn(T, &mut Words)) {}

    fn done(self) -> Self::Answer {
        (KernReturn::MigNoReply, Words::default())
    }
}

/// A kernel's state, borrowed for one call.
struct Root<'k> {
    made: &'k mut Vec<(u64, u64)>,
}

impl MemoryRoot for Root<'_> {
    type Rights = Kernel;

    async fn window(&mut self, physical: u64, size: u64, cached: u32) -> Result<Reference> {
        if cached > 1 {
            return Err(KernReturn::InvalidArgument.into());
        }
        self.made.push((physical, size));
        Ok(Reference(7))
    }
}

fn call(made: &mut Vec<(u64, u64)>, id: i32, words: &[u64]) -> (KernReturn, Words) {
    let mut input = Words::default();
    input.words[..words.len()].copy_from_slice(words);
    let server = Direct::new(Root { made });
    let request = KernelRequest { id, input };
    <dyn MemoryRoot as Serve<Root<'_>, Kernel>>::dispatch(&server, request)
}

#[test]
fn a_borrowed_state_serves_a_call_that_makes_a_right() {
    let mut made = Vec::new();
    let id = <dyn MemoryRoot>::WINDOW.id;
    let (code, out) = call(&mut made, id, &[0xfee0_0000, 0x1000, 0]);
    assert_eq!((code, out.right), (KernReturn::Success, Some(Reference(7))));
    assert_eq!(
        call(&mut made, id, &[0, 0, 2]).0,
        KernReturn::InvalidArgument
    );
    assert_eq!(
        call(&mut made, id, &[0, 0, u64::MAX]).0,
        KernReturn::MigBadArguments
    );
    assert_eq!(call(&mut made, id + 1, &[]).0, KernReturn::MigBadId);
    assert_eq!(made, [(0xfee0_0000, 0x1000)]);
}

#[test]
fn hot_kernel_calls_fit_into_registers() {
    use interfaces::task::Task;
    for plan in [
        <dyn Thread>::SUSPEND,
        <dyn Thread>::RESUME,
        <dyn Thread>::INFO,
        <dyn Task>::SUSPEND,
        <dyn Task>::VM_ALLOCATE,
        <dyn Task>::VM_PROTECT,
        <dyn Task>::PORT_ALLOCATE,
        <dyn Entry>::BOUNDS,
    ] {
        assert!(plan.request_words <= 6 && plan.reply_words <= 5, "{plan:?}");
        assert_eq!(
            plan.request_descriptors + plan.reply_descriptors,
            0,
            "{plan:?}"
        );
    }
    assert_eq!(<Info as abi::transport::Wire>::WORDS, 5);
}
