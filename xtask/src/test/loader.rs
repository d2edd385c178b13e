//! What a genuine Limine asks of the file that it loads, checked on the kernel as it is built.
//!
//! The rules are those of the protocol, base revision 3, and of the ELF loader of a Limine that offers it. The boot stub
//! refuses what breaks most of them too; here they are together, and say what is wrong.

use elf::ElfBytes;
use elf::abi::{EM_X86_64, ET_EXEC, PF_W, PF_X, PT_DYNAMIC, PT_INTERP, PT_LOAD};
use elf::endian::LittleEndian;
use elf::segment::ProgramHeader;

/// Where kernels may lie.
const LOWEST: u64 = 0xffff_ffff_8000_0000;
const PAGE: u64 = 4096;

const BASE_REVISION: [u64; 2] = [0xf956_2b2d_5c95_a6c8, 0x6a7b_3849_4453_6bdc];
const REQUEST: [u64; 2] = [0xc7b1_dd30_df4c_8b88, 0x0a82_e883_a194_f07b];
const START: [u64; 4] = [
    0xf6b8_f4b3_9de7_d1ae,
    0xfab9_1a69_40fc_b9cf,
    0x785c_6ed0_15d3_e316,
    0x181e_920a_7852_b9d9,
];
const END: [u64; 2] = [0xadc0_e053_1bb1_0d03, 0x9572_709f_3176_4c62];

/// The paging modes that a kernel asks for, of which the loader refuses what the processor lacks.
const PAGING_MODE: [u64; 2] = [0x95c1_a0ed_ab09_44cb, 0xa4e5_cb38_42f7_488a];

type Verdict<T> = Result<T, String>;

/// Ends with what is wrong, unless it holds.
macro_rules! demand {
    ($holds:expr, $($wrong:tt)+) => {
        if !$holds {
            return Err(format!($($wrong)+));
        }
    };
}

/// How many requests the kernel `file` makes, when a Limine would load it.
pub(super) fn check(file: &[u8]) -> Verdict<usize> {
    let elf = ElfBytes::<LittleEndian>::minimal_parse(file).map_err(|error| error.to_string())?;
    demand!(
        elf.ehdr.e_type == ET_EXEC && elf.ehdr.e_machine == EM_X86_64,
        "it is no x86-64 executable at fixed addresses",
    );
    let headers = elf.segments().ok_or("it has no program headers")?;
    demand!(
        headers
            .iter()
            .all(|header| ![PT_DYNAMIC, PT_INTERP].contains(&header.p_type)),
        "it wants to be linked at load time",
    );
    let loads: Vec<ProgramHeader> = headers
        .iter()
        .filter(|header| header.p_type == PT_LOAD && header.p_memsz > 0)
        .collect();
    segments(&loads, file.len() as u64)?;
    let entry = elf.ehdr.e_entry;
    demand!(
        loads.iter().any(|load| {
            load.p_flags & PF_X != 0
                && (load.p_vaddr..load.p_vaddr + load.p_filesz).contains(&entry)
        }),
        "its entry is not in its code",
    );
    requests(&image(&loads, file))
}

/// Each where kernels lie, within the file, at a page; no two in one page; none writable and executable.
fn segments(loads: &[ProgramHeader], length: u64) -> Verdict<()> {
    demand!(!loads.is_empty(), "it has nothing to load");
    let mut after = LOWEST;
    for load in loads {
        let at = load.p_vaddr;
        let its = format!("its segment at {at:#x}");
        let end = at.checked_add(load.p_memsz).ok_or(format!("{its} wraps"))?;
        let content = load.p_offset.checked_add(load.p_filesz);
        let access = load.p_flags & (PF_W | PF_X);
        demand!(at >= LOWEST, "{its} is not in the highest 2 GiB");
        demand!(at.is_multiple_of(PAGE), "{its} does not begin at a page");
        demand!(at >= after, "{its} shares a page with the one before");
        demand!(
            load.p_align == PAGE,
            "{its} is not aligned to pages of 4 KiB"
        );
        demand!(
            load.p_filesz <= load.p_memsz,
            "{its} has more content than room"
        );
        demand!(
            content.is_some_and(|end| end <= length),
            "{its} has content outside the file"
        );
        demand!(access != PF_W | PF_X, "{its} is writable and executable");
        after = end.next_multiple_of(PAGE);
    }
    Ok(())
}

/// What is searched for requests: from the first segment to where the content of the last one ends.
fn image(loads: &[ProgramHeader], file: &[u8]) -> Vec<u8> {
    let mut image = Vec::new();
    for load in loads {
        // `segments` was content with each.
        let start = (load.p_vaddr - LOWEST) as usize;
        image.resize(start, 0);
        let content = load.p_offset as usize..(load.p_offset + load.p_filesz) as usize;
        image.extend(file.get(content).unwrap_or_default());
    }
    image
}

/// One base revision, 3, and requests that differ, all between one start and one end marker, and whole.
fn requests(image: &[u8]) -> Verdict<usize> {
    let words: Vec<u64> = image
        .chunks_exact(8)
        .map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default()))
        .collect();
    let all = |pattern: &[u64]| -> Vec<usize> {
        let places = words.windows(pattern.len()).enumerate();
        places
            .filter_map(|(at, found)| (found == pattern).then_some(at))
            .collect()
    };
    let (&[start], &[end]) = (&all(&START)[..], &all(&END)[..]) else {
        return Err("it has not one start and one end of requests".into());
    };
    let inside = |at: usize, length: usize| start < at && at + length <= end;
    let &[tag] = &all(&BASE_REVISION)[..] else {
        return Err("it has not one base revision".into());
    };
    demand!(inside(tag, 3), "its base revision is not with the requests");
    demand!(words[tag + 2] == 3, "it does not ask for base revision 3");
    let requests = all(&REQUEST);
    let mut kinds: Vec<&[u64]> = Vec::new();
    for &at in &requests {
        demand!(inside(at, 6), "a request is not between the markers");
        let kind = &words[at + 2..at + 4];
        demand!(!kinds.contains(&kind), "it asks twice for the same");
        demand!(words[at + 5] == 0, "a request is answered already");
        if kind == PAGING_MODE {
            demand!(
                inside(at, 9) && words[at + 4] == 1 && words[at + 6..at + 9] == [0, 0, 0],
                "it does not insist on four levels of page tables",
            );
        }
        kinds.push(kind);
    }
    demand!(
        kinds.contains(&&PAGING_MODE[..]),
        "it takes any number of levels of page tables",
    );
    Ok(requests.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: u64 = LOWEST;
    const DATA: u64 = LOWEST + 0x2000;

    /// Two segments by address, flags, content and size in memory.
    fn file(entry: u64, loads: &[(u64, u32, Vec<u8>, u64)]) -> Vec<u8> {
        let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
        let long = |file: &mut Vec<u8>, words: &[u64]| {
            words
                .iter()
                .for_each(|word| file.extend(word.to_le_bytes()));
        };
        long(&mut file, &[entry, 64, 0]);
        file.extend([0; 4]);
        for half in [64, 56, loads.len() as u16, 64, 0, 0] {
            file.extend(half.to_le_bytes());
        }
        let mut offset = 64 + 56 * loads.len() as u64;
        for (address, flags, content, size) in loads {
            file.extend(1_u32.to_le_bytes());
            file.extend(flags.to_le_bytes());
            let length = content.len() as u64;
            long(
                &mut file,
                &[offset, *address, *address, length, *size, PAGE],
            );
            offset += length;
        }
        loads.iter().for_each(|load| file.extend(&load.2));
        file
    }

    fn bytes(parts: &[&[u64]]) -> Vec<u8> {
        let words = parts.concat();
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn kernel(data: &[&[u64]]) -> Vec<u8> {
        let data = bytes(data);
        file(
            CODE,
            &[(CODE, 5, vec![0x90; 9], 9), (DATA, 6, data, 0x3000)],
        )
    }

    const TAG: &[u64] = &[BASE_REVISION[0], BASE_REVISION[1], 3];
    const PAGING: &[u64] = &[
        REQUEST[0],
        REQUEST[1],
        PAGING_MODE[0],
        PAGING_MODE[1],
        1,
        0,
        0,
        0,
        0,
    ];
    const ASKS: &[u64] = &[REQUEST[0], REQUEST[1], 7, 7, 0, 0];

    #[test]
    fn a_kernel_that_keeps_the_rules_is_loaded() {
        assert_eq!(
            check(&kernel(&[&[1], &START, TAG, PAGING, ASKS, &END])),
            Ok(2)
        );
    }

    #[test]
    fn requests_that_are_not_seen_are_found() {
        for (data, why) in [
            (&[TAG, PAGING, &END][..], "one start"),
            (&[&START, TAG, PAGING], "one end"),
            (&[&START, &START, TAG, PAGING, &END], "one start"),
            (&[TAG, &START, PAGING, &END], "not with the requests"),
            (&[&START, TAG, TAG, PAGING, &END], "one base revision"),
            (&[&START, &TAG[..2], &[4], PAGING, &END], "base revision 3"),
            (&[&START, TAG, PAGING, &END, ASKS], "between the markers"),
            (&[&START, TAG, PAGING, ASKS, ASKS, &END], "twice"),
            (&[&START, TAG, ASKS, &END], "any number of levels"),
            (&[&START, TAG, &PAGING[..7], &[1, 0], &END], "four levels"),
            (&[&START, TAG, PAGING, &ASKS[..5], &[9], &END], "answered"),
        ] {
            let found = check(&kernel(data)).unwrap_err();
            assert!(found.contains(why), "{found}, not {why}");
        }
    }

    #[test]
    fn segments_that_are_not_loaded_are_found() {
        let code = (CODE, 5, vec![0x90; 9], 9);
        for (entry, second, why) in [
            (CODE, (DATA, 7, vec![0], 1), "writable and executable"),
            (CODE, (CODE + 0x800, 6, vec![0], 1), "begin at a page"),
            (CODE, (CODE, 6, vec![0], 1), "shares a page"),
            (CODE, (4096, 6, vec![0], 1), "2 GiB"),
            (CODE, (DATA, 6, vec![0; 2], 1), "more content"),
            (CODE, (DATA, 6, vec![0], u64::MAX), "wraps"),
            (DATA, (DATA, 6, vec![0], 1), "entry"),
        ] {
            let found = check(&file(entry, &[code.clone(), second])).unwrap_err();
            assert!(found.contains(why), "{found}, not {why}");
        }
        assert!(check(b"no file").is_err());
    }
}
