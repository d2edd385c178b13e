//! The console that a program gets: the monitor stands between it and the line.

use alloc::rc::Rc;

use interfaces::bounded::Bytes;
use interfaces::console::{CHUNK, Console};
use libmach::{Mach, Reply};

use crate::session::Session;

/// A program's console on a session.
#[derive(Debug)]
pub struct Attached(Rc<Session>);

impl Attached {
    /// A console on `session`.
    pub const fn new(session: Rc<Session>) -> Self {
        Self(session)
    }
}

impl Console for Attached {
    type Rights = Mach;

    async fn write(&mut self, bytes: &[u8], reply: Reply<u64>) {
        let taken = &bytes[..bytes.len().min(CHUNK)];
        let written = self.0.stdout(taken).await;
        reply.send(written.map(|()| taken.len() as u64));
    }

    async fn read(&mut self, reply: Reply<Bytes<CHUNK>>) {
        self.0.input().ask(reply);
    }
}
