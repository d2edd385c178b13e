//! Starting the other CPUs: INIT, then a start-up interrupt that names a page below 1 MiB.
//!
//! The page holds the code of [`TRAMPOLINE`], which goes from real mode straight to long mode, and a few
//! words that say where to go. CPUs start one after the other, so one page and one set of words do.
//! A CPU that does not start within its time ends the starting: it might wake later and read the words
//! of another one.

use core::arch::global_asm;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use ksync::Lock;
use microkernel::machine::{Cpu, Event, MAX_CPUS, Time};
use microkernel_x86_64::acpi::{Acpi, MAX_CPUS as MAX_FOUND};
use microkernel_x86_64::layout::{DIRECT, PAGE};
use microkernel_x86_64::tables::flags;

use super::apic::{self, command};
use super::cpu::features;
use super::log::log;
use super::memory::MEMORY;
use super::time::Clocks;
use super::{asm, cpu, interrupts, percpu, shootdown, vector};

global_asm!(
    ".section .rodata",
    "trampoline_start:",
    ".code16",
    "cli",
    "cld",
    "movw %cs, %ax",
    "movw %ax, %ds",
    "lgdtl trampoline_table - trampoline_start",
    "movl %cr4, %eax",
    // Physical address extension.
    "orl $0x20, %eax",
    "movl %eax, %cr4",
    "movl trampoline_root - trampoline_start, %eax",
    "movl %eax, %cr3",
    // Long mode, no-execute.
    "movl $0xc0000080, %ecx",
    "rdmsr",
    "orl $0x900, %eax",
    "wrmsr",
    // Paging, write protection, protected mode.
    "movl %cr0, %eax",
    "orl $0x80010001, %eax",
    "movl %eax, %cr0",
    "ljmpl *(trampoline_far - trampoline_start)",
    ".code64",
    "trampoline_long:",
    "movq trampoline_stack(%rip), %rsp",
    "movq trampoline_cpu(%rip), %rdi",
    "jmpq *trampoline_entry(%rip)",
    ".balign 8",
    "trampoline_segments:",
    ".quad 0",
    ".quad 0x00af9b000000ffff",
    ".quad 0x00cf93000000ffff",
    "trampoline_table:",
    ".word 23",
    "trampoline_table_base: .long 0",
    ".balign 8",
    "trampoline_far:",
    ".long 0",
    ".word 8",
    ".balign 8",
    "trampoline_root: .quad 0",
    "trampoline_stack: .quad 0",
    "trampoline_cpu: .quad 0",
    "trampoline_entry: .quad 0",
    "trampoline_end:",
    options(att_syntax),
);

unsafe extern "C" {
    static trampoline_start: u8;
    static trampoline_long: u8;
    static trampoline_segments: u8;
    static trampoline_table_base: u8;
    static trampoline_far: u8;
    static trampoline_root: u8;
    static trampoline_stack: u8;
    static trampoline_cpu: u8;
    static trampoline_entry: u8;
    static trampoline_end: u8;
}

/// The highest id that the command register of memory-mapped APICs reaches.
const LAST_OLD_ID: u32 = 254;
/// How long a CPU may take to start, in ns.
const PATIENCE: Time = 200_000_000;
/// Between INIT and the start-up interrupt, in ns (Intel SDM vol. 3, 9.4.4).
const AFTER_INIT: Time = 10_000_000;
/// Until the start-up interrupt is repeated, in ns.
const AFTER_START: Time = 1_000_000;

/// How many CPUs have come to [`started`], the first one included.
static STARTED: AtomicU32 = AtomicU32::new(1);
/// The kernel is there: they may ask it for work.
static RELEASED: AtomicBool = AtomicBool::new(false);
/// Local APIC ids of all CPUs.
static FOUND: Lock<heapless::Vec<u32, MAX_FOUND>> = Lock::new(heapless::Vec::new());

/// Notes which CPUs there are.
pub(crate) fn remember(acpi: &Acpi) {
    *FOUND.lock() = acpi.cpus.clone();
}

/// The page that a CPU starts in, and what is written there.
struct Page {
    address: u64,
}

impl Page {
    fn word(&self, symbol: *const u8) -> *mut u8 {
        let offset = symbol as u64 - &raw const trampoline_start as u64;
        (DIRECT + self.address + offset) as *mut u8
    }

    fn set(&self, symbol: *const u8, value: u64) {
        // SAFETY: the word lies in the trampoline's copy, which no CPU reads now; it may be unaligned.
        unsafe { self.word(symbol).cast::<u64>().write_unaligned(value) };
    }

    fn set_half(&self, symbol: *const u8, value: u32) {
        // SAFETY: as in `set`.
        unsafe { self.word(symbol).cast::<u32>().write_unaligned(value) };
    }

    /// Copies the code, and fills in what is the same for all CPUs.
    fn fill(&self, root: u32) {
        let start = &raw const trampoline_start;
        let length = &raw const trampoline_end as usize - start as usize;
        let target = (DIRECT + self.address) as *mut u8;
        // SAFETY: the trampoline is shorter than a page, and the page is the caller's.
        unsafe { target.copy_from_nonoverlapping(start, length) };
        let place = |symbol: *const u8| self.address as u32 + (symbol as u64 - start as u64) as u32;
        self.set_half(
            &raw const trampoline_table_base,
            place(&raw const trampoline_segments),
        );
        self.set_half(&raw const trampoline_far, place(&raw const trampoline_long));
        self.set(&raw const trampoline_root, u64::from(root));
        self.set(&raw const trampoline_entry, started as *const () as u64);
    }
}

/// Starts all other CPUs; answers how many there are now, this one included.
pub(crate) fn start_others(time: &mut Clocks) -> u32 {
    let me = percpu::this().apic.get();
    let others = FOUND.lock().clone();
    let mut number = 1;
    let Some(page) = low_page() else {
        log!("kernel: no page below 1 MiB: only one CPU is used");
        return number;
    };
    for apic_id in others.iter().filter(|id| **id != me) {
        if *apic_id > LAST_OLD_ID && !features().x2apic {
            log!("kernel: APIC id {apic_id} needs x2APIC: that CPU is not used");
            continue;
        }
        if number as usize == MAX_CPUS {
            log!("kernel: more than {MAX_CPUS} CPUs: the rest is not used");
            break;
        }
        if !start(&page, Cpu(number), *apic_id, time) {
            log!("kernel: the CPU with APIC id {apic_id} does not start");
            break;
        }
        number += 1;
    }
    // The mapping is dropped; the page stays unused, in case a CPU comes late.
    // Taking a mapping away needs no table.
    MEMORY.lock().map_identity(page.address, 0).ok();
    asm::invalidate_page(page.address);
    number
}

/// A page that CPUs can start in, with the code in it, mapped where it lies.
fn low_page() -> Option<Page> {
    let mut memory = MEMORY.lock();
    let root = u32::try_from(memory.root()).ok()?;
    let address = memory.low_page()?;
    memory.map_identity(address, flags::PRESENT).ok()?;
    let page = Page { address };
    page.fill(root);
    Some(page)
}

fn start(page: &Page, cpu: Cpu, apic_id: u32, time: &mut Clocks) -> bool {
    let Ok(stacks) = MEMORY.lock().map_stacks(cpu) else {
        return false;
    };
    page.set(&raw const trampoline_stack, stacks[0] - 8);
    page.set(&raw const trampoline_cpu, u64::from(cpu.0));
    percpu::of(cpu).apic.set(apic_id);
    let has_started = || STARTED.load(Ordering::Acquire) > cpu.0;
    apic::send(apic_id, command::INIT);
    time.wait(AFTER_INIT, || false);
    for patience in [AFTER_START, PATIENCE] {
        apic::send(apic_id, command::START | (page.address / PAGE) as u32);
        if time.wait(patience, has_started) {
            return true;
        }
    }
    false
}

/// The kernel is there: the others come in.
pub(crate) fn release_others() {
    RELEASED.store(true, Ordering::Release);
}

/// A CPU has come to long mode, on its own stack.
extern "C" fn started(number: u64) -> ! {
    let cpu = Cpu(number as u32);
    let area = percpu::of(cpu);
    let stacks = MEMORY.lock().map_stacks(cpu);
    let Ok(stacks) = stacks else { asm::halt() };
    // SAFETY: once, on this CPU, with the kernel's tables.
    unsafe { cpu::set_up(cpu, stacks) };
    vector::set_up();
    apic::set_up();
    STARTED.fetch_add(1, Ordering::Release);
    while !RELEASED.load(Ordering::Acquire) {
        core::hint::spin_loop();
    }
    shootdown::join(cpu);
    interrupts::ask(area, Event::Online)
}
