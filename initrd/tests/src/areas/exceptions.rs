//! Tasks that end by themselves, each alone: other instances of this program, run by the supervisor.

use alloc::format;
use alloc::string::String;

use interfaces::supervisor::{End, Ended};

use super::cases;
use crate::case::{Check, Verdict, World, check};
use crate::die::{ALL, Seen};

cases! { "exceptions":
    "a regular exit gives its status" => regularly,
    "null is not readable" => null_read,
    "null is not writable" => null_write,
    "the kernel is not readable" => kernel_read,
    "the kernel is not writable" => kernel_write,
    "the kernel is not executable" => kernel_jump,
    "a non-canonical address is not readable" => non_canonical_read,
    "a non-canonical address is not executable" => non_canonical_jump,
    "code is not writable" => code_write,
    "data is not executable" => data_jump,
    "freed memory is not readable" => freed_read,
    "read-only memory is not writable" => read_only_write,
    "a division by zero ends the task" => divide_by_zero,
    "an undefined instruction ends the task" => undefined_instruction,
    "a privileged instruction ends the task" => privileged_instruction,
    "a far jump to 32-bit code ends the task" => compatibility_code,
    "a trap that is none ends the task" => unknown_trap,
    "who takes more memory than it may ends alone" => memory_hog,
    "who takes more names than it may is refused" => name_hog,
}

/// Lets another instance die as `kind` says, and looks at what the supervisor saw.
pub(super) fn dies(world: &World, kind: &str) -> Check {
    let known = ALL.iter().find(|known| known.name == kind);
    let Some(known) = known else {
        return Err(Verdict::Failed(format!("there is no kind {kind}")));
    };
    let supervisor = world.supervisor()?;
    let console = world.console.duplicate()?.cast();
    let arguments: String = ["--die", kind].join("\0");
    let (number, _task) = supervisor.client().run("tests", &arguments, console)?;
    let ended = supervisor.client().wait(number)?;
    let as_expected = match (known.seen, ended.how) {
        (Seen::Exit(status), End::Exited) => ended.value == u64::from(status),
        (Seen::Exception(types), End::Exception) => {
            types.iter().any(|kind| u64::from(*kind) == ended.value)
        }
        _ => false,
    };
    let Ended { how, value, .. } = ended;
    check!(as_expected, "{how:?} {value}, expected {:?}", known.seen);
    Ok(())
}

macro_rules! deaths {
    ($($function:ident => $kind:literal,)+) => {$(
        fn $function(world: &World) -> Check {
            dies(world, $kind)
        }
    )+};
}

deaths! {
    regularly => "regularly",
    null_read => "null-read",
    null_write => "null-write",
    kernel_read => "kernel-read",
    kernel_write => "kernel-write",
    kernel_jump => "kernel-jump",
    non_canonical_read => "non-canonical-read",
    non_canonical_jump => "non-canonical-jump",
    code_write => "code-write",
    data_jump => "data-jump",
    freed_read => "freed-read",
    read_only_write => "read-only-write",
    divide_by_zero => "divide-by-zero",
    undefined_instruction => "undefined-instruction",
    privileged_instruction => "privileged-instruction",
    compatibility_code => "compatibility-code",
    unknown_trap => "unknown-trap",
    memory_hog => "memory-hog",
    name_hog => "name-hog",
}
