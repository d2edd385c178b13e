//! What traps, and calls of kernel objects by message, answer when one of their arguments is a hostile value, beside
//! committed tables: an answer that changes shows in the diff.
//!
//! Each row is a call in a world of its own: one argument is the value, the others are what makes the call succeed.
//! `GOLDEN=write` writes the tables anew.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod calls;
mod messages;
mod world;

use abi::trap;
use calls::CALLS;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::{env, fs};
use world::World;

/// Answers, and the values that have them, in the order in which they are tried.
type Row = BTreeMap<String, Vec<&'static str>>;

fn show(table: &mut String, title: &str, row: Row) {
    writeln!(table, "{title}").unwrap();
    for (answer, values) in row {
        writeln!(table, "    {answer}: {}", values.join(" ")).unwrap();
    }
}

/// Adds the rows of a call: its arguments have names and, each in its turn, hostile values in place of those that make it
/// succeed, given by their labels.
fn add_rows(
    table: &mut String,
    title: &str,
    arguments: &[(&str, &str)],
    call: impl Fn(&mut World, &[u64]) -> String,
) {
    let labels: Vec<&str> = arguments.iter().map(|(_, label)| *label).collect();
    let mut row = Row::new();
    let mut world = World::new();
    let values = world.values(&labels);
    row.entry(call(&mut world, &values))
        .or_default()
        .push("as it is");
    show(table, title, row);
    for (at, (argument, _)) in arguments.iter().enumerate() {
        let mut row = Row::new();
        for label in World::labels() {
            let mut world = World::new();
            let mut values = world.values(&labels);
            values[at] = world.value(label);
            row.entry(call(&mut world, &values))
                .or_default()
                .push(label);
        }
        show(table, &format!("{title}, {argument}"), row);
    }
}

/// Compares a table with the committed one of this name.
fn compare(name: &str, now: &str) {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if env::var_os("GOLDEN").is_some() {
        fs::write(&path, now).unwrap();
    }
    let before = fs::read_to_string(&path).unwrap();
    let mut title = "";
    for (now, before) in now.lines().zip(before.lines()) {
        if !now.starts_with(' ') {
            title = now;
        }
        assert_eq!(now, before, "{title}: if that is meant: GOLDEN=write");
    }
    assert_eq!(now.lines().count(), before.lines().count());
}

#[test]
fn hostile_values_in_traps_are_answered_as_the_table_says() {
    let mut table = String::new();
    for (name, number, labels) in CALLS {
        let names: Vec<String> = (0..)
            .zip(*labels)
            .map(|(at, label)| format!("not {label} at {at}"))
            .collect();
        let names = names.iter().map(String::as_str);
        let arguments: Vec<_> = names.zip(labels.iter().copied()).collect();
        add_rows(&mut table, name, &arguments, |world, values| {
            world.trap(*number, values)
        });
    }
    compare("table.txt", &table);
}

/// The same of the calls that kernel objects answer by message.
#[test]
fn hostile_values_in_messages_are_answered_as_the_table_says() {
    let mut table = String::new();
    for call in messages::all() {
        let arguments = call.arguments.iter();
        let arguments: Vec<_> = arguments
            .map(|(name, label)| (name.as_str(), *label))
            .collect();
        add_rows(&mut table, &call.title, &arguments, |world, values| {
            call.answer(world, values)
        });
    }
    compare("messages.txt", &table);
}

/// A number that is no trap's is an exception of its task, unless it is Mach's and just not here.
#[test]
fn numbers_of_no_trap_are_refused() {
    let known: Vec<i64> = fuzz::TRAPS.iter().map(|(number, _)| *number).collect();
    let own = [trap::MACH_MSG, trap::TASK_EXIT, trap::THREAD_EXIT];
    for number in -300..0 {
        if known.contains(&number) || own.contains(&number) {
            continue;
        }
        let answer = World::new().trap(number, &[1, 2, 3, 4, 5, 6]);
        let refused = match trap::REFUSED.contains(&number) {
            true => "NotSupported",
            false => "ends the task",
        };
        assert_eq!(answer, refused, "trap {number}");
    }
}

/// Every trap that a program may make a mistake with is in the table.
#[test]
fn no_trap_is_left_out() {
    // Those without arguments, those that are tried by message and body, and those that end their caller.
    for (number, arguments) in fuzz::TRAPS {
        let listed = CALLS.iter().any(|(_, other, _)| *other == number);
        let other = number == trap::MACH_MSG || arguments.is_empty();
        assert!(listed || other, "trap {number} is not in the table");
    }
}
