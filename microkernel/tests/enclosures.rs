//! Calls and replies that carry one right: on the fast path they end as they do on the general one.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use abi::kern_return::{KernReturn as K, MessageReturn as Code};
use abi::message::Descriptor;
use abi::names::{Name, disposition, port_type, right};
use abi::notify;
use microkernel::machine::FrameIndex;
use sim::{Config, Path, Reply, Request, Sim};

/// A client and a server in tasks of their own, with buffers.
struct Pair {
    sim: Sim,
    client: FrameIndex,
    server: FrameIndex,
    /// The service port: its name at the server, and the client's name for a send right to it.
    port: Name,
    service: Name,
    path: Path,
}

fn both(story: impl Fn(&mut Pair)) {
    for path in [Path::Fast, Path::Slow] {
        let mut sim = Sim::boot(Config {
            path,
            ..Config::default()
        });
        let client = sim.add_task();
        let (server, port, service) = sim.add_server(client);
        for thread in [client, server] {
            sim.on(thread).touch_buffer();
        }
        story(&mut Pair {
            sim,
            client,
            server,
            port,
            service,
            path,
        });
    }
}

/// Whether a message was to be passed from thread to thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Fast,
    General,
}

impl Pair {
    fn handoffs(&self) -> u64 {
        self.sim.kernel.counters().handoffs
    }

    fn passed(&self, before: u64, way: Way, what: &str) {
        let wanted = u64::from(self.path == Path::Fast && way == Way::Fast);
        assert_eq!(self.handoffs() - before, wanted, "passed on: {what}");
    }

    /// The client calls with a right, and the server, which waits, gets the call.
    fn call(&mut self, name: Name, disposition: u8, way: Way) -> Reply {
        let waits = Request::receive(self.port);
        assert_eq!(self.sim.on(self.server).start_message(&waits), None);
        let before = self.handoffs();
        let call = Request::call(self.service)
            .id(9)
            .port(name, disposition)
            .data(b"twelve bytes");
        assert_eq!(self.sim.on(self.client).start_message(&call), None);
        self.passed(before, way, &format!("call with {disposition}"));
        let got = self.sim.on(self.server).finish_message();
        assert_eq!((got.code, got.id), (Code::Success, 9));
        assert_eq!(got.body.as_ref().unwrap().data, b"twelve bytes");
        got
    }

    /// The server answers with a right and waits again.
    fn answer(&mut self, name: Name, disposition: u8, way: Way) -> Reply {
        let before = self.handoffs();
        let reply = Request::reply()
            .id(10)
            .port(name, disposition)
            .data(b"answer")
            .then_receive(self.port);
        assert_eq!(self.sim.on(self.server).start_message(&reply), None);
        self.passed(before, way, &format!("reply with {disposition}"));
        let got = self.sim.on(self.client).finish_message();
        assert_eq!((got.code, got.id), (Code::Success, 10));
        assert_eq!(got.body.as_ref().unwrap().data, b"answer");
        self.plain_call();
        got
    }

    /// The server, which waits, gets an empty call.
    fn plain_call(&mut self) {
        let call = Request::call(self.service).id(8);
        assert_eq!(self.sim.on(self.client).start_message(&call), None);
        assert_eq!(self.sim.on(self.server).finish_message().id, 8);
    }

    fn end_call(&mut self) {
        assert_eq!(
            self.sim.on(self.server).message(&Request::reply()).code,
            Code::Success
        );
        assert_eq!(
            self.sim.on(self.client).finish_message().code,
            Code::Success
        );
    }
}

fn name(right: &Descriptor) -> Name {
    Name(right.name)
}

// covers: M-21 P-03 P-04
#[test]
fn a_right_goes_along_with_a_call() {
    both(|pair| {
        let (client, server) = (pair.client, pair.server);
        let port = pair.sim.on(client).port();
        let (send, receive) = (right::SEND, right::RECEIVE);
        for (count, how) in [disposition::COPY_SEND, disposition::MAKE_SEND]
            .into_iter()
            .enumerate()
        {
            let got = pair.call(port, how, Way::Fast).right();
            assert_eq!(got.disposition, disposition::MOVE_SEND);
            let refs = pair.sim.on(server).refs(name(&got), send);
            assert_eq!(refs, Ok(count as u64 + 1), "it joins its name");
            pair.end_call();
            assert_eq!(pair.sim.on(client).refs(port, send), Ok(1));
        }
        // One of two references, then the last: the receive right keeps the name.
        pair.sim.on(client).mod_refs(port, send, 1).unwrap();
        for left in [1, 0] {
            let got = pair.call(port, disposition::MOVE_SEND, Way::Fast).right();
            assert_eq!(got.disposition, disposition::MOVE_SEND);
            pair.end_call();
            assert_eq!(pair.sim.on(client).refs(port, send), Ok(left));
            assert_eq!(pair.sim.on(client).refs(port, receive), Ok(1));
            assert_eq!(pair.sim.on(server).refs(name(&got), send), Ok(4 - left));
        }
        let once = pair
            .call(port, disposition::MAKE_SEND_ONCE, Way::Fast)
            .right();
        assert_eq!(once.disposition, disposition::MOVE_SEND_ONCE);
        assert_eq!(
            pair.sim.on(server).kind(name(&once)),
            Ok(port_type::SEND_ONCE)
        );
        pair.end_call();
        let used = Request::send(name(&once)).disposed(disposition::MOVE_SEND_ONCE);
        assert_eq!(pair.sim.on(server).message(&used).code, Code::Success);
        assert_eq!(pair.sim.on(client).poll(port).code, Code::Success);
    });
}

// covers: M-21
#[test]
fn a_right_comes_with_a_reply() {
    both(|pair| {
        let (client, server) = (pair.client, pair.server);
        let opened = pair.sim.on(server).port();
        let plain = Request::receive(pair.port);
        assert_eq!(pair.sim.on(server).start_message(&plain), None);
        pair.plain_call();
        let got = pair
            .answer(opened, disposition::MAKE_SEND, Way::Fast)
            .right();
        pair.end_call();
        assert_eq!(pair.sim.on(client).kind(name(&got)), Ok(port_type::SEND));
        let used = Request::send(name(&got));
        assert_eq!(pair.sim.on(client).message(&used).code, Code::Success);
        assert_eq!(pair.sim.on(server).poll(opened).code, Code::Success);
        let waits = Request::receive(pair.port);
        assert_eq!(pair.sim.on(server).start_message(&waits), None);
        pair.plain_call();
        // A moved name goes, here the client's own right on its way back.
        let kept = pair
            .sim
            .give(client, pair.service, disposition::COPY_SEND, server);
        assert_eq!(kept, pair.port, "the server's own port");
        let got = pair.answer(kept, disposition::MOVE_SEND, Way::Fast).right();
        assert_eq!(name(&got), pair.service, "it joins the client's name");
        pair.end_call();
        assert_eq!(pair.sim.on(client).refs(pair.service, right::SEND), Ok(2));
        assert_eq!(pair.sim.on(server).refs(kept, right::SEND), Ok(1));
    });
}

// covers: M-21
#[test]
fn a_moved_send_once_right_leaves_its_name() {
    both(|pair| {
        let (client, server) = (pair.client, pair.server);
        let port = pair.sim.on(client).port();
        let once = pair
            .call(port, disposition::MAKE_SEND_ONCE, Way::Fast)
            .right();
        let got = pair
            .answer(name(&once), disposition::MOVE_SEND_ONCE, Way::Fast)
            .right();
        pair.end_call();
        assert_eq!(pair.sim.on(server).kind(name(&once)), Err(K::InvalidName));
        assert_ne!(name(&got), port, "send-once rights join no name");
        assert_eq!(
            pair.sim.on(client).kind(name(&got)),
            Ok(port_type::SEND_ONCE)
        );
    });
}

// covers: M-07 M-21 M-22 N-04
#[test]
fn what_takes_more_than_names_goes_the_general_way() {
    both(|pair| {
        let (client, server) = (pair.client, pair.server);
        let copies = disposition::COPY_SEND;
        // Nothing, and a right that died.
        let got = pair.call(Name::NULL, copies, Way::General).right();
        assert_eq!(name(&got), Name::NULL);
        pair.end_call();
        let owned = pair.sim.on(server).port();
        let dead = pair.sim.give(server, owned, disposition::MAKE_SEND, client);
        pair.sim.on(server).destroy(owned).unwrap();
        let got = pair.call(dead, copies, Way::General).right();
        assert_eq!(name(&got), Name::DEAD);
        pair.end_call();
        // A receive right.
        let port = pair.sim.on(client).allocate(right::RECEIVE).unwrap();
        let got = pair
            .call(port, disposition::MOVE_RECEIVE, Way::General)
            .right();
        assert_eq!(pair.sim.on(server).kind(name(&got)), Ok(port_type::RECEIVE));
        pair.end_call();
        // A name whose end is watched: the request ends with it, and tells so.
        let owned = pair.sim.on(server).port();
        let watched = pair.sim.give(server, owned, disposition::MAKE_SEND, client);
        let told = pair.sim.on(client).port();
        pair.sim
            .on(client)
            .request(watched, notify::DEAD_NAME, 0, told)
            .unwrap();
        let got = pair
            .call(watched, disposition::MOVE_SEND, Way::General)
            .right();
        assert_eq!(name(&got), owned);
        pair.end_call();
        let notice = pair.sim.on(client).poll(told);
        assert_eq!(notice.id, notify::PORT_DELETED);
    });
}

// covers: M-21
#[test]
fn a_right_that_is_refused_stays_and_its_call_is_not_made() {
    both(|pair| {
        let port = pair.sim.on(pair.client).allocate(right::RECEIVE).unwrap();
        let waits = Request::receive(pair.port);
        assert_eq!(pair.sim.on(pair.server).start_message(&waits), None);
        let before = pair.handoffs();
        for (how, code) in [
            (disposition::COPY_SEND, Code::SendInvalidRight),
            (disposition::MOVE_SEND_ONCE, Code::SendInvalidRight),
            (0, Code::SendInvalidType),
        ] {
            let call = Request::call(pair.service).port(port, how);
            assert_eq!(pair.sim.on(pair.client).message(&call).code, code);
        }
        pair.passed(before, Way::General, "nothing");
        assert_eq!(pair.sim.on(pair.client).kind(port), Ok(port_type::RECEIVE));
    });
}
