//! Fills the boot archive from what was built.
//!
//! | path | content |
//! |---|---|
//! | `boot/kernel` | the kernel's ELF file without symbols |
//! | `boot/bootstrap.img` | the first task, flattened (`abi::image`) |
//! | `servers/NAME/program`, `drivers/NAME/program` | ELF file without symbols |
//! | `servers/NAME/manifest`, `drivers/NAME/manifest` | encoded manifest (`manifest::Manifest::decode`) |
//! | `bin/NAME` | a program; `bin/NAME.manifest` when it has one |
//! | `servers/NAME/symbols`, `drivers/NAME/symbols`, `bin/NAME.symbols` | its functions (`abi::symbols`) |
//!
//! Only what the tree holds now is read, so a removed server is gone from the next archive.

use super::archive::{Archive, Mode};
use super::build::Products;
use super::flatten::flatten;
use super::program::{parse, segments, shed};
use super::symbols::table;
use super::units::{Kind, Unit};
use crate::fault::{Doing, Fault, Result};
use manifest::MAX_ENCODED;
use std::fs;
use std::path::{Path, PathBuf};

/// The kernel's path in the archive.
pub(crate) const KERNEL_FILE: &str = "boot/kernel";
/// The first task's.
pub(crate) const FIRST_TASK: &str = "boot/bootstrap.img";

/// A file of the host that a run puts into its archive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Addition {
    /// Where it lies on the host.
    pub(crate) host: PathBuf,
    /// Its path in the archive.
    pub(crate) guest: String,
}

/// The archive of `products` and `additions`.
pub(crate) fn bundle(products: &Products, additions: &[Addition]) -> Result<Archive> {
    let first = products
        .first()
        .ok_or_else(|| Fault::new("servers/bootstrap is not there"))?;
    let mut archive = bundle_alone(products, first)?;
    for unit in products.units.iter().filter(|u| u.kind != Kind::First) {
        add_unit(&mut archive, unit, &read(&products.program(unit)?)?)?;
    }
    for addition in additions {
        let content = fs::read(&addition.host).at("read", &addition.host)?;
        let path = addition.guest.trim_start_matches('/');
        archive.add(path, Mode::Data, content)?;
    }
    Ok(archive)
}

/// An archive that holds the kernel and one program, as the first task: nothing else will run.
pub(crate) fn bundle_alone(products: &Products, program: &Unit) -> Result<Archive> {
    let mut archive = Archive::default();
    let kernel = shed("the kernel", &read(&products.kernel)?)?;
    archive.add(KERNEL_FILE, Mode::Program, kernel)?;
    let image = flatten(&program.name, &read(&products.program(program)?)?)?;
    archive.add(FIRST_TASK, Mode::Data, image)?;
    Ok(archive)
}

fn add_unit(archive: &mut Archive, unit: &Unit, program: &[u8]) -> Result<()> {
    let name = &unit.name;
    // Here its faults have a name; in the guest it would only fail to start.
    segments(name, &parse(name, program)?)?;
    let (program_path, stem) = match unit.kind {
        Kind::Program => (format!("bin/{name}"), format!("bin/{name}.")),
        Kind::First | Kind::Server | Kind::Driver => {
            let folder = unit.kind.folder();
            (
                format!("{folder}/{name}/program"),
                format!("{folder}/{name}/"),
            )
        }
    };
    archive.add(&program_path, Mode::Program, shed(name, program)?)?;
    archive.add(&format!("{stem}symbols"), Mode::Data, table(program))?;
    if let Some(manifest) = unit.manifest()? {
        let mut buffer = [0; MAX_ENCODED];
        let encoded = manifest
            .encode(&mut buffer)
            .at("encode", &unit.manifest_path())?;
        archive.add(&format!("{stem}manifest"), Mode::Data, encoded.to_vec())?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).at("read", path)
}
