//! Starting a task: what has to be known, what may go wrong, and how the memory is filled.
//!
//! [`Launcher`] is what the supervisor needs of the kernel; [`crate::kernel`] does it for real, tests
//! with tasks of the host backend.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use abi::thread_state::ThreadState;
use abi::{PAGE_SIZE, start};
use archive::Bytes;
use interfaces::task::Task;
use interfaces::thread::Thread;
use libmach::{Error, SendRight, abi};
use manifest::{Manifest, Right};

use crate::elf::Plan;
use crate::report::Exception;

/// Bytes of a first thread's stack. Pages cost nothing until they are touched.
pub const STACK: u64 = 256 * 1024;
/// Where the stack begins: the guard below the start page is as large, and below the stack nothing
/// may lie up to [`crate::elf::END`].
pub const STACK_ADDRESS: u64 = start::ADDRESS - 2 * STACK;
/// Bytes that one message writes.
const CHUNK: usize = 4096;

/// A task to be started.
#[derive(Debug)]
pub struct Request<'a> {
    /// Path of its program in the archive.
    pub program: &'a str,
    /// Its manifest.
    pub manifest: &'a Manifest,
    /// Arguments after its name: the manifest's and the caller's.
    pub arguments: Vec<String>,
    /// Its rights, by the name that it finds them under.
    pub rights: Vec<(String, SendRight)>,
    /// The identity token that it is to get.
    pub identity: u64,
}

/// A task that is ready to run.
#[derive(Debug)]
pub struct Launched {
    /// Its control port.
    pub task: SendRight<dyn Task>,
    /// Its first thread, suspended.
    pub thread: SendRight<dyn Thread>,
    /// The identity token that it got.
    pub identity: u64,
    /// What `ps` calls it.
    pub index: u32,
}

/// Why a task was not started. Nothing of it is left.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// It will be no better next time: file or manifest are bad.
    Bad(String),
    /// The kernel refused, perhaps for want of something.
    Unlucky(String),
}

impl Failure {
    /// A call of the kernel that failed while `doing`.
    pub fn of(doing: &str, error: Error) -> Self {
        Self::Unlucky(format!("cannot {doing}: {error}"))
    }

    /// The reason.
    pub fn text(&self) -> &str {
        match self {
            Self::Bad(text) | Self::Unlucky(text) => text,
        }
    }
}

/// What the supervisor needs of the kernel.
pub trait Launcher: 'static {
    /// Makes a task that is ready to run.
    ///
    /// # Errors
    /// See [`Failure`].
    fn launch(&mut self, request: Request<'_>) -> Result<Launched, Failure>;

    /// Lets a task run.
    ///
    /// # Errors
    /// See [`Failure`]; the task is still there.
    fn begin(&mut self, thread: &SendRight<dyn Thread>) -> Result<(), Failure>;

    /// Makes a right that a manifest asks for and that is no service.
    ///
    /// # Errors
    /// See [`Failure`].
    fn make_right(&mut self, right: &Right) -> Result<SendRight, Failure>;

    /// Reads what a stopped task can still tell of its exception.
    fn examine(&mut self, task: &SendRight<dyn Task>, exception: &mut Exception);

    /// Ends a task, whatever it does. Its control port dies.
    fn end(&mut self, task: &SendRight<dyn Task>);
}

/// A new task's memory.
pub trait Memory {
    /// Fresh zeroed memory at a fixed place.
    ///
    /// # Errors
    /// The kernel's.
    fn allocate(&mut self, address: u64, size: u64) -> libmach::Result<()>;
    /// Writes to it.
    ///
    /// # Errors
    /// The kernel's.
    fn write(&mut self, address: u64, bytes: &[u8]) -> libmach::Result<()>;
    /// Sets its protection, current and highest.
    ///
    /// # Errors
    /// The kernel's.
    fn protect(&mut self, address: u64, size: u64, protection: u32) -> libmach::Result<()>;
}

/// Fills a new task's memory with a program from `file`, and a stack.
///
/// # Errors
/// [`Failure::Unlucky`] with the kernel's reason; [`Failure::Bad`] when the file changed meanwhile.
pub fn load(memory: &mut dyn Memory, plan: &Plan, file: &dyn Bytes) -> Result<(), Failure> {
    let mut buffer = [0; CHUNK];
    for segment in &plan.segments {
        memory
            .allocate(segment.address, segment.size)
            .map_err(|error| Failure::of("allocate a segment", error))?;
        let mut done = 0;
        while done < segment.file_size {
            let size = (segment.file_size - done).min(CHUNK as u64) as usize;
            if !file.read(segment.file_offset + done, &mut buffer[..size]) {
                return Err(Failure::Bad("the file is shorter than it was".into()));
            }
            memory
                .write(segment.content + done, &buffer[..size])
                .map_err(|error| Failure::of("write a segment", error))?;
            done += size as u64;
        }
        memory
            .protect(segment.address, segment.size, segment.protection)
            .map_err(|error| Failure::of("protect a segment", error))?;
    }
    memory
        .allocate(STACK_ADDRESS, STACK)
        .map_err(|error| Failure::of("allocate the stack", error))
}

/// Writes the start page, which nobody can change any more.
///
/// # Errors
/// [`Failure::Unlucky`] with the kernel's reason.
pub fn place_start_page(memory: &mut dyn Memory, page: &[u8]) -> Result<(), Failure> {
    let place = |memory: &mut dyn Memory| {
        memory.allocate(start::ADDRESS, PAGE_SIZE)?;
        for (index, chunk) in page.chunks(CHUNK).enumerate() {
            memory.write(start::ADDRESS + (index * CHUNK) as u64, chunk)?;
        }
        memory.protect(start::ADDRESS, PAGE_SIZE, abi::vm::protection::READ)
    };
    place(memory).map_err(|error| Failure::of("write the start page", error))
}

/// The registers of the first thread: `rsp` as behind a call, whose return address is 0.
pub fn first_state(plan: &Plan) -> ThreadState {
    ThreadState {
        rip: plan.entry,
        rsp: STACK_ADDRESS + STACK - 8,
        rdi: start::ADDRESS,
        rflags: abi::thread_state::FIXED_FLAGS,
        ..ThreadState::default()
    }
}

#[cfg(test)]
mod tests;
