//! What the kernel answers and asks by message, beside a committed table: ids are places in a trait, so that a method that is
//! moved or put in between changes those behind it.
//!
//! `ABI_TABLE=write` writes the table anew, as of the test in `abi`.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use abi::transport::{Description, Interface};
use interfaces::clock::{ClockReply, HostNotify};
use interfaces::exceptions::Exceptions;
use interfaces::memory_object::MemoryObject;
use std::{env, fs};

/// What the kernel asks others.
const ASKED: [&Description; 4] = [
    <dyn Exceptions>::DESCRIPTION,
    <dyn ClockReply>::DESCRIPTION,
    <dyn HostNotify>::DESCRIPTION,
    <dyn MemoryObject>::DESCRIPTION,
];

#[test]
fn the_kernel_s_messages_are_those_of_the_table() {
    let mut now = String::new();
    for interface in interfaces::KERNEL.iter().chain(&ASKED) {
        for method in interface.methods {
            let arguments: Vec<_> = method
                .arguments
                .iter()
                .map(|argument| format!("{}: {:?}", argument.name, argument.kind))
                .collect();
            let answer = match method.one_way {
                true => String::new(),
                false => format!(" -> {:?}", method.results),
            };
            now.push_str(&format!(
                "{} {} {}({}){answer}\n",
                method.id,
                interface.name,
                method.name,
                arguments.join(", ")
            ));
        }
    }
    let table = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/table.txt");
    if env::var_os("ABI_TABLE").is_some() {
        fs::write(table, &now).unwrap();
    }
    let before = fs::read_to_string(table).unwrap();
    for (now, before) in now.lines().zip(before.lines()) {
        assert_eq!(now, before, "if that is meant: ABI_TABLE=write");
    }
    assert_eq!(now.lines().count(), before.lines().count());
}
