//! What the same operations cost in other systems, in instructions under the same emulator
//! (PERFORMANCE.md of the project's shared notes).

/// The systems, in the order of a row's figures.
pub(super) const SYSTEMS: [&str; 3] = ["GNU Mach", "seL4", "Linux"];

/// Figures of one operation; `None` where it was not measured or does not exist.
type Figures = [Option<u64>; 3];

const TABLE: [(&str, Figures); 20] = [
    ("null_trap", [Some(77), Some(76), Some(211)]),
    ("task_self", [Some(334), None, Some(338)]),
    ("yield", [None, Some(268), Some(1_593)]),
    ("send_receive_self", [Some(873), None, Some(2_477)]),
    ("rpc_empty", [Some(1_501), Some(395), Some(12_808)]),
    ("rpc_6_words", [Some(1_530), Some(395), None]),
    ("rpc_10_words", [Some(1_539), Some(1_572), Some(12_903)]),
    ("rpc_64b", [Some(1_539), Some(1_572), Some(12_903)]),
    ("rpc_1k", [Some(2_019), None, None]),
    ("rpc_4000b", [Some(4_051), None, Some(17_833)]),
    ("rpc_same_task", [Some(1_836), Some(391), Some(12_916)]),
    ("rpc_kernel_object", [Some(1_719), None, None]),
    ("send_one_way", [None, Some(665), None]),
    ("exception_round_trip", [None, Some(1_303), None]),
    ("page_fault_zero", [Some(5_993), None, Some(3_581)]),
    ("cow_fault", [None, None, Some(5_788)]),
    ("vm_map_unmap", [None, None, Some(13_847)]),
    ("vm_map_touch_unmap", [None, None, Some(20_613)]),
    ("thread_create_join", [None, None, Some(42_586)]),
    ("task_create_terminate", [Some(45_525), None, None]),
];

/// The peers' figures for an operation.
pub(super) fn figures(name: &str) -> Figures {
    TABLE
        .iter()
        .find(|(own, _)| *own == name)
        .map_or([None; 3], |(_, figures)| *figures)
}
