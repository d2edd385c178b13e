//! Messages to the kernel's own ports.

use abi::kern_return::KernReturn;

use super::Kernel;
use crate::ipc::message::Message;
use crate::ipc::port::Object;
use crate::ipc::right::Right;
use crate::ipc::send::{Call, KernelMessage};
use crate::machine::{Cpu, Machine};
use crate::trap::{self, Caller, Outcome};

impl Kernel {
    /// Answers a message to a kernel object in the caller's time, then does its receive half (M-13).
    pub(super) fn kernel_call<M: Machine>(
        &mut self,
        machine: &mut M,
        cpu: Cpu,
        caller: Caller,
        (object, mut message): (Object, Message),
    ) -> Outcome {
        let reply = core::mem::replace(&mut message.reply, Right::None);
        let code = self.perform_call(machine, cpu, object, &message);
        let answer = KernelMessage {
            id: message.id.wrapping_add(100),
            words: [code.0.into(), 0, 0, 0, 0, 0],
            identity: 0,
            reply: Right::None,
        };
        let (_, mut layers) = self.layers(machine, cpu);
        layers.ipc.end_kernel_message(&mut layers.cx, message);
        layers.ipc.send_from_kernel(reply, answer);
        let call = Call::decode(layers.cx.machine.frame(caller.thread.index()));
        trap::receive(&mut layers, caller, &call)
    }

    fn perform_call<M: Machine>(
        &mut self,
        _machine: &mut M,
        _cpu: Cpu,
        _object: Object,
        _message: &Message,
    ) -> KernReturn {
        KernReturn::MigBadId
    }
}
