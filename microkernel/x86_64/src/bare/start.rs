//! From the boot loader's jump to the first thread.
//!
//! Two halves: on the loader's stack and tables, until the kernel has its own; then on its own.

use core::alloc::{GlobalAlloc, Layout};
use core::arch::asm;
use core::mem::MaybeUninit;

use ksync::Lock;
use microkernel::kernel::Boot;
use microkernel::machine::{Cpu, Event};
use microkernel_x86_64::acpi;
use microkernel_x86_64::layout::DIRECT;

use super::boot_info::{self, BootInfo};
use super::cpu::{self, features};
use super::kernel::KERNEL;
use super::log::{self, Ending, log};
use super::memory::{MEMORY, Sections};
use super::{apic, exceptions, interrupts, percpu, shootdown, smp, vector};

unsafe extern "C" {
    static image_start: u8;
    #[link_name = "text_end"]
    static code_end: u8;
    static rodata_end: u8;
    static image_end: u8;
}

/// Where the kernel's code begins.
pub(crate) fn text_start() -> u64 {
    &raw const image_start as u64
}

/// Where the kernel's code ends.
pub(crate) fn text_end() -> u64 {
    &raw const code_end as u64
}

/// The kernel has no heap: its objects live in arenas. The arena crate links `alloc` for its tests'
/// regions, and so an allocator must be named.
struct NoHeap;

// SAFETY: no allocation succeeds, so none has to be honoured.
unsafe impl GlobalAlloc for NoHeap {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static HEAP: NoHeap = NoHeap;

/// Events that the trace ring keeps: 384 KiB of memory.
const TRACE_EVENTS: u32 = 8192;

/// What the first half hands to the second one.
static BOOT: Lock<MaybeUninit<BootInfo>> = Lock::new(MaybeUninit::uninit());

/// Ends a run that cannot begin.
fn refuse(why: &str) -> ! {
    log!("kernel: cannot start: {why}");
    log::end(Ending::Panicked)
}

/// Where the boot loader jumps.
#[unsafe(no_mangle)]
extern "C" fn kernel_start() -> ! {
    if let Err(why) = features().check() {
        refuse(why);
    }
    let info = boot_info::read().unwrap_or_else(|why| refuse(why));
    let sections = Sections {
        text_end: text_end(),
        constants_end: &raw const rodata_end as u64,
        end: &raw const image_end as u64,
    };
    let mut memory = MEMORY.lock();
    let image = (info.kernel, &sections);
    let stacks = memory
        .build(info.direct_map, &info.usable, &info.memory, image)
        .and_then(|()| memory.map_stacks(Cpu(0)));
    let Ok(stacks) = stacks else {
        refuse("not enough memory for the kernel's tables");
    };
    let root = memory.root();
    drop(memory);
    BOOT.lock().write(info);
    // SAFETY: the root maps the image and the stack; nothing of the loader's stack is used after it.
    unsafe {
        asm!(
            "mov cr3, {root}",
            "lea rsp, [{stack} - 8]",
            "jmp {next}",
            root = in(reg) root,
            stack = in(reg) stacks[0],
            next = sym on_own_tables,
            options(noreturn),
        )
    }
}

/// The kernel has its own tables and stack; the loader's memory is free.
extern "C" fn on_own_tables() -> ! {
    let guard = BOOT.lock();
    // SAFETY: the first half wrote it.
    let info = unsafe { guard.assume_init_ref() };
    let mut memory = MEMORY.lock();
    memory.take_over();
    let Ok(stacks) = memory.map_stacks(Cpu(0)) else {
        refuse("no stack");
    };
    drop(memory);
    let area = percpu::of(Cpu(0));
    // SAFETY: no CPU uses the table yet.
    unsafe { exceptions::fill_table() };
    // SAFETY: once, on the first CPU, with the kernel's tables.
    unsafe { cpu::set_up(Cpu(0), stacks) };
    vector::set_up();
    start_devices(info);
    // The firmware's tables were read, some of which the loader may have copied.
    MEMORY.lock().add(&info.reclaimable);
    if info.options.verbose {
        log!(
            "kernel: {} pages free, CPU has{}",
            MEMORY.lock().free_pages(),
            features()
        );
        if info.usable.lost() > 0 {
            log!(
                "kernel: {} pages lost: too many ranges in the memory map",
                info.usable.lost()
            );
        }
    }
    let mut kernel = KERNEL.lock();
    let cpus = smp::start_others(&mut kernel.machine.time);
    let boot = Boot {
        image: info.image.clone(),
        archive: info.archive.clone(),
        cpus,
        fast_path: info.options.fast_path,
        trace_events: TRACE_EVENTS,
        variables: info.options.variables,
    };
    if info.options.verbose {
        log!("kernel: {cpus} CPUs");
    }
    if let Err(error) = kernel.boot(&boot) {
        log!("kernel: cannot start: {error:?}");
        log::end(Ending::Panicked);
    }
    if let Some(seconds) = info.options.watchdog {
        kernel.machine.time.set_watchdog(area, seconds);
    }
    drop(kernel);
    drop(guard);
    shootdown::complete(area);
    smp::release_others();
    shootdown::join(area.cpu());
    interrupts::ask(area, Event::Online)
}

/// Finds interrupt controllers and clocks, and starts them.
fn start_devices(info: &BootInfo) {
    let acpi = info
        .rsdp
        .and_then(|address| acpi::read(&mut Tables, address));
    let Some(acpi) = acpi else {
        refuse("no ACPI tables: interrupt controllers and clocks are not found");
    };
    apic::disable_legacy();
    match MEMORY.lock().map_device(acpi.local_apic) {
        Ok(mapped) => apic::set_base(mapped),
        Err(_) => refuse("no memory for the local APIC's mapping"),
    }
    percpu::of(Cpu(0)).apic.set(apic::set_up());
    let mut kernel = KERNEL.lock();
    if let Err(why) = kernel.machine.set_up(&acpi) {
        refuse(why);
    }
    kernel.machine.time.measure();
    smp::remember(&acpi);
}

/// ACPI's memory, which the memory map may call reserved: it is mapped as it is asked for.
struct Tables;

impl acpi::Memory for Tables {
    fn bytes(&mut self, address: u64, length: usize) -> Option<&[u8]> {
        let end = address.checked_add(length as u64)?;
        if end > LIMIT {
            return None;
        }
        MEMORY.lock().map_direct(address, length as u64).ok()?;
        // SAFETY: the range is mapped, and nobody writes firmware tables.
        Some(unsafe { core::slice::from_raw_parts((DIRECT + address) as *const u8, length) })
    }
}

/// Firmware tables lie below 4 GiB.
const LIMIT: u64 = 4 << 30;
