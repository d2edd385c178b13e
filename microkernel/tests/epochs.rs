//! Reply ports that have had nearly as many epochs as ids can tell apart.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use abi::kern_return::MessageReturn as Code;
use abi::names::{Name, port_type, right};
use abi::registers::options;
use microkernel::machine::FrameIndex;
use sim::machine::Size;
use sim::{Config, Path, Request, Sim};

const SLOT: Name = Name::REPLY_SLOT;

/// How long a client waits, in ns: more than it takes until a server has its turn.
const WHILE: u64 = 10_000_000_000;

/// A client with a worn reply port, a server that waits, its port, and the client's name for that.
struct Pair {
    sim: Sim,
    client: FrameIndex,
    server: FrameIndex,
    port: Name,
    service: Name,
}

impl Pair {
    fn new(path: Path, size: Size) -> Self {
        let mut sim = Sim::boot(Config {
            path,
            size,
            ..Config::default()
        });
        let client = sim.add_task();
        let (server, port, service) = sim.add_server(client);
        Self {
            sim,
            client,
            server,
            port,
            service,
        }
    }

    /// The client calls, the server has the call, and the client gives it up.
    fn give_up(&mut self) {
        let Self { client, server, .. } = *self;
        let waits = Request::receive(self.port);
        assert_eq!(self.sim.on(server).start_message(&waits), None);
        let soon = self.sim.now() + WHILE;
        let call = Request::call(self.service)
            .with(options::RECEIVE_TIMEOUT)
            .until(soon);
        assert_eq!(self.sim.on(client).start_message(&call), None);
        assert_eq!(self.sim.on(server).finish_message().reply, SLOT);
        self.sim.machine.advance(WHILE);
        while self.sim.deliver() {}
    }
}

// covers: M-14 M-37 N-02
#[test]
fn late_replies_find_a_dead_name_when_epochs_are_used_up() {
    for path in [Path::Fast, Path::Slow] {
        let mut pair = Pair::new(path, Size::default());
        let (client, server) = (pair.client, pair.server);
        // The census that holds before counts the two threads' reply ports, too.
        let before = pair.sim.kernel.census();
        pair.sim.kernel.stage_worn_reply_port(client).unwrap();
        for round in 0..3 {
            pair.give_up();
            let told = pair.sim.on(client).finish_message();
            assert_eq!(told.code, Code::ReceiveTimedOut, "round {round}, {path:?}");
            assert_eq!(pair.sim.on(server).kind(SLOT), Ok(port_type::DEAD_NAME));
            pair.sim.on(server).deallocate(SLOT).unwrap();
            assert_eq!(pair.sim.kernel.check(&pair.sim.machine), Ok(()));
            assert_eq!(pair.sim.kernel.census(), before, "round {round}, {path:?}");
        }
        // A call is answered as ever.
        let waits = Request::receive(pair.port);
        assert_eq!(pair.sim.on(server).start_message(&waits), None);
        let call = Request::call(pair.service);
        assert_eq!(pair.sim.on(client).start_message(&call), None);
        assert_eq!(pair.sim.on(server).finish_message().reply, SLOT);
        let reply = Request::reply().id(77);
        assert_eq!(pair.sim.on(server).message(&reply).code, Code::Success);
        assert_eq!(pair.sim.on(client).finish_message().id, 77);
    }
}

// covers: M-14 N-02
#[test]
fn without_memory_for_another_reply_port_the_thread_ends() {
    for path in [Path::Fast, Path::Slow] {
        let size = Size {
            arena_bytes: 256 << 10,
            ..Size::default()
        };
        let mut pair = Pair::new(path, size);
        let filler = pair.sim.add_task();
        let mut ports = Vec::new();
        while let Ok(port) = pair.sim.on(filler).allocate(right::RECEIVE) {
            ports.push(port);
        }
        pair.sim.kernel.stage_worn_reply_port(pair.client).unwrap();
        let before = pair.sim.kernel.census();
        pair.give_up();
        // It ends in its own time.
        let client = pair.sim.task_of(pair.client);
        for _ in 0..100 {
            if pair.sim.kernel.awake_threads(client) > 0 {
                pair.sim.turn();
            }
        }
        let after = pair.sim.kernel.census();
        assert_eq!(after.threads, before.threads - 1, "{path:?}");
        assert_eq!(
            pair.sim.on(pair.server).kind(SLOT),
            Ok(port_type::DEAD_NAME)
        );
        assert_eq!(pair.sim.kernel.check(&pair.sim.machine), Ok(()));
        // Nothing is lost for others: who filled the memory gives it back.
        for port in ports {
            pair.sim.on(filler).destroy(port).unwrap();
        }
        assert!(pair.sim.on(filler).allocate(right::RECEIVE).is_ok());
    }
}
