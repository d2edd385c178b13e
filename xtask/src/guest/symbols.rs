//! The functions of a program, read from its ELF file, and the table of them that the guest reads (`abi::symbols`).

use abi::symbols::{ENTRY, HEADER, MAGIC, MAX_NAME};
use elf::ElfBytes;
use elf::abi::STT_FUNC;
use elf::endian::LittleEndian;

/// A function of a program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Function {
    /// Its address.
    pub(crate) start: u64,
    /// Its bytes; 0 where assembly did not say.
    pub(crate) size: u64,
    /// Its name, demangled, without hash.
    pub(crate) name: String,
}

/// All functions of the ELF file `program`, by ascending address; none when it has no symbols.
pub(crate) fn functions(program: &[u8]) -> Vec<Function> {
    let Ok(file) = ElfBytes::<LittleEndian>::minimal_parse(program) else {
        return Vec::new();
    };
    let Ok(Some((symbols, strings))) = file.symbol_table() else {
        return Vec::new();
    };
    let mut found: Vec<Function> = symbols
        .iter()
        .filter(|symbol| symbol.st_symtype() == STT_FUNC)
        .filter_map(|symbol| {
            let name = strings.get(symbol.st_name as usize).ok()?;
            Some(Function {
                start: symbol.st_value,
                size: symbol.st_size,
                name: format!("{:#}", rustc_demangle::demangle(name)),
            })
        })
        .collect();
    found.sort_by_key(|function| function.start);
    found
}

/// The table of the ELF file `program`. Functions beyond 2 GiB, which no program of the guest has, are left out.
pub(super) fn table(program: &[u8]) -> Vec<u8> {
    let functions = functions(program);
    let entries: Vec<(u32, u32, &str)> = functions
        .iter()
        .filter_map(|function| {
            let start = u32::try_from(function.start).ok()?;
            let size = u32::try_from(function.size).ok()?;
            let end = function.name.floor_char_boundary(MAX_NAME);
            Some((start, size, &function.name[..end]))
        })
        .collect();
    let mut bytes = MAGIC.to_le_bytes().to_vec();
    bytes.extend((entries.len() as u64).to_le_bytes());
    let mut names = String::new();
    let before = HEADER as usize + entries.len() * ENTRY as usize;
    for (start, size, name) in entries {
        let at = before + names.len();
        for half in [start, size, at as u32, name.len() as u32] {
            bytes.extend(half.to_le_bytes());
        }
        names.push_str(name);
    }
    bytes.extend(names.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::symbols::{Read, find};
    use std::fs;

    struct Table(Vec<u8>);

    impl Read for Table {
        fn read(&self, offset: u64, to: &mut [u8]) -> bool {
            let from = usize::try_from(offset).unwrap_or(usize::MAX);
            let found = self.0.get(from..from.saturating_add(to.len()));
            if let Some(bytes) = found {
                to.copy_from_slice(bytes);
            }
            found.is_some()
        }
    }

    #[test]
    fn a_program_s_functions_are_found_in_its_table() {
        // This test's own program is one with symbols, if not at fixed addresses.
        let path = std::env::current_exe().unwrap();
        let program = fs::read(path).unwrap();
        let functions = functions(&program);
        let table = Table(table(&program));
        let own = "a_program_s_functions_are_found_in_its_table";
        let own = functions.iter().find(|f| f.name.contains(own)).unwrap();
        let mut room = [0; MAX_NAME];
        let found = find(&table, own.start + 1).unwrap();
        assert_eq!(found.start, own.start);
        let name = found.name(&table, &mut room).unwrap();
        assert!(own.name.starts_with(name), "{name}");
    }

    #[test]
    fn what_has_no_symbols_has_an_empty_table() {
        assert_eq!(functions(b"no program"), []);
        let table = Table(table(b"no program"));
        assert_eq!(table.0.len() as u64, HEADER);
        assert_eq!(find(&table, 0), None);
    }
}
