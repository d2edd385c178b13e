//! One task's life: so many hostile steps, unless one of them ends it.

use fuzz::{Care, Generator, Terrain};
use interfaces::bootstrap::Bootstrap;
use interfaces::echo::Echo;
use interfaces::io::IoRange;
use libmach::abi::message::MIN_BUFFER;
use libmach::abi::names::Name;
use libmach::abi::start;
use libmach::abi::transport::Interface;
use libmach::{Context, time, trap};

use super::raw;

/// What a task of this kind is started with, before seed and number of steps.
pub(crate) const FLAG: &str = "--life";

/// Where the campaign maps the page in which the task counts its steps.
pub(crate) const PROGRESS: u64 = 0x6000_0000_0000;

/// Somewhere nothing is.
const UNMAPPED: u64 = 0x7000_0000_0000;

/// How many steps pass between two looks at the clock.
const LOOK: u64 = 16;

/// Attacks, and ends with status 0 if it still can; 1 when it could not begin.
pub(crate) fn live(context: Context, seed: &str, steps: &str) -> ! {
    let (Ok(seed), Ok(steps)) = (seed.parse(), steps.parse()) else {
        context.exit(1);
    };
    let Ok(mut generator) = prepare(&context, seed) else {
        context.exit(1);
    };
    for step in 1..=steps {
        attack(&mut generator);
        raw::put_word(PROGRESS, step);
        if step % LOOK == 0 {
            generator.tell_time(time::now());
        }
    }
    context.exit(0)
}

fn prepare(context: &Context, seed: u64) -> trap::Outcome<Generator> {
    let buffer = raw::allocate(MIN_BUFFER)?;
    let here = 0_u64;
    let terrain = Terrain {
        buffer,
        stack: (&raw const here) as u64,
        code: live as *const () as u64,
        read_only: start::ADDRESS,
        unmapped: UNMAPPED,
    };
    let mut generator = Generator::new(seed, terrain, Care::OwnLife);
    let Generator { pool, rng, .. } = &mut generator;
    // The manifest gives these to whoever runs the campaign; an attacker has no such power.
    for power in ["supervisor", "host"] {
        if let Some(name) = context.port(power) {
            trap::port_destroy(name)?;
        }
    }
    let known = [
        ("echo", <dyn Echo>::NAME),
        (start::names::BOOTSTRAP, <dyn Bootstrap>::NAME),
        ("port", <dyn IoRange>::NAME),
    ];
    for (label, interface) in known {
        if let Some(name) = context.port(label) {
            pool.add_service(name, interface, rng);
        }
    }
    for _ in 0..8 {
        // Names that other tasks have: small indices, young generations.
        let name = Name::new(rng.below(64) as u32, rng.below(4) as u8);
        pool.add_foreign(name, rng);
    }
    raw::use_buffer(buffer)?;
    Ok(generator)
}

fn attack(generator: &mut Generator) {
    let step = generator.step();
    if let (Some(body), Some(buffer)) = (&step.body, generator.buffer()) {
        raw::put_body(buffer, body);
    }
    let answer = raw::perform(&step.registers);
    let mut bytes = raw::no_rights();
    let size = match generator.buffer() {
        Some(buffer) if step.is_message() => raw::rights(buffer, &answer, &mut bytes),
        _ => 0,
    };
    generator.learn(&step, &answer, &bytes[..size]);
}
