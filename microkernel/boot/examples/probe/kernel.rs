//! The probe itself. Unsafe code is here as it is in any kernel: it reads what the stub wrote.

use core::arch::{asm, global_asm};
use core::fmt::{self, Write};
use core::panic::PanicInfo;

use limine::BaseRevision;
use limine::file::File;
use limine::memory_map::EntryType;
use limine::request::{
    BootloaderInfoRequest, EntryPointRequest, ExecutableAddressRequest, ExecutableCmdlineRequest,
    ExecutableFileRequest, FirmwareTypeRequest, HhdmRequest, MemoryMapRequest, ModuleRequest,
    MpRequest, PagingModeRequest, RequestsEndMarker, RequestsStartMarker, RsdpRequest,
    StackSizeRequest,
};

macro_rules! requests {
    ($($section:literal $name:ident: $kind:ty = $value:expr;)*) => {
        $(#[used]
        #[unsafe(link_section = $section)]
        static $name: $kind = $value;)*
    };
}

requests! {
    ".requests.0" START: RequestsStartMarker = RequestsStartMarker::new();
    ".requests.1" REVISION: BaseRevision = BaseRevision::with_revision(3);
    ".requests.1" BOOTLOADER: BootloaderInfoRequest = BootloaderInfoRequest::new();
    ".requests.1" FIRMWARE: FirmwareTypeRequest = FirmwareTypeRequest::new();
    ".requests.1" STACK: StackSizeRequest = StackSizeRequest::new().with_size(128 << 10);
    ".requests.1" DIRECT_MAP: HhdmRequest = HhdmRequest::new();
    ".requests.1" PAGING: PagingModeRequest = PagingModeRequest::new();
    ".requests.1" PROCESSORS: MpRequest = MpRequest::new();
    ".requests.1" MEMORY: MemoryMapRequest = MemoryMapRequest::new();
    ".requests.1" ENTRY: EntryPointRequest = EntryPointRequest::new().with_entry_point(asked_entry);
    ".requests.1" FILE: ExecutableFileRequest = ExecutableFileRequest::new();
    ".requests.1" MODULES: ModuleRequest = ModuleRequest::new();
    ".requests.1" RSDP: RsdpRequest = RsdpRequest::new();
    ".requests.1" ADDRESS: ExecutableAddressRequest = ExecutableAddressRequest::new();
    ".requests.1" COMMAND_LINE: ExecutableCmdlineRequest = ExecutableCmdlineRequest::new();
    ".requests.2" END: RequestsEndMarker = RequestsEndMarker::new();
}

/// Ends the report when a promise does not hold.
macro_rules! promised {
    ($out:expr, $what:literal, $holds:expr $(,)?) => {
        if !$holds {
            writeln!($out, "probe: not as promised: {}", $what)?;
            return Err(fmt::Error);
        }
    };
}

/// The machine's state as it was at the entry.
#[repr(C)]
struct AtEntry {
    stack: u64,
    return_address: u64,
    flags: u64,
    code: u64,
    general: u64,
}

unsafe extern "C" {
    safe fn asked_entry() -> !;
}

// The file's entry stops at once: the kernel asks for another one. That one keeps what the protocol promises of the registers, then goes on in Rust.
global_asm!(
    ".section .text.start, \"ax\"",
    ".globl kernel_start",
    "kernel_start:",
    "ud2",
    "asked_entry:",
    "or rax, rbx",
    "or rax, rcx",
    "or rax, rdx",
    "or rax, rsi",
    "or rax, rdi",
    "or rax, rbp",
    "or rax, r8",
    "or rax, r9",
    "or rax, r10",
    "or rax, r11",
    "or rax, r12",
    "or rax, r13",
    "or rax, r14",
    "or rax, r15",
    "mov rbx, rsp",
    "mov rcx, [rsp]",
    "pushfq",
    "pop rdx",
    "mov rsi, cs",
    "push rax",
    "push rsi",
    "push rdx",
    "push rcx",
    "push rbx",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {main}",
    "ud2",
    main = sym main,
);

extern "C" fn main(at_entry: &AtEntry) -> ! {
    let mut out = Console;
    if report(&mut out, at_entry).is_err() {
        exit(0x11);
    }
    writeln!(out, "probe: all as promised").unwrap_or_default();
    exit(0x10)
}

/// Prints everything; an error when something is not as promised.
fn report(out: &mut Console, at_entry: &AtEntry) -> fmt::Result {
    promised!(
        out,
        "base revision",
        REVISION.is_supported() && REVISION.loaded_revision() == Some(3),
    );
    machine_state(out, at_entry)?;
    let offset = DIRECT_MAP.get_response().ok_or(fmt::Error)?.offset();
    let bootloader = BOOTLOADER.get_response().ok_or(fmt::Error)?;
    writeln!(
        out,
        "probe: {} {}, direct map {offset:#x}",
        bootloader.name(),
        bootloader.version()
    )?;
    let address = ADDRESS.get_response().ok_or(fmt::Error)?;
    writeln!(
        out,
        "probe: at {:#x}, physical {:#x}",
        address.virtual_base(),
        address.physical_base()
    )?;
    let command_line = COMMAND_LINE.get_response().ok_or(fmt::Error)?.cmdline();
    writeln!(out, "probe: command line {command_line:?}")?;
    promised!(out, "paging mode", PAGING.get_response().is_some());
    promised!(out, "stack", STACK.get_response().is_some());
    promised!(out, "entry", ENTRY.get_response().is_some());
    promised!(out, "firmware", FIRMWARE.get_response().is_some());
    promised!(out, "no processors", PROCESSORS.get_response().is_none());
    memory(out, offset)?;
    let file = FILE.get_response().ok_or(fmt::Error)?.file();
    promised!(out, "kernel's file", contents(file).starts_with(b"\x7fELF"));
    for module in MODULES.get_response().ok_or(fmt::Error)?.modules() {
        let sum: u64 = contents(module).iter().map(|byte| u64::from(*byte)).sum();
        writeln!(
            out,
            "probe: module {:?} at {:?}, {} bytes, sum {sum}",
            module.path(),
            module.addr(),
            module.size()
        )?;
        promised!(out, "alignment", module.addr().addr().is_multiple_of(4096));
    }
    // It is physical, and in memory that the direct map need not hold.
    if let Some(rsdp) = RSDP.get_response() {
        writeln!(out, "probe: RSDP at {:#x}", rsdp.address())?;
    }
    Ok(())
}

fn machine_state(out: &mut Console, at_entry: &AtEntry) -> fmt::Result {
    let (cr0, cr4, efer): (u64, u64, u64);
    // SAFETY: control registers are read in ring 0; the register EFER exists in long mode.
    unsafe {
        asm!("mov {}, cr0", "mov {}, cr4", out(reg) cr0, out(reg) cr4, options(nomem));
        let (low, high): (u32, u32);
        asm!("rdmsr", in("ecx") 0xc000_0080_u32, out("eax") low, out("edx") high, options(nomem));
        efer = u64::from(high) << 32 | u64::from(low);
    }
    writeln!(
        out,
        "probe: cr0 {cr0:#x}, cr4 {cr4:#x}, efer {efer:#x}, flags {:#x}",
        at_entry.flags
    )?;
    promised!(
        out,
        "write protection and paging",
        cr0 & 0x8001_0001 == 0x8001_0001,
    );
    promised!(out, "long mode and no-execute", efer & 0xd00 == 0xd00);
    promised!(
        out,
        "interrupts and direction off",
        at_entry.flags & 0x600 == 0,
    );
    promised!(out, "64-bit code segment", at_entry.code == 0x28);
    promised!(out, "general registers zero", at_entry.general == 0);
    promised!(
        out,
        "return address zero",
        at_entry.return_address == 0 && at_entry.stack % 16 == 8,
    );
    // Touch the whole of the stack that was asked for.
    for below in (8..128 << 10)
        .step_by(4096)
        .map(|offset| at_entry.stack - offset)
    {
        // SAFETY: it lies in the stack given, far below what is used of it.
        let _byte = unsafe { (below as *const u8).read_volatile() };
    }
    Ok(())
}

fn memory(out: &mut Console, offset: u64) -> fmt::Result {
    let mut last = 0;
    for entry in MEMORY.get_response().ok_or(fmt::Error)?.entries() {
        let end = entry.base + entry.length;
        writeln!(
            out,
            "probe: {:#014x}..{end:#014x} {}",
            entry.base,
            name(entry.entry_type)
        )?;
        promised!(out, "order", last <= entry.base);
        last = end;
        if entry.entry_type != EntryType::USABLE {
            continue;
        }
        promised!(
            out,
            "alignment",
            entry.base % 4096 == 0 && entry.length % 4096 == 0,
        );
        for at in [entry.base.max(4096), end - 8] {
            let word = (offset + at) as *mut u64;
            // SAFETY: usable memory, in the direct map, used by nobody.
            let same = unsafe {
                word.write_volatile(0x1234_5678 ^ at);
                word.read_volatile() == 0x1234_5678 ^ at
            };
            promised!(out, "memory keeps what is written", same);
        }
    }
    Ok(())
}

fn name(kind: EntryType) -> &'static str {
    match kind {
        EntryType::USABLE => "usable",
        EntryType::RESERVED => "reserved",
        EntryType::ACPI_RECLAIMABLE => "ACPI tables",
        EntryType::ACPI_NVS => "ACPI storage",
        EntryType::BAD_MEMORY => "bad",
        EntryType::BOOTLOADER_RECLAIMABLE => "bootloader",
        EntryType::EXECUTABLE_AND_MODULES => "kernel and modules",
        _ => "other",
    }
}

fn contents(file: &File) -> &[u8] {
    // SAFETY: the protocol: `size` bytes at `addr`, mapped, written by nobody.
    unsafe { core::slice::from_raw_parts(file.addr(), usize::try_from(file.size()).unwrap_or(0)) }
}

struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // SAFETY: debugcon takes bytes and touches no memory.
            unsafe { asm!("out 0xe9, al", in("al") byte, options(nomem, nostack)) };
        }
        Ok(())
    }
}

fn exit(status: u8) -> ! {
    loop {
        // SAFETY: QEMU's exit device, or nothing; then the processor stops.
        unsafe { asm!("out 0xf4, al", "cli", "hlt", in("al") status, options(nomem, nostack)) };
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    writeln!(Console, "probe: {info}").unwrap_or_default();
    exit(0x11)
}
