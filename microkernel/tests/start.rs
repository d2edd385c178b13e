//! What the first task finds when it starts.

use std::mem::offset_of;

use abi::start::{ADDRESS, Page};
use sim::{Config, Sim, VARIABLE};

#[test]
fn the_command_line_s_variables_are_its_environment() {
    let mut sim = Sim::boot(Config::default());
    let first = sim.first();
    let mut me = sim.on(first);
    let mut number = |offset: usize| u32::from_le_bytes(me.peek(ADDRESS + offset as u64));
    assert_eq!(number(offset_of!(Page, argument_count)), 0);
    assert_eq!(number(offset_of!(Page, environment_count)), 1);
    let size = number(offset_of!(Page, strings_size)) as usize;
    let strings: [u8; 64] = me.peek(ADDRESS + offset_of!(Page, strings) as u64);
    let expected = format!("{VARIABLE}\0");
    assert_eq!(&strings[..size], expected.as_bytes());
}
