//! What a figure in instructions does not show: privilege transitions, CR3 and MSR writes, copied elements.
//!
//! The same programs run again, and the emulator, one instruction at a time, writes down when it
//! executes one of a few: clock readings of the guest's bench, which say where a sample begins and
//! ends and where a row does (`initrd/bench/src/time.rs`), and the kernel's returns to user mode, loads
//! of CR3, writes of model-specific registers and string instructions. They are found by their bytes; a place where these bytes are not an
//! instruction is never executed, so nothing has to be disassembled. The kernel stays as it is.

use crate::fault::{Doing, Result};
use elf::ElfBytes;
use elf::abi::{PF_X, PT_LOAD};
use elf::endian::LittleEndian;
use std::collections::BTreeMap;

/// What is executed at a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Start,
    End,
    EndRow,
    Leave,
    LoadRoot,
    WriteRegister,
    Copy,
}

/// Instructions of the guest's bench.
const OF_BENCH: [(&[u8], Step); 3] = [
    (&[0x0f, 0x31], Step::Start),
    (&[0x48, 0x0f, 0x31], Step::End),
    (&[0x40, 0x0f, 0x31], Step::EndRow),
];

/// Instructions of the kernel: `sysretq`, `iretq`, `wrmsr`, `rep movs`, `rep stos`.
const OF_KERNEL: [(&[u8], Step); 9] = [
    (&[0x48, 0x0f, 0x07], Step::Leave),
    (&[0x48, 0xcf], Step::Leave),
    (&[0x0f, 0x30], Step::WriteRegister),
    (&[0xf3, 0xa4], Step::Copy),
    (&[0xf3, 0xa5], Step::Copy),
    (&[0xf3, 0x48, 0xa5], Step::Copy),
    (&[0xf3, 0xaa], Step::Copy),
    (&[0xf3, 0xab], Step::Copy),
    (&[0xf3, 0x48, 0xab], Step::Copy),
];

/// The instructions to write down, by address.
#[derive(Debug, Default)]
pub(super) struct Places(BTreeMap<u64, Step>);

impl Places {
    /// Those of two ELF files.
    pub(super) fn find(kernel: &[u8], bench: &[u8]) -> Result<Self> {
        let mut places = Self::default();
        places.search("the kernel", kernel, &OF_KERNEL)?;
        places.search("bench", bench, &OF_BENCH)?;
        // `mov cr3, r` for each register; those above 7 need a prefix in front.
        for register in 0xd8..=0xdf {
            places.search(
                "the kernel",
                kernel,
                &[(&[0x0f, 0x22, register], Step::LoadRoot)],
            )?;
            let prefixed = [0x41, 0x0f, 0x22, register];
            places.search("the kernel", kernel, &[(&prefixed, Step::LoadRoot)])?;
        }
        Ok(places)
    }

    fn search(&mut self, name: &str, bytes: &[u8], patterns: &[(&[u8], Step)]) -> Result<()> {
        let file = ElfBytes::<LittleEndian>::minimal_parse(bytes)
            .doing(format_args!("read {name} as ELF"))?;
        let code = file.segments().into_iter().flatten();
        for segment in code.filter(|s| s.p_type == PT_LOAD && s.p_flags & PF_X != 0) {
            let content = file
                .segment_data(&segment)
                .doing(format_args!("read a segment of {name}"))?;
            for (pattern, step) in patterns {
                let found = content.windows(pattern.len()).enumerate();
                for (offset, _) in found.filter(|(_, window)| window == pattern) {
                    self.0.insert(segment.p_vaddr + offset as u64, *step);
                }
            }
        }
        Ok(())
    }

    /// The emulator's arguments that make it write these places down in the file `log`.
    pub(super) fn arguments(&self, log: &std::path::Path) -> Vec<std::ffi::OsString> {
        let ranges: Vec<_> = self.0.keys().map(|at| format!("{at:#x}+1")).collect();
        let flags = ["-singlestep", "-d", "exec,nochain", "-dfilter"];
        let mut line: Vec<_> = flags.map(Into::into).into();
        line.extend([ranges.join(",").into(), "-D".into(), log.into()]);
        line
    }
}

/// Counts of one operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Counts {
    /// Changes between user mode and the kernel, both ways.
    pub(super) transitions: u64,
    /// Loads of CR3.
    pub(super) cr3_writes: u64,
    /// Writes of model-specific registers by `wrmsr`.
    pub(super) msr_writes: u64,
    /// Elements that string instructions copied or filled, of whatever size.
    pub(super) copied: u64,
}

/// Reads what the emulator wrote down.
#[derive(Debug)]
pub(super) struct Reader {
    places: Places,
    /// The sample that goes on.
    sample: Option<Counts>,
    samples: Vec<Counts>,
    /// Of each row, in their order.
    rows: Vec<Counts>,
}

impl Reader {
    /// Nothing read yet.
    pub(super) const fn new(places: Places) -> Self {
        Self {
            places,
            sample: None,
            samples: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// The next line: `Trace 0: 0x… [00000000/ADDRESS/…`.
    pub(super) fn line(&mut self, line: &[u8]) {
        let address = line.split(|byte| *byte == b'/').nth(1);
        let text = address.and_then(|digits| std::str::from_utf8(digits).ok());
        let at = text.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        if let Some(step) = at.and_then(|at| self.places.0.get(&at)) {
            self.step(*step);
        }
    }

    fn step(&mut self, step: Step) {
        match (step, &mut self.sample) {
            (Step::Start, sample) => *sample = Some(Counts::default()),
            (Step::End, sample) => self.samples.extend(sample.take()),
            (Step::EndRow, _) => {
                let samples = std::mem::take(&mut self.samples);
                self.rows.push(medians(&samples));
            }
            // Every way out of the kernel was a way in before.
            (Step::Leave, Some(sample)) => sample.transitions += 2,
            (Step::LoadRoot, Some(sample)) => sample.cr3_writes += 1,
            (Step::WriteRegister, Some(sample)) => sample.msr_writes += 1,
            (Step::Copy, Some(sample)) => sample.copied += 1,
            (Step::Leave | Step::LoadRoot | Step::WriteRegister | Step::Copy, None) => {}
        }
    }

    /// The counts of each row, in their order.
    pub(super) fn finish(self) -> Vec<Counts> {
        self.rows
    }
}

fn medians(samples: &[Counts]) -> Counts {
    let median = |of: fn(&Counts) -> u64| {
        let mut values: Vec<_> = samples.iter().map(of).collect();
        values.sort_unstable();
        let middle = values.len().saturating_sub(1) / 2;
        values.get(middle).copied().unwrap_or(0)
    };
    Counts {
        transitions: median(|counts| counts.transitions),
        cr3_writes: median(|counts| counts.cr3_writes),
        msr_writes: median(|counts| counts.msr_writes),
        copied: median(|counts| counts.copied),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(steps: &[(u64, Step)]) -> Reader {
        Reader::new(Places(steps.iter().copied().collect()))
    }

    #[test]
    fn what_lies_between_two_readings_is_counted() {
        let mut reader = reader(&[
            (0x1, Step::Start),
            (0x2, Step::End),
            (0x3, Step::EndRow),
            (0xffff_ffff_8000_0001, Step::Leave),
            (0xffff_ffff_8000_0002, Step::LoadRoot),
            (0xffff_ffff_8000_0003, Step::Copy),
            (0xffff_ffff_8000_0004, Step::WriteRegister),
        ]);
        let mut executed = |places: &[u64]| {
            for at in places {
                let line = format!("Trace 0: 0x7f0000 [00000000/{at:016x}/00c0/ff000000] f\n");
                reader.line(line.as_bytes());
            }
        };
        let kernel = 0xffff_ffff_8000_0000;
        // Outside a sample nothing counts, and a second start begins again.
        executed(&[kernel + 1, 1, kernel + 2, 1, kernel + 3, kernel + 3]);
        executed(&[kernel + 1, kernel + 2, 0x77, kernel + 1, 2, kernel + 1, 3]);
        executed(&[1, kernel + 1, kernel + 4, 2, 3]);
        let row = |transitions, cr3_writes, msr_writes, copied| Counts {
            transitions,
            cr3_writes,
            msr_writes,
            copied,
        };
        assert_eq!(reader.finish(), [row(4, 1, 0, 2), row(2, 0, 1, 0)]);
    }

    #[test]
    fn lines_of_another_kind_are_passed_over() {
        let mut reader = reader(&[(1, Step::EndRow)]);
        for line in ["", "Trace", "a/zz/", "Linking TBs", "\u{fffd}/"] {
            reader.line(line.as_bytes());
        }
        assert_eq!(reader.finish(), []);
    }
}
