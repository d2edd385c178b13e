//! Reads the boot archive: ustar (POSIX.1-1988), as `xtask` writes it.
//!
//! Nothing of the archive is believed: every header's magic, checksum and size is checked against
//! the archive's bounds, and an error says where and what. Headers are copied out one at a time; the
//! content stays where it is and is read through [`File`].
//!
//! Deliberately absent: prefixes, links, folders, other types of entries (skipped), writing.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

const BLOCK: u64 = 512;
/// The most files that an archive has; more is refused rather than scanned without end.
pub const MAX_FILES: usize = 1024;

/// Bytes that are read by copying.
pub trait Bytes {
    /// How many there are.
    fn size(&self) -> u64;
    /// Copies those from `offset` on to `to`; false, and `to` unchanged, when they are not all there.
    fn read(&self, offset: u64, to: &mut [u8]) -> bool;
}

impl Bytes for Vec<u8> {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read(&self, offset: u64, to: &mut [u8]) -> bool {
        let found = usize::try_from(offset).ok().and_then(|start| {
            let end = start.checked_add(to.len())?;
            self.get(start..end)
        });
        match found {
            Some(bytes) => {
                to.copy_from_slice(bytes);
                true
            }
            None => false,
        }
    }
}

impl Bytes for libmach::memory::View {
    fn size(&self) -> u64 {
        Self::size(self)
    }

    fn read(&self, offset: u64, to: &mut [u8]) -> bool {
        Self::read(self, offset, to)
    }
}

/// Where a file's content lies in the archive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    offset: u64,
    size: u64,
}

/// What is wrong with an archive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    offset: u64,
    what: &'static str,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the boot archive is damaged at byte {}: {}",
            self.offset, self.what
        )
    }
}

/// A file of the archive.
#[derive(Clone, Copy)]
pub struct File<'a> {
    bytes: &'a dyn Bytes,
    place: Place,
}

impl fmt::Debug for File<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}

impl Bytes for File<'_> {
    fn size(&self) -> u64 {
        self.place.size
    }

    fn read(&self, offset: u64, to: &mut [u8]) -> bool {
        let end = offset.checked_add(to.len() as u64);
        end.is_some_and(|end| end <= self.place.size)
            && self.bytes.read(self.place.offset + offset, to)
    }
}

impl File<'_> {
    /// All of it, when it has at most `limit` bytes.
    pub fn whole(&self, limit: usize) -> Option<Vec<u8>> {
        let size = usize::try_from(self.place.size).ok()?;
        let mut content = alloc::vec![0; (size <= limit).then_some(size)?];
        self.read(0, &mut content).then_some(content)
    }
}

/// The archive's table of contents.
pub struct Archive {
    bytes: Box<dyn Bytes>,
    files: Vec<(String, Place)>,
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.files).finish()
    }
}

impl Archive {
    /// Reads all headers.
    ///
    /// # Errors
    /// The first damage. An end without the two empty blocks is one, too.
    pub fn read(bytes: impl Bytes + 'static) -> Result<Self, Damage> {
        let mut files = Vec::new();
        let mut offset = 0;
        loop {
            let at = |what| Damage { offset, what };
            let mut header = [0; BLOCK as usize];
            if !bytes.read(offset, &mut header) {
                return Err(at("it ends without its end mark"));
            }
            if header == [0; BLOCK as usize] {
                break;
            }
            let entry = Entry::decode(&header).map_err(at)?;
            let content = offset + BLOCK;
            let end = content
                .checked_add(entry.size)
                .and_then(|end| end.checked_next_multiple_of(BLOCK))
                .filter(|end| *end <= bytes.size())
                .ok_or_else(|| at("a file reaches beyond the archive's end"))?;
            if entry.regular {
                if files.len() == MAX_FILES {
                    return Err(at("too many files"));
                }
                let place = Place {
                    offset: content,
                    size: entry.size,
                };
                files.push((entry.path.to_string(), place));
            }
            offset = end;
        }
        let bytes = Box::new(bytes);
        Ok(Self { bytes, files })
    }

    /// The file at `path`.
    pub fn file(&self, path: &str) -> Option<File<'_>> {
        let (_, place) = self.files.iter().find(|(found, _)| found == path)?;
        Some(File {
            bytes: &*self.bytes,
            place: *place,
        })
    }

    /// All paths, in the archive's order.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|(path, _)| path.as_str())
    }

    /// Each server, driver and program that has a manifest, in the archive's order.
    pub fn units(&self) -> impl Iterator<Item = UnitPaths<'_>> {
        self.paths().filter_map(UnitPaths::of)
    }
}

/// Where a server, driver or program lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnitPaths<'a> {
    /// Its name.
    pub name: &'a str,
    /// Path of its manifest.
    pub manifest: &'a str,
    /// Path of its program.
    pub program: String,
}

impl<'a> UnitPaths<'a> {
    /// Whose manifest lies at this path: `servers/NAME/manifest`, `drivers/NAME/manifest`, or
    /// `bin/NAME.manifest`.
    fn of(manifest: &'a str) -> Option<Self> {
        let (kind, rest) = manifest.split_once('/')?;
        let (name, program) = match kind {
            "servers" | "drivers" => {
                let name = rest.strip_suffix("/manifest")?;
                (name, format!("{kind}/{name}/program"))
            }
            "bin" => {
                let name = rest.strip_suffix(".manifest")?;
                (name, format!("bin/{name}"))
            }
            _ => return None,
        };
        (!name.contains('/')).then_some(Self {
            name,
            manifest,
            program,
        })
    }
}

/// What a header says.
struct Entry<'a> {
    path: &'a str,
    size: u64,
    regular: bool,
}

impl<'a> Entry<'a> {
    fn decode(header: &'a [u8; BLOCK as usize]) -> Result<Self, &'static str> {
        if &header[257..262] != b"ustar" {
            return Err("no ustar header");
        }
        let sum: u64 = header
            .iter()
            .enumerate()
            .map(|(at, byte)| {
                u64::from(if (148..156).contains(&at) {
                    b' '
                } else {
                    *byte
                })
            })
            .sum();
        if octal(&header[148..156]) != Some(sum) {
            return Err("a header's checksum is wrong");
        }
        if header[345] != 0 {
            return Err("a path has a prefix");
        }
        let path = &header[..100];
        let end = path.iter().position(|byte| *byte == 0).unwrap_or(100);
        let path = core::str::from_utf8(&path[..end]).map_err(|_| "a path is not UTF-8")?;
        Ok(Self {
            path,
            size: octal(&header[124..136]).ok_or("a file's size is no octal number")?,
            regular: matches!(header[156], b'0' | 0) && !path.is_empty(),
        })
    }
}

/// An octal number, ended by NUL, space, or the field's end.
fn octal(field: &[u8]) -> Option<u64> {
    let end = field
        .iter()
        .position(|byte| matches!(byte, 0 | b' '))
        .unwrap_or(field.len());
    let digits = &field[..end];
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 8)?;
        value.checked_mul(8)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests;
