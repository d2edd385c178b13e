use std::collections::BTreeMap;
use std::vec;

use abi::kern_return::KernReturn;
use abi::vm::protection;

use super::*;
use crate::elf::Segment;

/// Memory that keeps the rules which the kernel keeps.
#[derive(Default)]
struct Fake {
    bytes: BTreeMap<u64, Vec<u8>>,
    protections: BTreeMap<u64, u32>,
    calls: usize,
    /// The call that fails.
    refuse: Option<usize>,
}

impl Fake {
    fn call(&mut self) -> libmach::Result<()> {
        self.calls += 1;
        if self.refuse == Some(self.calls) {
            return Err(KernReturn::ResourceShortage.into());
        }
        Ok(())
    }
}

impl Memory for Fake {
    fn allocate(&mut self, address: u64, size: u64) -> libmach::Result<()> {
        self.call()?;
        assert_eq!((address | size) % PAGE_SIZE, 0);
        for (start, bytes) in &self.bytes {
            let apart = address + size <= *start || start + bytes.len() as u64 <= address;
            assert!(apart, "{address:#x} is taken");
        }
        self.bytes.insert(address, vec![0; size as usize]);
        Ok(())
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> libmach::Result<()> {
        self.call()?;
        let (start, region) = self.bytes.range_mut(..=address).next_back().unwrap();
        assert!(
            !self.protections.contains_key(start),
            "written after protecting"
        );
        let at = (address - start) as usize;
        region[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn protect(&mut self, address: u64, size: u64, protection: u32) -> libmach::Result<()> {
        self.call()?;
        assert_eq!(self.bytes[&address].len() as u64, size);
        self.protections.insert(address, protection);
        Ok(())
    }
}

fn plan() -> Plan {
    let code = Segment {
        address: 0x40_0000,
        size: 0x3000,
        content: 0x40_0010,
        file_offset: 3,
        file_size: 0x2100,
        protection: protection::READ | protection::EXECUTE,
    };
    Plan {
        segments: heapless::Vec::from_slice(&[code]).unwrap(),
        entry: 0x40_0010,
    }
}

fn file() -> Vec<u8> {
    (0..0x2103_u32).map(|n| n as u8).collect()
}

#[test]
fn a_program_lies_where_its_plan_says_and_the_rest_is_zero() {
    let mut memory = Fake::default();
    load(&mut memory, &plan(), &file()).unwrap();
    let code = &memory.bytes[&0x40_0000];
    assert_eq!(code[..0x10], [0; 0x10]);
    assert_eq!(code[0x10..0x2110], file()[3..]);
    assert!(code[0x2110..].iter().all(|byte| *byte == 0));
    assert_eq!(memory.protections[&0x40_0000], 5);
    assert_eq!(memory.bytes[&STACK_ADDRESS].len() as u64, STACK);
}

#[test]
fn stack_and_start_page_have_a_guard_between_them() {
    let mut memory = Fake::default();
    load(&mut memory, &plan(), &file()).unwrap();
    place_start_page(&mut memory, &[7; 4096]).unwrap();
    assert_eq!(memory.bytes[&start::ADDRESS], [7; 4096]);
    assert_eq!(memory.protections[&start::ADDRESS], protection::READ);
    const { assert!(STACK_ADDRESS + 2 * STACK == start::ADDRESS) };
    const { assert!(STACK_ADDRESS > crate::elf::END) };
    let state = first_state(&plan());
    assert_eq!(state.rdi, start::ADDRESS);
    assert_eq!(state.rsp, STACK_ADDRESS + STACK - 8);
    assert_eq!(state.rsp % 16, 8, "as behind a call");
}

#[test]
fn each_refusal_of_the_kernel_ends_the_launch_with_its_reason() {
    let mut whole = Fake::default();
    load(&mut whole, &plan(), &file()).unwrap();
    for refused in 1..=whole.calls {
        let mut memory = Fake {
            refuse: Some(refused),
            ..Fake::default()
        };
        let failure = load(&mut memory, &plan(), &file()).unwrap_err();
        assert!(matches!(&failure, Failure::Unlucky(text) if text.contains("cannot")));
        assert_eq!(memory.calls, refused, "nothing is tried after it");
    }
}

#[test]
fn a_file_that_became_shorter_is_bad() {
    let failure = load(&mut Fake::default(), &plan(), &file()[..0x2000].to_vec());
    assert!(matches!(failure, Err(Failure::Bad(_))));
}
