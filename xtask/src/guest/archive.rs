//! The boot archive: ustar (POSIX.1-1988), byte for byte the same for the same content.
//!
//! Deliberately absent: times, owners, links, folders of their own, paths over 100 bytes.

use crate::fault::{Fault, Result};
use std::collections::BTreeMap;

const BLOCK: usize = 512;
/// Bytes of a path in a header.
const MAX_PATH: usize = 100;
/// Bytes of content that a header's 11 octal digits can say.
const MAX_SIZE: u64 = 0o777_7777_7777;

/// Whether a file is a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// Anything that is only read.
    Data,
    /// A program.
    Program,
}

/// Files by path. Their order in the archive is that of their paths.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    files: BTreeMap<String, (Mode, Vec<u8>)>,
}

impl Archive {
    /// Puts in a file. Paths are relative, their parts joined by single `/`.
    pub(crate) fn add(&mut self, path: &str, mode: Mode, content: Vec<u8>) -> Result<()> {
        let refuse = |why: &str| Err(Fault::new(format!("archive path {path:?} {why}")));
        if path.len() > MAX_PATH || path.contains('\0') {
            return refuse("is too long or holds a NUL");
        }
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return refuse("is not relative and plain");
        }
        if content.len() as u64 > MAX_SIZE {
            return refuse("holds too much");
        }
        match self.files.insert(path.to_owned(), (mode, content)) {
            None => Ok(()),
            Some(_) => refuse("is there already"),
        }
    }

    /// What a file holds.
    pub(crate) fn content(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(|(_, content)| content.as_slice())
    }

    /// The whole archive.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (path, (mode, content)) in &self.files {
            bytes.extend(header(path, *mode, content.len()));
            bytes.extend(content);
            bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        }
        // Two empty blocks are the end.
        bytes.resize(bytes.len() + 2 * BLOCK, 0);
        bytes
    }
}

fn header(path: &str, mode: Mode, size: usize) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |offset: usize, field: &[u8]| {
        block[offset..offset + field.len()].copy_from_slice(field);
    };
    put(0, path.as_bytes());
    put(
        100,
        match mode {
            Mode::Data => b"0000644",
            Mode::Program => b"0000755",
        },
    );
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, format!("{size:011o}").as_bytes());
    put(136, b"00000000000");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use std::fs;
    use std::process::Command;

    fn filled(paths: &[&str]) -> Archive {
        let mut archive = Archive::default();
        for path in paths {
            archive
                .add(path, Mode::Data, path.repeat(100).into_bytes())
                .unwrap();
        }
        archive
    }

    #[test]
    fn the_order_of_adding_does_not_matter() {
        let one = filled(&["b/x", "a", "b/a"]).encode();
        assert_eq!(one, filled(&["a", "b/a", "b/x"]).encode());
        assert_ne!(one, filled(&["a", "b/a"]).encode());
        assert_eq!(one.len() % BLOCK, 0);
    }

    #[test]
    fn the_system_s_tar_reads_it() {
        let scratch = Scratch::new("tar");
        let mut archive = filled(&["boot/kernel", "servers/echo/manifest"]);
        let content = vec![7; 1000];
        archive
            .add("bin/tests", Mode::Program, content.clone())
            .unwrap();
        let path = scratch.path().join("boot.tar");
        fs::write(&path, archive.encode()).unwrap();
        let status = Command::new("tar")
            .args(["--extract", "--file"])
            .arg(&path)
            .arg("--directory")
            .arg(scratch.path())
            .status()
            .unwrap();
        assert!(status.success());
        assert_eq!(fs::read(scratch.path().join("bin/tests")).unwrap(), content);
        assert!(scratch.path().join("servers/echo/manifest").exists());
    }

    #[test]
    fn paths_that_leave_the_archive_are_refused() {
        let long = "x".repeat(101);
        for path in ["", "/etc/x", "a/../b", "a//b", "./a", "a\0b", &long] {
            let added = Archive::default().add(path, Mode::Data, Vec::new());
            assert!(added.is_err(), "{path:?}");
        }
        let mut archive = filled(&["a"]);
        assert!(archive.add("a", Mode::Data, Vec::new()).is_err());
    }
}
