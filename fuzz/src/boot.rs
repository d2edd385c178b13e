//! What the boot stub reads: what a loader leaves in memory, and the kernel's file.

use boot::{Physical, kernel, multiboot2, pvh};

/// Physical memory from this address on holds the bytes.
const START: u64 = 0x1000;

struct Memory(Vec<u8>);

impl Memory {
    fn range(&self, at: u64, length: u64) -> Option<core::ops::Range<usize>> {
        let start = usize::try_from(at.checked_sub(START)?).ok()?;
        let end = start.checked_add(usize::try_from(length).ok()?)?;
        (end <= self.0.len()).then_some(start..end)
    }
}

impl Physical for Memory {
    fn bytes(&self, at: u64, length: u64) -> Option<&[u8]> {
        self.0.get(self.range(at, length)?)
    }

    fn bytes_mut(&mut self, at: u64, length: u64) -> Option<&mut [u8]> {
        let range = self.range(at, length)?;
        self.0.get_mut(range)
    }

    fn copy(&mut self, from: u64, to: u64, length: u64) -> Option<()> {
        let (from, to) = (self.range(from, length)?, self.range(to, length)?);
        self.0.copy_within(from, to.start);
        Some(())
    }
}

/// The start information of both protocols, and the file that the kernel is loaded from.
pub fn boot(bytes: &[u8]) {
    let memory = Memory(bytes.to_vec());
    for address in [START, START + 8, 0, u64::MAX - 7] {
        // Any answer will do, as long as it comes.
        std::hint::black_box(pvh::parse(&memory, address).is_ok());
        std::hint::black_box(multiboot2::parse(&memory, address).is_ok());
    }
    let Ok(plan) = kernel::plan(bytes) else {
        return;
    };
    let mut end = plan.start;
    for segment in &plan.segments {
        let (first, after) = segment.pages();
        assert!(end <= first && first < after, "segments overlap");
        end = after;
        let content = segment.file_offset.checked_add(segment.file_size);
        assert!(
            content.is_some_and(|content| content <= bytes.len() as u64),
            "a segment's content lies outside the file"
        );
    }
    assert_eq!(end - plan.start, plan.span);
}
