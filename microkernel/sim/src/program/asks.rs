//! What programs ask tasks and threads.

use abi::names::Name;
use abi::task::{info, thread_info};
use interfaces::task::Task;
use interfaces::thread::Thread;

use super::World;
use super::generate::Names;
use crate::message::Request;
use crate::model::{AskOp, Op, Seen, Subject, ThreadId};

/// Flavors of tasks, and one that there is none of.
const OF_TASKS: [u32; 8] = [
    info::BASIC,
    info::BASIC_64,
    info::EVENTS,
    info::THREAD_TIMES,
    info::SECURITY_TOKEN,
    info::AUDIT_TOKEN,
    info::VM_INFO,
    99,
];

/// The same of threads.
const OF_THREADS: [u32; 4] = [
    thread_info::BASIC,
    thread_info::IDENTIFIER,
    thread_info::EXTENDED,
    99,
];

impl Names<'_> {
    /// A question to a task or a thread.
    pub(super) fn ask(&mut self) -> Op {
        let subjects = self.model.subjects(self.task);
        let (name, subject) = self.rng.pick(&subjects);
        let count = self.rng.pick(&[40, 40, 40, 28, 10, 1]);
        let op = match (subject, self.rng.below(4)) {
            (Subject::Task(_), 0) => AskOp::Ledger,
            (Subject::Task(_), 1) => AskOp::ThreadRights,
            (Subject::Task(_), _) => AskOp::InfoOf(self.rng.pick(&OF_TASKS), count),
            (Subject::Thread(_), 0 | 1) => AskOp::LastMessage,
            (Subject::Thread(_), _) => AskOp::InfoOf(self.rng.pick(&OF_THREADS), count),
        };
        Op::Ask(name, subject, op)
    }
}

impl World {
    pub(super) fn ask(
        &mut self,
        thread: ThreadId,
        (name, subject, op): (Name, Subject, AskOp),
    ) -> Seen {
        let call = |id: i32| Request::call(name).id(id);
        match op {
            AskOp::InfoOf(flavor, count) => {
                let id = match subject {
                    Subject::Task(_) => <dyn Task>::INFO_OF.id,
                    Subject::Thread(_) => <dyn Thread>::INFO_OF.id,
                };
                let words = [flavor.into(), count.into(), 0, 0, 0, 0];
                self.telling_call(thread, &call(id).words(words))
            }
            AskOp::Ledger => self.telling_call(thread, &call(<dyn Task>::LEDGER.id)),
            AskOp::ThreadRights => self.rights_call(thread, &call(<dyn Task>::THREAD_RIGHTS.id)),
            AskOp::LastMessage => {
                let request = call(<dyn Thread>::LAST_MESSAGE.id);
                match self.telling_call(thread, &request) {
                    Seen::Told(words) => Seen::Told(self.with_client(words)),
                    seen => seen,
                }
            }
        }
    }

    /// The client and its task by the model's numbers.
    fn with_client(&self, mut words: Vec<u64>) -> Vec<u64> {
        let frame = words[1].checked_sub(1);
        let client = frame.and_then(|frame| self.thread_of(frame));
        if let Some(client) = client {
            let (frame, task) = self.threads[client];
            assert_eq!(u64::from(self.sim.task_of(frame).index()), words[2]);
            words[1..3].copy_from_slice(&[client as u64 + 1, task as u64]);
        }
        words
    }
}
