//! Memory that a task supplies: the example pager, mapped, read, and killed.

use interfaces::squares::{Squares, WORDS};
use libmach::SendRight;
use libmach::abi::kern_return::KernReturn;

use super::cases;
use crate::case::{Check, World, check, equal};
use crate::raw;

pub(super) const PAGE: u64 = 4096;
/// Bytes that the example's memory object has.
pub(super) const SIZE: u64 = WORDS * 8;

cases! { "pagers":
    "pages are computed as they are read" => computed,
    "a pager goes on whose object is unmapped before it is told of it" => unmapped,
    "a page that the pager does not have is an error" => behind_the_end,
    "a dead pager's pages stay, and the others are errors" => killed,
}

/// The example's memory object, mapped with some pages more than it has.
pub(super) fn map(world: &World) -> Check<u64> {
    let squares: SendRight<dyn Squares> = world.context.send_right("squares")?;
    let object = squares.client().object()?;
    Ok(raw::map(object.name(), SIZE + 2 * PAGE)?)
}

pub(super) fn word(address: u64, place: u64) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&raw::peek(address + place * 8, 8));
    u64::from_le_bytes(bytes)
}

fn computed(world: &World) -> Check {
    let address = map(world)?;
    for place in [0, 1, 511, 512, 100_000, WORDS - 1] {
        equal("word", word(address, place), place * place)?;
    }
    raw::poke(address, 1, 5);
    equal("what was written", word(address, 0), 5)?;
    Ok(raw::deallocate(address, SIZE + 2 * PAGE)?)
}

// covers: O-07
fn unmapped(world: &World) -> Check {
    for _ in 0..20 {
        raw::deallocate(map(world)?, SIZE + 2 * PAGE)?;
    }
    let address = map(world)?;
    equal("word", word(address, 9), 81)?;
    Ok(raw::deallocate(address, SIZE + 2 * PAGE)?)
}

fn behind_the_end(world: &World) -> Check {
    let address = map(world)?;
    let error = Err(KernReturn::MemoryError);
    equal("behind the end", raw::look(address + SIZE), error)?;
    equal("word", word(address, 7), 49)?;
    Ok(raw::deallocate(address, SIZE + 2 * PAGE)?)
}

// covers: F-09
fn killed(world: &World) -> Check {
    let address = map(world)?;
    equal("word", word(address, 3), 9)?;
    world.supervisor()?.client().kill("squares")?;
    // Until its end is complete the pager may answer.
    let mut pages = (1..SIZE / PAGE).map(|page| raw::look(address + page * PAGE));
    let failed = pages.find(Result::is_err);
    equal("a missing page", failed, Some(Err(KernReturn::MemoryError)))?;
    let last = raw::look(address + SIZE - PAGE);
    equal("another one", last, Err(KernReturn::MemoryError))?;
    equal("word", word(address, 3), 9)?;
    raw::poke(address, 1, 7);
    check!(word(address, 0) == 7, "what is there cannot be written");
    Ok(raw::deallocate(address, SIZE + 2 * PAGE)?)
}
