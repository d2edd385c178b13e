//! The launcher on the kernel: tasks are made through the first task's own control port.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use abi::PAGE_SIZE;
use abi::start::names;
use abi::task::{Limits, special};
use archive::{Archive, Bytes};
use interfaces::interrupt::InterruptRoot;
use interfaces::io::IoRoot;
use interfaces::memory::{Entry, MemoryRoot};
use interfaces::task::Task;
use interfaces::thread::Thread;
use libmach::abi::names::Name;
use libmach::context::HEARTBEAT;
use libmach::{Context, Result, SendRight, abi};
use manifest::{Manifest, Right, Root};

use crate::elf::{HEAD, Plan};
use crate::launch::{
    Failure, Launched, Launcher, Memory, Request, first_state, load, place_start_page,
};
use crate::report::Exception;
use crate::start_page::Builder;

/// Bytes of a panic's text that are read.
const MAX_PANIC: u64 = 512;
/// Bytes of the stack that a report shows.
const STACK_SHOWN: u64 = 64;

/// What the kernel gave to the first task.
#[derive(Debug)]
pub struct Kernel {
    archive: Rc<Archive>,
    exceptions: SendRight,
    task: SendRight<dyn Task>,
    host: SendRight,
    io: SendRight<dyn IoRoot>,
    interrupts: SendRight<dyn InterruptRoot>,
    memory: SendRight<dyn MemoryRoot>,
    archive_entry: SendRight<dyn Entry>,
    /// What the kernel's command line says to everybody; a manifest's own variables come first.
    variables: Vec<(&'static str, &'static str)>,
}

impl Kernel {
    /// Takes the roots from the start page. Programs come from `archive`; exceptions of all tasks go
    /// to `exceptions`.
    ///
    /// # Errors
    /// When the start page lacks one.
    pub fn new(context: &Context, archive: Rc<Archive>, exceptions: SendRight) -> Result<Self> {
        Ok(Self {
            archive,
            exceptions,
            task: context.send_right(names::TASK)?,
            host: context.send_right(names::HOST_PRIVILEGED)?,
            io: context.send_right(names::IO_ROOT)?,
            interrupts: context.send_right(names::INTERRUPT_ROOT)?,
            memory: context.send_right(names::MEMORY_ROOT)?,
            archive_entry: context.send_right(names::ARCHIVE)?,
            variables: context.variables().collect(),
        })
    }

    fn root(&self, root: Root) -> Result<SendRight> {
        match root {
            Root::HostPrivileged => self.host.duplicate(),
            Root::IoRoot => self.io.duplicate().map(SendRight::cast),
            Root::InterruptRoot => self.interrupts.duplicate().map(SendRight::cast),
            Root::MemoryRoot => self.memory.duplicate().map(SendRight::cast),
            Root::Archive => self.archive_entry.duplicate().map(SendRight::cast),
        }
    }

    /// Fills a new task; its first thread, and what `ps` calls the task.
    fn fill(
        &self,
        task: &SendRight<dyn Task>,
        request: Request<'_>,
    ) -> Result<(SendRight<dyn Thread>, u32), Failure> {
        let file = self
            .archive
            .file(request.program)
            .ok_or_else(|| Failure::Bad(format!("{} is not in the archive", request.program)))?;
        let plan = plan(&file)?;
        let failed = |doing: &'static str| move |error| Failure::of(doing, error);
        let client = task.client();
        client
            .set_name(&request.manifest.name)
            .map_err(failed("name the task"))?;
        let mut memory = Child(task);
        load(&mut memory, &plan, &file)?;
        let full = |full| Failure::Bad(format!("{full}"));
        let mut page = Builder::new(request.identity);
        page.argument(&request.manifest.name).map_err(full)?;
        for argument in &request.arguments {
            page.argument(argument).map_err(full)?;
        }
        if let Some(period) = request.manifest.heartbeat {
            page.variable(HEARTBEAT, &format!("{period}"))
                .map_err(full)?;
        }
        for (key, value) in &self.variables {
            page.variable(key, value).map_err(full)?;
        }
        for (label, right) in request.rights {
            if label == names::BOOTSTRAP {
                set_bootstrap_port(task, &right)?;
            }
            let given = client.insert_send(Name::NULL, right);
            let port = given.map_err(|refused| Failure::of("give a right", refused.into()))?;
            page.right(&label, port).map_err(full)?;
        }
        place_start_page(&mut memory, &page.finish())?;
        let exceptions = self.exceptions.duplicate();
        let exceptions = exceptions.map_err(failed("share the exception port"))?;
        client
            .set_exception_port(exceptions)
            .map_err(|refused| Failure::of("set the exception port", refused.into()))?;
        client
            .set_priority_limit(request.manifest.limits.priority)
            .map_err(failed("limit the priority"))?;
        let thread = client
            .thread_create(first_state(&plan))
            .map_err(failed("make the thread"))?;
        let index = client
            .info()
            .map_err(failed("read the task's index"))?
            .index;
        Ok((thread, index))
    }
}

/// What a task's `task_get_bootstrap_port` answers, and that of the tasks that it makes (B-01).
fn set_bootstrap_port(task: &SendRight<dyn Task>, right: &SendRight) -> Result<(), Failure> {
    let failed = |error| Failure::of("set the bootstrap port", error);
    let right = right.duplicate().map_err(failed)?;
    let set = task.client().set_special_port(special::BOOTSTRAP, right);
    set.map_err(|refused| failed(refused.into()))
}

fn plan(file: &dyn Bytes) -> Result<Plan, Failure> {
    let mut head = [0; HEAD];
    let size = file.size().min(HEAD as u64) as usize;
    let head = &mut head[..size];
    if !file.read(0, head) {
        return Err(Failure::Bad("its file cannot be read".into()));
    }
    Plan::of(head, file.size()).map_err(|refusal| Failure::Bad(format!("{refusal}")))
}

fn limits(manifest: &Manifest) -> Limits {
    let limits = &manifest.limits;
    Limits {
        names: limits.names,
        messages: limits.messages,
        threads: limits.threads,
        pages: limits.pages,
        kernel_bytes: limits.kernel_memory,
    }
}

impl Launcher for Kernel {
    fn launch(&mut self, request: Request<'_>) -> Result<Launched, Failure> {
        let identity = request.identity;
        let task = self
            .task
            .client()
            .create(limits(request.manifest), identity, 0)
            .map_err(|error| Failure::of("make the task", error))?;
        match self.fill(&task, request) {
            Ok((thread, index)) => Ok(Launched {
                task,
                thread,
                identity,
                index,
            }),
            Err(failure) => {
                self.end(&task);
                Err(failure)
            }
        }
    }

    fn begin(&mut self, thread: &SendRight<dyn Thread>) -> Result<(), Failure> {
        let resumed = thread.client().resume();
        resumed.map_err(|error| Failure::of("start the thread", error))
    }

    fn make_right(&mut self, right: &Right) -> Result<SendRight, Failure> {
        let made = match right {
            Right::IoPorts { first, count } => {
                let range = self.io.client().range(*first, *count);
                range.map(SendRight::cast)
            }
            Right::Interrupt { line } => {
                let line = self.interrupts.client().line(*line);
                line.map(SendRight::cast)
            }
            Right::Memory { address, size } => {
                let window = self.memory.client().window(*address, *size, 0);
                window.map(SendRight::cast)
            }
            Right::Root(root) => self.root(*root),
            Right::Dma { .. } => {
                return Err(Failure::Bad("the kernel makes no DMA buffers".into()));
            }
            Right::Service(name) => return Err(Failure::Bad(format!("{name} is a service"))),
        };
        made.map_err(|error| Failure::of("make it", error))
    }

    fn examine(&mut self, task: &SendRight<dyn Task>, exception: &mut Exception) {
        let client = task.client();
        // Everything here is for the report only: what cannot be had is left out of it.
        client.suspend().ok();
        // The number of a thread is the lower half of what the kernel knows it by.
        if let Ok(thread) = client.thread(exception.crash.thread as u32) {
            exception.state = thread.client().get_state().ok();
        }
        if let Ok(words) = client.vm_read(exception.crash.rsp, STACK_SHOWN) {
            let word = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).unwrap_or(0);
            exception.stack = words.chunks_exact(8).map(word).collect();
        }
        if let Some((address, size)) = exception.panic_text() {
            let text = client.vm_read(address, size.min(MAX_PANIC));
            exception.panic = text
                .ok()
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        }
    }

    fn end(&mut self, task: &SendRight<dyn Task>) {
        // It fails when the task is dead already, which is what was wanted.
        task.client().terminate().ok();
    }
}

/// A new task's memory, through its control port.
struct Child<'a>(&'a SendRight<dyn Task>);

impl Memory for Child<'_> {
    fn allocate(&mut self, address: u64, size: u64) -> Result<()> {
        debug_assert!((address | size).is_multiple_of(PAGE_SIZE));
        let flags = abi::vm::flags::FIXED;
        self.0.client().vm_allocate(address, size, flags).map(drop)
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<()> {
        self.0.client().vm_write(address, bytes)
    }

    fn protect(&mut self, address: u64, size: u64, protection: u32) -> Result<()> {
        let client = self.0.client();
        client.vm_protect(address, size, 0, protection)?;
        client.vm_protect(address, size, 1, protection)
    }
}
