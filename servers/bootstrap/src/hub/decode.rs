//! Manifests of the archive become units.

use alloc::format;
use alloc::string::String;

use archive::{Archive, UnitPaths};
use libmach::Result;
use manifest::{Limits, MAX_ENCODED, Manifest, Restart, Start};

use super::{Hub, Unit};
use crate::launch::Launcher;
use crate::life::{Life, Order, Policy};

/// What a program without a manifest may hold: more than a small server.
const PROGRAM_LIMITS: Limits = Limits {
    names: 1 << 16,
    messages: 1 << 14,
    kernel_memory: 8 << 20,
    pages: 4096,
    threads: 64,
    priority: 31,
};

impl<L: Launcher> Hub<L> {
    /// Enters a server or driver, or a program that its manifest makes one; other programs wait for
    /// `run`. What is wrong with a manifest is a reason to have failed; only the want of ports is an
    /// error.
    pub(super) fn declare(&mut self, paths: UnitPaths<'_>) -> Result<()> {
        let UnitPaths { name, program, .. } = paths;
        let index = self.units.len();
        let found = read(&self.archive, paths.manifest);
        let waits = |manifest: &Manifest| manifest.start == Start::Request;
        if program.starts_with("bin/") && found.as_ref().map_or(true, waits) {
            return Ok(());
        }
        let (manifest, mut reason) = match found {
            Ok(manifest) if manifest.name == name => (manifest, None),
            Ok(manifest) => {
                let reason = format!("its manifest is that of {}", manifest.name);
                (blank(name), Some(reason))
            }
            Err(reason) => (blank(name), Some(reason)),
        };
        for service in &manifest.services {
            if self.registry.find(service).is_ok() {
                reason = Some(format!("another one offers {service} too"));
            } else {
                self.registry.declare(service, index)?;
            }
        }
        let mut life = Life::new(name, Policy::of(&manifest));
        if let Some(reason) = reason {
            // What is queued to it: nothing yet.
            let order = life.fail(&reason);
            debug_assert_eq!(order, Order::Refuse);
        }
        self.units.push(Unit {
            manifest,
            program,
            life,
            task: None,
            postponed: None,
        });
        self.watch_if_failed(index);
        Ok(())
    }
}

/// The manifest of the program called `name`; without a file, one that asks for nothing.
///
/// # Errors
/// What is wrong with the file.
pub(super) fn of_program(archive: &Archive, name: &str) -> Result<Manifest, String> {
    let path = format!("bin/{name}.manifest");
    if archive.file(&path).is_none() {
        let limits = PROGRAM_LIMITS;
        return Ok(Manifest {
            limits,
            ..blank(name)
        });
    }
    read(archive, &path)
}

fn read(archive: &Archive, path: &str) -> Result<Manifest, String> {
    let file = archive.file(path).ok_or("its manifest is missing")?;
    let bytes = file
        .whole(MAX_ENCODED)
        .ok_or("its manifest is longer than any can be")?;
    Manifest::decode(&bytes).map_err(|error| format!("its manifest: {error}"))
}

/// A manifest that asks for nothing.
fn blank(name: &str) -> Manifest {
    let end = name.floor_char_boundary(name.len().min(manifest::MAX_NAME));
    Manifest {
        name: name[..end].parse().unwrap_or_default(),
        services: heapless::Vec::new(),
        start: Start::Request,
        restart: Restart::default(),
        heartbeat: None,
        jit: false,
        args: heapless::Vec::new(),
        limits: Limits::default(),
        rights: heapless::LinearMap::new(),
    }
}
