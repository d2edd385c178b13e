//! An interface with one method of each kind, and a server for it.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "each test file uses its part"
)]

use std::cell::RefCell;

use abi::kern_return::KernReturn;
use libmach::{Caller, Mach, Memory, Reply, Result, SendRight, SendRights};
use macros::interface;

#[interface(name = "test.events", subsystem = 9200)]
pub trait Events {
    #[oneway]
    async fn event(&mut self, n: u64);
}

#[interface(name = "test.counter", subsystem = 9000)]
pub trait Counter {
    /// The number.
    #[idempotent]
    async fn get(&self) -> Result<u64>;
    async fn add(&mut self, n: u64) -> Result<u64>;
    #[idempotent]
    async fn digest(&self, data: Memory) -> Result<u64>;
    async fn watch(&mut self, to: SendRight<dyn Events>) -> Result<u64>;
    async fn describe(&self, prefix: &str, bytes: &[u8], n: u64) -> Result<(u64, [u64; 8])>;
    async fn pages(&self, size: u64) -> Result<Memory>;
    /// The rights in the opposite order, without the last one.
    async fn turn(&self, rights: SendRights<dyn Events>) -> Result<SendRights<dyn Events>>;
    async fn hold(&mut self, reply: Reply<u64>);
    async fn release(&mut self, value: u64) -> Result<u64>;
    async fn drop_held(&mut self) -> Result<()>;
    #[oneway]
    async fn note(&mut self, n: u64);
    async fn refuse(&self) -> Result<()>;
    async fn who(&self, caller: Caller) -> Result<u64>;
    /// Panics at the first call, then answers.
    #[idempotent]
    async fn crash_once(&self) -> Result<u64>;
    async fn crash(&self) -> Result<u64>;
    async fn never(&self) -> Result<()>;
}

#[derive(Default)]
pub struct Server {
    pub n: u64,
    pub crashed: bool,
    pub watchers: Vec<SendRight<dyn Events>>,
    pub held: RefCell<Vec<Reply<u64>>>,
}

impl Counter for Server {
    type Rights = Mach;

    async fn get(&self) -> Result<u64> {
        Ok(self.n)
    }

    async fn add(&mut self, n: u64) -> Result<u64> {
        self.n = self.n.checked_add(n).ok_or(KernReturn::InvalidArgument)?;
        for watcher in &self.watchers {
            watcher.client().event(self.n)?;
        }
        Ok(self.n)
    }

    async fn digest(&self, data: Memory) -> Result<u64> {
        Ok(data.iter().map(|byte| u64::from(*byte)).sum())
    }

    async fn watch(&mut self, to: SendRight<dyn Events>) -> Result<u64> {
        self.watchers.push(to);
        Ok(self.watchers.len() as u64)
    }

    async fn describe(&self, prefix: &str, bytes: &[u8], n: u64) -> Result<(u64, [u64; 8])> {
        let sum = bytes.iter().map(|byte| u64::from(*byte)).sum();
        Ok((sum, [n + prefix.len() as u64; 8]))
    }

    async fn pages(&self, size: u64) -> Result<Memory> {
        let mut memory = Memory::new(size as usize)?;
        memory.fill(7);
        Ok(memory)
    }

    async fn turn(&self, rights: SendRights<dyn Events>) -> Result<SendRights<dyn Events>> {
        let mut rights: Vec<_> = rights.collect();
        rights.pop().ok_or(KernReturn::InvalidArgument)?;
        rights.reverse();
        SendRights::new(rights)
    }

    async fn hold(&mut self, reply: Reply<u64>) {
        self.held.borrow_mut().push(reply);
    }

    async fn release(&mut self, value: u64) -> Result<u64> {
        let held = self.held.take();
        let count = held.len() as u64;
        for reply in held {
            reply.send(Ok(value));
        }
        Ok(count)
    }

    async fn drop_held(&mut self) -> Result<()> {
        self.held.take();
        Ok(())
    }

    async fn note(&mut self, n: u64) {
        self.n = n;
    }

    async fn refuse(&self) -> Result<()> {
        Err(KernReturn::NoAccess.into())
    }

    async fn who(&self, caller: Caller) -> Result<u64> {
        Ok(caller.identity)
    }

    async fn crash_once(&self) -> Result<u64> {
        assert!(self.crashed, "the first life ends here");
        Ok(2)
    }

    async fn crash(&self) -> Result<u64> {
        panic!("asked for");
    }

    async fn never(&self) -> Result<()> {
        std::future::pending().await
    }
}
