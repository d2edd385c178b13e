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
        let names: Vec<String> = addresses(line)
            .filter_map(|address| name(&functions, address))
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

fn name(functions: &[Function], address: u64) -> Option<String> {
    let next = functions.partition_point(|function| function.start <= address);
    let function = functions.get(next.checked_sub(1)?)?;
    let offset = address - function.start;
    // Assembly has no sizes: its symbols reach to the next one.
    let inside = function.size == 0 || offset < function.size;
    inside.then(|| format!("{}+{offset:#x}", function.name))
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
        assert_eq!(name(&functions, KERNEL_START + 4).as_deref(), Some("a+0x4"));
        assert_eq!(name(&functions, KERNEL_START + 0x10), None);
        assert_eq!(
            name(&functions, KERNEL_START + 0x180).as_deref(),
            Some("b+0x80")
        );
        assert_eq!(name(&functions, 1), None);
    }

    #[test]
    fn only_kernel_addresses_count() {
        let line = "#1 at 0xffffffff80001234, ffffffff80005678 from 0x0000000000401000 deadbeef\n";
        assert!(addresses(line).eq([0xffff_ffff_8000_1234, 0xffff_ffff_8000_5678]));
        assert_eq!(annotate(b"no kernel", line), line);
    }
}
