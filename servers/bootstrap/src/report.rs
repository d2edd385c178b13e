//! An exception in words: who, what, where, and the registers.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use abi::exception;
use abi::thread_state::ThreadState;
use libmach::abi;

/// What is known of an exception.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Exception {
    /// Its type ([`abi::exception`]).
    pub kind: u32,
    /// The first code.
    pub code: u64,
    /// The second code.
    pub subcode: u64,
    /// Where it was raised.
    pub rip: u64,
    /// The stack pointer.
    pub rsp: u64,
    /// Number of the thread that raised it.
    pub thread: u64,
    /// The thread's registers, when they could be read.
    pub state: Option<ThreadState>,
    /// The words at the stack pointer, when they could be read.
    pub stack: Vec<u64>,
    /// What a panic said.
    pub panic: Option<String>,
}

impl Exception {
    /// An exception message's words.
    pub fn of(words: [u64; 6]) -> Self {
        let [kind, code, subcode, rip, rsp, thread] = words;
        Self {
            kind: u32::try_from(kind).unwrap_or(0),
            code,
            subcode,
            rip,
            rsp,
            thread,
            ..Self::default()
        }
    }

    /// Address and size of a panic's text, when the registers say that it is one
    /// (`libmach::machine::panic`).
    pub fn panic_text(&self) -> Option<(u64, u64)> {
        let state = self.state.as_ref()?;
        let is_panic =
            self.kind == exception::BREAKPOINT && state.rax == exception::software::PANIC;
        is_panic.then_some((state.rdi, state.rsi))
    }

    /// One line without the task's name.
    pub fn summary(&self) -> String {
        if let Some(panic) = &self.panic {
            return format!("panicked: {panic}");
        }
        let name = exception::name(self.kind);
        match self.kind {
            exception::BAD_ACCESS => {
                format!("{name} at address {:#x}, rip {:#x}", self.subcode, self.rip)
            }
            _ => format!(
                "{name} code {:#x} subcode {:#x}, rip {:#x}",
                self.code, self.subcode, self.rip
            ),
        }
    }

    /// The lines of a report about the task called `name`.
    pub fn lines(&self, name: &str) -> Vec<String> {
        let mut lines = Vec::new();
        lines.push(format!("{name}: {}", self.summary()));
        lines.push(format!(
            "{name}: {} code {:#x} subcode {:#x} rip {:#x} rsp {:#x} thread {:#x}",
            exception::name(self.kind),
            self.code,
            self.subcode,
            self.rip,
            self.rsp,
            self.thread
        ));
        if let Some(state) = &self.state {
            for row in registers(state).chunks(4) {
                let cells: Vec<_> = row
                    .iter()
                    .map(|(register, value)| format!("{register:>3} {value:#018x}"))
                    .collect();
                lines.push(cells.join("  "));
            }
        }
        for (row, words) in self.stack.chunks(4).enumerate() {
            let cells: Vec<_> = words.iter().map(|word| format!("{word:#018x}")).collect();
            lines.push(format!("rsp+{:#04x}  {}", row * 32, cells.join("  ")));
        }
        lines
    }
}

fn registers(state: &ThreadState) -> [(&'static str, u64); 20] {
    [
        ("rax", state.rax),
        ("rbx", state.rbx),
        ("rcx", state.rcx),
        ("rdx", state.rdx),
        ("rsi", state.rsi),
        ("rdi", state.rdi),
        ("rbp", state.rbp),
        ("rsp", state.rsp),
        ("r8", state.r8),
        ("r9", state.r9),
        ("r10", state.r10),
        ("r11", state.r11),
        ("r12", state.r12),
        ("r13", state.r13),
        ("r14", state.r14),
        ("r15", state.r15),
        ("rip", state.rip),
        ("efl", state.rflags),
        ("fs", state.fs_base),
        ("gs", state.gs_base),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_who_what_where_and_the_registers() {
        let mut exception = Exception::of([1, 1, 0x10, 0x40_1000, 0x7000, 9]);
        assert_eq!(
            exception.summary(),
            "EXC_BAD_ACCESS at address 0x10, rip 0x401000"
        );
        assert_eq!(exception.lines("echo").len(), 2, "no registers, no rows");
        exception.state = Some(ThreadState {
            r13: 0xabc,
            ..ThreadState::default()
        });
        exception.stack = [7; 8].into();
        let lines = exception.lines("echo");
        assert_eq!(lines.len(), 2 + 5 + 2);
        assert!(lines[0].starts_with("echo: EXC_BAD_ACCESS"));
        assert!(lines[5].contains("r13 0x0000000000000abc"), "{lines:?}");
        assert!(lines[8].starts_with("rsp+0x20  0x0000000000000007"));
        assert!(
            lines.iter().all(|line| line.len() <= 192),
            "one record each"
        );
    }

    #[test]
    fn a_panic_is_told_by_its_registers() {
        let mut exception = Exception::of([exception::BREAKPOINT.into(), 3, 0, 1, 2, 3]);
        assert_eq!(exception.panic_text(), None);
        let mut state = ThreadState {
            rax: exception::software::PANIC,
            rdi: 0x5000,
            rsi: 12,
            ..ThreadState::default()
        };
        exception.state = Some(state);
        assert_eq!(exception.panic_text(), Some((0x5000, 12)));
        exception.panic = Some("no more".into());
        assert_eq!(exception.summary(), "panicked: no more");
        state.rax = 0;
        exception.state = Some(state);
        assert_eq!(exception.panic_text(), None, "an ordinary breakpoint");
    }
}
