//! What reads bytes that others made: each function takes any bytes and must neither panic nor believe
//! what is not there.
//!
//! `cargo xtask test fuzz` lets an engine look for worse bytes; the kept corpus and mutations of it are
//! ordinary tests.
#![forbid(unsafe_code)]

mod boot;
mod crash;
mod message;
mod request;
mod stub;
mod text;
mod wire;

pub use boot::boot;
pub use crash::crash;
pub use message::message;
pub use request::request;
pub use stub::stub;
pub use text::{log, options, trace, typed};
pub use wire::wire;

use abi::symbols;
use archive::{Archive, Bytes};
use bootstrap::elf::Plan;
use manifest::Manifest;
use microkernel::kernel::{Boot, Kernel, Variables};
use microkernel::machine::{Cpu, Event};
use microkernel_x86_64::acpi::{self, Memory};
use sim::machine::{SimMachine, Size};

/// The most bytes that a target looks at.
const MOST: usize = 1 << 20;

/// What takes any bytes.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const ALL: [(&str, Target); 17] = [
    ("acpi", acpi),
    ("archive", archive),
    ("boot", boot),
    ("channel", channel),
    ("crash", crash),
    ("elf", elf),
    ("image", image),
    ("log", log),
    ("manifest", manifest),
    ("message", message),
    ("options", options),
    ("request", request),
    ("stub", stub),
    ("symbols", symbols),
    ("trace", trace),
    ("typed", typed),
    ("wire", wire),
];

/// Physical memory from this address on holds the bytes.
const TABLES: u64 = 0x1000;

struct Tables<'a>(&'a [u8]);

impl Memory for Tables<'_> {
    fn bytes(&mut self, address: u64, length: usize) -> Option<&[u8]> {
        let at = usize::try_from(address.checked_sub(TABLES)?).ok()?;
        self.0.get(at..at.checked_add(length)?)
    }
}

/// The firmware's tables.
pub fn acpi(bytes: &[u8]) {
    // The root pointer may be anywhere that the boot loader says.
    for root in [TABLES, TABLES + 1, 0, u64::MAX - 7] {
        // Any answer will do, as long as it comes.
        std::hint::black_box(acpi::read(&mut Tables(bytes), root));
    }
}

/// The boot archive, as the stub and as the first task read it.
pub fn archive(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(MOST)];
    std::hint::black_box(::boot::archive::find(bytes).is_ok());
    let Ok(archive) = Archive::read(bytes.to_vec()) else {
        return;
    };
    for path in archive.paths() {
        let file = archive.file(path).expect("a path that is listed is found");
        let size = file.size();
        assert!(
            size <= bytes.len() as u64,
            "{path} is larger than the archive"
        );
        let whole = file.whole(MOST).expect("a file lies in the archive");
        assert_eq!(whole.len() as u64, size);
    }
}

/// A stream of frames between host and guest.
pub fn channel(bytes: &[u8]) {
    let mut decoder = channel::Decoder::new();
    let mut again = [0; channel::HEADER_SIZE + channel::MAX_PAYLOAD];
    for byte in bytes {
        match decoder.push(*byte) {
            Ok(None) => {}
            Ok(Some(frame)) => {
                // What was read can be written.
                channel::encode(&frame, &mut again).expect("a frame that was read fits");
            }
            Err(error) => {
                let same = decoder.push(0).expect_err("a broken stream stays broken");
                assert_eq!(same, error);
                return;
            }
        }
    }
}

/// A program, as the first task loads it.
pub fn elf(bytes: &[u8]) {
    let Ok(plan) = Plan::of(bytes, bytes.len() as u64) else {
        return;
    };
    let mut end = 0;
    for segment in &plan.segments {
        assert!(segment.address >= end, "segments overlap");
        end = segment
            .address
            .checked_add(segment.size)
            .expect("a segment wraps around");
        let content = segment.file_offset.checked_add(segment.file_size);
        assert!(
            content.is_some_and(|content| content <= bytes.len() as u64),
            "a segment's content lies outside the file"
        );
    }
    assert!(
        end <= bootstrap::elf::END,
        "a segment lies outside user memory"
    );
}

/// The flattened first task, as the kernel reads it.
pub fn image(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(MOST)];
    let mut machine = SimMachine::new(Size {
        pages: 1024,
        ..Size::default()
    });
    let boot = Boot {
        image: machine.memory.place(bytes),
        archive: machine.memory.place(b"archive"),
        cpus: 1,
        fast_path: true,
        trace_events: 64,
        variables: Variables::NONE,
    };
    if let Ok(mut kernel) = Kernel::new(&mut machine, &boot) {
        // With its first event, the first CPU takes the first thread.
        kernel.handle(&mut machine, Cpu(0), Event::Online);
        assert_eq!(kernel.check(&machine), Ok(()));
    }
}

/// What a task is to be started with.
pub fn manifest(bytes: &[u8]) {
    let Ok(manifest) = Manifest::decode(bytes) else {
        return;
    };
    let mut room = [0; manifest::MAX_ENCODED];
    let again = manifest.encode(&mut room).expect("what was read fits");
    assert_eq!(Manifest::decode(again).as_ref(), Ok(&manifest));
}

struct Table<'a>(&'a [u8]);

impl symbols::Read for Table<'_> {
    fn read(&self, offset: u64, to: &mut [u8]) -> bool {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let found = self.0.get(from..from.saturating_add(to.len()));
        if let Some(bytes) = found {
            to.copy_from_slice(bytes);
        }
        found.is_some()
    }
}

/// A program's table of functions, as reports of crashes use it.
pub fn symbols(bytes: &[u8]) {
    let table = Table(bytes);
    for address in [0, 0x40_0000, 0x40_1000, u64::from(u32::MAX), u64::MAX] {
        let Some(function) = symbols::find(&table, address) else {
            continue;
        };
        assert!(
            function.start <= address,
            "a function begins behind the address"
        );
        let mut room = [0; symbols::MAX_NAME];
        // Any answer will do, as long as it comes.
        std::hint::black_box(function.name(&table, &mut room));
    }
}
