//! What each trap on ports, memory and words answers when one of its arguments is a hostile value, beside a committed table:
//! an answer that changes shows in the diff.
//!
//! Each row is a trap in a world of its own: one argument is the value, the others are what makes the trap succeed.
//! `GOLDEN=write` writes the table anew.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod calls;
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

fn table() -> String {
    let mut table = String::new();
    for (name, number, arguments) in CALLS {
        let mut row = Row::new();
        let mut world = World::new();
        let answer = world.trap(*number, &world.values(arguments));
        row.entry(answer).or_default().push("as it is");
        show(&mut table, name, row);
        for (at, argument) in arguments.iter().enumerate() {
            let mut row = Row::new();
            for label in World::labels() {
                let mut world = World::new();
                let mut values = world.values(arguments);
                values[at] = world.value(label);
                let answer = world.trap(*number, &values);
                row.entry(answer).or_default().push(label);
            }
            show(&mut table, &format!("{name}, not {argument} at {at}"), row);
        }
    }
    table
}

#[test]
fn hostile_values_are_answered_as_the_table_says() {
    let now = table();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/table.txt");
    if env::var_os("GOLDEN").is_some() {
        fs::write(path, &now).unwrap();
    }
    let before = fs::read_to_string(path).unwrap();
    let mut title = "";
    for (now, before) in now.lines().zip(before.lines()) {
        if !now.starts_with(' ') {
            title = now;
        }
        assert_eq!(now, before, "{title}: if that is meant: GOLDEN=write");
    }
    assert_eq!(now.lines().count(), before.lines().count());
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
