//! Round trips through both forms, and one broken manifest for each rule.

extern crate std;

use super::*;
use std::{format, string::String};

const FULL: &str = r#"
name = "uart16550"
services = ["org.mello.console", "org.mello.serial_port"]
start = "boot"
restart = "on-failure"
heartbeat = 500
jit = true
args = ["--speed", "115200"]

[limits]
names = 100
kernel-memory = 65536

[rights]
registers = { io-ports = { first = 0x3f8, count = 8 } }
interrupt = { interrupt = { line = 4 } }
window = { memory = { address = 0xfed00000, size = 4096 } }
buffer = { dma = { size = 8192 } }
log = { service = "org.mello.log" }
host = { root = "host-privileged" }
"#;

fn parse(text: &str) -> Result<Manifest, String> {
    toml::from_str::<Manifest>(text).map_err(|error| format!("{error}"))
}

#[test]
fn a_full_manifest_survives_encoding() {
    let manifest = parse(FULL).unwrap();
    assert_eq!(manifest.rights.len(), 6);
    assert_eq!(
        manifest.rights.get("registers"),
        Some(&Right::IoPorts {
            first: 0x3f8,
            count: 8
        })
    );
    assert_eq!(manifest.limits.names, 100);
    assert_eq!(manifest.limits.threads, Limits::default().threads);
    let mut buffer = [0; MAX_ENCODED];
    let encoded = manifest.encode(&mut buffer).unwrap();
    assert_eq!(Manifest::decode(encoded), Ok(manifest));
}

#[test]
fn the_largest_manifest_fits_its_bound() {
    let mut manifest = parse("name = \"a\"\nstart = \"boot\"").unwrap();
    let long = |size: usize, mark: usize| format!("a.{}{mark:02}", "x".repeat(size - 4));
    for index in 0..MAX_SERVICES {
        let name = long(MAX_SERVICE, index);
        manifest.services.push(name.parse().unwrap()).unwrap();
    }
    for index in 0..MAX_RIGHTS {
        let label = format!("{}{index:02}", "x".repeat(MAX_NAME - 2));
        let right = Right::Service(long(MAX_SERVICE, index).parse().unwrap());
        manifest
            .rights
            .insert(label.parse().unwrap(), right)
            .unwrap();
    }
    for _ in 0..MAX_ARGUMENTS {
        let argument = "y".repeat(MAX_ARGUMENT);
        manifest.args.push(argument.parse().unwrap()).unwrap();
    }
    let mut buffer = [0; MAX_ENCODED];
    let encoded = manifest.encode(&mut buffer).unwrap();
    assert_eq!(Manifest::decode(encoded), Ok(manifest));
}

#[test]
fn every_rule_is_enforced() {
    let broken = [
        ("name = \"Echo\"\nstart = \"boot\"", Invalid::Name),
        ("name = \"\"\nstart = \"boot\"", Invalid::Name),
        ("name = \"4a\"\nstart = \"boot\"", Invalid::Name),
        (
            "name = \"a\"\nstart = \"boot\"\nservices = [\"echo\"]",
            Invalid::Service,
        ),
        (
            "name = \"a\"\nstart = \"boot\"\nservices = [\"a.b\", \"a.b\"]",
            Invalid::RepeatedService,
        ),
        ("name = \"a\"\nstart = \"demand\"", Invalid::NothingToDemand),
        (
            "name = \"a\"\nstart = \"boot\"\nheartbeat = 0",
            Invalid::Heartbeat,
        ),
        (
            "name = \"a\"\nstart = \"boot\"\nargs = [\"x\\u0000\"]",
            Invalid::Argument,
        ),
        (
            "name = \"a\"\nstart = \"boot\"\nlimits = { threads = 0 }",
            Invalid::Limit,
        ),
        (
            "name = \"a\"\nstart = \"boot\"\nlimits = { priority = 128 }",
            Invalid::Priority,
        ),
        (
            "name = \"a\"\nstart = \"boot\"\nrights = { A = { service = \"a.b\" } }",
            Invalid::Label,
        ),
        (
            "name = \"a\"\nstart = \"boot\"\nrights = { a = { service = \"b\" } }",
            Invalid::Service,
        ),
        (
            "name = \"a\"\nstart = \"boot\"\nrights = { a = { io-ports = { first = 65535, count = 2 } } }",
            Invalid::IoPorts,
        ),
        (
            "name = \"a\"\nstart = \"boot\"\nrights = { a = { memory = { address = 1, size = 4096 } } }",
            Invalid::Memory,
        ),
        (
            "name = \"a\"\nstart = \"boot\"\nrights = { a = { dma = { size = 0 } } }",
            Invalid::Memory,
        ),
    ];
    for (text, rule) in broken {
        let manifest = parse(text).unwrap();
        assert_eq!(manifest.check(), Err(rule), "{text}");
        let mut buffer = [0; MAX_ENCODED];
        assert_eq!(manifest.encode(&mut buffer), Err(Error::Invalid(rule)));
        // An encoder that checks nothing: the decoder still does.
        let bytes = postcard::to_slice(&manifest, &mut buffer).unwrap();
        assert_eq!(Manifest::decode(bytes), Err(Error::Invalid(rule)));
    }
}

#[test]
fn a_misspelt_or_missing_field_is_refused() {
    assert!(parse("name = \"a\"").unwrap_err().contains("start"));
    let misspelt = parse("name = \"a\"\nstart = \"boot\"\nservice = []").unwrap_err();
    assert!(misspelt.contains("service"), "{misspelt}");
    let kind = parse("name = \"a\"\nstart = \"boot\"\nrights = { a = { ports = 1 } }");
    assert!(kind.is_err());
}

#[test]
fn foreign_bytes_are_malformed() {
    let mut buffer = [0; MAX_ENCODED];
    let size = parse(FULL).unwrap().encode(&mut buffer).unwrap().len();
    for end in 0..size {
        assert_eq!(Manifest::decode(&buffer[..end]), Err(Error::Malformed));
    }
    assert_eq!(
        Manifest::decode(&buffer[..size + 1]),
        Err(Error::Malformed),
        "trailing bytes"
    );
    assert_eq!(Manifest::decode(&[0xff; 64]), Err(Error::Malformed));
}
