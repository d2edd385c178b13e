//! The boot archive: a tar archive that holds the kernel and the first task beside all that ring 3 loads.

use tar_no_std::TarArchiveRef;

use crate::error::Error;

/// The kernel's ELF file.
pub const KERNEL: &str = "boot/kernel";

/// The first task, flattened; opaque to the stub.
pub const FIRST_TASK: &str = "boot/bootstrap.img";

/// The two files that the stub takes from the archive, each by offset and length in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Contents {
    /// [`KERNEL`].
    pub kernel: (u64, u64),
    /// [`FIRST_TASK`].
    pub first_task: (u64, u64),
}

/// Finds the two files. A leading `./` of a name is passed over; of two files of one name the later one counts, as in tar.
///
/// # Errors
/// [`Error::Archive`], [`Error::NotInArchive`].
pub fn find(archive: &[u8]) -> Result<Contents, Error> {
    let entries = TarArchiveRef::new(archive).map_err(Error::Archive)?;
    let (mut kernel, mut first_task) = (None, None);
    for entry in entries.entries() {
        let name = entry.filename();
        let Ok(name) = name.as_str() else { continue };
        let slot = match name.strip_prefix("./").unwrap_or(name) {
            KERNEL => &mut kernel,
            FIRST_TASK => &mut first_task,
            _ => continue,
        };
        let data = entry.data();
        // The entry is a part of the archive, so this is its offset.
        let offset = data.as_ptr().addr() - archive.as_ptr().addr();
        *slot = Some((offset as u64, data.len() as u64));
    }
    Ok(Contents {
        kernel: kernel.ok_or(Error::NotInArchive(KERNEL))?,
        first_task: first_task.ok_or(Error::NotInArchive(FIRST_TASK))?,
    })
}
