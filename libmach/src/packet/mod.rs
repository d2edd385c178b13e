//! A message being written ([`Out`]) and one being read ([`In`]).
//!
//! When all words of a message fit, they are in the registers, otherwise all of them are inline
//! data; rights and memory are descriptors in the buffer (`abi::transport`).

mod incoming;
mod outgoing;

pub use incoming::In;
pub(crate) use incoming::{Unsent, release_all};
pub use outgoing::Out;

use abi::transport::Rights;

use crate::memory::Memory;
use crate::rights::{ReceiveRight, SendOnce, SendRight, SendRights};
use crate::server::Reply;

/// The rights of ring 3: names in this task's port space.
#[derive(Debug)]
pub enum Mach {}

impl Rights for Mach {
    type Send<I: ?Sized + 'static> = SendRight<I>;
    type SendOnce<I: ?Sized + 'static> = SendOnce<I>;
    type Receive<I: ?Sized + 'static> = ReceiveRight<I>;
    type Sends<I: ?Sized + 'static> = SendRights<I>;
    type Memory = Memory;
    type Reply<T: 'static> = Reply<T>;
}
