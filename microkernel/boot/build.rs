//! Gives the linker its scripts when the stub is built for the machine; on the host there is nothing to do.

fn main() {
    println!("cargo:rerun-if-changed=link.ld");
    println!("cargo:rerun-if-changed=examples/probe.ld");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return;
    }
    let Ok(here) = std::env::var("CARGO_MANIFEST_DIR") else {
        return;
    };
    for (what, script) in [("bins", "link.ld"), ("examples", "examples/probe.ld")] {
        println!("cargo:rustc-link-arg-{what}=-T{here}/{script}");
        println!("cargo:rustc-link-arg-{what}=-no-pie");
        println!("cargo:rustc-link-arg-{what}=--build-id=none");
        // The pages of the file are not those of memory: nothing has to be padded to a page.
        println!("cargo:rustc-link-arg-{what}=-znognustack");
    }
}
