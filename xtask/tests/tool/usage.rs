//! The command line: help, bad usage, exit statuses.

use crate::tree::Tree;
use std::process::Output;

fn run(words: &[&str]) -> Output {
    Tree::empty().tool(words).output().expect("the tool starts")
}

#[test]
fn help_succeeds_wherever_it_is_asked_for() {
    for words in [
        &["--help"][..],
        &["-h"],
        &["help"],
        &["run", "--help"],
        &["test", "-h"],
    ] {
        let output = run(words);
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        assert!(output.stdout.starts_with(b"cargo xtask"), "{words:?}");
    }
}

#[test]
fn bad_usage_ends_with_2_and_says_what_to_try() {
    for words in [
        &[][..],
        &["nonsense"],
        &["--nonsense"],
        &["run", "--gui"],
        &["run", "--smp", "0"],
        &["test", "nonsense"],
        &["doctor", "now"],
        &["tidy", "--all"],
        &["new", "server"],
        &["new", "kernel", "x"],
    ] {
        let output = run(words);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {text}");
        assert!(text.starts_with("error: "), "{words:?}: {text}");
        assert!(text.contains("\ntry: "), "{words:?}: {text}");
        assert!(output.stdout.is_empty(), "{words:?}");
    }
}
