//! Stories of use: the whole system as a person meets it.

use super::guest::{command, command_on};
use super::loader;
use super::panics;
use super::perfetto;
use super::tally::Tally;
use crate::fault::{Doing, Fault, Result};
use crate::place::{Place, copy_tree};
use crate::run::{Boot, Entry, Options, Outcome, Stream, attend, limine_named, prepare};
use crate::trace;
use lexopt::Parser;
use std::env;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Commands and the statuses that `run` ends with after them. The tool's own tests show the others on a guest that
/// panics, hangs or resets when it is told to.
const STATUSES: [(&[&str], u8); 4] = [
    (&["tests", "--die", "regularly"], 7),
    (&["svc", "start", "nobody"], 1),
    (&["no-such-command"], 127),
    (&["tests", "--die", "null-read"], 134),
];

/// All stories.
pub(super) fn story(place: &Place, filter: &str, tally: &mut Tally) -> Result<()> {
    let boot = prepare(place, &Options::default())?;
    for entry in [Entry::Direct, Entry::Bios, Entry::Uefi] {
        let name = format!("boot to a command, {entry:?}");
        if name.contains(filter) {
            let options = Options {
                entry,
                ..Options::default()
            };
            let (outcome, output) = command(&boot, &options, &name, &["help"])?;
            tally.one(&name, helped(outcome, &output));
        }
    }
    for (name, tell) in OTHERS {
        if name.contains(filter) {
            eprintln!("testing: {name}");
            tally.one(name, tell(place, &boot).map_err(|fault| fault.to_string()));
        }
    }
    for entry in [Entry::Direct, Entry::Bios, Entry::Uefi] {
        let name = format!("boot with all otherwise that the protocol leaves open, {entry:?}");
        if name.contains(filter) {
            tally.one(&name, otherwise(&boot, entry, &name));
        }
    }
    limine(&boot, filter, tally);
    for (words, status) in STATUSES {
        let name = format!("a command ends with {status}: {}", words.join(" "));
        if name.contains(filter) {
            let (outcome, _) = command(&boot, &Options::default(), &name, words)?;
            let verdict = match outcome.status() {
                found if found == status => Ok(()),
                found => Err(format!("{found}: {outcome:?}")),
            };
            tally.one(&name, verdict);
        }
    }
    let name = "a new server boots";
    if name.contains(filter) {
        eprintln!("testing: {name}");
        tally.one(name, new_server(place).map_err(|fault| fault.to_string()));
    }
    Ok(())
}

/// The case that looks for another thread's registers.
const COMPUTED: &str = "no thread sees where another one computed";

/// A story of one system that boots.
type Story = fn(&Place, &Boot) -> Result<()>;

const OTHERS: [(&str, Story); 12] = [
    ("the kernel keeps Limine's rules, to boot", |_, boot| {
        let path = boot.file("kernel.bare");
        let requests = loader::check(&fs::read(&path).at("read", &path)?);
        requests.map(drop).map_err(Fault::new)
    }),
    ("a command leaves the console alone", quiet_console),
    ("a call is traced at both ends", traced_call),
    ("registers on a processor without XSAVE", |_, boot| {
        without_xsave(boot)
    }),
    ("a thread that waits for ever is found", |_, boot| {
        hang(boot, "wait", "waits for a message")
    }),
    ("a thread that never waits is found", |_, boot| {
        hang(boot, "spin", "runs on cpu")
    }),
    ("a panic says where and how, 1 CPU", |_, boot| {
        panics::bad_instruction(boot, 1)
    }),
    ("a panic says where and how, 2 CPUs", |_, boot| {
        panics::bad_instruction(boot, 2)
    }),
    ("a panic stops the other CPU", |_, boot| {
        panics::others_stop(boot)
    }),
    ("a machine check is a panic, 1 CPU", |_, boot| {
        panics::machine_check(boot, 1)
    }),
    ("a machine check is a panic, 2 CPUs", |_, boot| {
        panics::machine_check(boot, 2)
    }),
    ("machine checks of all CPUs are one panic", |_, boot| {
        panics::machine_checks(boot)
    }),
];

/// For one command the monitor does not prompt: `mode` has come to it from the kernel's command line.
fn quiet_console(_: &Place, boot: &Boot) -> Result<()> {
    let (mut console, mut output) = (Vec::new(), Vec::new());
    let status = attend(
        boot,
        &Options::default(),
        &["svc".to_owned()],
        |stream, bytes| {
            match stream {
                Stream::Stdout => output.extend_from_slice(bytes),
                Stream::Console => console.extend_from_slice(bytes),
                Stream::Stderr => {}
            }
            Ok(())
        },
    )?;
    let (console, output) = (text(&console), text(&output));
    if status != 0 || !output.contains("echo") {
        return Err(Fault::new(format!("svc ended with {status}: {output}")));
    }
    match console.contains("mello>") {
        true => Err(Fault::new(format!("the monitor prompts: {console}"))),
        false => Ok(()),
    }
}

/// `trace` writes a file in which a client's call and the server's work on it are joined.
fn traced_call(place: &Place, boot: &Boot) -> Result<()> {
    let file = boot.file("story.perfetto");
    let mut words = vec!["-o".into(), file.clone().into_os_string()];
    words.extend(["--", "tests", "calls: a call answers"].map(Into::into));
    let request = trace::Request::parse(&mut Parser::from_args(words))?;
    let status = trace::trace(place, request)?;
    if status != 0 {
        return Err(Fault::new(format!(
            "the traced command ended with {status}"
        )));
    }
    let bytes = fs::read(&file).at("read", &file)?;
    let shown = perfetto::decode(&bytes).map_err(Fault::new)?;
    let of = |process: &str, name: &str| {
        let slices = shown.slices.iter();
        let wanted =
            slices.filter(|slice| slice.process.starts_with(process) && slice.name == name);
        wanted.cloned().collect::<Vec<_>>()
    };
    let calls = of("tests ", "org.mello.echo.echo");
    let served = of("echo ", "serves org.mello.echo.echo");
    // The case makes 201 calls.
    let joined = calls.iter().filter(|call| {
        served.iter().any(|serves| {
            serves.flow == call.flow && call.start <= serves.start && serves.end <= call.end
        })
    });
    match (calls.len(), joined.count()) {
        (201, 201) => Ok(()),
        (calls, joined) => Err(Fault::new(format!(
            "{calls} calls, {joined} of them joined"
        ))),
    }
}

/// Threads keep their vector registers, and see nobody else's, where `fxsave` is all there is.
fn without_xsave(boot: &Boot) -> Result<()> {
    let mut machine = boot.machine(&Options::default(), "command")?;
    machine.extra = ["-cpu", "max,-xsave"].map(Into::into).into();
    let words = ["tests", "registers: "];
    let (outcome, output) = command_on(boot, &machine, "without XSAVE", &words)?;
    match outcome {
        Outcome::Exited(0) => expect(&output, |line| line.ends_with(COMPUTED)),
        other => Err(Fault::new(format!("{other:?}: {output}"))),
    }
}

/// A program that hangs is ended by the watchdog, which says what its thread does.
fn hang(boot: &Boot, kind: &str, expected: &str) -> Result<()> {
    // Long enough to boot on a slow host, and short enough to wait for.
    let options = Options {
        cpus: 2,
        watchdog: Some(20),
        ..Options::default()
    };
    let (outcome, _) = command(boot, &options, kind, &["tests", "--hang", kind])?;
    if outcome != Outcome::Hung {
        return Err(Fault::new(format!("{outcome:?}")));
    }
    let path = boot.file("kernel.log");
    let log = text(&fs::read(&path).at("read", &path)?);
    expect(&log, |line| {
        line.contains(" tests: ") && line.contains(expected)
    })?;
    expect(&log, |line| line.contains(" monitor: waits for a message"))?;
    expect(&log, |line| line == "the last events:")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The same by a genuine Limine, where there is one.
fn limine(boot: &Boot, filter: &str, tally: &mut Tally) {
    for entry in [Entry::Bios, Entry::Uefi] {
        let name = format!("boot to a command by Limine, {entry:?}");
        if !name.contains(filter) {
            continue;
        }
        let options = Options {
            entry,
            limine: limine_named(),
            ..Options::default()
        };
        if options.limine.is_none() {
            tally.skip(&name, "LIMINE_DIR names no binary release of Limine");
            continue;
        }
        let ended = command(boot, &options, &name, &["help"]).map_err(|fault| fault.to_string());
        tally.one(
            &name,
            ended.and_then(|(outcome, output)| helped(outcome, &output)),
        );
    }
}

/// The boot stub chooses what a loader may choose: another direct map, another place for the kernel, no free memory below
/// 1 MiB, junk in the rest. Both CPUs start all the same.
fn otherwise(boot: &Boot, entry: Entry, name: &str) -> std::result::Result<(), String> {
    let options = Options {
        cpus: 2,
        entry,
        words: vec!["boot=odd"],
        ..Options::default()
    };
    let run = || -> Result<_> {
        let (outcome, output) = command(boot, &options, name, &["help"])?;
        let path = boot.file("kernel.log");
        Ok((outcome, output, text(&fs::read(&path).at("read", &path)?)))
    };
    let (outcome, output, log) = run().map_err(|fault| fault.to_string())?;
    helped(outcome, &output)?;
    for line in ["direct map at 0xffff923440000000", "kernel: 2 CPUs"] {
        expect(&log, |other| other.contains(line)).map_err(|fault| fault.to_string())?;
    }
    Ok(())
}

/// Whether `help` came from the system that was booted.
fn helped(outcome: Outcome, output: &str) -> std::result::Result<(), String> {
    match outcome {
        Outcome::Exited(0) if output.contains("svc") => Ok(()),
        Outcome::Exited(0) => Err("help says nothing of svc".to_owned()),
        other => Err(format!("{other:?}")),
    }
}

/// The server that the story makes.
const SERVER: &str = "foo-bar";

/// `new server` in a copy of the tree, nothing edited by hand: its test passes, the booted system lists it, and
/// somebody's first message starts it.
// covers: B-03
fn new_server(place: &Place) -> Result<()> {
    let copy = place.output().join("story-tree");
    if copy.exists() {
        fs::remove_dir_all(&copy).at("remove", &copy)?;
    }
    copy_tree(&place.root, &copy)?;
    let tool = |words: &[&str], input: &str| {
        let own = env::current_exe().doing("find this tool")?;
        let mut program = Command::new(own);
        finish("xtask", program.args(words), input, (place, &copy))
    };
    tool(&["new", "server", SERVER], "")?;
    let mut test = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    test.args(["test", "--quiet", "--package", SERVER]);
    let tests = finish("cargo test", &mut test, "", (place, &copy))?;
    expect(&tests, |line| line.starts_with("test result: ok. 1 passed"))?;
    let listed = tool(&["run", "--", "svc"], "")?;
    expect(&listed, |line| {
        line.contains(SERVER) && line.contains("idle")
    })?;
    let orders = format!("tests --ask org.mello.{SERVER}\nsvc\nshutdown\n");
    let started = tool(&["run", "--timeout", "120"], &orders)?;
    expect(&started, |line| {
        line.contains(SERVER) && line.contains("running")
    })
}

/// Runs a program in the copy, with build results of the copy's own; its standard output.
fn finish(
    name: &str,
    program: &mut Command,
    input: &str,
    (place, copy): (&Place, &Path),
) -> Result<String> {
    let mut child = program
        .current_dir(copy)
        .env("CARGO_MANIFEST_DIR", copy.join("xtask"))
        .env("CARGO_TARGET_DIR", place.other_target("story"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .doing(format_args!("start {name}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).doing("give orders")?;
    }
    let output = child
        .wait_with_output()
        .doing(format_args!("wait for {name}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Fault::new(format!("{name} ended with {}", output.status)))
}

fn expect(output: &str, wanted: impl Fn(&str) -> bool) -> Result<()> {
    if output.lines().any(wanted) {
        return Ok(());
    }
    Err(Fault::new(format!("a line is missing in: {output}")))
}
