//! `new server NAME`, `new driver NAME`: a crate that builds, boots and has a passing test at once.
//!
//! The texts lie in `templates/`. Everything is checked before anything is written; what was written
//! is taken back when writing fails half-way.

use crate::fault::{Doing, Fault, Result};
use crate::place::{Place, folders};
use lexopt::{Parser, ValueExt};
use manifest::{MAX_NAME, is_name};
use std::fs;
use std::path::{Path, PathBuf};

/// Where the definitions of services lie.
const INTERFACES: &str = "libmach/interfaces/src";

/// Message ids that one interface takes: 100 requests, 100 replies.
const SUBSYSTEM_SIZE: u32 = 200;
/// The subsystem of the first interface made here.
const FIRST_SUBSYSTEM: u32 = 10_000;

/// Names that no crate or module can have.
const RESERVED: [&str; 52] = [
    "abstract", "alloc", "as", "async", "await", "become", "box", "break", "const", "continue",
    "core", "crate", "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen",
    "if", "impl", "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv",
    "pub", "ref", "return", "self", "static", "std", "struct", "super", "test", "trait", "true",
    "try", "type", "typeof", "unsafe", "unsized", "use", "where",
];

/// What is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Server,
    Driver,
}

/// What to make.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Request {
    kind: Kind,
    name: String,
}

impl Request {
    /// Reads the rest of the command line.
    pub(crate) fn parse(parser: &mut Parser) -> Result<Self> {
        let mut words = Vec::new();
        while let Some(argument) = parser.next()? {
            match argument {
                lexopt::Arg::Value(word) => words.push(word.string()?),
                other => return Err(other.unexpected().into()),
            }
        }
        let (kind, name) = match words.as_slice() {
            [kind, name] if kind == "server" => (Kind::Server, name),
            [kind, name] if kind == "driver" => (Kind::Driver, name),
            _ => return Err(Fault::usage("new takes `server NAME` or `driver NAME`")),
        };
        Ok(Self {
            kind,
            name: name.clone(),
        })
    }
}

/// A file to be written.
type Page = (PathBuf, String);

/// The whole command; its exit status.
pub(crate) fn new(place: &Place, request: &Request) -> Result<u8> {
    check_name(place, &request.name)?;
    let folder = folder(place, request);
    let pages = pages(place, request)?;
    let (index, text) = index(place, request)?;
    if let Err(fault) = write(&pages).and_then(|()| fs::write(&index, text).at("write", &index)) {
        // The first fault is the one to tell.
        drop(fs::remove_dir_all(&folder));
        for (path, _) in &pages {
            drop(fs::remove_file(path));
        }
        return Err(fault);
    }
    for (path, _) in &pages {
        let shown = path.strip_prefix(&place.root).unwrap_or(path);
        println!("made {}", shown.display());
    }
    let name = &request.name;
    println!("try: cargo test -p {name}, then cargo xtask run -- svc");
    Ok(0)
}

fn check_name(place: &Place, name: &str) -> Result<()> {
    let refuse = |why: &str| Err(Fault::new(format!("{name:?} {why}")));
    if !is_name(name) || name.len() > MAX_NAME {
        return refuse("is no name: they are [a-z][a-z0-9-]*, at most 32 bytes");
    }
    if name.ends_with('-') || name.contains("--") {
        return refuse("is no name: a hyphen stands between two parts");
    }
    if RESERVED.contains(&name) {
        return refuse("is a word of the language");
    }
    for parent in ["servers", "drivers", "initrd", "libmach", "microkernel", ""] {
        let taken = folders(&place.root.join(parent))?;
        if taken.iter().any(|folder| folder == name) {
            return refuse(&format!("is there already, in {parent}/"));
        }
    }
    if place
        .root
        .join(INTERFACES)
        .join(format!("{}.rs", module(name)))
        .exists()
    {
        return refuse("is there already, as an interface");
    }
    Ok(())
}

fn folder(place: &Place, request: &Request) -> PathBuf {
    let parent = match request.kind {
        Kind::Server => "servers",
        Kind::Driver => "drivers",
    };
    place.root.join(parent).join(&request.name)
}

fn pages(place: &Place, request: &Request) -> Result<Vec<Page>> {
    let folder = folder(place, request);
    let subsystem = subsystem(&place.root.join(INTERFACES))?;
    let (package, manifest) = match request.kind {
        Kind::Server => (
            include_str!("../templates/server.Cargo.toml.in"),
            include_str!("../templates/server.manifest.toml.in"),
        ),
        Kind::Driver => (
            include_str!("../templates/driver.Cargo.toml.in"),
            include_str!("../templates/driver.manifest.toml.in"),
        ),
    };
    let interface = format!("{}.rs", module(&request.name));
    let files = [
        (folder.join("Cargo.toml"), package),
        (folder.join("manifest.toml"), manifest),
        (
            folder.join("build.rs"),
            include_str!("../templates/build.rs.in"),
        ),
        (
            folder.join("src/main.rs"),
            include_str!("../templates/main.rs.in"),
        ),
        (
            folder.join("src/lib.rs"),
            include_str!("../templates/lib.rs.in"),
        ),
        (
            place.root.join(INTERFACES).join(interface),
            include_str!("../templates/interface.rs.in"),
        ),
    ];
    let fill = |text| fill(text, &request.name, subsystem);
    Ok(files.map(|(path, text)| (path, fill(text))).into())
}

/// The list of interfaces with the new one in it.
fn index(place: &Place, request: &Request) -> Result<Page> {
    let path = place.root.join(INTERFACES).join("lib.rs");
    let text = fs::read_to_string(&path).at("read", &path)?;
    let module = module(&request.name);
    let text = with_module(&text, &module);
    let row = format!("<dyn {module}::{}>::DESCRIPTION,", type_name(&request.name));
    match with_description(&text, &row) {
        Some(text) => Ok((path, text)),
        None => Err(Fault::new(format!("{} has no list ALL", path.display()))),
    }
}

/// `text` with a further row at the end of its list `ALL`.
fn with_description(text: &str, row: &str) -> Option<String> {
    let list = text.find("pub const ALL: ")?;
    let end = list + text[list..].find("\n];")? + 1;
    Some(format!("{}    {row}\n{}", &text[..end], &text[end..]))
}

/// `text` with `pub mod NAME;` before the first module that follows it in the alphabet.
fn with_module(text: &str, name: &str) -> String {
    let own = format!("pub mod {name};");
    let mut lines: Vec<&str> = text.lines().collect();
    let is_module = |line: &&str| line.starts_with("pub mod ");
    let after = lines
        .iter()
        .position(|line| is_module(line) && *line > own.as_str());
    let last = lines.iter().rposition(is_module).map(|at| at + 1);
    lines.insert(after.or(last).unwrap_or(lines.len()), &own);
    lines.join("\n") + "\n"
}

fn write(pages: &[Page]) -> Result<()> {
    for (path, text) in pages {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).at("make", folder)?;
        }
        fs::write(path, text).at("write", path)?;
    }
    Ok(())
}

/// The first free range of message ids.
fn subsystem(interfaces: &Path) -> Result<u32> {
    let mut next = FIRST_SUBSYSTEM;
    for entry in fs::read_dir(interfaces).at("read", interfaces)? {
        let path = entry.at("read", interfaces)?.path();
        if path.extension().is_some_and(|suffix| suffix == "rs") {
            let text = fs::read_to_string(&path).at("read", &path)?;
            for number in subsystems(&text) {
                next = next.max(number.saturating_add(SUBSYSTEM_SIZE));
            }
        }
    }
    Ok(next)
}

fn subsystems(text: &str) -> impl Iterator<Item = u32> {
    text.split("subsystem = ").skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '_')?;
        rest[..end].replace('_', "").parse().ok()
    })
}

fn fill(text: &str, name: &str, subsystem: u32) -> String {
    text.replace("@NAME@", name)
        .replace("@MODULE@", &module(name))
        .replace("@TYPE@", &type_name(name))
        .replace("@SERVICE@", &format!("org.mello.{name}"))
        .replace("@SUBSYSTEM@", &subsystem.to_string())
}

fn module(name: &str) -> String {
    name.replace('-', "_")
}

fn type_name(name: &str) -> String {
    name.split('-')
        .flat_map(|part| {
            let (first, rest) = part.split_at(part.len().min(1));
            [first.to_ascii_uppercase(), rest.to_owned()]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn tree() -> Scratch {
        let scratch = Scratch::new("new");
        scratch.write(
            "libmach/interfaces/src/lib.rs",
            "//! x\n\npub mod echo;\npub mod log;\n\npub const ALL: &[X] = &[\n    a,\n];\n",
        );
        scratch.write(
            "libmach/interfaces/src/echo.rs",
            "#[interface(name = \"a\", subsystem = 10_200)]",
        );
        scratch.write("servers/echo/Cargo.toml", "");
        scratch.write("drivers/kit/Cargo.toml", "");
        scratch
    }

    fn make(scratch: &Scratch, kind: Kind, name: &str) -> Result<u8> {
        let name = name.to_owned();
        new(&Place::of(scratch.path()), &Request { kind, name })
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => found.extend(files(&path)),
                false => found.push(path),
            }
        }
        found.sort();
        found
    }

    #[test]
    fn a_server_comes_with_its_interface() {
        let scratch = tree();
        make(&scratch, Kind::Server, "foo-bar").unwrap();
        let read = |path: &str| fs::read_to_string(scratch.path().join(path)).unwrap();
        assert_eq!(
            read("libmach/interfaces/src/lib.rs"),
            "//! x\n\npub mod echo;\npub mod foo_bar;\npub mod log;\n\n\
             pub const ALL: &[X] = &[\n    a,\n    <dyn foo_bar::FooBar>::DESCRIPTION,\n];\n"
        );
        let interface = read("libmach/interfaces/src/foo_bar.rs");
        assert!(interface.contains("pub trait FooBar {"));
        assert!(interface.contains("(name = \"org.mello.foo-bar\", subsystem = 10400)"));
        let manifest: manifest::Manifest =
            toml::from_str(&read("servers/foo-bar/manifest.toml")).unwrap();
        assert_eq!(manifest.check(), Ok(()));
        assert_eq!(manifest.name.as_str(), "foo-bar");
        for path in files(scratch.path()) {
            assert!(
                !fs::read_to_string(&path).unwrap().contains('@'),
                "{path:?}"
            );
        }
        make(&scratch, Kind::Driver, "uart-2").unwrap();
        assert!(read("drivers/uart-2/Cargo.toml").contains("kit.workspace"));
        assert!(read("libmach/interfaces/src/uart_2.rs").contains("subsystem = 10600"));
    }

    #[test]
    fn a_bad_or_taken_name_changes_nothing() {
        let scratch = tree();
        let before = files(scratch.path());
        let long = "x".repeat(MAX_NAME + 1);
        for name in [
            "Foo", "foo_bar", "1a", "", "../x", "a--b", "a-", "loop", "std", &long,
        ] {
            assert!(make(&scratch, Kind::Server, name).is_err(), "{name}");
        }
        for name in ["echo", "kit", "interfaces"] {
            assert!(make(&scratch, Kind::Driver, name).is_err(), "{name}");
        }
        assert_eq!(files(scratch.path()), before);
    }

    #[test]
    fn what_cannot_be_finished_is_taken_back() {
        let scratch = tree();
        let before = files(scratch.path());
        // The list of interfaces cannot be read, so nothing may begin.
        let list = scratch.path().join("libmach/interfaces/src/lib.rs");
        fs::remove_file(&list).unwrap();
        assert!(make(&scratch, Kind::Server, "foo").is_err());
        assert_eq!(files(scratch.path()).len(), before.len() - 1);
    }

    #[test]
    fn the_first_module_of_an_empty_list_goes_to_its_end() {
        assert_eq!(with_module("//! x\n", "a"), "//! x\npub mod a;\n");
        assert_eq!(
            with_module("pub mod a;\nfn f() {}\n", "b"),
            "pub mod a;\npub mod b;\nfn f() {}\n"
        );
    }
}
