use alloc::vec::Vec;

use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};

use super::*;

/// One program header.
#[derive(Clone, Copy)]
struct Piece {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    file_size: u64,
    memory_size: u64,
}

const CODE: Piece = Piece {
    kind: PT_LOAD,
    flags: PF_R | PF_X,
    offset: 0x1000,
    address: 0x40_0000,
    file_size: 0x234,
    memory_size: 0x234,
};
const DATA: Piece = Piece {
    kind: PT_LOAD,
    flags: PF_R | PF_W,
    offset: 0x2010,
    address: 0x40_1010,
    file_size: 0x10,
    memory_size: 0x3000,
};
const FILE: u64 = 0x3000;

fn file(pieces: &[Piece]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    bytes.extend(ET_EXEC.to_le_bytes());
    bytes.extend(EM_X86_64.to_le_bytes());
    bytes.extend(1_u32.to_le_bytes());
    for word in [0x40_0010_u64, 64, 0] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(0_u32.to_le_bytes());
    for half in [64, 56, pieces.len() as u16, 0, 0, 0] {
        bytes.extend(half.to_le_bytes());
    }
    for piece in pieces {
        bytes.extend(piece.kind.to_le_bytes());
        bytes.extend(piece.flags.to_le_bytes());
        let Piece {
            offset,
            address,
            file_size,
            memory_size,
            ..
        } = *piece;
        for word in [offset, address, address, file_size, memory_size, 4096] {
            bytes.extend(word.to_le_bytes());
        }
    }
    bytes.resize(HEAD, 0);
    bytes
}

fn plan(pieces: &[Piece]) -> Result<Plan, Refusal> {
    Plan::of(&file(pieces), FILE)
}

#[test]
fn segments_are_planned_in_whole_pages() {
    let plan = plan(&[CODE, DATA]).unwrap();
    assert_eq!(plan.entry, 0x40_0010);
    let read_write = protection::READ | protection::WRITE;
    assert_eq!(
        plan.segments[1],
        Segment {
            address: 0x40_1000,
            size: 0x4000,
            content: 0x40_1010,
            file_offset: 0x2010,
            file_size: 0x10,
            protection: read_write,
        }
    );
    let execute = protection::READ | protection::EXECUTE;
    assert_eq!(plan.segments[0].protection, execute);
    assert_eq!(plan.segments[0].size, 0x1000);
}

#[test]
fn each_fault_has_its_reason() {
    let with = |change: &dyn Fn(&mut Piece)| {
        let mut data = DATA;
        change(&mut data);
        plan(&[CODE, data]).unwrap_err()
    };
    assert_eq!(with(&|p| p.flags |= PF_X), Refusal::WritableCode);
    assert_eq!(with(&|p| p.address = 0x40_0800), Refusal::Place);
    assert_eq!(with(&|p| p.address = END - 0x1000), Refusal::Place);
    assert_eq!(with(&|p| p.memory_size = u64::MAX), Refusal::Place);
    assert_eq!(with(&|p| p.file_size = 0x3001), Refusal::Content);
    assert_eq!(with(&|p| p.offset = u64::MAX), Refusal::Content);
    assert_eq!(with(&|p| p.offset = FILE), Refusal::Content);
    assert_eq!(with(&|p| p.kind = PT_INTERP), Refusal::Dynamic);
    assert_eq!(with(&|p| p.kind = PT_DYNAMIC), Refusal::Dynamic);
    assert_eq!(with(&|p| p.kind = PT_TLS), Refusal::ThreadLocal);
    assert_eq!(plan(&[]), Err(Refusal::Segments));
    assert_eq!(plan(&[DATA]), Err(Refusal::Entry));
    let mut low = CODE;
    low.address = 0;
    assert_eq!(plan(&[low]), Err(Refusal::Place));
    let many: Vec<_> = (0..9)
        .map(|n| Piece {
            address: CODE.address + n * 0x1000,
            ..CODE
        })
        .collect();
    assert_eq!(plan(&many), Err(Refusal::Segments));
}

#[test]
fn what_is_no_program_of_this_machine_is_refused() {
    assert_eq!(Plan::of(b"#!/bin/sh\n", 10), Err(Refusal::NotElf));
    assert_eq!(Plan::of(&[0; HEAD], FILE), Err(Refusal::NotElf));
    let change = |at: usize, value: u8| {
        let mut bytes = file(&[CODE, DATA]);
        bytes[at] = value;
        Plan::of(&bytes, FILE)
    };
    assert_eq!(change(4, 1), Err(Refusal::NotElf), "32 bits");
    assert_eq!(change(5, 2), Err(Refusal::NotElf), "big-endian");
    assert_eq!(change(16, 3), Err(Refusal::Kind), "relocatable");
    assert_eq!(change(18, 183), Err(Refusal::Kind), "another machine");
    assert_eq!(change(33, 0x20), Err(Refusal::Headers), "too far back");
    assert_eq!(change(54, 55), Err(Refusal::Headers), "another size");
    let short = &file(&[CODE, DATA])[..100];
    assert_eq!(Plan::of(short, 100), Err(Refusal::Headers));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn whatever_the_bytes_are_a_plan_keeps_its_promises(
        changes in proptest::collection::vec((0_usize..180, any::<u8>()), 0..6),
        words in proptest::collection::vec((0_usize..14, any::<u64>()), 0..2),
        size in 0_u64..0x4000,
        end in 0_usize..HEAD + 1,
    ) {
        let mut bytes = file(&[CODE, DATA]);
        for (at, value) in changes {
            bytes[at] = value;
        }
        for (index, value) in words {
            bytes[64 + index * 8..72 + index * 8].copy_from_slice(&value.to_le_bytes());
        }
        if let Ok(plan) = Plan::of(&bytes[..end], size) {
            let mut free = MIN_ADDRESS;
            for segment in &plan.segments {
                prop_assert!(segment.address >= free && segment.size > 0);
                free = segment.address + segment.size;
                prop_assert!(free <= END);
                prop_assert!((segment.address | segment.size) % PAGE_SIZE == 0);
                let both = protection::WRITE | protection::EXECUTE;
                prop_assert!(segment.protection & both != both);
                prop_assert!(segment.file_offset + segment.file_size <= size);
                prop_assert!(segment.content >= segment.address);
                prop_assert!(segment.content + segment.file_size <= free);
            }
        }
    }
}
