//! What no safe program can do: wild accesses, privileged instructions, memory by address.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use libmach::abi::kern_return::KernReturn;
use libmach::abi::names::Name;
use libmach::abi::vm::{flags, inherit, map_flags, protection};
use libmach::trap;

/// Fresh memory; its address.
pub(crate) fn allocate(size: u64) -> trap::Outcome<u64> {
    // SAFETY: anywhere: the kernel picks a range that is not in use.
    unsafe { trap::vm_allocate(0, size, flags::ANYWHERE) }
}

/// Fresh memory by large pages; its address.
pub(crate) fn allocate_large(size: u64) -> trap::Outcome<u64> {
    // SAFETY: as in `allocate`.
    unsafe { trap::vm_allocate(0, size, flags::ANYWHERE | flags::SUPERPAGE_SIZE_2MB) }
}

/// Asks for memory at a fixed place that is no usable one.
pub(crate) fn allocate_at(address: u64, size: u64) -> trap::Outcome<u64> {
    // SAFETY: nothing is replaced; callers name ranges that are taken or not to be had.
    unsafe { trap::vm_allocate(address, size, flags::FIXED) }
}

/// Unmaps what [`allocate`] gave, or a message brought.
pub(crate) fn deallocate(address: u64, size: u64) -> trap::Outcome<()> {
    // SAFETY: memory of a test, known to it by address only; no reference into it exists.
    unsafe { trap::vm_deallocate(address, size) }
}

/// The flags of a mapping with these protections, of which a child has a copy.
pub(crate) fn map_word(flags: u64, current: u32, maximum: u32) -> u64 {
    flags
        | u64::from(current) << map_flags::CURRENT_SHIFT
        | u64::from(maximum) << map_flags::MAXIMUM_SHIFT
        | u64::from(inherit::COPY) << map_flags::INHERIT_SHIFT
}

/// Maps memory that a name stands for, to be read and written.
pub(crate) fn map(name: Name, size: u64) -> trap::Outcome<u64> {
    const RIGHTS: u64 = (protection::READ | protection::WRITE) as u64;
    let rights = RIGHTS << map_flags::CURRENT_SHIFT | RIGHTS << map_flags::MAXIMUM_SHIFT;
    // SAFETY: anywhere: the kernel picks a range that is not in use; no reference into it is ever made.
    unsafe { trap::vm_map(name, 0, size, 0, map_flags::ANYWHERE | rights) }
}

/// Maps memory that a name stands for in the place of what is at an address.
pub(crate) fn map_over(name: Name, address: u64, size: u64) -> trap::Outcome<u64> {
    const RIGHTS: u64 = (protection::READ | protection::WRITE) as u64;
    let rights = RIGHTS << map_flags::CURRENT_SHIFT | RIGHTS << map_flags::MAXIMUM_SHIFT;
    // SAFETY: memory of a test, known to it by address only; no reference into it exists.
    unsafe { trap::vm_map(name, address, size, 0, map_flags::OVERWRITE | rights) }
}

/// Lets the kernel look at a word: an access whose error is a code.
pub(crate) fn look(address: u64) -> trap::Outcome<()> {
    // SAFETY: nothing waits there, and nothing is written.
    match unsafe { trap::raw(libmach::abi::trap::FUTEX_WAKE, [address, 1, 0, 0, 0, 0]) } {
        (0, _) => Ok(()),
        (code, _) => Err(KernReturn(code as u32)),
    }
}

/// Protects what [`allocate`] gave.
pub(crate) fn protect(address: u64, size: u64, protection: u32) -> trap::Outcome<()> {
    // SAFETY: as for `deallocate`.
    unsafe { trap::vm_protect(address, size, 0, protection) }
}

/// A byte of memory that is known by its address.
pub(crate) fn byte(address: u64) -> u8 {
    // SAFETY: (1) what may go wrong is a fault, which is what some callers are after. (2) Any
    // byte is a `u8`. (3) A volatile read: nothing is assumed of the memory.
    unsafe { (address as *const u8).read_volatile() }
}

/// Copies bytes out of memory that is known by its address.
pub(crate) fn peek(address: u64, size: usize) -> Vec<u8> {
    (address..).take(size).map(byte).collect()
}

/// Fills memory that is known by its address.
pub(crate) fn poke(address: u64, size: usize, value: u8) {
    for address in address..address + size as u64 {
        // SAFETY: as for `byte`; callers name memory of their own, or want the fault.
        unsafe { (address as *mut u8).write_volatile(value) }
    }
}

/// Writes descriptor 0 of the next message so that `size` bytes at `address` leave this task.
pub(crate) fn describe_moving(address: u64, size: u64) {
    let value = libmach::abi::message::Descriptor {
        kind: libmach::abi::message::descriptor::OUT_OF_LINE,
        flags: libmach::abi::message::descriptor::DEALLOCATE,
        address,
        size,
        ..Default::default()
    };
    // SAFETY: memory from `allocate`, known by its address only.
    unsafe { libmach::buffer::set_descriptor_moving(0, value) }
}

/// Calls what lies at an address.
#[cfg(target_os = "none")]
pub(crate) fn jump(address: u64) {
    // SAFETY: a lone `ret` lies there, or no code of this task: then the fetch faults, and the task ends.
    unsafe { core::arch::asm!("call {}", in(reg) address, clobber_abi("C")) }
}

/// Divides by zero, by the instruction.
#[cfg(target_os = "none")]
pub(crate) fn divide_by_zero() {
    // SAFETY: it faults, and the task ends.
    unsafe {
        core::arch::asm!("div {0:e}", in(reg) 0_u32, inout("eax") 1_u32 => _, inout("edx") 0_u32 => _);
    }
}

/// An instruction that is none.
#[cfg(target_os = "none")]
pub(crate) fn undefined() {
    // SAFETY: it faults, and the task ends.
    unsafe { core::arch::asm!("ud2") }
}

/// An instruction of ring 0.
#[cfg(target_os = "none")]
pub(crate) fn privileged() {
    // SAFETY: it faults, and the task ends.
    unsafe { core::arch::asm!("cli") }
}

/// An I/O port without a right to it.
#[cfg(target_os = "none")]
pub(crate) fn touch_port() {
    // SAFETY: it faults, and the task ends.
    unsafe { core::arch::asm!("out dx, al", in("dx") 0x3f8_u16, in("al") b'!') }
}

/// Goes where the code segment of 32-bit programs would be, for a `syscall` from there.
#[cfg(target_os = "none")]
pub(crate) fn enter_compatibility() {
    /// Where a 32-bit address reaches, and no program lies.
    const LOW: u64 = 0x7fff_0000;
    let Ok(address) = allocate_at(LOW, 4096) else {
        return;
    };
    // `ret`; `syscall`, and `ud2` if that comes back; the far address of the second one.
    let far = LOW as u32 + 1;
    let code = [0xc3, 0x0f, 0x05, 0x0f, 0x0b];
    let bytes = code.into_iter().chain(far.to_le_bytes()).chain([0x1b, 0]);
    for (place, byte) in (address..).zip(bytes) {
        poke(place, 1, byte);
    }
    if protect(address, 4096, protection::READ | protection::EXECUTE).is_err() {
        return;
    }
    // The fault that makes the page's code executable would come back to 64-bit code.
    jump(address);
    // SAFETY: the jump faults, and the task ends.
    unsafe { core::arch::asm!("jmp fword ptr [{}]", in(reg) address + code.len() as u64) }
}

/// A trap number below zero that is none.
pub(crate) fn unknown_trap() {
    // SAFETY: no such trap exists; it ends the task.
    unsafe { trap::raw(-9999, [0; 6]) };
}

/// Which CPU this is: the local APIC's id (CPUID leaf 1, Intel SDM volume 2A).
#[cfg(target_os = "none")]
pub(crate) fn cpu() -> u8 {
    (core::arch::x86_64::__cpuid(1).ebx >> 24) as u8
}

/// The words of a [`Page`].
#[derive(Debug)]
pub(crate) struct Words([AtomicU64; 512]);

impl Words {
    /// A word.
    pub(crate) fn get(&self, word: usize) -> u64 {
        self.0[word].load(Ordering::SeqCst)
    }

    /// Sets a word.
    pub(crate) fn set(&self, word: usize, value: u64) {
        self.0[word].store(value, Ordering::SeqCst);
    }

    /// The lower half of a word, for futexes.
    pub(crate) fn half(&self, word: usize) -> &AtomicU32 {
        // SAFETY: (1) the lower half of a word is aligned and alive as long as the word. (2) Whoever uses a word so
        // uses it so only.
        unsafe { AtomicU32::from_ptr(self.0[word].as_ptr().cast()) }
    }
}

/// A zeroed page that children share. It is unmapped here when it is dropped.
#[derive(Debug)]
pub(crate) struct Page(u64);

impl Page {
    /// A page.
    pub(crate) fn new() -> trap::Outcome<Self> {
        const BOTH: u64 = (protection::READ | protection::WRITE) as u64;
        const FLAGS: u64 = map_flags::ANYWHERE
            | BOTH << map_flags::CURRENT_SHIFT
            | BOTH << map_flags::MAXIMUM_SHIFT
            | (inherit::SHARE as u64) << map_flags::INHERIT_SHIFT;
        // SAFETY: anywhere: the kernel picks a range that is not in use.
        unsafe { trap::vm_map(Name::NULL, 0, 4096, 0, FLAGS) }.map(Self)
    }

    /// Where it lies, here and in children.
    pub(crate) fn address(&self) -> u64 {
        self.0
    }
}

impl core::ops::Deref for Page {
    type Target = Words;

    fn deref(&self) -> &Words {
        words(self.0)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // It fails only when it is not mapped, which is what was wanted.
        deallocate(self.0, 4096).unwrap_or_default();
    }
}

/// The page at an address that [`Page::new`] gave, in this task or its parent.
pub(crate) fn words<'a>(address: u64) -> &'a Words {
    // SAFETY: (1) a whole page, mapped as long as the page's owner lives, in a child to its end. (2) All others use it
    // by atomics, too. (3) Any bits are such words.
    unsafe { &*(address as *const Words) }
}

/// FS base of the calling thread: its block, whose first word is its own address (`libmach::thread`).
#[cfg(target_os = "none")]
pub(crate) fn thread_block() -> u64 {
    let block: u64;
    // SAFETY: nobody writes the block any more.
    unsafe {
        core::arch::asm!("mov {}, fs:[0]", out(reg) block, options(pure, readonly, nostack, preserves_flags));
    }
    block
}

/// Registers the copy of its parent's message buffer that a child has at the same address.
#[cfg(target_os = "none")]
pub(crate) fn adopt_buffer() -> trap::Outcome<()> {
    let buffer: u64;
    // SAFETY: the second word of the thread's block is its buffer's address.
    unsafe {
        core::arch::asm!("mov {}, fs:[8]", out(reg) buffer, options(pure, readonly, nostack, preserves_flags));
    }
    // SAFETY: the copy of a buffer that was registered in the parent; the calling thread is the only one of its task.
    unsafe { trap::message_buffer(buffer, libmach::buffer::SIZE as u64) }
}

/// An undefined instruction of two bytes, which a handler may skip; `rbx` behind it is the answer.
#[cfg(target_os = "none")]
pub(crate) fn skipped(value: u64) -> u64 {
    let mut result = value;
    // SAFETY: an exception, whose handler lets the thread go on behind it with another value in the register.
    unsafe { core::arch::asm!("ud2", inout("rax") result, options(nostack)) };
    result
}

/// A breakpoint, which needs no skipping.
#[cfg(target_os = "none")]
pub(crate) fn breakpoint() {
    // SAFETY: an exception; its handler changes no register.
    unsafe { core::arch::asm!("int3", options(nostack)) };
}

/// The lower half of `xmm0` as it is, which then is `value`. (This program is compiled without vector registers.)
#[cfg(target_os = "none")]
pub(crate) fn exchange_vector(value: u64) -> u64 {
    let old: u64;
    // movq rax, xmm0; movq xmm0, rcx: the assembler takes no names of registers that the target does without.
    // SAFETY: nothing else in this program uses the register.
    unsafe {
        core::arch::asm!(
            ".byte 0x66, 0x48, 0x0f, 0x7e, 0xc0",
            ".byte 0x66, 0x48, 0x0f, 0x6e, 0xc1",
            in("rcx") value,
            out("rax") old,
            options(nomem, nostack),
        );
    }
    old
}

/// Where the thread's last x87 instruction lies (the lower half), as `fnstenv` tells it.
#[cfg(target_os = "none")]
pub(crate) fn last_x87() -> u32 {
    /// Words of the environment, and the address's (Intel SDM vol. 1, 8.1.10).
    const ENVIRONMENT: usize = 7;
    const ADDRESS: usize = 3;
    let mut words = [u32::MAX; ENVIRONMENT];
    // SAFETY: the environment is that long; nothing else in this program uses the registers.
    unsafe { core::arch::asm!("fnstenv [{}]", in(reg) &raw mut words, options(nostack)) };
    words[ADDRESS]
}

/// Uses x87.
#[cfg(target_os = "none")]
pub(crate) fn compute_x87() {
    // fld1; ffree st(0); fincstp: the assembler takes no names of registers that the target does without.
    // SAFETY: nothing else in this program uses the registers, which are left empty.
    unsafe {
        core::arch::asm!(
            ".byte 0xd9, 0xe8, 0xdd, 0xc0, 0xd9, 0xf7",
            options(nomem, nostack)
        );
    }
}

/// The word at the base of the segment `gs`.
#[cfg(target_os = "none")]
pub(crate) fn word_by_gs() -> u64 {
    let word: u64;
    // SAFETY: callers have set the base to a word of a page of theirs; another fault would end the child.
    unsafe {
        core::arch::asm!("mov {}, gs:[0]", out(reg) word, options(readonly, nostack, preserves_flags));
    }
    word
}

/// Loads the stack segment from an aligned word, and traps with the next instruction: what the first one meets, the
/// processor tells after the second one.
#[cfg(target_os = "none")]
pub(crate) fn load_stack_segment_and_trap(word: u64) {
    // SAFETY: the selector is the one that is there; the null trap touches nothing.
    unsafe {
        core::arch::asm!(
            "mov eax, ss",
            "mov [{word}], eax",
            "mov rax, {null}",
            "mov ss, word ptr [{word}]",
            "syscall",
            word = in(reg) word,
            null = const libmach::abi::trap::NULL,
            out("rax") _,
            out("rcx") _,
            out("rdx") _,
            out("r11") _,
        );
    }
}

/// A system call of a personality: number and arguments as Linux has them.
#[cfg(target_os = "none")]
pub(crate) fn system_call(number: u64, arguments: [u64; 3]) -> i64 {
    let mut result = number;
    // SAFETY: what it does to memory is what the arguments say, and callers name memory of their own.
    unsafe {
        core::arch::asm!(
            "syscall",
            inout("rax") result,
            in("rdi") arguments[0],
            in("rsi") arguments[1],
            in("rdx") arguments[2],
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    result.cast_signed()
}

/// A semaphore's trap.
pub(crate) fn semaphore(number: i64, arguments: [u64; 3]) -> KernReturn {
    let [first, second, third] = arguments;
    // SAFETY: such a trap touches no memory.
    let (code, _) = unsafe { trap::raw(number, [first, second, third, 0, 0, 0]) };
    KernReturn(code as u32)
}

/// What serves the calls of a personality: a number and three arguments.
pub(crate) type ServeCall = extern "C" fn(u64, u64, u64, u64) -> i64;

/// What [`personality_entry`] calls.
#[cfg(target_os = "none")]
static SERVE: AtomicU64 = AtomicU64::new(0);

/// The address of a personality's entry, from now on one that calls `serve`: it saves what a call keeps, the 128 bytes below the stack
/// pointer included, and goes back to where `rcx` says with the flags in `r11`.
#[cfg(target_os = "none")]
pub(crate) fn personality_entry(serve: ServeCall) -> u64 {
    SERVE.store(serve as *const () as u64, Ordering::SeqCst);
    entry as *const () as u64
}

/// Number in `rax`, arguments in `rdi`, `rsi`, `rdx`; the result goes into `rax`.
#[cfg(target_os = "none")]
#[unsafe(naked)]
unsafe extern "C" fn entry() {
    core::arch::naked_asm!(
        "lea rsp, [rsp - 128]",
        "push rbp",
        "mov rbp, rsp",
        "push rcx",
        "push r11",
        "push rdi",
        "push rsi",
        "push rdx",
        "push r8",
        "push r9",
        "push r10",
        "and rsp, -16",
        "mov rcx, rdx",
        "mov rdx, rsi",
        "mov rsi, rdi",
        "mov rdi, rax",
        "call qword ptr [rip + {serve}]",
        "lea rsp, [rbp - 64]",
        "pop r10",
        "pop r9",
        "pop r8",
        "pop rdx",
        "pop rsi",
        "pop rdi",
        "popfq",
        "pop rcx",
        "pop rbp",
        "lea rsp, [rsp + 128]",
        "jmp rcx",
        serve = sym SERVE,
    )
}

#[cfg(not(target_os = "none"))]
mod host {
    //! The host's own rules hold there: none of this is done.

    pub(crate) fn jump(_: u64) {}
    pub(crate) fn divide_by_zero() {}
    pub(crate) fn undefined() {}
    pub(crate) fn privileged() {}
    pub(crate) fn touch_port() {}
    pub(crate) fn enter_compatibility() {}
    pub(crate) fn cpu() -> u8 {
        0
    }
    pub(crate) fn thread_block() -> u64 {
        0
    }
    pub(crate) fn adopt_buffer() -> libmach::trap::Outcome<()> {
        Ok(())
    }
    pub(crate) fn skipped(value: u64) -> u64 {
        value
    }
    pub(crate) fn breakpoint() {}
    pub(crate) fn exchange_vector(value: u64) -> u64 {
        value
    }
    pub(crate) fn last_x87() -> u32 {
        0
    }
    pub(crate) fn compute_x87() {}
    pub(crate) fn word_by_gs() -> u64 {
        0
    }
    pub(crate) fn load_stack_segment_and_trap(_: u64) {}
    pub(crate) fn system_call(_: u64, _: [u64; 3]) -> i64 {
        0
    }
    pub(crate) fn personality_entry(_: super::ServeCall) -> u64 {
        0
    }
}
#[cfg(not(target_os = "none"))]
pub(crate) use host::{
    adopt_buffer, breakpoint, compute_x87, cpu, divide_by_zero, enter_compatibility,
    exchange_vector, jump, last_x87, load_stack_segment_and_trap, personality_entry, privileged,
    skipped, system_call, thread_block, touch_port, undefined, word_by_gs,
};
