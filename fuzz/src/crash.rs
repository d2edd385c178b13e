//! What a report of a crash is made of: memory, registers, rights and events of a task that did what it liked.

use abi::names::Name;
use abi::symbols;
use abi::thread_state::ThreadState;
use abi::trace::Record;
use crash_reporter::subject::Subject;
use crash_reporter::symbols::Symbols;
use crash_reporter::text::{Facts, write};
use crash_reporter::walk::{MAX_FRAMES, Program, walk};
use interfaces::crash::Crash;
use interfaces::task::{Info, Ledger, Region, RightInfo};
use interfaces::thread::LastMessage;

/// Where its code lies, and its stack.
const CODE: u64 = 0x40_0000;
const STACK: u64 = 0x50_0000;
const SIZE: u64 = 0x1_0000;

/// A task of which all content is the bytes, again and again.
struct Task<'a>(&'a [u8]);

impl Task<'_> {
    fn word(&self, n: usize) -> u64 {
        let byte = |at: usize| u64::from(self.0[(n * 8 + at) % self.0.len()]);
        (0..8).fold(0, |word, at| word << 8 | byte(at))
    }
}

impl Program for Task<'_> {
    fn is_code(&self, address: u64) -> bool {
        (CODE..CODE + SIZE).contains(&address)
    }

    fn read(&self, address: u64, to: &mut [u8]) -> bool {
        Subject::read(self, address, to)
    }

    fn function(&self, address: u64) -> Option<u64> {
        symbols::find(&crate::Table(self.0), address).map(|function| function.start)
    }
}

impl Subject for Task<'_> {
    fn info(&self) -> Option<Info> {
        None
    }

    fn state(&self, _: u32) -> Option<ThreadState> {
        Some(ThreadState {
            rax: self.word(1),
            rdi: self.word(2),
            rsi: self.word(3),
            rip: self.word(4),
            ..ThreadState::default()
        })
    }

    fn read(&self, address: u64, to: &mut [u8]) -> bool {
        let start = address as usize;
        for (at, byte) in to.iter_mut().enumerate() {
            *byte = self.0[start.wrapping_add(at) % self.0.len()];
        }
        (CODE..STACK + SIZE).contains(&address)
    }

    fn regions(&self) -> Vec<Region> {
        let region = |address, protection| Region {
            address,
            size: SIZE,
            protection,
            ..Region::default()
        };
        vec![region(CODE, 5), region(STACK, 3)]
    }

    fn rights(&self) -> Vec<RightInfo> {
        let right = |n: usize| RightInfo {
            name: Name(self.word(n) as u32),
            kind: self.word(n + 1) as u32,
            references: self.word(n + 2) as u32,
            ..RightInfo::default()
        };
        (0..4).map(right).collect()
    }

    fn ledger(&self) -> Option<Ledger> {
        None
    }

    fn threads(&self) -> Vec<u32> {
        vec![0, self.word(5) as u32]
    }

    fn last_message(&self, thread: u32) -> Option<LastMessage> {
        (thread == 0).then(|| LastMessage {
            id: self.word(12) as i32,
            client: self.word(13) as u32,
            client_task: self.word(14) as u32,
        })
    }

    fn records(&self) -> Vec<Record> {
        let record = |n: usize| Record {
            time: self.word(n),
            kind: self.word(n + 1) as u8,
            thread: self.word(n + 1) as u32 >> 8 & 1,
            a: self.word(n + 2),
            b: self.word(n + 3),
            ..Record::default()
        };
        (0..8).map(record).collect()
    }
}

/// A whole report, and a walk through a stack with a table of functions that nobody checked.
pub fn crash(bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let task = Task(bytes);
    let what = Crash {
        kind: task.word(6) as u32,
        code: task.word(7),
        subcode: task.word(8),
        rip: CODE + task.word(9) % SIZE,
        rsp: STACK + task.word(10) % SIZE,
        thread: task.word(11),
    };
    let words: Vec<u64> = (0..512).map(|n| CODE + task.word(n) % SIZE).collect();
    assert!(walk(&task, what.rip, &words).len() <= MAX_FRAMES);
    let symbols = Symbols::new(None);
    let table = symbols.of("task");
    let facts = Facts::gather(&task, &table, what);
    let mut text = String::new();
    write(&mut text, (&task, &table), ("task", task.word(12)), &facts).expect("strings grow");
    assert!(
        text.chars().all(|c| c == '\n' || !c.is_control()),
        "a report steers the terminal: {text:?}"
    );
}
