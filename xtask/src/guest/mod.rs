//! From the tree to the boot archive: which crates are guest code, their build, their bundling.

mod archive;
mod build;
mod bundle;
mod c;
mod flatten;
mod program;
#[cfg(test)]
mod sample;
mod symbols;
mod units;

pub(crate) use archive::Archive;
pub(crate) use build::{
    Kernel, Products, build, build_only, cargo_guest, name_c_library, name_packages,
};
pub(crate) use bundle::{Addition, FIRST_TASK, KERNEL_FILE, bundle, bundle_alone};
pub(crate) use symbols::{Function, functions};
pub(crate) use units::{BOOT, KERNEL, units};
