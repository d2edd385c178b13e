//! Names for the kernel's addresses in its log.

use crate::guest::{Function, functions};

/// Where the kernel's code may lie: the top 2 GiB.
const KERNEL_START: u64 = 0xffff_ffff_8000_0000;

/// `log` with the function and offset after each address of the kernel's code. Without symbols it
/// stays as it is.
pub(crate) fn annotate(kernel: &[u8], log: &str) -> String {
    let functions = functions(kernel);
    let mut out = String::with_capacity(log.len());
    for line in log.split_inclusive('\n') {
        let kind = Kind::on(line);
        let names: Vec<String> = addresses(line)
            .filter_map(|address| name(&functions, address, kind))
            .collect();
        out.push_str(line.trim_end_matches('\n'));
        for name in names {
            out.push_str(&format!("  <{name}>"));
        }
        if line.ends_with('\n') {
            out.push('\n');
        }
    }
    out
}

/// What an address is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Where something lies.
    Place,
    /// Where a call returns to. Behind one that never does, that may be another function already.
    Return,
}

impl Kind {
    /// That of the addresses on a line: `#n` begins those of a backtrace, `#0` its own place.
    fn on(line: &str) -> Self {
        match line.starts_with('#') && !line.starts_with("#0 ") {
            true => Self::Return,
            false => Self::Place,
        }
    }
}

fn name(functions: &[Function], address: u64, kind: Kind) -> Option<String> {
    let inside = match kind {
        Kind::Place => address,
        Kind::Return => address - 1,
    };
    let next = functions.partition_point(|function| function.start <= inside);
    let function = functions.get(next.checked_sub(1)?)?;
    // Assembly has no sizes: its symbols reach to the next one.
    let found = function.size == 0 || inside - function.start < function.size;
    found.then(|| format!("{}+{:#x}", function.name, address - function.start))
}

/// The kernel addresses that `line` names in hexadecimal, with `0x` or without.
fn addresses(line: &str) -> impl Iterator<Item = u64> {
    line.split(|c: char| !c.is_ascii_alphanumeric())
        .map(|word| word.strip_prefix("0x").unwrap_or(word))
        .filter(|word| word.len() == 16)
        .filter_map(|word| u64::from_str_radix(word, 16).ok())
        .filter(|address| *address >= KERNEL_START)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_find_their_function() {
        let functions = [("a", 0x10), ("b", 0)].map(|(name, size)| Function {
            start: KERNEL_START + if name == "a" { 0 } else { 0x100 },
            size,
            name: name.into(),
        });
        let name = |offset, kind| name(&functions, KERNEL_START + offset, kind);
        let place = |offset| name(offset, Kind::Place);
        assert_eq!(place(4).as_deref(), Some("a+0x4"));
        assert_eq!(place(0x10), None);
        assert_eq!(place(0x180).as_deref(), Some("b+0x80"));
        // The last instruction of a function may be a call that does not return.
        let back = |offset| name(offset, Kind::Return);
        assert_eq!(back(0x10).as_deref(), Some("a+0x10"));
        assert_eq!(back(0x100), None);
        assert_eq!(back(0x101).as_deref(), Some("b+0x1"));
    }

    #[test]
    fn all_but_the_first_of_a_backtrace_are_returned_to() {
        assert_eq!(Kind::on("#0 0x1"), Kind::Place);
        assert_eq!(Kind::on("  rip 0x1"), Kind::Place);
        assert_eq!(Kind::on("#10 0x1"), Kind::Return);
    }

    #[test]
    fn only_kernel_addresses_count() {
        let line = "#1 at 0xffffffff80001234, ffffffff80005678 from 0x0000000000401000 deadbeef\n";
        assert!(addresses(line).eq([0xffff_ffff_8000_1234, 0xffff_ffff_8000_5678]));
        assert_eq!(annotate(b"no kernel", line), line);
    }
}
