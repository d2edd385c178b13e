//! `run` on a small guest: the command channel, the console, exit statuses, two runs at once.

use crate::tree::Tree;
use std::fs;
use std::io::Write;
use std::process::{Child, Output, Stdio};

const SERVERS: [&str; 1] = ["echo"];

fn feed(mut child: Child, input: &[u8]) -> Output {
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input).expect("the tool reads");
    drop(stdin);
    child.wait_with_output().expect("the tool ends")
}

fn run(tree: &Tree, words: &[&str], input: &[u8]) -> Output {
    feed(start(tree, words), input)
}

fn start(tree: &Tree, words: &[&str]) -> Child {
    let mut command = tree.tool(words);
    command
        // Flags for the host's compiler that the guest could not be built with.
        .env(
            "RUSTFLAGS",
            "-C link-arg=-no-such-flag -C target-cpu=native",
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the tool starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn commands_run_as_if_they_ran_here() {
    let tree = Tree::with_servers(&SERVERS);
    // Every byte, in chunks that do not fit one frame.
    let input: Vec<u8> = (0..20_000_u32).map(|n| (n % 251) as u8).collect();
    let output = run(&tree, &["run", "--", "cat"], &input);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(output.stdout == input, "standard output is byte-exact");

    let output = run(&tree, &["run", "--", "args", "", "two words", "--smp"], b"");
    assert_eq!(output.stdout, b"args\0\0two words\0--smp\0");
    assert_eq!(output.status.code(), Some(3));

    for (command, status, word) in [
        ("nothing", 127, "no command nothing"),
        ("x", 134, "EXC_BREAKPOINT"),
        ("panic", 126, "panic: on purpose"),
        ("reset", 125, "reset"),
    ] {
        let output = run(&tree, &["run", "--", command], b"");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{command}: {said}");
        assert!(said.contains(word), "{command}: {said}");
        assert!(output.stdout.is_empty());
    }
    let output = run(&tree, &["run", "--timeout", "1", "--", "hang"], b"");
    assert_eq!(output.status.code(), Some(124));
    // The guest itself says nothing any more: the emulator is asked.
    let said = text(&output.stderr);
    assert!(said.contains("CPU#0") && said.contains("IP="), "{said}");
}

/// The first run fetched all that there is to fetch.
#[test]
fn a_second_run_needs_no_network() {
    let tree = Tree::with_servers(&SERVERS);
    let words = ["run", "--", "args"];
    assert_eq!(run(&tree, &words, b"").status.code(), Some(3));
    let mut command = tree.tool(&words);
    // Whoever wants to fetch something finds nobody: cargo, rustup and apt all go by these.
    for proxy in ["http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy"] {
        command.env(proxy, "http://127.0.0.1:1");
    }
    let output = command
        .stdin(Stdio::null())
        .output()
        .expect("the tool runs");
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
}

#[test]
fn kvm_is_used_only_where_a_guest_runs_under_it() {
    let tree = Tree::with_servers(&SERVERS);
    let output = run(&tree, &["run", "--accel", "kvm", "--", "args"], b"");
    let said = text(&output.stderr);
    if output.status.code() != Some(3) {
        assert_eq!(output.status.code(), Some(125), "{said}");
        assert!(
            said.contains("error: no guest runs under KVM here"),
            "{said}"
        );
        assert!(said.contains("try: cargo xtask run --accel tcg"), "{said}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_folder_without_limine_makes_no_image() {
    let tree = Tree::with_servers(&SERVERS);
    let mut tool = tree.tool(&["image"]);
    let output = tool.env("LIMINE_DIR", tree.root()).output().expect("it");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("limine-bios-cd.bin"), "{said}");
    assert!(output.stdout.is_empty());
}

/// Stands in for a release of Limine: what is in the image is looked at, and not started.
#[test]
fn a_folder_with_limine_makes_an_image_of_what_it_loads() {
    let tree = Tree::with_servers(&SERVERS);
    let folder = tree.root().join("limine, 8");
    fs::create_dir(&folder).expect("a folder");
    let files = [
        "limine-bios.sys",
        "limine-bios-cd.bin",
        "limine-uefi-cd.bin",
        "BOOTX64.EFI",
    ];
    for name in files {
        fs::write(folder.join(name), format!("this is {name}").repeat(200)).expect("a file");
    }
    let mut tool = tree.tool(&["image"]);
    let output = tool.env("LIMINE_DIR", &folder).output().expect("it");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let path = text(&output.stdout);
    let image = fs::read(path.trim_end()).expect("the image");
    let holds = |what: &str| {
        image
            .windows(what.len())
            .any(|part| part == what.as_bytes())
    };
    for name in files {
        assert!(holds(&format!("this is {name}")), "{name} is not in it");
    }
    for entry in [
        "protocol: limine",
        "boot():/boot/kernel",
        "boot():/boot/boot.tar",
    ] {
        assert!(holds(entry), "the menu lacks {entry}");
    }
}

#[test]
fn without_a_terminal_the_console_takes_a_script() {
    let tree = Tree::with_servers(&SERVERS);
    let output = run(&tree, &["run"], b"svc\nps\n");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), ">svc\rps\r");
    let output = run(&tree, &["run", "--smp", "2"], b"P");
    assert_eq!(output.status.code(), Some(126));
    assert!(text(&output.stderr).contains("panic: on purpose"));
}

#[test]
fn two_runs_at_once_do_not_meet() {
    let tree = Tree::with_servers(&SERVERS);
    let children = ["one", "two"].map(|_| start(&tree, &["run", "--", "cat"]));
    for (child, input) in children.into_iter().zip(["first", "second"]) {
        let output = feed(child, input.as_bytes());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert_eq!(text(&output.stdout), input);
    }
}

#[test]
fn a_removed_server_is_gone_and_an_added_file_is_there() {
    let tree = Tree::with_servers(&["echo", "log"]);
    let archive = || text(&fs::read(tree.root().join("target/mello/run-0/boot.tar")).expect("it"));
    let output = run(&tree, &["run", "--", "args"], b"");
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    for path in [
        "boot/kernel",
        "boot/bootstrap.img",
        "servers/log/program",
        "servers/log/manifest",
    ] {
        assert!(archive().contains(path), "{path}");
    }
    assert!(!archive().contains("data/note"));

    fs::remove_dir_all(tree.root().join("servers/log")).expect("removed");
    tree.write("note", "hello");
    let output = run(
        &tree,
        &["run", "--add", "note:/data/note", "--", "args"],
        b"",
    );
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(!archive().contains("servers/log"));
    assert!(archive().contains("servers/echo/program"));
    assert!(archive().contains("data/note"));
}

#[test]
fn a_bad_manifest_or_program_is_a_failed_build() {
    let tree = Tree::with_servers(&SERVERS);
    tree.write(
        "servers/echo/manifest.toml",
        "name = \"echo\"\nstart = \"late\"\n",
    );
    let output = run(&tree, &["run", "--", "args"], b"");
    assert_eq!(output.status.code(), Some(125));
    assert!(text(&output.stderr).contains("manifest.toml"));
    tree.write(
        "servers/echo/manifest.toml",
        "name = \"echo\"\nstart = \"boot\"\n",
    );
    tree.write("servers/echo/src/main.rs", "this is no Rust");
    let output = run(&tree, &["run", "--", "args"], b"");
    assert_eq!(output.status.code(), Some(125));
}
