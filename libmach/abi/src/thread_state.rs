//! The registers of a thread, as `thread_get_state` and `thread_set_state` carry them.

/// What [`ThreadState`] is called as a flavor: `x86_THREAD_STATE64`.
pub const FLAVOR: u32 = 4;
/// x87 and SSE registers, [`FLOAT_SIZE`] bytes as `fxsave64` lays them out: `x86_FLOAT_STATE64`, without the words that XNU
/// reserves around it.
pub const FLOAT_FLAVOR: u32 = 5;
/// Debug registers, [`DebugState`]: `x86_DEBUG_STATE64`.
pub const DEBUG_FLAVOR: u32 = 11;
/// The same as [`FLOAT_FLAVOR`], and behind it the upper halves of the 16 `ymm` registers: [`AVX_SIZE`] bytes.
/// `x86_AVX_STATE64`, with the same difference.
pub const AVX_FLAVOR: u32 = 17;

/// Bytes of [`FLOAT_FLAVOR`].
pub const FLOAT_SIZE: usize = 512;
/// Bytes of [`AVX_FLAVOR`].
pub const AVX_SIZE: usize = 768;

/// Debug registers: addresses, what was met last, what is watched (Intel SDM vol. 3, 17.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
#[allow(missing_docs, reason = "the registers' own names")]
pub struct DebugState {
    pub dr0: u64,
    pub dr1: u64,
    pub dr2: u64,
    pub dr3: u64,
    /// Not there; 0.
    pub dr4: u64,
    /// Not there; 0.
    pub dr5: u64,
    pub dr6: u64,
    pub dr7: u64,
}

/// General registers (`x86_THREAD_STATE64`: the same order, but both segment bases in the place of the selectors, which are the
/// kernel's and the same for all threads).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
#[allow(missing_docs, reason = "the registers' own names")]
pub struct ThreadState {
    pub rax: u64,
    pub rbx: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rbp: u64,
    pub rsp: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rip: u64,
    pub rflags: u64,
    pub fs_base: u64,
    pub gs_base: u64,
}

impl ThreadState {
    /// All registers with their names, for reports.
    pub const fn named(&self) -> [(&'static str, u64); 20] {
        [
            ("rax", self.rax),
            ("rbx", self.rbx),
            ("rcx", self.rcx),
            ("rdx", self.rdx),
            ("rsi", self.rsi),
            ("rdi", self.rdi),
            ("rbp", self.rbp),
            ("rsp", self.rsp),
            ("r8", self.r8),
            ("r9", self.r9),
            ("r10", self.r10),
            ("r11", self.r11),
            ("r12", self.r12),
            ("r13", self.r13),
            ("r14", self.r14),
            ("r15", self.r15),
            ("rip", self.rip),
            ("efl", self.rflags),
            ("fs", self.fs_base),
            ("gs", self.gs_base),
        ]
    }
}

/// The flags that user code may have set: arithmetic flags, direction, trap, alignment check, ID.
pub const USER_FLAGS: u64 = 0x0024_0dd5;
/// Flags that are always set in user mode: bit 1 and interrupts enabled.
pub const FIXED_FLAGS: u64 = 0x202;
