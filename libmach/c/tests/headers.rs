//! The committed headers are what `abi` and `interfaces` say.

use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn generated_headers_are_up_to_date() {
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    for (path, text) in cmach::numbers::headers() {
        let committed = std::fs::read_to_string(include.join(path)).expect("a header");
        assert!(
            committed == text,
            "{path} is outdated: cargo run -p cmach --example headers"
        );
    }
}

/// Lets the system's C compiler look at `text` as it looks at a program of the guest.
fn compiles(name: &str, text: &str) {
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    let source = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&source, text).expect("a file");
    let cc = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let asked = Command::new(&cc).arg("-print-file-name=include").output();
    let own = String::from_utf8(asked.expect("a compiler").stdout).expect("a path");
    let status = Command::new(&cc)
        .args(["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"])
        .args(["-fsyntax-only", "-ffreestanding", "-nostdinc", "-isystem"])
        .args([own.trim_end(), "-I"])
        .args([include, source])
        .status();
    assert!(status.expect("a compiler").success(), "{name}");
}

#[test]
fn each_header_compiles_alone() {
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    let mut count = 0;
    for folder in ["mach", "mello", "servers"] {
        for entry in std::fs::read_dir(include.join(folder)).expect("a folder") {
            let name = entry.expect("a file").file_name();
            let name = name.to_str().expect("a name");
            let text = format!("#include <{folder}/{name}>\nint x;\n");
            compiles(&format!("{folder}-{name}.c"), &text);
            count += 1;
        }
    }
    assert!(count > 10, "{count} headers");
}

#[test]
fn the_readme_s_program_compiles() {
    let readme = include_str!("../../../README.md");
    let program = readme.split("```c\n").nth(1).expect("a program");
    let program = program.split("```").next().expect("its end");
    compiles("readme.c", program);
}

#[test]
fn codes_have_the_names_that_c_knows() {
    for (code, name) in [
        (0, "KERN_SUCCESS"),
        (20, "KERN_INVALID_CAPABILITY"),
        (1103, "BOOTSTRAP_SERVICE_ACTIVE"),
        (-308_i32 as u32, "MIG_SERVER_DIED"),
        (0x1000_0008, "MACH_SEND_MSG_TOO_SMALL"),
        (0x1000_4004, "MACH_RCV_TOO_LARGE"),
        // With the bit that says that a space is full.
        (0x1000_600c, "MACH_RCV_BODY_ERROR"),
    ] {
        assert_eq!(cmach::error::c_name(code).as_deref(), Some(name));
    }
    assert_eq!(cmach::error::c_name(99_999), None);
}
