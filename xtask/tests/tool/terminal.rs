//! The interactive console on a pseudo-terminal: what is typed arrives, and the terminal is restored
//! however the tool ends.

use crate::tree::Tree;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// Compares the terminal's state before and after; it may be restored a moment after a killed tool
/// has gone.
const SCRIPT: &str = r#"
before=$(stty -g)
sh -c 'echo "pid $$."; exec TOOL run'
echo "status $?."
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    [ "$(stty -g)" = "$before" ] && { echo restored; exit; }
    sleep 0.2
done
stty -a
"#;

/// A shell on a terminal of its own (util-linux's `script` makes it).
struct Session {
    child: Child,
    keys: ChildStdin,
    screen: ChildStdout,
    seen: String,
}

impl Session {
    fn start(tree: &Tree) -> Self {
        let tool = tree.tool::<&str>(&[]);
        let program = format!("\"{}\"", tool.get_program().display());
        let mut child = Command::new("script")
            .args(["--quiet", "--log-out", "/dev/null", "--command"])
            .arg(SCRIPT.replace("TOOL", &program))
            .current_dir(tree.root())
            .env("CARGO_MANIFEST_DIR", tree.root().join("xtask"))
            .env("SHELL", "/bin/sh")
            .env_remove("CARGO_TARGET_DIR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script starts");
        Self {
            keys: child.stdin.take().expect("a pipe"),
            screen: child.stdout.take().expect("a pipe"),
            child,
            seen: String::new(),
        }
    }

    /// Reads the screen up to `mark`; says what came before it.
    fn wait_for(&mut self, mark: &str) -> String {
        let mut buffer = [0; 256];
        loop {
            if let Some(at) = self.seen.find(mark) {
                let rest = self.seen.split_off(at + mark.len());
                let before = std::mem::replace(&mut self.seen, rest);
                return before[..at].to_owned();
            }
            let count = self.screen.read(&mut buffer).expect("the screen");
            assert!(count > 0, "no {mark:?} in {:?}", self.seen);
            self.seen
                .push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    }

    fn press(&mut self, keys: &[u8]) {
        self.keys.write_all(keys).expect("the keyboard");
    }

    /// The tool's process.
    fn process(&mut self) -> String {
        self.wait_for("pid ");
        self.wait_for(".")
    }

    /// The tool's exit status, once the terminal is as it was before.
    fn end(mut self) -> String {
        self.wait_for("status ");
        let status = self.wait_for(".");
        self.wait_for("restored");
        drop(self.keys);
        self.child.wait().expect("script ends");
        status
    }
}

fn tree() -> Tree {
    Tree::with_servers(&["echo"])
}

#[test]
fn keys_reach_the_guest_and_ctrl_a_x_leaves() {
    let tree = tree();
    let mut session = Session::start(&tree);
    session.wait_for("Ctrl-A X");
    session.wait_for(">");
    // A terminal that was not raw would turn these into signals, editing, or an end of file.
    session.press(b"a\x03\x1a\x1c\x11\x13\x7f\rb");
    session.wait_for("a\x03\x1a\x1c\x11\x13\x7f\rb");
    session.press(b"\x01x");
    assert_eq!(session.end(), "0");
}

#[test]
fn the_guest_s_own_end_is_the_tool_s() {
    let tree = tree();
    let mut session = Session::start(&tree);
    session.wait_for(">");
    session.press(b"\x04");
    assert_eq!(session.end(), "0");
    let mut session = Session::start(&tree);
    session.wait_for(">");
    session.press(b"P");
    session.wait_for("panic: on purpose");
    assert_eq!(session.end(), "126");
}

#[test]
fn signals_leave_a_usable_terminal_and_no_emulator() {
    let tree = tree();
    for (signal, status) in [("TERM", "143"), ("KILL", "137")] {
        let mut session = Session::start(&tree);
        let process = session.process();
        session.wait_for(">");
        let children = format!("/proc/{process}/task/{process}/children");
        let children = std::fs::read_to_string(children).expect("its children");
        // The shell's own: the program need not be there.
        let killed = Command::new("sh")
            .args(["-c", "kill -s \"$1\" \"$2\"", "sh", signal, &process])
            .status();
        assert!(killed.expect("kill starts").success());
        assert_eq!(session.end(), status);
        let emulator = children.split_whitespace().next().expect("the emulator");
        let gone = (0..50).any(|_| {
            std::thread::sleep(Duration::from_millis(100));
            !is_running(emulator)
        });
        assert!(gone, "the emulator still runs");
    }
}

/// Whether a process exists and is more than an entry that nobody has collected.
fn is_running(process: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/stat"))
        .is_ok_and(|stat| !stat.contains(") Z "))
}
