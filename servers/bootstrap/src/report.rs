//! An exception in words: who, what, where, and the registers.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use abi::exception;
use abi::thread_state::ThreadState;
use interfaces::crash::Crash;
use libmach::abi;

/// What is known of an exception.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Exception {
    /// What its message said.
    pub crash: Crash,
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
        let crash = Crash {
            kind: u32::try_from(kind).unwrap_or(0),
            code,
            subcode,
            rip,
            rsp,
            thread,
        };
        Self {
            crash,
            ..Self::default()
        }
    }

    /// Address and size of a panic's text, when the registers say that it is one.
    pub fn panic_text(&self) -> Option<(u64, u64)> {
        self.crash.panic(self.state.as_ref()?)
    }

    /// One line without the task's name.
    pub fn summary(&self) -> String {
        match &self.panic {
            Some(panic) => format!("panicked: {panic}"),
            None => format!("{}", self.crash),
        }
    }

    /// The lines that follow the summary in a report about the task called `name`.
    pub fn lines(&self, name: &str) -> Vec<String> {
        let mut lines = Vec::new();
        lines.push(format!(
            "{name}: {} code {:#x} subcode {:#x} rip {:#x} rsp {:#x} thread {:#x}",
            exception::name(self.crash.kind),
            self.crash.code,
            self.crash.subcode,
            self.crash.rip,
            self.crash.rsp,
            self.crash.thread
        ));
        if let Some(state) = &self.state {
            for row in state.named().chunks(4) {
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
        assert_eq!(exception.lines("echo").len(), 1, "no registers, no rows");
        exception.state = Some(ThreadState {
            r13: 0xabc,
            ..ThreadState::default()
        });
        exception.stack = [7; 8].into();
        let lines = exception.lines("echo");
        assert_eq!(lines.len(), 1 + 5 + 2);
        assert!(lines[0].starts_with("echo: EXC_BAD_ACCESS code 0x1"));
        assert!(lines[4].contains("r13 0x0000000000000abc"), "{lines:?}");
        assert!(lines[7].starts_with("rsp+0x20  0x0000000000000007"));
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
