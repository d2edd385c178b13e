//! Reports about a task of the test's own, and the server over the host backend.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use archive::Archive;
use crash_reporter::server::{Server, file};
use crash_reporter::shelf::{CAPACITY, Shelf};
use crash_reporter::subject::Subject;
use crash_reporter::symbols::Symbols;
use interfaces::bounded::Text;
use interfaces::crash::{Crash, CrashReporter};
use interfaces::task::{Info, Ledger, Region, RightInfo, Task};
use interfaces::thread::LastMessage;
use libmach::abi::kern_return::KernReturn;
use libmach::abi::names::{Name, port_type};
use libmach::abi::thread_state::ThreadState;
use libmach::abi::trace::{Kind, Record};
use libmach::abi::vm::protection;
use libmach::abi::{exception, symbols};
use libmach::host::Names;
use libmach::{Error, ReceiveRight, SendRight};

const CODE: u64 = 0x40_0000;
const STACK: u64 = 0x7000_0000;
const THREAD: u32 = 31;

/// A task whose function `inner` was called by `outer`, and panicked.
struct Fake {
    code: Vec<u8>,
    stack: Vec<u8>,
}

impl Fake {
    fn new() -> Self {
        let mut code = vec![0x90; 0x1000];
        // `outer` at 0x200 calls `inner` at 0x100, which calls the panic handler at 0x300.
        for (at, target) in [(0x210_i32, 0x100), (0x110, 0x300)] {
            let place = at as usize;
            code[place] = 0xe8;
            code[place + 1..place + 5].copy_from_slice(&(target - (at + 5)).to_le_bytes());
        }
        let words = [CODE + 0x115, 7, CODE + 0x215, 0];
        let mut stack: Vec<u8> = words
            .iter()
            .flat_map(|word: &u64| word.to_le_bytes())
            .collect();
        stack.extend(b"no\x1bmore");
        stack.resize(0x100, 0);
        Self { code, stack }
    }

    fn crash() -> Crash {
        Crash {
            kind: exception::BREAKPOINT,
            code: 3,
            subcode: 0,
            rip: CODE + 0x320,
            rsp: STACK,
            thread: u64::from(THREAD) | 5 << 32,
        }
    }
}

impl Subject for Fake {
    fn info(&self) -> Option<Info> {
        Some(Info {
            index: 14,
            ..Info::default()
        })
    }

    fn state(&self, thread: u32) -> Option<ThreadState> {
        (thread == THREAD).then(|| ThreadState {
            rax: exception::software::PANIC,
            rdi: STACK + 32,
            rsi: 7,
            r13: 0xabc,
            ..ThreadState::default()
        })
    }

    fn read(&self, address: u64, to: &mut [u8]) -> bool {
        for (start, bytes) in [(CODE, &self.code), (STACK, &self.stack)] {
            let from = address.wrapping_sub(start) as usize;
            let end = from.checked_add(to.len());
            if let Some(found) = end.and_then(|end| bytes.get(from..end)) {
                to.copy_from_slice(found);
                return true;
            }
        }
        false
    }

    fn regions(&self) -> Vec<Region> {
        let region = |address, size: usize, protection| Region {
            address,
            size: size as u64,
            protection,
            ..Region::default()
        };
        let execute = protection::READ | protection::EXECUTE;
        vec![
            region(CODE, self.code.len(), execute),
            region(STACK, self.stack.len(), protection::READ),
        ]
    }

    fn rights(&self) -> Vec<RightInfo> {
        vec![RightInfo {
            name: Name(0x301),
            kind: port_type::RECEIVE | port_type::SEND,
            references: 2,
            messages: 3,
            ..RightInfo::default()
        }]
    }

    fn last_message(&self, thread: u32) -> Option<LastMessage> {
        (thread == THREAD).then_some(LastMessage {
            id: 3500,
            client: 7,
            client_task: 2,
        })
    }

    fn ledger(&self) -> Option<Ledger> {
        let mut ledger = Ledger::default();
        (ledger.used.names, ledger.limits.names) = (12, 4096);
        Some(ledger)
    }

    fn threads(&self) -> Vec<u32> {
        vec![THREAD]
    }

    fn records(&self) -> Vec<Record> {
        let record = |thread, a| Record {
            kind: Kind::Fault as u8,
            thread,
            a,
            ..Record::default()
        };
        vec![record(THREAD, 0x1000), record(9, 0x2000)]
    }
}

/// The symbols of a program called `app`.
fn app() -> Symbols {
    let functions = [
        (0x100, "app::inner"),
        (0x200, "app::outer"),
        (0x300, "rust_begin_unwind"),
    ];
    let mut table = symbols::MAGIC.to_le_bytes().to_vec();
    table.extend((functions.len() as u64).to_le_bytes());
    let mut name = 16 + 16 * functions.len() as u32;
    for (offset, text) in functions {
        for half in [CODE as u32 + offset, 0x100, name, text.len() as u32] {
            table.extend(half.to_le_bytes());
        }
        name += text.len() as u32;
    }
    for (_, text) in functions {
        table.extend(text.as_bytes());
    }
    Symbols::new(Some(
        Archive::read(tar("servers/app/symbols", &table)).unwrap(),
    ))
}

/// An archive of one file.
fn tar(path: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0; 512];
    header[..path.len()].copy_from_slice(path.as_bytes());
    header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
    header[148..156].fill(b' ');
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut all = [&header, content].concat();
    all.resize(all.len().next_multiple_of(512) + 1024, 0);
    all
}

fn text(shelf: &Shelf, number: u64) -> String {
    let mut bytes = Vec::new();
    loop {
        let piece = shelf.read(number, bytes.len() as u32).unwrap();
        if piece.is_empty() {
            return String::from_utf8(bytes).unwrap();
        }
        bytes.extend_from_slice(&piece);
    }
}

//
#[test]
fn a_report_has_all_that_the_task_tells() {
    let mut shelf = Shelf::default();
    let filed = file((&app(), &mut shelf), &Fake::new(), "app", Fake::crash());
    assert_eq!((filed.number, &*filed.place), (1, "app::inner"));
    let summary = shelf.list(0)[0];
    assert_eq!((summary.task, &*summary.name), (14, "app"));
    assert_eq!(&*summary.what, "panicked: no more");
    let text = text(&shelf, 1);
    assert_eq!(text.len(), summary.size as usize);
    for expected in [
        "app, task 14, thread 31, at ",
        "panicked: no more\n",
        "EXC_BREAKPOINT code 0x3 subcode 0x0; POSIX: SIGABRT\n",
        "r13 0x0000000000000abc",
        "#0  0x0000000000400320   rust_begin_unwind+0x20\n",
        "#1  0x0000000000400115   app::inner+0x14\n",
        "#2  0x0000000000400215   app::outer+0x14\n",
        "+0x00  0x0000000000400115  0x0000000000000007",
        "0x301 receive send, references 2, port 0, 3 queued\n",
        "names        12 of 4096\n",
        "thread 31: org.mello.task.terminate, id 3500; owes task 2, thread 6 an answer\n",
        "thread 31: page fault at 0x1000 (read)\n",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in\n{text}");
    }
    assert!(!text.contains("0x2000"), "another task's event\n{text}");
}

/// A task that has ended before anybody looked.
struct Gone;

impl Subject for Gone {
    fn info(&self) -> Option<Info> {
        None
    }

    fn state(&self, _: u32) -> Option<ThreadState> {
        None
    }

    fn read(&self, _: u64, _: &mut [u8]) -> bool {
        false
    }

    fn regions(&self) -> Vec<Region> {
        Vec::new()
    }

    fn rights(&self) -> Vec<RightInfo> {
        Vec::new()
    }

    fn last_message(&self, _: u32) -> Option<LastMessage> {
        None
    }

    fn ledger(&self) -> Option<Ledger> {
        None
    }

    fn threads(&self) -> Vec<u32> {
        Vec::new()
    }

    fn records(&self) -> Vec<Record> {
        Vec::new()
    }
}

#[test]
fn a_task_that_tells_nothing_has_a_report_with_its_exception() {
    let crash = Crash {
        kind: exception::BAD_ACCESS,
        code: KernReturn::ProtectionFailure.0.into(),
        subcode: 0x5000,
        ..Crash::default()
    };
    let mut shelf = Shelf::default();
    let filed = file((&Symbols::new(None), &mut shelf), &Gone, "app", crash);
    assert!(filed.place.is_empty());
    let text = text(&shelf, filed.number);
    assert!(text.contains("EXC_BAD_ACCESS at address 0x5000"), "{text}");
    assert!(text.contains("POSIX: SIGBUS"), "{text}");
    assert!(text.contains("no registers"), "{text}");
}

#[test]
fn only_the_first_task_has_reports_made_and_everybody_reads_them() {
    let names = Names::start().unwrap();
    let server = names
        .spawn(|context| {
            let host = SendRight::from_name(Name::DEAD);
            let server = Server::new(Symbols::new(None), host);
            let service = context.check_in::<dyn CrashReporter>().unwrap();
            service.serve(server).unwrap();
        })
        .unwrap();
    let context = names.context().unwrap();
    let reporter = context.look_up::<dyn CrashReporter>().unwrap();
    let control = ReceiveRight::<dyn Task>::new().unwrap();
    let asked = reporter.report(control.make_send().unwrap(), "x", Crash::default());
    let refused = Err(Error::Code(KernReturn::NoAccess));
    assert_eq!(asked.map_err(Error::from), refused);
    assert!(reporter.reports(0).unwrap().is_empty());
    let none = Err(Error::Code(KernReturn::InvalidArgument));
    assert_eq!(reporter.read(1, 0), none);
    server.kill();
}

#[test]
fn reports_beyond_the_shelf_s_end_push_out_the_oldest() {
    let (symbols, mut shelf) = (app(), Shelf::default());
    for round in 1..=100 {
        let filed = file((&symbols, &mut shelf), &Fake::new(), "app", Fake::crash());
        assert_eq!(filed.number, round);
    }
    let oldest = shelf.list(0)[0].number;
    assert_eq!(oldest, 101 - CAPACITY as u64);
    assert_eq!(shelf.list(100)[0].name, Text::cut("app"));
}
