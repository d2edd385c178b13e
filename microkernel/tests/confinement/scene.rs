//! [`Scene`]: a client with a secret, the server that it calls, and an attacker, each a task of its own.

use abi::kern_return::{KernReturn, MessageReturn as Code};
use abi::names::{Name, disposition};
use abi::trap::{HOST_SELF, MESSAGE_BUFFER, TASK_SELF, THREAD_SELF};
use microkernel::kernel::Census;
use microkernel::machine::FrameIndex;
use sim::{Config, Path, Request, Sim, image};

/// What only the client knows: it fills its page, and its calls carry it.
pub(crate) const SECRET: u64 = 0x5ec2_e75e_c2e7_0001;
/// Where the client keeps it.
const PAGE: u64 = image::DATA + 0x2_0000;
/// The longest that a call of the client's takes beside an attacker, in ns of the machine: some turns of others, and of
/// the loans to those that wait long.
const LATENCY: u64 = 2_000_000_000;
/// The most of the attacker's messages that can be before the client's in the server's queue.
const QUEUE: usize = 1024;

/// Who is attacked, and by whom.
pub(crate) struct Scene {
    pub(crate) sim: Sim,
    pub(crate) client: FrameIndex,
    pub(crate) server: FrameIndex,
    /// The server's name for its port, and the client's for a right to that.
    pub(crate) port: Name,
    pub(crate) service: Name,
    pub(crate) attacker: FrameIndex,
    /// The attacker's name for a right to the same port: it is a client as any other.
    pub(crate) door: Name,
    calm: Census,
    pages: u64,
}

/// Stages an attack on one and two CPUs, with and without the fast path. The victim is well before and after it, and of the
/// attacker nothing is left when it has ended.
pub(crate) fn attack(attack: impl Fn(&mut Scene)) {
    for (path, cpus) in [(Path::Fast, 1), (Path::Slow, 1), (Path::Fast, 2)] {
        let mut scene = Scene::new(path, cpus);
        scene.probe();
        attack(&mut scene);
        scene.probe();
        scene.end();
    }
}

impl Scene {
    fn new(path: Path, cpus: u32) -> Self {
        let mut sim = Sim::boot(Config {
            path,
            ..Config::with_cpus(cpus)
        });
        let client = sim.add_task();
        let (server, port, service) = sim.add_server(client);
        // Without a buffer it gets no rights and memory of strangers, which would stay with it.
        assert_eq!(sim.on(server).trap(MESSAGE_BUFFER, &[0, 0]), Ok(0));
        sim.on(client).poke(PAGE, &SECRET.to_le_bytes());
        let (calm, pages) = (sim.kernel.census(), sim.machine.memory.in_use());
        let attacker = sim.add_task();
        let door = sim.give(server, port, disposition::MAKE_SEND, attacker);
        Self {
            sim,
            client,
            server,
            port,
            service,
            attacker,
            door,
            calm,
            pages,
        }
    }

    /// The client calls its server and is answered in time, has its secret, and the kernel keeps its rules.
    pub(crate) fn probe(&mut self) {
        let begin = self.sim.now();
        let call = Request::call(self.service).words([SECRET; 6]);
        assert_eq!(self.sim.on(self.client).start_message(&call), None);
        let mut others = 0;
        loop {
            let got = self
                .sim
                .on(self.server)
                .message(&Request::receive(self.port));
            if got.code == Code::Success && got.words == [SECRET; 6] {
                break;
            }
            others += 1;
            assert!(others <= QUEUE, "the client's call does not come");
        }
        let answer = Request::reply().words([!SECRET; 6]);
        assert_eq!(
            self.sim.on(self.server).message(&answer).code,
            Code::Success
        );
        let got = self.sim.on(self.client).finish_message();
        assert_eq!((got.code, got.words), (Code::Success, [!SECRET; 6]));
        let took = self.sim.now() - begin;
        assert!(took <= LATENCY, "a call took {took} ns");
        let kept = u64::from_le_bytes(self.sim.on(self.client).peek(PAGE));
        assert_eq!(kept, SECRET);
        assert_eq!(self.sim.kernel.check(&self.sim.machine), Ok(()));
    }

    fn end(mut self) {
        self.sim.end_task(self.attacker);
        self.probe();
        assert_eq!(self.sim.kernel.census(), self.calm);
        assert_eq!(self.sim.machine.memory.in_use(), self.pages);
    }

    /// A trap of the attacker's.
    pub(crate) fn trap(&mut self, number: i64, arguments: &[u64]) -> Result<u64, KernReturn> {
        self.sim.on(self.attacker).trap(number, arguments)
    }

    /// What the attacker's send of a message comes to.
    pub(crate) fn send(&mut self, request: &Request) -> Code {
        self.sim.on(self.attacker).message(request).code
    }

    /// The attacker's name for its own task, thread or host.
    pub(crate) fn own(&mut self, trap: i64) -> Name {
        assert!([TASK_SELF, THREAD_SELF, HOST_SELF].contains(&trap));
        Name(self.trap(trap, &[]).unwrap() as u32)
    }

    /// What a kernel object answers the attacker, and the right that came with it.
    pub(crate) fn call(&mut self, to: Name, id: i32, words: [u64; 6]) -> Result<Name, KernReturn> {
        let request = Request::call(to).id(id).words(words);
        let reply = self.sim.on(self.attacker).message(&request);
        assert_eq!(reply.code, Code::Success);
        match KernReturn(reply.words[0] as u32) {
            KernReturn::Success => {
                let rights = reply.body.map_or(Vec::new(), |body| body.descriptors);
                Ok(rights.first().map_or(Name::NULL, |right| Name(right.name)))
            }
            code => Err(code),
        }
    }
}
