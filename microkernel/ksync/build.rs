//! Says that `--cfg loom` is meant: workspace lints leave no place for it.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(loom)");
    println!("cargo::rerun-if-changed=build.rs");
}
