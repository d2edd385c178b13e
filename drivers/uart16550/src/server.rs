//! The interface on a line.

use alloc::rc::Rc;
use core::cell::RefCell;

use interfaces::bounded::Bytes;
use interfaces::console::{CHUNK, Console};
use kit::Ports;
use libmach::{Mach, Reply, Result};

use crate::line::Line;

type Served<P> = Line<P, Reply<Bytes<CHUNK>>, Reply<u64>>;

/// A line that calls and interrupts reach.
#[derive(Debug)]
pub struct Shared<P>(Rc<RefCell<Served<P>>>);

impl<P: Ports> Shared<P> {
    /// Shares a line.
    pub fn new(line: Served<P>) -> Self {
        Self(Rc::new(RefCell::new(line)))
    }

    /// See [`Line::service`].
    ///
    /// # Errors
    /// As there.
    pub fn service(&self) -> Result<()> {
        self.0.borrow_mut().service()
    }
}

/// The server of one line.
#[derive(Debug)]
pub struct Server<P>(Shared<P>);

impl<P: Ports> Server<P> {
    /// A server on a line.
    pub fn new(line: &Shared<P>) -> Self {
        Self(Shared(Rc::clone(&line.0)))
    }
}

/// Ends a driver whose device is out of reach: its clients learn it, and the next instance starts
/// from a reset device.
fn reached(result: Result<()>) {
    if let Err(error) = result {
        panic!("the device cannot be served: {error}");
    }
}

impl<P: Ports + 'static> Console for Server<P> {
    type Rights = Mach;

    async fn write(&mut self, bytes: &[u8], reply: Reply<u64>) {
        reached(self.0.0.borrow_mut().write(bytes, reply));
    }

    async fn read(&mut self, reply: Reply<Bytes<CHUNK>>) {
        reached(self.0.0.borrow_mut().read(reply));
    }
}
