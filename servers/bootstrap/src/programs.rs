//! Programs: tasks that live once and that somebody waits for.
//!
//! Invariant: at most [`MAX_PROGRAMS`] are known. For a new one the oldest is forgotten that has ended
//! or that never ran, since nobody waited for it; one that runs is never forgotten.

use alloc::vec::Vec;

use interfaces::supervisor::{End, Ended};
use interfaces::task::Task;
use interfaces::thread::Thread;
use libmach::abi::kern_return::KernReturn;
use libmach::abi::names::Name;
use libmach::{Reply, SendRight};
use manifest::Manifest;

use crate::launch::Launched;

/// The most programs that live, or whose end is remembered.
pub const MAX_PROGRAMS: usize = 128;

/// One program.
#[derive(Debug)]
pub struct Program {
    /// Its number.
    pub number: u64,
    /// Its manifest: what it asked for.
    pub manifest: Manifest,
    /// Its identity token.
    pub identity: u64,
    /// Its control port, while it lives.
    pub task: Option<SendRight<dyn Task>>,
    /// Its first thread, until it runs.
    thread: Option<SendRight<dyn Thread>>,
    /// What is known of its end.
    end: Option<Ended>,
    waiting: Vec<Reply<Ended>>,
}

impl Program {
    /// It says with which status it will end.
    pub fn exiting(&mut self, status: u64) {
        self.end.get_or_insert(Ended {
            value: status,
            ..Ended::default()
        });
    }

    /// It raised an exception of this type and will end; POSIX has a signal for it, or 0.
    pub fn raised(&mut self, kind: u32, signal: u32) {
        self.end = Some(Ended {
            how: End::Exception,
            value: kind.into(),
            signal,
        });
    }

    /// It is terminated by order.
    pub fn terminated(&mut self) {
        let how = End::Terminated;
        self.end.get_or_insert(Ended {
            how,
            ..Ended::default()
        });
    }

    /// Its task is dead: whoever waits learns it. A task that announced nothing ended well.
    pub fn gone(&mut self) -> Ended {
        let end = *self.end.get_or_insert_default();
        self.task = None;
        for reply in self.waiting.drain(..) {
            reply.send(Ok(end));
        }
        end
    }
}

/// All programs.
#[derive(Debug, Default)]
pub struct Programs {
    last: u64,
    all: Vec<Program>,
}

impl Programs {
    /// Makes room for one more; answers with the program that is forgotten for it, whose task is to be
    /// ended when it has one still: nobody ever waited for it.
    ///
    /// # Errors
    /// `ResourceShortage` when too many run.
    pub fn make_room(&mut self) -> Result<Option<Program>, KernReturn> {
        if self.all.len() < MAX_PROGRAMS {
            return Ok(None);
        }
        let idle = |program: &Program| program.task.is_none() || program.thread.is_some();
        let found = self
            .all
            .iter()
            .position(idle)
            .ok_or(KernReturn::ResourceShortage)?;
        Ok(Some(self.all.remove(found)))
    }

    /// Enters a program that is ready to run; answers with its number.
    pub fn add(&mut self, manifest: Manifest, launched: Launched) -> u64 {
        self.last += 1;
        self.all.push(Program {
            number: self.last,
            manifest,
            identity: launched.identity,
            task: Some(launched.task),
            thread: Some(launched.thread),
            end: None,
            waiting: Vec::new(),
        });
        self.last
    }

    /// The program of this number and its first thread, when it does not run yet. It runs from now on.
    pub fn to_begin(&mut self, number: u64) -> Option<(&mut Program, SendRight<dyn Thread>)> {
        let mut all = self.all.iter_mut();
        let program = all.find(|program| program.number == number)?;
        let thread = program.thread.take()?;
        Some((program, thread))
    }

    /// The live program with this identity token.
    pub fn by_identity(&mut self, identity: u64) -> Option<&mut Program> {
        let mut live = self.all.iter_mut().filter(|p| p.task.is_some());
        live.find(|program| program.identity == identity)
    }

    /// The live program whose control port this task knows as `port`.
    pub fn by_port(&mut self, port: Name) -> Option<&mut Program> {
        self.all.iter_mut().find(|program| {
            let task = program.task.as_ref();
            task.is_some_and(|task| task.name() == port)
        })
    }

    /// Answers `reply` when the program has ended; gives it back when there is none of this number.
    ///
    /// # Errors
    /// The reply.
    pub fn wait(&mut self, number: u64, reply: Reply<Ended>) -> Result<(), Reply<Ended>> {
        let found = self.all.iter_mut().find(|program| program.number == number);
        match found {
            Some(program) if program.task.is_some() => program.waiting.push(reply),
            Some(program) => reply.send(Ok(program.end.unwrap_or_default())),
            None => return Err(reply),
        }
        Ok(())
    }
}
