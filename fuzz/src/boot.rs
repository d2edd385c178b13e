//! What the boot stub reads: what a loader leaves in memory, and the kernel's file.

use boot::{Flat, kernel, multiboot2, pvh};

/// Where the bytes lie.
const START: u64 = 0x1000;

/// The start information of both protocols, and the file that the kernel is loaded from.
pub fn boot(bytes: &[u8]) {
    let memory = Flat {
        start: START,
        bytes: bytes.to_vec(),
    };
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
