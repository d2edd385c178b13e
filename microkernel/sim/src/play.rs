//! Threads with programs of their own, on a schedule that the seed chooses.

use abi::trap::WAIT_UNTIL;
use microkernel::machine::{Cpu, FrameIndex, NEVER};

use crate::message::{Reply, Request};
use crate::sim::Sim;

/// How many events a play takes at most.
const LENGTH: u32 = 1_000_000;

/// A thread and its program: from what the last `mach_msg` answered (`None` at the start) to the next
/// one, or to the end.
pub struct Actor<'a> {
    /// The thread.
    pub thread: FrameIndex,
    /// Its program.
    pub program: Box<dyn FnMut(Option<Reply>) -> Option<Request> + 'a>,
}

impl<'a> Actor<'a> {
    /// A thread and its program.
    pub fn new(
        thread: FrameIndex,
        program: impl FnMut(Option<Reply>) -> Option<Request> + 'a,
    ) -> Self {
        Self {
            thread,
            program: Box::new(program),
        }
    }
}

impl Sim {
    /// Runs programs until all that `must_end` counts, the first ones, have ended. On every CPU, in an
    /// order that the seed chooses, with preemption wherever the kernel asked for a timer.
    ///
    /// # Panics
    /// When everybody waits and nothing will ever happen: a wake-up was lost.
    pub fn play(&mut self, mut actors: Vec<Actor<'_>>, must_end: usize) {
        let mut ended = vec![false; actors.len()];
        for _ in 0..LENGTH {
            if ended[..must_end].iter().all(|ended| *ended) {
                return;
            }
            let ready: Vec<(Cpu, usize)> = self
                .machine
                .cpus()
                .filter_map(|cpu| {
                    let thread = self.machine.running(cpu)?;
                    let actor = actors.iter().position(|actor| actor.thread == thread)?;
                    Some((cpu, actor))
                })
                .collect();
            if ready.is_empty() || self.rng.one_in(8) {
                let pause = self.rng.below(200_000) as u64;
                self.machine.advance(pause);
                assert!(
                    self.deliver() || !ready.is_empty() || self.turn(),
                    "everybody waits, and nothing will ever happen: a wake-up was lost"
                );
                continue;
            }
            let (cpu, n) = self.rng.pick(&ready);
            let thread = actors[n].thread;
            let answer = self
                .take_answer(thread)
                .filter(|answer| answer.number == abi::trap::MACH_MSG);
            let reply = answer.map(|answer| self.on(thread).reply(&answer));
            if self.cpu_of(thread) != Some(cpu) {
                continue;
            }
            match if ended[n] {
                None
            } else {
                (actors[n].program)(reply)
            } {
                Some(request) => self.launch(cpu, thread, &request),
                None => {
                    ended[n] = true;
                    self.trap(cpu, WAIT_UNTIL, &[NEVER]);
                }
            }
        }
        panic!("the play does not end");
    }

    /// Enters `mach_msg`; the answer stays with the thread.
    fn launch(&mut self, cpu: Cpu, thread: FrameIndex, request: &Request) {
        assert!(request.body.is_none(), "programs send short messages");
        request.load(self.machine.registers(thread));
        self.event(cpu, microkernel::machine::Event::Trap);
    }

    /// Lets time pass, with everything that hardware does meanwhile.
    pub fn pass_time(&mut self, nanoseconds: u64) {
        self.machine.advance(nanoseconds);
        while self.deliver() {}
    }
}
