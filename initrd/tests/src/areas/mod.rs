//! The areas, one module each.

mod address_space;
mod answers;
mod c;
mod calls;
mod clocks;
mod copies;
mod cpus;
mod crashes;
mod deaths;
mod exceptions;
mod exhaustion;
mod failures;
mod futex;
mod handlers;
mod headers;
mod info;
mod kills;
mod large_pages;
mod lending;
mod memory;
mod memory_objects;
mod messages;
mod names;
mod notifications;
mod page_out;
mod paged;
mod pagers;
mod personality;
mod ports;
mod queues;
mod registers;
mod resources;
mod rights;
mod semaphores;
mod sets;
mod tasks;
mod timers;
mod traps;
mod waits;

use interfaces::task::Task;
use libmach::{SendRight, trap};

use crate::case::{Case, Check};

/// All cases, by area.
pub const ALL: &[&[Case]] = &[
    traps::CASES,
    names::CASES,
    rights::CASES,
    messages::CASES,
    headers::CASES,
    sets::CASES,
    queues::CASES,
    notifications::CASES,
    ports::CASES,
    timers::CASES,
    clocks::CASES,
    info::CASES,
    futex::CASES,
    semaphores::CASES,
    memory::CASES,
    address_space::CASES,
    copies::CASES,
    large_pages::CASES,
    pagers::CASES,
    memory_objects::CASES,
    paged::CASES,
    calls::CASES,
    c::CASES,
    deaths::CASES,
    crashes::CASES,
    exhaustion::CASES,
    failures::CASES,
    handlers::CASES,
    answers::CASES,
    personality::CASES,
    waits::CASES,
    registers::CASES,
    tasks::CASES,
    lending::CASES,
    kills::CASES,
    exceptions::CASES,
    resources::CASES,
    cpus::CASES,
    page_out::CASES,
];

/// The areas that the host backend knows enough for.
pub const ON_HOST: [&[Case]; 5] = [
    names::CASES,
    messages::CASES,
    sets::CASES,
    notifications::CASES,
    timers::CASES,
];

/// Lists cases of one area: `cases!("area": "name" => function, …)`.
macro_rules! cases {
    ($area:literal: $($name:literal => $run:path,)+) => {
        /// The cases of this area.
        pub(super) const CASES: &[$crate::Case] = &[$($crate::Case {
            area: $area,
            name: $name,
            run: $run,
        },)+];
    };
}
use cases;

/// This task's own port.
pub(crate) fn own() -> Check<SendRight<dyn Task>> {
    Ok(SendRight::from_name(trap::task_self()?))
}
