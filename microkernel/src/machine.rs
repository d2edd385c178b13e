//! [`Machine`]: all that the kernel needs from hardware, and the events that come from it.
//!
//! Two implementations exist: `microkernel/x86_64`, and the simulated machine of the tests. Physical
//! memory is reached by value or copied page to page; no reference to user memory ever exists in here.

use core::ops::Range;

use abi::PAGE_SIZE;
use abi::names::disposition;
use abi::registers::{Shape, options, send_word};
use abi::thread_state::{AVX_SIZE, DebugState};
use abi::trap::MACH_MSG;
use abi::vm::LARGE_PAGE_SIZE;
use arena::Region;

/// A processor, numbered from 0 in the order in which they started.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct Cpu(pub u32);

/// The most CPUs that the kernel drives.
pub const MAX_CPUS: usize = 16;

/// Nanoseconds since boot. Monotonic, the same on every CPU.
pub type Time = u64;

/// No deadline.
pub const NEVER: Time = u64::MAX;

/// A page of physical memory: its address divided by 4096.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct Page(pub u32);

/// Pages that hardware can map by one entry, if they lie together: 2 MiB.
pub const LARGE: u64 = LARGE_PAGE_SIZE / PAGE_SIZE;

/// An address space as the hardware knows it (x86_64: what CR3 takes). Never 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Root(pub u64);

/// How a mapping is cached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Caching {
    /// Ordinary memory.
    WriteBack,
    /// Device registers.
    Uncached,
}

/// What an access tried to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Read.
    Read,
    /// Write.
    Write,
    /// Fetch an instruction.
    Execute,
}

/// The machine is out of pages, for content or for page tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfPages;

/// How a thread goes on in user mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u32)]
pub enum Resume {
    /// It is in a trap: `rcx` and `r11` are free, the short way back may be used.
    #[default]
    Trap = 0,
    /// Every register counts: it was interrupted, faulted, or its state was set.
    Full = 1,
}

/// A thread's user registers, at a fixed place for each thread.
///
/// The entry code writes them before it takes the kernel lock. The order of the first fields is that of the entry
/// code's pushes, last one first; nothing else depends on it. `rcx` and `r11` matter for [`Resume::Full`] only.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(64))]
#[allow(missing_docs, reason = "the registers' own names")]
pub struct Frame {
    /// `r8 r9 r12 r13 r14 r15`: a message's payload.
    pub words: [u64; 6],
    pub r10: u64,
    pub rbx: u64,
    pub rbp: u64,
    pub rflags: u64,
    pub rip: u64,
    pub rsp: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rdx: u64,
    pub rax: u64,
    pub rcx: u64,
    pub r11: u64,
    /// Written at each switch to the thread; set by trap, never read back from hardware.
    pub fs_base: u64,
    /// As `fs_base`.
    pub gs_base: u64,
    /// The address space that the thread runs in ([`Root`]).
    pub root: u64,
    /// How it resumes.
    pub resume: Resume,
    /// The machine's own notes on the thread (x86_64: whether it has vector state).
    pub machine_flags: u32,
    /// Id of the last message that the thread received, for the report when it crashes; 0: none. It lies here, and not in
    /// the thread, for whoever passes a message on has just this frame at hand.
    pub heard: i32,
}

/// Index of a thread's frame: the index of the thread in its arena.
pub type FrameIndex = u32;

/// Which messages may go straight to their receiver.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direct {
    /// Send by a send right, and receive on the own reply object.
    Call,
    /// Send by the right in the reply slot, and receive the next message.
    Reply,
    /// Send by a send right, with nothing to reply to.
    Send,
    /// The same, and receive the next message.
    Exchange,
}

impl Direct {
    /// The lower half of a call's `rdi`; the upper half is the message's shape.
    pub const CALL: u32 = word(BOTH, disposition::COPY_SEND, disposition::MAKE_SEND_ONCE);
    /// The lower half of a reply's `rdi`.
    pub const REPLY: u32 = word(BOTH, disposition::MOVE_SEND_ONCE, disposition::NONE);
    /// The lower half of a send's `rdi`.
    pub const SEND: u32 = word(options::SEND, disposition::COPY_SEND, disposition::NONE);
    /// The lower half of an exchange's `rdi`.
    pub const EXCHANGE: u32 = word(BOTH, disposition::COPY_SEND, disposition::NONE);

    /// Which one a `mach_msg` is, by its `rdi`.
    pub fn of(word: u64) -> Option<Self> {
        match word as u32 {
            Self::CALL => Some(Self::Call),
            Self::REPLY => Some(Self::Reply),
            Self::SEND => Some(Self::Send),
            Self::EXCHANGE => Some(Self::Exchange),
            _ => None,
        }
    }
}

const BOTH: u32 = options::SEND | options::RECEIVE;

const fn word(halves: u32, remote: u8, local: u8) -> u32 {
    send_word(halves, remote, local, Shape::SHORT) as u32
}

/// A `mach_msg` that may go straight to its receiver, in the registers that the current thread trapped with. The
/// payload stays in the frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// Which one.
    pub direct: Direct,
    /// The upper half of `rdi`.
    pub shape: Shape,
    /// `rsi`: destination and reply name.
    pub names: u64,
    /// `rdx`: receive name and message id.
    pub receive: u64,
}

impl Request {
    /// The `mach_msg` whose registers lie in a frame.
    pub fn of(frame: &Frame) -> Option<Self> {
        if frame.rax != MACH_MSG as u64 {
            return None;
        }
        Some(Self {
            direct: Direct::of(frame.rdi)?,
            shape: Shape((frame.rdi >> 32) as u32),
            names: frame.rsi,
            receive: frame.rdx,
        })
    }
}

/// A message that went straight to a thread, which runs now: what it finds in its registers, with 0 in `rax`
/// and the sender's payload words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// Who gets it.
    pub thread: FrameIndex,
    /// `rdi`: shape, kind of the reply right, local name.
    pub word: u64,
    /// `rsi`: the port's label.
    pub label: u64,
    /// `rdx`: message id and reply name.
    pub reply: u64,
    /// `r10`: the sender's identity.
    pub identity: u64,
}

impl Delivery {
    /// Writes the registers; the words are not among them.
    pub fn write(&self, frame: &mut Frame) {
        frame.rax = 0;
        frame.rdi = self.word;
        frame.rsi = self.label;
        frame.rdx = self.reply;
        frame.r10 = self.identity;
        self.note(frame);
    }

    /// Notes what the thread received.
    #[inline(always)]
    pub fn note(&self, frame: &mut Frame) {
        frame.heard = self.reply as i32;
    }
}

/// A thread's vector registers: x87 and SSE as `fxsave64` lays them out, then the upper halves of AVX.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vectors(pub [u8; AVX_SIZE]);

impl Vectors {
    /// Of a thread that has not used any.
    pub const CLEAN: Self = {
        let mut bytes = [0; AVX_SIZE];
        // x87: all exceptions masked, extended precision. SSE: the same.
        [bytes[0], bytes[1]] = 0x37f_u16.to_le_bytes();
        [bytes[24], bytes[25]] = 0x1f80_u16.to_le_bytes();
        Self(bytes)
    };
}

/// Why the kernel was entered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// `syscall`: the registers are in the current thread's frame.
    Trap,
    /// A page fault of the current thread.
    Fault {
        /// The address it tried to reach.
        address: u64,
        /// What it tried.
        access: Access,
    },
    /// Any other exception of the current thread.
    Exception {
        /// The processor's vector, 0 to 31.
        vector: u8,
        /// The processor's error code, or 0.
        code: u64,
    },
    /// A device's interrupt line fired; the machine has masked it until it is acknowledged.
    Interrupt {
        /// The line (x86_64: global system interrupt).
        line: u32,
    },
    /// The time that [`Machine::set_timer`] was given has come, for this CPU.
    Timer,
    /// Another CPU asked for a look at the run queues and at what the current thread should do.
    Kick,
    /// The CPU has started and wants work.
    Online,
    /// The next step of what [`Next::Continue`] announced.
    Continue,
}

/// What a CPU does now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// As [`Run`](Self::Run), with the payload words of the thread that the CPU ran until now: they stay in
    /// that thread's frame, and the machine takes them from there to the registers.
    Pass(FrameIndex),
    /// Run the thread with this frame, in the address space that the frame names.
    Run(FrameIndex),
    /// Wait for an interrupt.
    Idle,
    /// Work is left that the current thread pays for: release the lock, take what interrupts are pending,
    /// then call again with [`Event::Continue`].
    Continue,
}

/// Hardware.
///
/// Calls that change mappings take effect on other CPUs when [`flush`](Self::flush) was called and the
/// kernel has returned: the machine then waits, outside the kernel lock, until every CPU that runs the
/// address space has forgotten the old mapping, and only then lets the caller go on. A page that is freed
/// meanwhile is not given out before that.
pub trait Machine {
    /// A reserved range for an arena that should be able to hold `bytes`.
    fn reserve(&mut self, bytes: usize) -> Region;

    /// Nanoseconds since boot.
    fn now(&mut self) -> Time;
    /// Asks for [`Event::Timer`] on a CPU at a time; replaces what was asked before. [`NEVER`]: not at all.
    fn set_timer(&mut self, cpu: Cpu, deadline: Time);
    /// Asks for [`Event::Kick`] on another CPU, soon.
    fn kick(&mut self, cpu: Cpu);

    /// The registers of a thread, which is this CPU's current one or runs nowhere.
    fn frame(&mut self, thread: FrameIndex) -> &mut Frame;
    /// Makes a frame for a new thread, zeroed.
    ///
    /// # Errors
    /// [`OutOfPages`]: nothing changed.
    fn create_frame(&mut self, thread: FrameIndex) -> Result<(), OutOfPages>;

    /// The vector registers of a thread that runs nowhere.
    fn vectors(&mut self, thread: FrameIndex) -> Vectors;
    /// Sets the vector registers of a thread that runs nowhere; bits that the processor does not know stay clear.
    ///
    /// # Errors
    /// [`OutOfPages`]: nothing changed.
    fn set_vectors(&mut self, thread: FrameIndex, vectors: &Vectors) -> Result<(), OutOfPages>;
    /// The debug registers of a thread that runs nowhere.
    fn debug_state(&mut self, thread: FrameIndex) -> DebugState;
    /// Sets the debug registers of a thread that runs nowhere. The kernel has checked them.
    fn set_debug_state(&mut self, thread: FrameIndex, state: &DebugState);

    /// A page for the caller alone. Its content is undefined.
    fn allocate_page(&mut self) -> Option<Page>;
    /// Gives a page back.
    fn free_page(&mut self, page: Page);
    /// A large page for the caller alone: [`LARGE`] pages next to each other, from this one on, whose number is a multiple of
    /// that. Their content is undefined; each may be freed on its own.
    fn allocate_large(&mut self) -> Option<Page>;
    /// Gives all pages of a large one back, as a large one.
    fn free_large(&mut self, first: Page);
    /// How many pages can still be allocated.
    fn free_pages(&self) -> u64;
    /// How many pages the machine took for the kernel's own use, such as arenas and threads' frames. It never gives
    /// them back; they are where the next objects go. None where that memory is not the machine's.
    fn kept_pages(&self) -> u64 {
        0
    }
    /// Fills a page with zeros.
    fn zero_page(&mut self, page: Page);
    /// Copies `length` bytes from one page to another one; both ranges lie inside their pages.
    fn copy(&mut self, from: (Page, usize), to: (Page, usize), length: usize);
    /// Reads bytes that lie inside a page.
    fn read(&mut self, from: (Page, usize), bytes: &mut [u8]);
    /// Writes bytes inside a page.
    fn write(&mut self, to: (Page, usize), bytes: &[u8]);
    /// Reads aligned words inside a page, each of them once.
    fn read_words<const COUNT: usize>(&mut self, from: (Page, usize)) -> [u64; COUNT] {
        let mut words = [0; COUNT];
        for (index, word) in words.iter_mut().enumerate() {
            let mut bytes = [0; size_of::<u64>()];
            self.read((from.0, from.1 + index * size_of::<u64>()), &mut bytes);
            *word = u64::from_le_bytes(bytes);
        }
        words
    }
    /// Writes aligned words inside a page.
    fn write_words<const COUNT: usize>(&mut self, to: (Page, usize), words: [u64; COUNT]) {
        for (index, word) in words.into_iter().enumerate() {
            self.write((to.0, to.1 + index * size_of::<u64>()), &word.to_le_bytes());
        }
    }
    /// Reads an aligned `u32` in one access (futex words).
    fn read_u32(&mut self, from: (Page, usize)) -> u32;

    /// A new, empty address space.
    ///
    /// # Errors
    /// [`OutOfPages`]: nothing changed.
    fn create_space(&mut self) -> Result<Root, OutOfPages>;
    /// Frees the tables of an address space that no thread runs in, in steps; `true` when it is gone.
    fn destroy_space(&mut self, root: Root) -> bool;
    /// Maps a page, or changes its mapping. `protection` is of [`abi::vm::protection`], never writable
    /// and executable at once.
    ///
    /// # Errors
    /// [`OutOfPages`]: no memory for a page table; nothing changed.
    fn map(
        &mut self,
        root: Root,
        address: u64,
        page: Page,
        protection: u32,
        caching: Caching,
    ) -> Result<(), OutOfPages>;
    /// Maps a large page, or changes its mapping; `true` when a table may have to be forgotten, so that the range must be
    /// flushed. Whatever [`map`](Self::map), `unmap` and `protect` do to a part of it leaves the rest as it is, and
    /// needs no memory.
    ///
    /// # Errors
    /// As [`map`](Self::map).
    fn map_large(
        &mut self,
        root: Root,
        address: u64,
        first: Page,
        protection: u32,
        caching: Caching,
    ) -> Result<bool, OutOfPages>;
    /// How many large pages an address space maps.
    fn large_pages(&self, root: Root) -> u64;
    /// Whether an address is mapped by a large page.
    fn is_large(&self, root: Root, address: u64) -> bool;
    /// Removes the mappings of a range, whatever of it is mapped. At most 64 pages, or those of a large one.
    fn unmap(&mut self, root: Root, range: Range<u64>);
    /// Removes the mappings of a range of any size, all at once. Tables that have nothing else in them are set aside, and
    /// count for the space until [`free_detached`](Self::free_detached) frees them.
    ///
    /// It makes up to 5 tables, which hold those that are set aside. Mappings beside the range may go as well.
    ///
    /// # Errors
    /// [`OutOfPages`]: nothing changed.
    fn detach(&mut self, root: Root, range: Range<u64>) -> Result<(), OutOfPages>;
    /// Frees tables that were set aside, a step's worth; `true`: there was none.
    fn free_detached(&mut self, root: Root) -> bool;
    /// Takes rights away from the mappings of a range (never adds). At most 64 pages, or those of a large one.
    fn protect(&mut self, root: Root, range: Range<u64>, protection: u32);
    /// After `unmap`, `detach`, `protect` or a `map` that replaced: forget the old mappings of the range everywhere.
    fn flush(&mut self, root: Root, range: Range<u64>);
    /// How many interrupts asked CPUs to forget mappings, since boot.
    fn shootdowns(&self) -> u64 {
        0
    }
    /// How many pages the address space's tables take.
    fn table_pages(&self, root: Root) -> u64;

    /// Whether pages are a device's: neither memory nor anything that the machine drives itself.
    ///
    /// Until a machine says otherwise, none are.
    fn is_device_memory(&self, pages: Range<Page>) -> bool {
        let _ = pages;
        false
    }

    /// Reads an I/O port of 1, 2 or 4 bytes.
    fn port_read(&mut self, port: u16, width: u8) -> u32;
    /// Writes an I/O port of 1, 2 or 4 bytes.
    fn port_write(&mut self, port: u16, width: u8, value: u32);
    /// Lets an interrupt line fire, or no more.
    ///
    /// `false`: there is no such line.
    fn unmask_interrupt(&mut self, line: u32) -> bool;
    /// See [`unmask_interrupt`](Self::unmask_interrupt).
    fn mask_interrupt(&mut self, line: u32) -> bool;

    /// A line of the kernel's log.
    fn log(&mut self, text: core::fmt::Arguments<'_>);
    /// Ends the run: the machine is switched off.
    fn power_off(&mut self);
    /// Ends the run: the machine starts again, from its firmware.
    fn reset(&mut self);
}
