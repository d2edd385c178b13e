//! Turns that threads give up (MACH.md T-11), as far as no time is needed: whoever runs meanwhile is the scheduler's
//! business. What a thread knows itself by: each time that it asks, it gets one more reference. And its base of FS.

use abi::kern_return::KernReturn as Code;
use abi::names::Name;
use abi::trap::switch_option;
use abi::vm::MAX_ADDRESS;

use super::names::{Answer, accept, refuse, value};
use super::{Carried, Model, Subject, ThreadId, Verdict};

/// A trap on the thread itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SelfOp {
    /// `thread_switch`, with a deadline that is past. The name is a hint: any will do.
    ThreadSwitch(Name, u64),
    /// `swtch`, or its second half.
    Swtch(u64),
    /// `swtch_pri`, or its second half.
    SwtchPri(u64),
    /// `thread_self`.
    ThreadSelf,
    /// `task_self`.
    TaskSelf,
    /// `host_self`.
    HostSelf,
    /// A trap that does nothing.
    Null,
    /// One that other systems have.
    Foreign(i64),
    /// `thread_set_fs_base`; what is seen with a success is the base that the thread has then.
    SetFsBase(u64),
}

impl Model {
    pub(super) fn self_op(&mut self, thread: ThreadId, op: SelfOp, seen: Answer) -> Verdict {
        let task = self.threads[thread].task;
        let port = match op {
            SelfOp::ThreadSwitch(_, option) => {
                use switch_option::{DEPRESS, NONE, OSLOCK_DEPRESS, OSLOCK_WAIT, WAIT};
                let known = [NONE, DEPRESS, WAIT, OSLOCK_DEPRESS, OSLOCK_WAIT];
                return match known.contains(&option) {
                    true => accept(seen),
                    false => refuse(seen, &[Code::InvalidArgument]),
                };
            }
            SelfOp::Swtch(_) | SelfOp::SwtchPri(_) if seen.1 <= 1 => return accept(seen),
            SelfOp::Swtch(_) | SelfOp::SwtchPri(_) => {
                return Err(format!("whether others wait is not {}", seen.1));
            }
            SelfOp::Null => return accept(seen),
            SelfOp::Foreign(_) => return refuse(seen, &[Code::NotSupported]),
            SelfOp::SetFsBase(address) if address < MAX_ADDRESS => return value(seen, address),
            SelfOp::SetFsBase(_) => return refuse(seen, &[Code::InvalidArgument]),
            SelfOp::ThreadSelf => self.port_of(Subject::Thread(thread)),
            SelfOp::TaskSelf => self.port_of(Subject::Task(task)),
            SelfOp::HostSelf => self.host.port,
        };
        accept(seen)?;
        let name = Name(seen.1 as u32);
        // By these names a thread is known from then on.
        if matches!(op, SelfOp::ThreadSelf | SelfOp::TaskSelf) {
            self.spare(task, name);
        }
        self.accept_right(task, Carried::Send(port), name)
    }
}
