//! Who must not notice: a client whose calls are answered by its own server, and memory that only it has.

use abi::kern_return::MessageReturn as Code;
use abi::names::{Name, disposition};
use abi::registers::ReplyKind;
use abi::trap::{MACH_MSG, MESSAGE_BUFFER, PORT_DEALLOCATE, REPLY_SLOT_TAKE, WAIT_UNTIL};
use microkernel::machine::{Event, FrameIndex};

use crate::image;
use crate::message::{Reply, Request};
use crate::sim::Sim;

/// Where the client's memory lies, and how much of it is watched.
const MEMORY: u64 = image::DATA + 0x2_0000;
const PAGES: u64 = 4;

/// How many rounds the two get to come to rest.
const PATIENCE: u32 = 100_000;

/// What the client's last trap was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Does {
    Nothing,
    Call,
    Rest,
}

/// Client and server, tasks of their own.
pub(super) struct Witness {
    client: FrameIndex,
    server: FrameIndex,
    /// The server's receive right, in the server's task.
    port: Name,
    service: Name,
    /// Calls that came back right.
    pub(super) calls: u64,
    pattern: u64,
    client_does: Does,
    resting: bool,
}

impl Witness {
    /// Two tasks.
    pub(super) fn new(sim: &mut Sim) -> Self {
        let server = sim.add_task();
        let client = sim.add_task();
        let port = sim.on(server).port();
        // Without a buffer it gets no strangers' rights and memory, which would stay with it.
        let gone = sim.on(server).trap(MESSAGE_BUFFER, &[0, 0]);
        assert_eq!(gone, Ok(0));
        let service = sim.give(server, port, disposition::MAKE_SEND, client);
        let mut witness = Self {
            client,
            server,
            port,
            service,
            calls: 0,
            pattern: 0x5eed,
            client_does: Does::Nothing,
            resting: false,
        };
        witness.fill(sim);
        witness
    }

    /// A right to the server, for whoever should bother it.
    pub(super) fn right_for(&self, sim: &mut Sim, whom: FrameIndex) -> Name {
        sim.give(self.server, self.port, disposition::MAKE_SEND, whom)
    }

    /// Whether the thread is one of the two.
    pub(super) fn has(&self, thread: FrameIndex) -> bool {
        [self.client, self.server].contains(&thread)
    }

    /// Lets the thread, which runs, do its next step.
    pub(super) fn step(&mut self, sim: &mut Sim, thread: FrameIndex) {
        if thread == self.client {
            self.call(sim);
        } else {
            self.serve(sim);
        }
    }

    /// What the client's memory must hold, word by word.
    fn word(&self, n: u64) -> u64 {
        self.pattern.wrapping_mul(n | 1)
    }

    fn fill(&mut self, sim: &mut Sim) {
        for page in 0..PAGES {
            let bytes = self.word(page).to_le_bytes();
            sim.on(self.client)
                .poke(MEMORY + page * abi::PAGE_SIZE, &bytes);
        }
    }

    fn check_memory(&self, sim: &mut Sim) {
        for page in 0..PAGES {
            let bytes = sim.on(self.client).peek(MEMORY + page * abi::PAGE_SIZE);
            assert_eq!(u64::from_le_bytes(bytes), self.word(page), "page {page}");
        }
    }

    /// Lets the client finish its call and the server what others asked of it.
    ///
    /// # Panics
    /// When they do not come to rest: somebody holds them up.
    pub(super) fn rest(&mut self, sim: &mut Sim) {
        self.resting = true;
        for _ in 0..PATIENCE {
            for cpu in sim.machine.cpus() {
                if let Some(thread) = sim.machine.running(cpu)
                    && self.has(thread)
                {
                    self.step(sim, thread);
                }
            }
            let moved = sim.deliver();
            let idle = sim
                .machine
                .cpus()
                .all(|cpu| sim.machine.running(cpu).is_none());
            if idle && !moved && self.client_does == Does::Rest {
                self.resting = false;
                return;
            }
            sim.machine.advance(1_000);
        }
        panic!("the witness does not come to rest: {:?}", self.client_does);
    }

    fn call(&mut self, sim: &mut Sim) {
        let answer = sim.take_answer(self.client);
        if self.client_does == Does::Call {
            let answer = answer.expect("the call came back");
            let reply = sim.on(self.client).reply(&answer);
            assert_eq!(reply.code, Code::Success, "call {}", self.calls);
            assert_eq!(reply.words[0], self.calls + 1, "somebody else's answer");
            self.calls += 1;
            if self.calls.is_multiple_of(16) {
                self.check_memory(sim);
                self.pattern = self.pattern.rotate_left(7) ^ self.calls;
                self.fill(sim);
            }
        }
        let Some(cpu) = sim.cpu_of(self.client) else {
            self.client_does = Does::Nothing;
            return;
        };
        if self.resting {
            self.client_does = Does::Rest;
            let end = sim.now() + 1_000_000;
            sim.trap(cpu, WAIT_UNTIL, &[end]);
            return;
        }
        self.client_does = Does::Call;
        Request::call(self.service)
            .words([self.calls, 0, 0, 0, 0, 0])
            .load(sim.machine.registers(self.client));
        sim.event(cpu, Event::Trap);
    }

    fn serve(&mut self, sim: &mut Sim) {
        let answer = sim.take_answer(self.server);
        let Some(cpu) = sim.cpu_of(self.server) else {
            return;
        };
        let next = match answer {
            Some(answer) if answer.number == MACH_MSG => {
                self.next(&Reply::from_frame(&answer.frame))
            }
            // The reply right of who died meanwhile.
            Some(answer) if answer.number == REPLY_SLOT_TAKE => {
                assert_eq!(answer.frame.rax, 0, "the slot held a dead right");
                Next::Trap(PORT_DEALLOCATE, answer.frame.rdx)
            }
            _ => Next::Message(Request::receive(self.port)),
        };
        match next {
            Next::Trap(number, argument) => drop(sim.trap(cpu, number, &[argument])),
            Next::Message(request) => {
                request.load(sim.machine.registers(self.server));
                sim.event(cpu, Event::Trap);
            }
        }
    }

    /// What the server does after a message, or none.
    fn next(&self, got: &Reply) -> Next {
        let receive = Request::receive(self.port);
        match got.code {
            // A message that needs a buffer leaves its reply right all the same.
            Code::Success | Code::ReceiveTooLarge | Code::ReceiveHeaderError => {}
            Code::SendInvalidDest => return Next::Trap(REPLY_SLOT_TAKE, 0),
            code => panic!("the server's message answers {code:?}"),
        }
        match got.kind {
            ReplyKind::Slot => {
                let mut words = got.words;
                words[0] = words[0].wrapping_add(1);
                let answer = Request::reply().words(words);
                Next::Message(answer.then_receive(self.port))
            }
            // A stranger's idea of a reply right: it got a name, which goes again.
            ReplyKind::Send | ReplyKind::SendOnce => {
                Next::Trap(PORT_DEALLOCATE, got.reply.0.into())
            }
            ReplyKind::None | ReplyKind::Dead => Next::Message(receive),
        }
    }
}

/// The server's next trap.
#[derive(Debug)]
enum Next {
    Trap(i64, u64),
    Message(Request),
}
