//! [`Tally`]: how often programs made each call, and what came of it. It shows that the generator reaches what the model
//! judges: a rule that no program touches holds for no reason.

use std::collections::{BTreeMap, BTreeSet};

use abi::PAGE_SIZE;
use abi::clock::{ALARM_REPLY, CALENDAR_CHANGED};
use abi::kern_return::{KernReturn, MessageReturn};
use abi::message::descriptor;
use abi::names::{Name, disposition};
use abi::notify::pending;
use abi::registers::options;
use interfaces::memory_object::MemoryObject;

use crate::message::{Body, Reply, Request};
use crate::model::{Op, REQUEST, Seen, Subject, VmCall};

/// What came of a call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Outcome {
    /// It succeeded, or the thread runs on.
    Done,
    /// It failed.
    Refused,
    /// The thread waits.
    Waits,
}

/// How often each call had each outcome.
pub type Tally = BTreeMap<(String, Outcome), u64>;

/// The call of an operation: its name, and what it is done with where the rules differ by that.
pub(super) fn call(op: &Op) -> String {
    let text = match op {
        Op::Semaphore(op) => format!("Semaphore{op:?}"),
        Op::Kept(op) => format!("Kept{op:?}"),
        Op::Handler(_, op) => format!("Handler{op:?}"),
        Op::Control(_, Subject::Task(_), op) => format!("Task{op:?}"),
        Op::Control(_, Subject::Thread(_), op) => format!("Thread{op:?}"),
        Op::Host(_, op) => format!("Host{op:?}"),
        Op::Clock(_, op) => format!("Clock{op:?}"),
        Op::Policy(_, Subject::Task(_), op) => format!("Task{op:?}"),
        Op::Policy(_, Subject::Thread(_), op) => format!("Thread{op:?}"),
        Op::Task(_, Subject::Task(_), op) => format!("Task{op:?}"),
        Op::Task(_, Subject::Thread(_), op) => format!("Thread{op:?}"),
        Op::Exit(subject) => format!("Exit{subject:?}"),
        Op::Timer(op) => format!("Timer{op:?}"),
        Op::Machine(_, op) => format!("Machine{op:?}"),
        Op::Processor(_, op) => format!("Processor{op:?}"),
        Op::Line(op) => format!("Line{op:?}"),
        Op::Range(op) => format!("Range{op:?}"),
        Op::State(_, _, op) => format!("Thread{op:?}"),
        Op::Ask(_, Subject::Task(_), op) => format!("Task{op:?}"),
        Op::Ask(_, Subject::Thread(_), op) => format!("Thread{op:?}"),
        Op::Time(op) => format!("{op:?}"),
        Op::Futex(op) => format!("Futex{op:?}"),
        Op::Itself(op) => format!("{op:?}"),
        Op::Vm(op) => format!("Vm{op:?}"),
        Op::VmCall(_, _, VmCall::OfTask(op)) => format!("TaskVm{op:?}"),
        Op::Object(op) => format!("Object{op:?}"),
        Op::Pager(_, op) => format!("Pager{op:?}"),
        Op::Entry(op) => format!("Entry{op:?}"),
        Op::VmCall(_, _, op) => format!("VmCall{op:?}"),
        Op::Buffer(op) => format!("Buffer{op:?}"),
        Op::Ports(_, _, op) => format!("Ports{op:?}"),
        Op::Raise(trouble, _) => format!("Raise{trouble:?}"),
        Op::Notify { id, .. } => format!("Notify{id:o}"),
        Op::SetAttribute { attribute, .. } => format!("SetAttribute{attribute}"),
        Op::InsertRight { disposition, .. } => insert(*disposition).into(),
        Op::Message(request) => message(request),
        op => format!("{op:?}"),
    };
    let end = text.find([' ', '(']).unwrap_or(text.len());
    text[..end].to_owned()
}

fn insert(how: u8) -> &'static str {
    match how {
        disposition::MOVE_RECEIVE => "InsertReceive",
        disposition::MOVE_SEND => "InsertMoved",
        disposition::MOVE_SEND_ONCE | disposition::MAKE_SEND_ONCE => "InsertOnce",
        _ => "InsertRight",
    }
}

fn message(request: &Request) -> String {
    let has = |option| request.options & option != 0;
    let phases = match (has(options::SEND), has(options::RECEIVE)) {
        (true, true) => "SendReceive",
        (true, false) => "Send",
        (false, _) if has(options::PEEK) => "Peek",
        _ if has(options::RECEIVE_LARGE) => "ReceiveLarge",
        _ => "Receive",
    };
    // What calls leave in the own reply object.
    if phases == "SendReceive" && request.receive == Name::NULL {
        if has(options::PEEK) {
            return "CallPeek".into();
        }
        if has(options::RECEIVE_LARGE) {
            return "CallLarge".into();
        }
    }
    let body = match &request.body {
        Some(_) => "Body",
        None => "",
    };
    let to = match request.id {
        REQUEST if has(options::SEND) => "Kernel",
        _ => "",
    };
    format!("{to}{phases}{body}")
}

/// The kinds of parts that a message is sent with.
pub(super) fn parts(op: &Op, seen: Option<&Seen>) -> Vec<(String, Outcome)> {
    let body = match op {
        Op::Message(request) => request.body.as_ref(),
        _ => None,
    };
    let rows = kinds(body).map(|kind| (format!("Send{kind}"), outcome(seen)));
    rows.collect()
}

/// The kind of message that the fast path passed on.
pub(super) fn passed(op: &Op) -> Option<(String, Outcome)> {
    let Op::Message(request) = op else {
        return None;
    };
    let phases = match request.remote.0 {
        Name::REPLY_SLOT => "Reply",
        _ if request.options & options::RECEIVE == 0 => "Send",
        _ => "Call",
    };
    let body = request.body.as_ref().map(|body| body.descriptors.len());
    let kind = match body {
        None => "Short",
        Some(0) => "Letter",
        Some(_) => "Right",
    };
    Some((format!("Pass{phases}{kind}"), Outcome::Done))
}

/// The kinds of parts that a message brought, and whether it tells of interrupts.
pub(super) fn brought(seen: &Seen) -> Vec<(String, Outcome)> {
    let Seen::Message(reply) = seen else {
        return Vec::new();
    };
    let fires = reply.id == pending::INTERRUPT && reply.code == MessageReturn::Success;
    let all = kinds(reply.body.as_ref()).chain(fires.then_some("Interrupt"));
    let rows = all.map(|kind| (format!("Receive{kind}"), Outcome::Done));
    rows.chain(told(reply)).chain(paged(reply)).collect()
}

/// What a pager was told.
fn paged(reply: &Reply) -> Option<(String, Outcome)> {
    let call = match reply.id {
        // Programs send messages of these ids, too; the kernel's have its identity.
        _ if reply.code != MessageReturn::Success || reply.identity != 0 => return None,
        id if id == <dyn MemoryObject>::INIT.id => "ReceiveInit",
        id if id == <dyn MemoryObject>::TERMINATE.id => "ReceiveTerminate",
        id if id == <dyn MemoryObject>::DATA_REQUEST.id => "ReceiveDataRequest",
        id if id == <dyn MemoryObject>::DATA_UNLOCK.id => "ReceiveDataUnlock",
        id if id == <dyn MemoryObject>::DATA_RETURN.id => "ReceiveDataReturn",
        _ => return None,
    };
    Some((call.into(), Outcome::Done))
}

/// What a clock told.
fn told(reply: &Reply) -> Option<(String, Outcome)> {
    let call = match reply.id {
        _ if reply.code != MessageReturn::Success => return None,
        ALARM_REPLY => "ReceiveAlarm",
        CALENDAR_CHANGED => "ReceiveCalendarChanged",
        id if id == CALENDAR_CHANGED + 1 => "ReceiveCalendarSet",
        _ => return None,
    };
    let outcome = match reply.words[0] {
        0 => Outcome::Done,
        _ => Outcome::Refused,
    };
    Some((call.into(), outcome))
}

fn kinds(body: Option<&Body>) -> impl Iterator<Item = &'static str> {
    let parts: Vec<_> = body
        .into_iter()
        .flat_map(|body| &body.descriptors)
        .collect();
    let kinds: BTreeSet<u8> = parts.iter().map(|part| part.kind).collect();
    let memory = |kind| [descriptor::OUT_OF_LINE, descriptor::OUT_OF_LINE_VOLATILE].contains(&kind);
    let sizes: Vec<u64> = parts
        .iter()
        .filter(|part| memory(part.kind))
        .map(|part| part.size)
        .collect();
    let several = (sizes.len() > 1).then_some("Memories");
    let long = sizes
        .iter()
        .any(|size| *size > PAGE_SIZE)
        .then_some("Pages");
    let kinds = kinds.into_iter().map(|kind| match kind {
        descriptor::PORT => "Right",
        descriptor::OUT_OF_LINE => "Memory",
        descriptor::OUT_OF_LINE_PORTS => "Rights",
        descriptor::OUT_OF_LINE_VOLATILE => "VolatileMemory",
        _ => "GuardedRight",
    });
    kinds.chain(several).chain(long)
}

/// The code of an answer.
pub(super) fn code(seen: &Seen) -> Option<String> {
    match seen {
        Seen::Trap(code, _) => Some(format!("{code:?}")),
        Seen::Message(reply) => Some(format!("{:?}", reply.code)),
        Seen::Excepted(answer, _) => code(answer),
        _ => None,
    }
}

/// A wait of a call that its deadline has ended; of a message that is to be sent and then received, as one of its own kind.
pub(super) fn late(call: &str, seen: &Seen) -> Option<(String, Outcome)> {
    let code = code(seen).filter(|code| code.ends_with("TimedOut"))?;
    let kind = match call.starts_with("SendReceive") || call.starts_with("Call") {
        true => "Call",
        false => "",
    };
    Some((format!("Late{kind}{code}"), Outcome::Done))
}

/// What an answer says; `None`: there is none yet.
pub(super) fn outcome(seen: Option<&Seen>) -> Outcome {
    let done = match seen {
        None => return Outcome::Waits,
        Some(Seen::Trap(code, _)) => *code == KernReturn::Success,
        Some(Seen::Message(reply)) => reply.code == MessageReturn::Success,
        Some(Seen::Excepted(answer, _)) => return outcome(Some(answer)),
        Some(Seen::Handler { .. } | Seen::Told(_) | Seen::Running(_)) => true,
    };
    if done {
        Outcome::Done
    } else {
        Outcome::Refused
    }
}
