//! Whole boots in simulated memory: what the kernel would find.

use boot::archive::{FIRST_TASK, KERNEL};
use boot::choices::JUNK;
use boot::kernel::LOWEST;
use boot::memory_map::Kind;
use boot::paging::{NoExecute, PageSize};
use boot::requests::Request;
use boot::{Choices, Error, Handoff, Machine, Physical, prepare, pvh};
use proptest::prelude::{ProptestConfig, any, prop, proptest};

use crate::fixture::{
    self, COMMAND_LINE, Content, EXECUTE, Load, READ, Ram, START_INFO, WRITE, elf, put_start_info,
    tar, words,
};
use crate::requests::request;

const MIB: u64 = 1 << 20;
const STUB: (u64, u64) = (MIB, MIB + 0x5_6400);
const JUMP_PAGE: u64 = MIB + 0x3000;
const DATA: u64 = LOWEST + 0x2000;
const MACHINE: Machine = Machine {
    stub: STUB,
    jump_page: JUMP_PAGE,
    no_execute: NoExecute::Present,
    largest_page: PageSize::Huge,
};

fn kernel(requests: &[Vec<u64>]) -> Vec<u8> {
    let tag = vec![0xf956_2b2d_5c95_a6c8, 0x6a7b_3849_4453_6bdc, 3];
    let content = words(&[vec![tag], requests.to_vec()].concat().concat());
    elf(
        LOWEST + 4,
        &[
            Load {
                address: LOWEST,
                flags: READ | EXECUTE,
                content: vec![0x90; 4097],
                memory_size: 4097,
            },
            Load {
                address: DATA,
                flags: READ | WRITE,
                content,
                memory_size: 0x3000,
            },
        ],
    )
}

fn archive(kernel: &[u8]) -> Vec<u8> {
    tar(&[(KERNEL, kernel), (FIRST_TASK, &[7; 5000])])
}

/// The usual direct map.
const DIRECT_MAP: u64 = Choices::Usual.direct_map();

/// A machine of 80 MiB below 4 GiB and 3 GiB above, with the archive at `at`.
fn start(archive: &[u8], at: u64) -> (Ram, Result<Handoff, Error>) {
    start_with(archive, at, b"console=debug\0rest")
}

/// The same, with a command line.
fn start_with(archive: &[u8], at: u64, line: &[u8]) -> (Ram, Result<Handoff, Error>) {
    let mut ram = fixture::ram(80 * MIB);
    ram.put(at, archive);
    let regions = [
        (0, 0x9_fc00, 1),
        (0x9_fc00, 0x400, 2),
        (MIB, 79 * MIB - 0x5000, 1),
        (80 * MIB - 0x5000, 0x3000, 3),
        (80 * MIB - 0x2000, 0x1000, 4),
        (80 * MIB - 0x1000, 0x1000, 5),
        (0xfffc_0000, 0x4_0000, 2),
        (4096 * MIB, 3072 * MIB, 1),
    ];
    put_start_info(&mut ram, &regions, (at, archive.len() as u64));
    ram.put(COMMAND_LINE, line);
    let info = pvh::parse(&ram, START_INFO).unwrap();
    let handoff = prepare(&mut ram, info, &MACHINE);
    (ram, handoff)
}

/// Physical address, and whether it may be written and executed, as the processor finds them.
fn walk(ram: &Ram, root: u64, address: u64) -> Option<(u64, bool, bool)> {
    let (mut table, mut writable, mut executable) = (root, true, true);
    for level in (1..=4).rev() {
        let shift = 12 + 9 * (level - 1);
        let entry = ram.u64(table + (address >> shift & 511) * 8);
        if entry & 1 == 0 {
            return None;
        }
        writable &= entry & 2 != 0;
        executable &= entry >> 63 == 0;
        assert_eq!(entry & 4, 0, "a mapping for ring 3");
        let next = entry & 0x000f_ffff_ffff_f000;
        if level == 1 || entry & 0x80 != 0 {
            assert_eq!(next & ((1 << shift) - 1), 0);
            return Some((next + (address & ((1 << shift) - 1)), writable, executable));
        }
        table = next;
    }
    None
}

/// Reads of the kernel's memory through its page tables.
struct View<'a> {
    ram: &'a Ram,
    root: u64,
}

impl View<'_> {
    fn u64(&self, address: u64) -> u64 {
        self.ram.u64(walk(self.ram, self.root, address).unwrap().0)
    }

    fn bytes(&self, address: u64, length: u64) -> Vec<u8> {
        (address..address + length)
            .map(|at| {
                self.ram
                    .bytes(walk(self.ram, self.root, at).unwrap().0, 1)
                    .unwrap()[0]
            })
            .collect()
    }

    fn text(&self, address: u64) -> String {
        let bytes = (address..)
            .map(|at| self.bytes(at, 1)[0])
            .take_while(|byte| *byte != 0);
        String::from_utf8(bytes.collect()).unwrap()
    }

    /// The words of the answer to the request that begins `offset` bytes after the base revision tag.
    fn answer<const N: usize>(&self, offset: u64) -> [u64; N] {
        let answer = self.u64(DATA + 24 + offset + 40);
        assert_ne!(answer, 0);
        std::array::from_fn(|index| self.u64(answer + index as u64 * 8))
    }
}

#[test]
fn the_kernel_is_mapped_with_its_permissions() {
    let (ram, handoff) = start(&archive(&kernel(&[])), 64 * MIB);
    let handoff = handoff.unwrap();
    let at = |address| walk(&ram, handoff.root, address);
    let (physical, ..) = at(LOWEST).unwrap();
    assert_eq!(at(LOWEST + 4096), Some((physical + 4096, false, true)));
    assert_eq!(at(DATA), Some((physical + 0x2000, true, false)));
    assert_eq!(at(DATA + 0x2fff), Some((physical + 0x4fff, true, false)));
    assert_eq!(at(DATA + 0x3000), None);
    assert_eq!(at(LOWEST - 1), None);
    assert_eq!(ram.bytes(physical, 4097).unwrap(), [0x90; 4097]);
    assert_eq!(
        ram.bytes(physical + 4097, 0x2000 - 4097).unwrap(),
        [0; 0x2000 - 4097]
    );
    assert_eq!(
        ram.bytes(physical + 0x2000 + 24, 0x3000 - 24).unwrap(),
        [0; 0x3000 - 24]
    );
    assert_eq!(handoff.entry, LOWEST + 4);
}

#[test]
fn the_direct_map_holds_what_the_protocol_promises_and_the_lower_half_one_page() {
    let (ram, handoff) = start(&archive(&kernel(&[])), 64 * MIB);
    let handoff = handoff.unwrap();
    let at = |address| walk(&ram, handoff.root, address);
    let firmware = 80 * MIB - 0x5000;
    for physical in [
        0,
        0x9_efff,
        MIB,
        2 * MIB - 1,
        2 * MIB,
        STUB.0,
        64 * MIB,
        firmware - 1,
        4096 * MIB,
        7168 * MIB - 1,
    ] {
        assert_eq!(
            at(DIRECT_MAP + physical),
            Some((physical, true, false)),
            "{physical:#x}"
        );
    }
    // The EBDA, a hole, ACPI's tables and storage, bad memory, no memory, a device, the firmware.
    for physical in [
        0x9_f000,
        0xf_5a00,
        firmware,
        80 * MIB - 0x2000,
        80 * MIB - 1,
        80 * MIB,
        0xfee0_0000,
        4096 * MIB - 1,
        7168 * MIB,
    ] {
        assert_eq!(at(DIRECT_MAP + physical), None, "{physical:#x}");
    }
    assert_eq!(at(JUMP_PAGE + 5), Some((JUMP_PAGE + 5, false, true)));
    for other in [0, JUMP_PAGE - 1, JUMP_PAGE + 4096, 64 * MIB] {
        assert_eq!(at(other), None);
    }
}

#[test]
fn the_stack_holds_a_zero_and_is_as_large_as_asked() {
    let (ram, handoff) = start(
        &archive(&kernel(&[request(Request::StackSize, &[0x3_0001])])),
        64 * MIB,
    );
    let handoff = handoff.unwrap();
    let view = View {
        ram: &ram,
        root: handoff.root,
    };
    assert_eq!((handoff.stack % 16, view.u64(handoff.stack)), (8, 0));
    let (top, ..) = walk(&ram, handoff.root, handoff.stack).unwrap();
    assert_eq!(
        ram.bytes(top + 8 - 0x3_1000, 0x3_0ff8).unwrap(),
        vec![JUNK; 0x3_0ff8]
    );
    assert_eq!(view.u64(handoff.descriptors + 0x28), 0x00af_9b00_0000_ffff);
    assert_eq!(view.u64(DATA + 16), 0, "the base revision is supported");
    assert_eq!(view.u64(DATA + 8), 3, "the base revision is answered");
}

#[test]
fn modules_and_texts_are_answered() {
    let kernel = kernel(&[
        request(Request::Modules, &[]),
        request(Request::CommandLine, &[]),
        request(Request::ExecutableFile, &[]),
        request(Request::Rsdp, &[]),
    ]);
    let archive = archive(&kernel);
    // Below 1 MiB, not at a page, and in good order.
    for place in [0x1_0000, 64 * MIB + 12, 64 * MIB] {
        let (ram, handoff) = start(&archive, place);
        let view = View {
            ram: &ram,
            root: handoff.unwrap().root,
        };
        let [_, count, list] = view.answer(0);
        assert_eq!(count, 2);
        let files = [view.u64(list), view.u64(list + 8), view.answer::<2>(96)[1]];
        let expected = [
            ("/boot/bootstrap.img", &vec![7; 5000]),
            ("/boot/boot.tar", &archive),
            ("/boot/kernel", &kernel),
        ];
        for (file, (path, content)) in files.into_iter().zip(expected) {
            assert_eq!(view.text(view.u64(file + 24)), path);
            let address = view.u64(file + 8);
            assert_eq!(address % 4096, 0);
            assert_eq!(&view.bytes(address, view.u64(file + 16)), content);
        }
        assert_eq!(view.text(view.answer::<2>(48)[1]), "console=debug");
        assert_eq!(view.answer::<2>(144)[1], 0xf_5a00);
    }
}

#[test]
fn the_memory_map_tells_what_is_taken() {
    let kernel = kernel(&[
        request(Request::MemoryMap, &[]),
        request(Request::ExecutableAddress, &[]),
    ]);
    let (ram, handoff) = start(&archive(&kernel), 0x1_0000);
    let handoff = handoff.unwrap();
    let view = View {
        ram: &ram,
        root: handoff.root,
    };
    let [_, count, list] = view.answer(0);
    let entries: Vec<[u64; 3]> = (0..count)
        .map(|index| view.u64(list + index * 8))
        .map(|entry| std::array::from_fn(|word| view.u64(entry + word as u64 * 8)))
        .collect();
    let kind_at = |at: u64| {
        entries
            .iter()
            .find(|[start, length, _]| *start <= at && at < start + length)
            .map(|entry| entry[2])
    };
    let [_, physical, virtual_base] = view.answer(48);
    assert_eq!(virtual_base, LOWEST);
    assert_eq!(kind_at(physical), Some(Kind::Executable as u64));
    for taken in [
        STUB.0,
        STUB.1 - 1,
        handoff.root,
        handoff.stack - DIRECT_MAP,
        handoff.descriptors - DIRECT_MAP,
        list - DIRECT_MAP,
    ] {
        assert_eq!(kind_at(taken), Some(Kind::Bootloader as u64), "{taken:#x}");
    }
    // The archive was moved from here, so that all of low memory is left.
    assert_eq!(entries[0], [0, 0x9_f000, Kind::Usable as u64]);
    assert_eq!(kind_at(4096 * MIB), Some(Kind::Usable as u64));
}

#[test]
fn what_the_protocol_leaves_open_can_be_otherwise() {
    let kernel = kernel(&[
        request(Request::DirectMap, &[]),
        request(Request::ExecutableAddress, &[]),
        request(Request::MemoryMap, &[]),
    ]);
    let (ram, handoff) = start_with(&archive(&kernel), 64 * MIB, b"a=b boot=odd\0");
    let root = handoff.unwrap().root;
    let view = View { ram: &ram, root };
    let [_, direct_map] = view.answer(0);
    assert_eq!(direct_map, Choices::Odd.direct_map());
    let at = |address| walk(&ram, root, address);
    assert_eq!(at(DIRECT_MAP + MIB), None);
    assert_eq!(at(direct_map + MIB), Some((MIB, true, false)));
    let [_, physical, _] = view.answer(48);
    assert!(physical < 2 * MIB, "{physical:#x}");
    let [_, count, list] = view.answer(96);
    let entries = (0..count).map(|index| view.u64(list + index * 8));
    for entry in entries {
        let [start, length, kind] = [0, 8, 16].map(|word| view.u64(entry + word));
        assert!(kind != Kind::Usable as u64 || start >= MIB);
        if kind == Kind::Usable as u64 && start < 80 * MIB {
            let free = ram.bytes(start, length).unwrap();
            assert!(free.iter().all(|byte| *byte == JUNK));
        }
    }
}

#[test]
fn another_entry_may_be_asked_for_if_there_is_code() {
    let boot = |entry| {
        start(
            &archive(&kernel(&[request(Request::EntryPoint, &[entry])])),
            64 * MIB,
        )
        .1
    };
    assert_eq!(boot(LOWEST + 4096).unwrap().entry, LOWEST + 4096);
    assert_eq!(boot(DATA), Err(Error::EntryOutside(DATA)));
}

#[test]
fn what_cannot_be_booted_is_said() {
    let good = archive(&kernel(&[]));
    let refused = |archive: &[u8], at| start(archive, at).1.unwrap_err();
    assert!(matches!(
        refused(&good[..1000], 64 * MIB),
        Error::Archive(_)
    ));
    assert!(matches!(
        refused(&archive(b"no kernel"), 64 * MIB),
        Error::Kernel(_)
    ));
    assert_eq!(
        refused(&tar(&[(KERNEL, b"x")]), 64 * MIB),
        Error::NotInArchive(FIRST_TASK)
    );
    assert!(matches!(refused(&good, STUB.0), Error::ModuleOutside(..)));
    assert!(matches!(refused(&good, 0x9_f000), Error::ModuleOutside(..)));
    let asked = archive(&kernel(&[request(Request::StackSize, &[u64::MAX])]));
    assert_eq!(refused(&asked, 64 * MIB), Error::LargeStack(u64::MAX));
    let large = elf(
        LOWEST,
        &[Load {
            address: LOWEST,
            flags: 5,
            content: vec![1],
            memory_size: 100 * MIB,
        }],
    );
    assert_eq!(
        refused(&archive(&large), 64 * MIB),
        Error::NoRoom("kernel", 100 * MIB)
    );
    // Messages are for people: each says something beyond its name.
    assert!(Error::NoModule.to_string().contains("-initrd"));
}

proptest! {
    // Few cases: each fills a memory.
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A kernel with changed headers and requests never makes the stub panic; one that boots is entered at its code.
    #[test]
    fn changed_kernels_do_not_panic(
        headers in prop::collection::vec((0_usize..176, any::<u8>()), 0..3),
        asked in prop::collection::vec((0_usize..256, any::<u8>()), 0..6),
    ) {
        let mut kernel = kernel(&[
            request(Request::StackSize, &[0]),
            request(Request::PagingMode, &[0, 0, 0]),
            request(Request::EntryPoint, &[LOWEST]),
            request(Request::MemoryMap, &[]),
        ]);
        let data = 176 + 4097;
        for (at, byte) in headers.into_iter().chain(asked.into_iter().map(|(at, byte)| (data + at, byte))) {
            kernel[at] = byte;
        }
        let (ram, handoff) = start(&archive(&kernel), 64 * MIB);
        if let Ok(handoff) = handoff {
            let (_, writable, executable) = walk(&ram, handoff.root, handoff.entry).unwrap();
            assert!(executable && !writable);
        }
    }
}
