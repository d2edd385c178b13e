//! The command line: help, bad usage, exit statuses.

use crate::tree::Tree;
use std::process::Output;

fn run(words: &[&str]) -> Output {
    Tree::empty().tool(words).output().expect("the tool starts")
}

const COMMANDS: [&str; 11] = [
    "run", "test", "bench", "fuzz", "image", "gdb", "trace", "tidy", "new", "doctor", "doc",
];

#[test]
fn help_succeeds_wherever_it_is_asked_for() {
    let mut lines = vec![vec!["--help"], vec!["-h"], vec!["help"]];
    for command in COMMANDS {
        lines.extend([vec![command, "--help"], vec![command, "-h"]]);
    }
    for words in lines {
        let output = run(&words);
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        assert!(output.stdout.starts_with(b"cargo xtask"), "{words:?}");
    }
}

#[test]
fn bad_usage_ends_with_2_and_says_what_to_try() {
    for command in COMMANDS {
        refused(&[command, "--nonsense"]);
    }
    for words in [
        &[][..],
        &["nonsense"],
        &["chaos"],
        &["mutants", "names", "rights"],
        &["image", "x"],
        &["doc", "x"],
        &["gdb", "--disk", "x"],
        &["fuzz"],
        &["fuzz", "files"],
        &["run", "--disk", "x"],
        &["run", "--accel", "xen"],
        &["--nonsense"],
        &["run", "--gui"],
        &["run", "--smp", "0"],
        &["test", "nonsense"],
        &["doctor", "now"],
        &["tidy", "--all"],
        &["new", "server"],
        &["new", "kernel", "x"],
    ] {
        refused(words);
    }
}

fn refused(words: &[&str]) {
    let output = run(words);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{words:?}: {text}");
    assert!(text.starts_with("error: "), "{words:?}: {text}");
    assert!(text.contains("\ntry: "), "{words:?}: {text}");
    assert!(output.stdout.is_empty(), "{words:?}");
}
