//! Names of functions, from the tables that lie in the archive beside the programs.

use alloc::format;
use alloc::string::String;

use archive::{Archive, Bytes, File};
use libmach::abi::symbols::{MAX_NAME, Read, find};

/// The tables of all programs.
#[derive(Debug)]
pub struct Symbols(Option<Archive>);

impl Symbols {
    /// The tables of an archive.
    pub fn new(archive: Option<Archive>) -> Self {
        Self(archive)
    }

    /// The table of the program called `name`; an empty one when it has none.
    pub fn of(&self, name: &str) -> Table<'_> {
        let paths = [
            format!("servers/{name}/symbols"),
            format!("drivers/{name}/symbols"),
            format!("bin/{name}.symbols"),
        ];
        let archive = self.0.as_ref();
        Table(paths.iter().find_map(|path| archive?.file(path)))
    }
}

/// A program's functions.
#[derive(Debug)]
pub struct Table<'a>(Option<File<'a>>);

impl Read for Table<'_> {
    fn read(&self, offset: u64, to: &mut [u8]) -> bool {
        self.0.is_some_and(|file| file.read(offset, to))
    }
}

impl Table<'_> {
    /// Where the function begins that an address lies in.
    pub fn start(&self, address: u64) -> Option<u64> {
        find(self, address).map(|function| function.start)
    }

    /// The name of the function that an address lies in, and how far behind its begin.
    pub fn name(&self, address: u64) -> Option<(String, u64)> {
        let function = find(self, address)?;
        let mut room = [0; MAX_NAME];
        let name = function.name(self, &mut room)?;
        Some((String::from(name), address - function.start))
    }
}
