//! The trace ring tells every hop of a message, on the fast path and off it.

use abi::names::Name;
use abi::notify::pending;
use abi::trace::{Kind, NONE, Record, message, wait};
use abi::trap::TIMER_ARM;
use microkernel::base::trace::Detail;
use microkernel::kernel::Kernel;
use microkernel::machine::FrameIndex;
use sim::{Config, Path, Request, Sim};

const ID: i32 = 7;
const ANSWER: i32 = 107;

/// A client and a server in tasks of their own, with the ring's detail on.
struct Pair {
    sim: Sim,
    client: FrameIndex,
    server: FrameIndex,
    port: Name,
    service: Name,
    /// Where the ring stood when the story began.
    start: u64,
}

fn pair(path: Path) -> Pair {
    let mut sim = Sim::boot(Config {
        path,
        ..Config::default()
    });
    let client = sim.first();
    let (server, port, service) = sim.add_server(client);
    sim.kernel.set_trace_detail(Detail::Messages);
    let start = sim.kernel.trace().next_sequence();
    Pair {
        sim,
        client,
        server,
        port,
        service,
        start,
    }
}

fn records(kernel: &Kernel, from: u64) -> Vec<Record> {
    let trace = kernel.trace();
    (from..trace.next_sequence())
        .filter_map(|sequence| trace.get(sequence).copied())
        .collect()
}

impl Pair {
    fn call_and_answer(&mut self) {
        let waits = Request::receive(self.port);
        assert_eq!(self.sim.on(self.server).start_message(&waits), None);
        self.call_who_waits();
    }

    fn call_who_waits(&mut self) {
        let call = Request::call(self.service).id(ID);
        assert_eq!(self.sim.on(self.client).start_message(&call), None);
        self.sim.on(self.server).finish_message();
        self.answer();
    }

    fn answer(&mut self) {
        let reply = Request::reply().id(ANSWER).then_receive(self.port);
        assert_eq!(self.sim.on(self.server).start_message(&reply), None);
        assert_eq!(self.sim.on(self.client).finish_message().id, ANSWER);
    }

    fn of(&self, kind: Kind) -> Vec<Record> {
        let mut all = records(&self.sim.kernel, self.start);
        all.retain(|record| record.kind == kind as u8);
        all
    }
}

#[test]
fn a_message_that_is_handed_over_says_who_what_and_to_whom() {
    let mut pair = pair(Path::Fast);
    pair.call_and_answer();
    let told = pair.of(Kind::Handoff);
    let told: Vec<_> = told.iter().map(|r| (r.thread, r.a, r.b)).collect();
    let (client, server) = (pair.client, pair.server);
    let expected = [
        (client, u64::from(server), ID as u64),
        (server, u64::from(client), ANSWER as u64),
    ];
    assert_eq!(told, expected);
    assert!(pair.of(Kind::Queue).is_empty());
}

#[test]
fn a_message_that_is_queued_is_told_when_it_comes_and_when_it_goes() {
    let mut pair = pair(Path::Slow);
    let call = Request::call(pair.service).id(ID);
    assert_eq!(pair.sim.on(pair.client).start_message(&call), None);
    let receive = Request::receive(pair.port);
    assert_eq!(pair.sim.on(pair.server).message(&receive).id, ID);
    pair.answer();
    let (queued, received) = (pair.of(Kind::Queue), pair.of(Kind::Receive));
    let ids: Vec<_> = queued.iter().map(|r| (r.thread, r.b as u32)).collect();
    assert_eq!(
        ids,
        [(pair.client, ID as u32)],
        "the answer met its receiver"
    );
    let (queued, received) = (queued[0], received[0]);
    assert_eq!((received.a >> 32) as u32, pair.server);
    assert_eq!(queued.b, received.b, "id and number agree");
    assert_ne!(queued.b >> 32, NONE);
    assert_eq!(queued.a, received.a & NONE, "the same port");
}

#[test]
fn a_message_that_meets_its_receiver_is_told_once_and_has_no_number() {
    let mut pair = pair(Path::Slow);
    pair.call_and_answer();
    assert!(pair.of(Kind::Queue).is_empty());
    let received = pair.of(Kind::Receive);
    let told: Vec<_> = received
        .iter()
        .map(|r| (r.thread, (r.a >> 32) as u32, r.b))
        .collect();
    let (client, server) = (pair.client, pair.server);
    let expected = [
        (client, server, message(ID, u32::MAX)),
        (server, client, message(ANSWER, u32::MAX)),
    ];
    assert_eq!(told, expected);
    let woken: Vec<_> = pair.of(Kind::Wake).iter().map(|r| r.a as u32).collect();
    assert!(woken.contains(&pair.server) && woken.contains(&pair.client));
    let blocked = pair.of(Kind::Block);
    let waits = |thread, code: u32| {
        let mut records = blocked.iter();
        records.any(|r| r.thread == thread && r.a == u64::from(code))
    };
    assert!(waits(pair.client, wait::REPLY) && waits(pair.server, wait::RECEIVE));
    assert!(pair.of(Kind::Handoff).is_empty());
    assert!(!pair.of(Kind::Switch).is_empty());
}

#[test]
fn what_the_kernel_makes_of_a_pending_word_has_no_number() {
    let mut pair = pair(Path::Fast);
    let (port, server, now) = (pair.port, pair.server, pair.sim.now());
    let arguments = [port.0.into(), now + 1_000];
    pair.sim.on(server).trap(TIMER_ARM, &arguments).unwrap();
    let waits = Request::receive(port);
    assert_eq!(pair.sim.on(server).start_message(&waits), None);
    let got = pair.sim.on(server).finish_message();
    assert_eq!(got.id, pending::TIMER);
    let received = pair.of(Kind::Receive);
    let told = received.last().map(|record| record.b);
    assert_eq!(told, Some(message(got.id, u32::MAX)));
    assert!(!pair.of(Kind::Timer).is_empty());
}

#[test]
fn without_detail_only_what_is_rare_is_told() {
    let mut pair = pair(Path::Fast);
    pair.sim.kernel.set_trace_detail(Detail::Rare);
    pair.call_and_answer();
    assert!(records(&pair.sim.kernel, pair.start).is_empty());
    let thread = pair.sim.add_task();
    let made = pair.of(Kind::ThreadCreate);
    assert_eq!(made.last().map(|record| record.a as u32), Some(thread));
}

#[test]
fn who_was_traced_takes_the_fast_path_again_afterwards() {
    let mut pair = pair(Path::Fast);
    pair.call_and_answer();
    assert!(!pair.of(Kind::Handoff).is_empty());
    pair.sim.kernel.set_trace_detail(Detail::Rare);
    let (told, before) = (
        pair.sim.kernel.trace().next_sequence(),
        pair.sim.kernel.counters().handoffs,
    );
    pair.call_who_waits();
    // The call and its answer.
    assert_eq!(pair.sim.kernel.counters().handoffs - before, 2);
    assert!(records(&pair.sim.kernel, told).is_empty());
}
