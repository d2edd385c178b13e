//! The first task: made by the kernel, from a flat image, with the rights to everything else.

use core::mem::offset_of;
use core::ops::Range;

use abi::host::special;
use abi::image::{Header, MAGIC, MAX_SEGMENTS, Segment};
use abi::kern_return::KernReturn;
use abi::start;
use abi::task::Limits;
use abi::thread_state::ThreadState;
use abi::vm::{MAX_ADDRESS, MIN_ADDRESS, flags, protection};
use abi::{ABI_VERSION, PAGE_SIZE};

use super::{Kernel, Variables};
use crate::base::counters::Counters;
use crate::base::ids::{PortId, TaskId};
use crate::base::ledger::Ledgers;
use crate::base::log::Log;
use crate::base::{KernResult, Shortage};
use crate::ipc::Ipc;
use crate::ipc::alarm::{Clock, Hand};
use crate::ipc::port::{Kind, Object, Port};
use crate::kobj::Scratch;
use crate::machine::{Caching, Cpu, Machine, Page};
use crate::sched::thread::MAX_PRIORITY;
use crate::sched::{Flags, Sched};
use crate::task::{NewTask, NewThread, Tasks};
use crate::vm::{self, Vm, Which};

/// What the machine found when it started.
#[derive(Clone, Debug)]
pub struct Boot {
    /// The first task, flattened ([`abi::image`]), in whole pages.
    pub image: Range<Page>,
    /// The boot archive, in whole pages.
    pub archive: Range<Page>,
    /// How many CPUs will come online. The calling one is CPU 0.
    pub cpus: u32,
    /// Whether messages may take the fast path.
    pub fast_path: bool,
    /// How many events the trace ring keeps: a power of two.
    pub trace_events: u32,
    /// What the first task finds in its environment.
    pub variables: Variables,
}

/// Why the kernel cannot start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BootError {
    /// The image does not begin with a valid header, or a segment lies outside it or the address space.
    BadImage(&'static str),
    /// The first task could not be made.
    FirstTask(KernReturn),
    /// There is not enough memory for what the kernel takes at once.
    NoMemory,
}

impl From<Shortage> for BootError {
    fn from(_: Shortage) -> Self {
        Self::NoMemory
    }
}

impl From<KernReturn> for BootError {
    fn from(code: KernReturn) -> Self {
        Self::FirstTask(code)
    }
}

/// Bytes of the first thread's stack, below the start page and a guard of the same size.
const STACK: u64 = 16 * PAGE_SIZE;

/// The part of memory that is to be free, until somebody says otherwise.
const TARGET_PART: u64 = 64;

impl Kernel {
    /// A kernel with one task, whose first thread runs at the next event of CPU 0.
    ///
    /// # Errors
    /// See [`BootError`].
    pub fn new<M: Machine>(machine: &mut M, boot: &Boot) -> Result<Self, BootError> {
        let header = read_header(machine, boot)?;
        let memory = machine.free_pages() + machine.kept_pages();
        let mut kernel = Self {
            sched: Sched::new(machine, boot.trace_events)?,
            ipc: Ipc::new(machine),
            vm: Vm::new(machine),
            tasks: Tasks::new(machine),
            ledgers: Ledgers::new(machine.reserve(4 << 20)),
            counters: Counters::default(),
            log: Log::new(),
            scratch: Scratch::new(),
            memory,
        };
        if !boot.fast_path {
            kernel.sched.default_flags = Flags::NO_FAST_PATH;
        }
        kernel.vm.set_free_target(memory / TARGET_PART);
        kernel.make_first_task(machine, boot, &header)?;
        let (version, cpus) = (env!("CARGO_PKG_VERSION"), boot.cpus);
        kernel.log.line(
            machine.now(),
            format_args!("MelloOS {version}, {cpus} CPUs, {memory} pages"),
        );
        Ok(kernel)
    }

    fn make_first_task<M: Machine>(
        &mut self,
        machine: &mut M,
        boot: &Boot,
        header: &Header,
    ) -> Result<(), BootError> {
        let limits = Limits {
            names: u32::MAX,
            messages: u32::MAX,
            threads: u32::MAX,
            pages: u32::try_from(machine.free_pages()).unwrap_or(u32::MAX),
            kernel_bytes: machine.free_pages().saturating_mul(PAGE_SIZE) / 2,
        };
        let new = NewTask {
            limits,
            parent: None,
            identity: start::FIRST_IDENTITY,
            priority_limit: MAX_PRIORITY,
        };
        let (tasks, mut layers) = self.layers(machine, Cpu(0));
        let task = tasks.create(&mut layers, new)?;
        if let Some(task) = tasks.arena.get_mut(task) {
            task.label[..9].copy_from_slice(b"bootstrap");
        }
        for segment in header.segments.iter().take(header.segment_count as usize) {
            self.load_segment(machine, task, boot, segment)?;
        }
        self.write_start_page(machine, task, boot)?;
        self.allocate(machine, task, start::ADDRESS - 2 * STACK, STACK)?;
        let state = ThreadState {
            rip: header.entry,
            rsp: start::ADDRESS - STACK,
            rdi: start::ADDRESS,
            ..ThreadState::default()
        };
        let (tasks, mut layers) = self.layers(machine, Cpu(0));
        let thread = tasks.create_thread(&mut layers, NewThread { task, state })?;
        tasks.resume_thread(&mut layers, thread)?;
        Ok(())
    }

    /// Copies one segment of the image into the first task, and gives it its protection.
    fn load_segment<M: Machine>(
        &mut self,
        machine: &mut M,
        task: TaskId,
        boot: &Boot,
        segment: &Segment,
    ) -> KernResult<()> {
        self.allocate(machine, task, segment.address, segment.memory_size)?;
        let mut done = 0;
        while done < segment.file_size {
            let mut chunk = [0; CHUNK as usize];
            let length = (segment.file_size - done).min(CHUNK);
            let bytes = &mut chunk[..length as usize];
            read_image(machine, boot, segment.file_offset + done, bytes);
            self.write(machine, task, segment.address + done, bytes)?;
            done += length;
        }
        let map = self.map_of(task)?;
        let mut context = vm::Context {
            machine,
            ledgers: &mut self.ledgers,
        };
        let range = (segment.address, segment.memory_size);
        while self
            .vm
            .protect(&mut context, map, range, Which::Current, segment.protection)?
            == vm::Progress::More
        {}
        Ok(())
    }

    /// Names for the roots of all power, and the page that lists them.
    fn write_start_page<M: Machine>(
        &mut self,
        machine: &mut M,
        task: TaskId,
        boot: &Boot,
    ) -> KernResult<()> {
        let rights = self.first_rights(machine, task, boot)?;
        self.allocate(machine, task, start::ADDRESS, PAGE_SIZE)?;
        let at = |offset: usize| start::ADDRESS + offset as u64;
        let mut put = |offset: usize, bytes: &[u8]| self.write(machine, task, at(offset), bytes);
        put(offset_of!(start::Page, magic), &start::MAGIC.to_le_bytes())?;
        put(offset_of!(start::Page, version), &ABI_VERSION.to_le_bytes())?;
        put(
            offset_of!(start::Page, right_count),
            &(rights.len() as u32).to_le_bytes(),
        )?;
        put(
            offset_of!(start::Page, identity),
            &start::FIRST_IDENTITY.to_le_bytes(),
        )?;
        put(
            offset_of!(start::Page, environment_count),
            &boot.variables.count().to_le_bytes(),
        )?;
        let strings = boot.variables.bytes();
        put(
            offset_of!(start::Page, strings_size),
            &(strings.len() as u32).to_le_bytes(),
        )?;
        put(offset_of!(start::Page, strings), strings)?;
        for (index, (name, port)) in rights.iter().enumerate() {
            let right = offset_of!(start::Page, rights) + index * size_of::<start::Right>();
            put(right + offset_of!(start::Right, name), name.as_bytes())?;
            put(right + offset_of!(start::Right, port), &port.to_le_bytes())?;
        }
        let map = self.map_of(task)?;
        let mut context = vm::Context {
            machine,
            ledgers: &mut self.ledgers,
        };
        let range = (start::ADDRESS, PAGE_SIZE);
        while self
            .vm
            .protect(&mut context, map, range, Which::Maximum, protection::READ)?
            == vm::Progress::More
        {}
        Ok(())
    }

    fn first_rights<M: Machine>(
        &mut self,
        machine: &mut M,
        task: TaskId,
        boot: &Boot,
    ) -> KernResult<[(&'static str, u32); 6]> {
        let mut context = vm::Context {
            machine,
            ledgers: &mut self.ledgers,
        };
        let archive = self.vm.make_physical(
            &mut context,
            boot.archive.clone(),
            Caching::WriteBack,
            protection::READ,
            None,
        )?;
        self.ipc.host_port = Some(self.ipc.create_port(Kind::Kernel(Object::Host))?);
        self.make_clocks()?;
        self.make_processors(boot.cpus)?;
        let task_port = self.tasks.get(task).ok_or(KernReturn::InvalidTask)?.port;
        let mut port = |object| self.ipc.create_port(Kind::Kernel(object));
        let ports: [(&'static str, PortId); 6] = [
            (start::names::TASK, task_port),
            (start::names::HOST_PRIVILEGED, port(Object::HostPrivileged)?),
            (start::names::IO_ROOT, port(Object::IoRoot)?),
            (start::names::INTERRUPT_ROOT, port(Object::InterruptRoot)?),
            (start::names::MEMORY_ROOT, port(Object::MemoryRoot)?),
            (start::names::ARCHIVE, port(Object::Memory(archive))?),
        ];
        let [_, (_, privileged), (_, io_root), ..] = ports;
        let own = [
            (special::HOST, self.ipc.host_port),
            (special::HOST_PRIVILEGED, Some(privileged)),
            (special::IO_ROOT, Some(io_root)),
        ];
        for (which, port) in own {
            if let Some(port) = port {
                self.ipc.specials.set_own(which, port);
            }
        }
        let (tasks, mut layers) = self.layers(machine, Cpu(0));
        let space = tasks.get(task).ok_or(KernReturn::InvalidTask)?.space;
        let mut rights = [("", 0); 6];
        for (right, (name, port)) in rights.iter_mut().zip(ports) {
            *right = (
                name,
                layers
                    .ipc
                    .name_for_kernel_port(&mut layers.cx, space, port)?
                    .0,
            );
        }
        Ok(rights)
    }

    fn make_processors(&mut self, cpus: u32) -> KernResult<()> {
        for hand in [Hand::Ask, Hand::Set] {
            let port = self
                .ipc
                .create_port(Kind::Kernel(Object::ProcessorSet(hand)))?;
            self.ipc.set_ports[hand as usize] = Some(port);
        }
        for (cpu, place) in (0..cpus).zip(&mut self.ipc.processor_ports) {
            let port = Port::new(Kind::Kernel(Object::Processor(Cpu(cpu))));
            *place = Some(self.ipc.ports.insert(port).map_err(Shortage::from)?);
        }
        Ok(())
    }

    fn make_clocks(&mut self) -> KernResult<()> {
        for clock in [Clock::System, Clock::Calendar] {
            for hand in [Hand::Ask, Hand::Set] {
                let object = Object::Clock(clock, hand);
                let port = self.ipc.create_port(Kind::Kernel(object))?;
                self.ipc.clocks.set_port(clock, hand, port);
            }
        }
        Ok(())
    }

    fn allocate<M: Machine>(
        &mut self,
        machine: &mut M,
        task: TaskId,
        address: u64,
        size: u64,
    ) -> KernResult<()> {
        let map = self.map_of(task)?;
        let mut context = vm::Context {
            machine,
            ledgers: &mut self.ledgers,
        };
        self.vm
            .allocate(&mut context, map, (address, size), flags::FIXED)
            .map(|_| ())
    }

    fn write<M: Machine>(
        &mut self,
        machine: &mut M,
        task: TaskId,
        address: u64,
        bytes: &[u8],
    ) -> KernResult<()> {
        let map = self.map_of(task)?;
        let mut context = vm::Context {
            machine,
            ledgers: &mut self.ledgers,
        };
        self.vm.write_bytes(&mut context, map, address, bytes)
    }

    fn map_of(&self, task: TaskId) -> KernResult<vm::MapId> {
        self.tasks
            .get(task)
            .map(|task| task.map)
            .ok_or(KernReturn::InvalidTask)
    }
}

/// Bytes that are copied at once.
const CHUNK: u64 = 256;

/// Reads from the image, across its pages. What lies beyond it reads as zero.
fn read_image<M: Machine>(machine: &mut M, boot: &Boot, offset: u64, bytes: &mut [u8]) {
    let (mut at, mut rest) = (offset, bytes);
    while !rest.is_empty() {
        let within = (at % PAGE_SIZE) as usize;
        let length = rest.len().min(PAGE_SIZE as usize - within);
        let (part, tail) = rest.split_at_mut(length);
        let index = u32::try_from(at / PAGE_SIZE)
            .ok()
            .and_then(|n| boot.image.start.0.checked_add(n));
        match index {
            Some(page) if page < boot.image.end.0 => machine.read((Page(page), within), part),
            _ => part.fill(0),
        }
        at += length as u64;
        rest = tail;
    }
}

/// Reads and checks the image's header.
fn read_header<M: Machine>(machine: &mut M, boot: &Boot) -> Result<Header, BootError> {
    let mut bytes = [0; size_of::<Header>()];
    read_image(machine, boot, 0, &mut bytes);
    let word = |at: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[at..at + 8]);
        u64::from_le_bytes(word)
    };
    let half = |at: usize| (word(at - at % 8) >> (at % 8 * 8)) as u32;
    let mut header = Header {
        magic: word(offset_of!(Header, magic)),
        version: half(offset_of!(Header, version)),
        segment_count: half(offset_of!(Header, segment_count)),
        entry: word(offset_of!(Header, entry)),
        ..Header::default()
    };
    for (index, segment) in header.segments.iter_mut().enumerate() {
        let at = offset_of!(Header, segments) + index * size_of::<Segment>();
        *segment = Segment {
            address: word(at + offset_of!(Segment, address)),
            memory_size: word(at + offset_of!(Segment, memory_size)),
            file_offset: word(at + offset_of!(Segment, file_offset)),
            file_size: word(at + offset_of!(Segment, file_size)),
            protection: half(at + offset_of!(Segment, protection)),
            reserved: 0,
        };
    }
    let size = u64::from(boot.image.end.0.saturating_sub(boot.image.start.0)) * PAGE_SIZE;
    check_header(&header, size).map_err(BootError::BadImage)?;
    Ok(header)
}

fn check_header(header: &Header, size: u64) -> Result<(), &'static str> {
    if header.magic != MAGIC {
        return Err("no magic number");
    }
    if header.version != ABI_VERSION {
        return Err("made for another ABI version");
    }
    if header.segment_count as usize > MAX_SEGMENTS {
        return Err("too many segments");
    }
    let mut lowest = MIN_ADDRESS;
    for segment in header.segments.iter().take(header.segment_count as usize) {
        let end = segment.address.checked_add(segment.memory_size);
        let file_end = segment.file_offset.checked_add(segment.file_size);
        if (segment.address | segment.memory_size | segment.file_offset) % PAGE_SIZE != 0 {
            return Err("a segment is not in whole pages");
        }
        if segment.address < lowest || end.is_none_or(|end| end > start::ADDRESS - 4 * STACK) {
            return Err("a segment lies outside its place");
        }
        if segment.file_size > segment.memory_size || file_end.is_none_or(|end| end > size) {
            return Err("a segment's content lies outside the image");
        }
        let both = protection::WRITE | protection::EXECUTE;
        if segment.protection & !protection::ALL != 0 || segment.protection & both == both {
            return Err("a segment's protection is not allowed");
        }
        lowest = segment.address + segment.memory_size;
    }
    if header.entry >= MAX_ADDRESS {
        return Err("the entry is no user address");
    }
    Ok(())
}
