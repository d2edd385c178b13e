//! Messages that were too large for the program's buffer though the thread's had room, and were received
//! with `MACH_RCV_LARGE`: they wait here for the next receive on the port, or on the set that they came by.
//!
//! To the kernel they are received: their names are in the task's space, and the port does not count them.

use abi::kern_return::MessageReturn;
use abi::names::Name;
use alloc::vec::Vec;
use libmach::abi;
use libmach::sync::Mutex;

use crate::incoming::Facts;

/// A message in its classic layout.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// The name that it was received under: a port or a set.
    pub(crate) under: Name,
    /// The port that it was sent to.
    pub(crate) local: Name,
    pub(crate) image: Vec<u8>,
    pub(crate) facts: Facts,
    /// What the receive answered.
    pub(crate) code: MessageReturn,
}

/// In the order of their arrival. There is more than one for a name only when several threads receive on it.
static WAITING: Mutex<Vec<Waiting>> = Mutex::new(Vec::new());

fn is_for(waiting: &Waiting, name: Name) -> bool {
    waiting.under == name || waiting.local == name
}

/// Whether the next receive on `name` is answered from here.
pub(crate) fn waits(name: Name) -> bool {
    WAITING.lock().iter().any(|waiting| is_for(waiting, name))
}

/// Puts a message here.
pub(crate) fn keep(waiting: Waiting) {
    WAITING.lock().push(waiting);
}

/// Offers the next message for `name`; it goes when `take` answers a code, else it is still too large.
pub(crate) fn receive(
    name: Name,
    take: impl FnOnce(&Waiting) -> Option<MessageReturn>,
) -> Option<MessageReturn> {
    let mut all = WAITING.lock();
    let index = all.iter().position(|waiting| is_for(waiting, name))?;
    let taken = take(&all[index]);
    if taken.is_some() {
        all.remove(index);
    }
    Some(taken.unwrap_or(MessageReturn::ReceiveTooLarge))
}

/// The right under `name` is gone, and with it what waited.
///
/// # Safety
/// Nobody uses memory that those messages brought: nobody has seen them.
pub(crate) unsafe fn forget(name: Name) {
    let mut gone = Vec::new();
    let mut all = WAITING.lock();
    while let Some(index) = all.iter().position(|waiting| waiting.local == name) {
        gone.push(all.remove(index));
    }
    drop(all);
    for waiting in gone {
        // SAFETY: the caller's promise.
        unsafe { crate::release::release(&waiting.image) };
    }
}
