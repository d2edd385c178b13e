//! Link arguments of the kernel, here because a user's `RUSTFLAGS` would replace those of a
//! configuration file.

use std::env::var;

fn main() {
    println!("cargo::rerun-if-changed=kernel.ld");
    println!("cargo::rerun-if-changed=build.rs");
    let bare = var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none");
    if let (true, Ok(folder)) = (bare, var("CARGO_MANIFEST_DIR")) {
        println!("cargo::rustc-link-arg-bins=-T{folder}/kernel.ld");
        println!("cargo::rustc-link-arg-bins=--no-pie");
        println!("cargo::rustc-link-arg-bins=-znorelro");
        println!("cargo::rustc-link-arg-bins=-zmax-page-size=4096");
    }
}
