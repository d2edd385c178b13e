//! The kernel's file.

use boot::kernel::{Access, KernelError, LOWEST, MAX_SPAN, plan};
use proptest::prelude::{ProptestConfig, any, prop, proptest};

use crate::fixture::{EXECUTE, Load, READ, WRITE, elf};

fn load(address: u64, flags: u32, memory_size: u64) -> Load {
    Load {
        address,
        flags,
        content: vec![0x90; 100],
        memory_size,
    }
}

fn good() -> [Load; 3] {
    [
        load(LOWEST, READ | EXECUTE, 5000),
        load(LOWEST + 0x2010, READ, 100),
        load(LOWEST + 0x4000, READ | WRITE, 0x3000),
    ]
}

#[test]
fn a_kernel_is_planned_by_segment() {
    let plan = plan(&elf(LOWEST + 16, &good())).unwrap();
    assert_eq!(
        (plan.entry, plan.start, plan.span),
        (LOWEST + 16, LOWEST, 0x7000)
    );
    let pages: Vec<_> = plan
        .segments
        .iter()
        .map(|segment| (segment.pages(), segment.access))
        .collect();
    assert_eq!(
        pages,
        [
            ((LOWEST, LOWEST + 0x2000), Access::Execute),
            ((LOWEST + 0x2000, LOWEST + 0x3000), Access::Read),
            ((LOWEST + 0x4000, LOWEST + 0x7000), Access::Write),
        ]
    );
}

#[test]
fn what_is_not_a_kernel_is_refused_by_its_reason() {
    let refused = |loads: &[Load]| plan(&elf(LOWEST, loads)).unwrap_err();
    let code = load(LOWEST, READ | EXECUTE, 4096);
    assert_eq!(refused(&[]), KernelError::Empty);
    assert_eq!(
        refused(&[load(LOWEST, 7, 4096)]),
        KernelError::WritableCode(LOWEST)
    );
    assert_eq!(
        refused(&[load(0x10_0000, 5, 4096)]),
        KernelError::Outside(0x10_0000)
    );
    assert_eq!(
        refused(&[code.clone(), load(LOWEST + 4095, READ, 100)]),
        KernelError::Overlap(LOWEST + 4095)
    );
    assert_eq!(
        refused(&[load(LOWEST, 5, 99)]),
        KernelError::Content(LOWEST)
    );
    assert_eq!(
        refused(&[load(LOWEST, 5, MAX_SPAN + 1)]),
        KernelError::TooLarge(MAX_SPAN + 4096)
    );
    assert_eq!(
        refused(&[load(LOWEST, 5, u64::MAX - LOWEST)]),
        KernelError::Outside(LOWEST)
    );
    assert_eq!(
        refused(&[load(LOWEST, READ, 4096)]),
        KernelError::Entry(LOWEST)
    );
    let many: Vec<Load> = (0..17)
        .map(|index| load(LOWEST + index * 4096, 5, 4096))
        .collect();
    assert_eq!(refused(&many), KernelError::TooManySegments);
    assert_eq!(
        plan(&elf(LOWEST + 4096, &[code])).unwrap_err(),
        KernelError::Entry(LOWEST + 4096)
    );
}

#[test]
fn a_position_independent_or_foreign_file_is_refused() {
    for (at, byte) in [(16, 3), (18, 40)] {
        let mut file = elf(LOWEST, &good());
        file[at] = byte;
        assert_eq!(plan(&file).unwrap_err(), KernelError::NotExecutable);
    }
    let mut file = elf(LOWEST, &good());
    file[4] = 1;
    assert_eq!(plan(&file).unwrap_err(), KernelError::NotElf);
}

#[test]
fn every_cut_is_an_error() {
    let file = elf(LOWEST, &good());
    for length in 0..file.len() {
        assert!(plan(&file[..length]).is_err(), "cut to {length}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// A changed file never panics, and a plan that is made keeps its promises.
    #[test]
    fn changed_files_do_not_panic(changes in prop::collection::vec((0_usize..232, any::<u8>()), 1..6)) {
        let mut file = elf(LOWEST, &good());
        for (at, byte) in changes {
            file[at] = byte;
        }
        if let Ok(plan) = plan(&file) {
            let mut end = plan.start;
            for segment in &plan.segments {
                let (first, after) = segment.pages();
                assert!(end <= first && first < after && after <= plan.start + plan.span);
                assert!(segment.file_offset + segment.file_size <= file.len() as u64);
                assert!(segment.file_size <= segment.size);
                end = after;
            }
            assert!(plan.is_code(plan.entry));
        }
    }
}
