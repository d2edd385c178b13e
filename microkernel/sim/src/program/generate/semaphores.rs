//! Semaphores that are signalled by a message to their port.

use super::Names;
use crate::model::SemaphoreOp;

impl Names<'_> {
    /// The same by a message, every other time, if there is a semaphore to send one to.
    pub(super) fn by_message(&mut self, op: SemaphoreOp) -> SemaphoreOp {
        use SemaphoreOp::{CallSignal, CallSignalAll, CallSignalThread};
        use SemaphoreOp::{Signal, SignalAll, SignalThread};
        let (name, call) = match op {
            Signal { name } => (name, CallSignal { name }),
            SignalAll { name } => (name, CallSignalAll { name }),
            SignalThread { name, thread } => (name, CallSignalThread { name, thread }),
            op => return op,
        };
        let is_one = self.model.is_semaphore(self.task, name);
        match is_one && self.rng.one_in(2) {
            true => call,
            false => op,
        }
    }
}
