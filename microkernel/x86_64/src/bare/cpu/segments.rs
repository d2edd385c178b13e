//! Segments and the task-state segment: what little of them long mode still needs.

use core::arch::asm;

use crate::bare::memory::FAULT_STACKS;

const KERNEL_CODE: u16 = 0x08;
const KERNEL_DATA: u16 = 0x10;
/// `sysret` adds 8 and 16 to it for data and code. The entry itself is empty: it would be the code segment of 32-bit
/// programs, whose `syscall` some processors take to an entry of its own, and the kernel has none.
const USER_BASE: u16 = 0x18;
/// The user's stack segment.
pub(crate) const USER_DATA: u16 = 0x20 | 3;
/// The user's code segment.
pub(crate) const USER_CODE: u16 = 0x28 | 3;
const TASK_STATE: u16 = 0x30;

/// What `syscall` and `sysret` load.
pub(super) const STAR: u64 = (USER_BASE as u64 | 3) << 48 | (KERNEL_CODE as u64) << 32;

/// The stack that a fault gets which may come when none is usable.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(crate) enum FaultStack {
    None = 0,
    NonMaskable = 1,
    DoubleFault = 2,
    MachineCheck = 3,
    /// A watchpoint met by the instruction before a trap's first one: the stack is still the user's.
    Debug = 4,
}

/// The task-state segment (Intel SDM vol. 3, 8.7).
#[repr(C, packed(4))]
struct TaskState {
    reserved: u32,
    stacks: [u64; 3],
    reserved2: u64,
    fault_stacks: [u64; 7],
    reserved3: u64,
    reserved4: u16,
    /// Beyond the segment: no port is allowed to user mode.
    ports: u16,
}

const _: () = assert!(size_of::<TaskState>() == 104);

/// A CPU's segment table and task state.
#[repr(C, align(16))]
pub(crate) struct Tables {
    segments: [u64; 8],
    task: TaskState,
}

#[repr(C, packed)]
struct Pointer {
    limit: u16,
    base: u64,
}

impl Tables {
    /// The same for each CPU, but for the task state's address and stacks.
    pub(crate) const fn new() -> Self {
        Self {
            segments: [
                0,
                0x00af_9b00_0000_ffff,
                0x00cf_9300_0000_ffff,
                0,
                0x00cf_f300_0000_ffff,
                0x00af_fb00_0000_ffff,
                0,
                0,
            ],
            task: TaskState {
                reserved: 0,
                stacks: [0; 3],
                reserved2: 0,
                fault_stacks: [0; 7],
                reserved3: 0,
                reserved4: 0,
                ports: size_of::<TaskState>() as u16,
            },
        }
    }

    /// Makes this CPU use the tables.
    ///
    /// # Safety
    /// They live for ever at this place, are this CPU's own, and the stacks are mapped.
    pub(crate) unsafe fn load(&mut self, stack: u64, faults: [u64; FAULT_STACKS]) {
        self.task.stacks = [stack, 0, 0];
        let [non_maskable, double_fault, machine_check, debug] = faults;
        self.task.fault_stacks = [non_maskable, double_fault, machine_check, debug, 0, 0, 0];
        let base = &raw const self.task as u64;
        let limit = size_of::<TaskState>() as u64 - 1;
        // Present, type 9: an available 64-bit task state.
        self.segments[6] =
            limit | (base & 0xff_ffff) << 16 | 0x89 << 40 | (base >> 24 & 0xff) << 56;
        self.segments[7] = base >> 32;
        let pointer = Pointer {
            limit: size_of_val(&self.segments) as u16 - 1,
            base: self.segments.as_ptr() as u64,
        };
        // SAFETY: the table lives for ever (contract) and has the selectors that are loaded next.
        unsafe { asm!("lgdt [{}]", in(reg) &raw const pointer, options(nostack, preserves_flags)) };
        // SAFETY: the far return goes to the next instruction, with the kernel's code segment.
        unsafe {
            asm!(
                "push {code}",
                "lea {scratch}, [rip + 2f]",
                "push {scratch}",
                "retfq",
                "2:",
                "mov ss, {data:e}",
                "mov ds, {zero:e}",
                "mov es, {zero:e}",
                "mov fs, {zero:e}",
                "mov gs, {zero:e}",
                code = const KERNEL_CODE,
                scratch = out(reg) _,
                data = in(reg) u32::from(KERNEL_DATA),
                zero = in(reg) 0,
                options(preserves_flags),
            );
        }
        // SAFETY: the descriptor was written above.
        unsafe { asm!("ltr {:x}", in(reg) TASK_STATE, options(nostack, preserves_flags)) };
    }
}
