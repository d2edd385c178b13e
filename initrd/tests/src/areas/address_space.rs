//! Another task's memory, and one's own by the calls that have no trap.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use interfaces::memory::Entry;
use interfaces::task::Task;
use interfaces::vm::Place;
use libmach::abi::kern_return::KernReturn as K;
use libmach::abi::names::Name;
use libmach::abi::task::Limits;
use libmach::abi::vm::{behavior, entry, flags, map_flags, protection, region};
use libmach::{SendRight, thread, trap};

use super::{cases, own};
use crate::case::{Check, World, check, code, equal};
use crate::raw;

const PAGE: u64 = 4096;
const RW: u32 = protection::READ | protection::WRITE;

cases! { "address space":
    "bytes go to another task's memory and come back" => bytes,
    "a bad address of another task is an error" => bad_address,
    "memory of another task is mapped, and copied" => remap,
    "a reservation of a tebibyte costs one region" => reservation,
    "a guard page stops what runs over it" => guard,
    "a thread that reads meets what is there or what replaces it" => replaced,
    "a read-only memory entry stays one" => named_entry,
    "wired memory is copied at once by a fork" => wire,
    "freed and zeroed memory reads as zeros" => contents,
    "a private copy of read-only memory can be written" => private_copy,
}

/// A task without threads, which ends with the test.
struct Child(SendRight<dyn Task>);

impl Child {
    fn new(inherit: u32) -> Check<Self> {
        let limits = Limits {
            names: 16,
            messages: 4,
            threads: 1,
            pages: 300,
            kernel_bytes: 1 << 17,
        };
        Ok(Self(own()?.client().create(limits, 0, inherit)?))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing left to end.
        self.0.client().terminate().ok();
    }
}

fn anywhere(size: u64) -> Place {
    Place {
        size,
        ..Place::default()
    }
}

// covers: V-04
fn bytes(_: &World) -> Check {
    let child = Child::new(0)?;
    let at = child
        .0
        .client()
        .vm_allocate(0, 100 * PAGE, flags::ANYWHERE)?;
    let text: Vec<u8> = (0..80 * PAGE).map(|n| (n / 5) as u8).collect();
    child.0.write_memory(at + 77, &text)?;
    let mut got = vec![0; text.len()];
    child.0.read_memory(at + 77, &mut got)?;
    check!(got == text, "other bytes came back");
    let copy = child.0.memory().read(at + 76, 3 * PAGE)?;
    check!(
        copy[0] == 0 && copy[1..] == text[..copy.len() - 1],
        "a wrong copy"
    );
    child.0.memory().copy(at + 77, 2 * PAGE, at + 80)?;
    child.0.read_memory(at + 80, &mut got[..PAGE as usize])?;
    check!(
        got[..PAGE as usize] == text[..PAGE as usize],
        "a wrong overlap"
    );
    Ok(())
}

// covers: V-04
fn bad_address(_: &World) -> Check {
    let child = Child::new(0)?;
    let at = child.0.client().vm_allocate(0, 3 * PAGE, flags::ANYWHERE)?;
    child.0.client().vm_deallocate(at + PAGE, PAGE)?;
    let mut got = [7; 8192];
    let read = child.0.read_memory(at, &mut got);
    equal("read", code(read), K::InvalidAddress)?;
    check!(got == [7; 8192], "it was read in part");
    equal(
        "write",
        code(child.0.write_memory(at, &got)),
        K::InvalidAddress,
    )?;
    child.0.client().vm_protect(at, PAGE, 0, protection::READ)?;
    let write = child.0.write_memory(at, b"no");
    equal("write", code(write), K::ProtectionFailure)?;
    let null = child.0.read_memory(0, &mut got);
    equal("null", code(null), K::InvalidAddress)?;
    let wraps = child.0.write_memory(u64::MAX - 3, &got);
    equal("wraps", code(wraps), K::InvalidArgument)
}

// covers: V-07
fn remap(_: &World) -> Check {
    let child = Child::new(0)?;
    let size = 70 * PAGE;
    let at = child.0.client().vm_allocate(0, size, flags::ANYWHERE)?;
    child.0.write_memory(at + size - PAGE, b"there")?;
    let mine = own()?;
    let map = |flags| {
        mine.memory()
            .remap(child.0.duplicate()?, anywhere(size), at, flags)
    };
    let copied = map(flags::ANYWHERE | map_flags::COPY)?;
    let shared = map(flags::ANYWHERE)?;
    raw::poke(shared.address + size - PAGE, 1, b'T');
    let mut seen = [0; 5];
    child.0.read_memory(at + size - PAGE, &mut seen)?;
    equal("the child's", &seen, b"There")?;
    let kept = raw::peek(copied.address + size - PAGE, 5);
    equal("the copy", &kept[..], &b"there"[..])?;
    raw::deallocate(copied.address, size)?;
    Ok(raw::deallocate(shared.address, size)?)
}

// covers: V-01
fn reservation(_: &World) -> Check {
    let mine = own()?;
    let before = mine.client().ledger()?.used;
    let at = raw::allocate(1 << 40)?;
    let after = mine.client().ledger()?.used;
    equal("pages", after.pages, before.pages)?;
    check!(
        after.kernel_bytes - before.kernel_bytes < 1024,
        "it costs memory"
    );
    raw::poke(at + (1 << 39), 1, 3);
    equal("byte", raw::peek(at + (1 << 39), 1), vec![3])?;
    Ok(raw::deallocate(at, 1 << 40)?)
}

// covers: V-11
fn guard(_: &World) -> Check {
    let mine = own()?;
    let at = mine
        .memory()
        .map_anonymous(anywhere(3 * PAGE), raw::map_word(1, RW, RW))?;
    let place = Place {
        address: at + PAGE,
        size: PAGE,
        mask: 0,
    };
    mine.memory()
        .map_anonymous(place, raw::map_word(map_flags::OVERWRITE, 0, 0))?;
    raw::poke(at, PAGE as usize, 1);
    let over = mine.write_memory(at + PAGE - 1, b"over");
    equal("over", code(over), K::ProtectionFailure)?;
    let raised = raw::protect(at + PAGE, PAGE, protection::READ);
    equal("raised", raised, Err(K::ProtectionFailure))?;
    equal("before", raw::peek(at + PAGE - 1, 1), vec![1])?;
    Ok(raw::deallocate(at, 3 * PAGE)?)
}

/// What a test overwrites while another thread reads it.
const REPLACED: u64 = 16 << 20;
/// Where pages of it are used: all would be too many.
const APART: u64 = 8 * PAGE;
/// How often.
const ROUNDS: u64 = 8;

/// Two pieces of memory take each other's place again and again. Each has the number of its round in the pages that are used.
// covers: V-07
fn replaced(_: &World) -> Check {
    let mine = own()?;
    let mut pieces = Vec::new();
    for _ in 0..2 {
        let at = raw::allocate(REPLACED)?;
        let made = mine.memory().make_entry(
            own()?.cast(),
            REPLACED,
            at,
            protection::READ | protection::WRITE | entry::SHARE,
        )?;
        let (_, right): (u64, SendRight<dyn Entry>) = made;
        pieces.push((at, right));
    }
    let place = raw::allocate(REPLACED)?;
    // The rounds that have begun and that have ended, and the sum of what was read, and of what was wrong.
    let counts = Arc::new([const { AtomicU64::new(0) }; 4]);
    let theirs = Arc::clone(&counts);
    let reader = thread::spawn(move || {
        let [begun, ended, read, wrong] = &*theirs;
        let (mut page, mut ends) = (0, 0);
        while ends < ROUNDS {
            ends = ended.load(Ordering::SeqCst);
            let found = u64::from(raw::byte(place + page));
            let good = (ends..=begun.load(Ordering::SeqCst)).contains(&found);
            wrong.fetch_add(u64::from(!good), Ordering::SeqCst);
            read.fetch_add(1, Ordering::SeqCst);
            page = (page + 37 * APART) % REPLACED;
        }
    })?;
    let mut outcome = Ok(place);
    for round in 1..=ROUNDS {
        let (at, right) = &pieces[round as usize % 2];
        for page in (0..REPLACED).step_by(APART as usize) {
            raw::poke(at + page, 1, round as u8);
        }
        counts[0].store(round, Ordering::SeqCst);
        if outcome.is_ok() {
            outcome = raw::map_over(right.name(), place, REPLACED);
        }
        counts[1].store(round, Ordering::SeqCst);
        trap::thread_switch(Name::NULL, 0, 0)?;
    }
    reader.join();
    equal("the place", outcome, Ok(place))?;
    equal("pages that were wrong", counts[3].load(Ordering::SeqCst), 0)?;
    check!(counts[2].load(Ordering::SeqCst) > 0, "nothing was read");
    for at in pieces.iter().map(|(at, _)| *at).chain([place]) {
        raw::deallocate(at, REPLACED)?;
    }
    Ok(())
}

// covers: V-14
fn named_entry(_: &World) -> Check {
    let mine = own()?;
    let at = raw::allocate(2 * PAGE)?;
    raw::poke(at, 1, 5);
    let task = own()?.cast();
    let made = mine
        .memory()
        .make_entry(task, 2 * PAGE, at, protection::READ | entry::SHARE)?;
    let (size, right): (u64, SendRight<dyn Entry>) = made;
    equal("size", size, 2 * PAGE)?;
    let writing = mine.memory().map(
        right.duplicate()?,
        anywhere(size),
        0,
        raw::map_word(1, RW, RW),
    );
    equal(
        "writing",
        code(writing.map_err(|refused| refused.error)),
        K::InvalidRight,
    )?;
    let reading = raw::map_word(1, protection::READ, protection::READ);
    let view = mine.memory().map(right, anywhere(size), 0, reading)?;
    raw::poke(at, 1, 6);
    equal("view", raw::peek(view, 1), vec![6])?;
    let info = mine.memory().region(view, region::BASIC_INFO_64, 9)?;
    equal("maximum", info.info[1], protection::READ)?;
    raw::deallocate(view, size)?;
    Ok(raw::deallocate(at, 2 * PAGE)?)
}

// covers: V-12
fn wire(_: &World) -> Check {
    let mine = own()?;
    let at = raw::allocate(4 * PAGE)?;
    mine.memory().wire(at, 4 * PAGE, RW)?;
    raw::poke(at, 1, 1);
    let child = Child::new(1)?;
    raw::poke(at, 1, 2);
    let mut seen = [0];
    child.0.read_memory(at, &mut seen)?;
    equal("the child's", seen, [1])?;
    mine.memory().wire(at, 4 * PAGE, protection::NONE)?;
    let again = mine.memory().wire(at, PAGE, protection::NONE);
    equal("again", code(again), K::InvalidArgument)?;
    Ok(raw::deallocate(at, 4 * PAGE)?)
}

// covers: V-15
fn contents(_: &World) -> Check {
    let mine = own()?;
    let at = raw::allocate(100 * PAGE)?;
    for how in [behavior::FREE, behavior::ZERO] {
        for page in 0..100 {
            raw::poke(at + page * PAGE, 1, 9);
        }
        mine.memory().behavior_set(at, 100 * PAGE, how)?;
        for page in [0, 63, 64, 99] {
            equal("byte", raw::peek(at + page * PAGE, 1), vec![0])?;
        }
    }
    Ok(raw::deallocate(at, 100 * PAGE)?)
}

// covers: V-03
fn private_copy(_: &World) -> Check {
    let mine = own()?;
    let at = raw::allocate(PAGE)?;
    raw::poke(at, 1, 5);
    let task = own()?.cast();
    let (_, right) = mine.memory().make_entry(task, PAGE, at, protection::READ)?;
    let reading = raw::map_word(1, protection::READ, protection::READ);
    let view = mine.memory().map(right, anywhere(PAGE), 0, reading)?;
    equal(
        "write",
        raw::protect(view, PAGE, RW),
        Err(K::ProtectionFailure),
    )?;
    raw::protect(view, PAGE, RW | protection::COPY)?;
    raw::poke(view, 1, 6);
    equal("the original", raw::peek(at, 1), vec![5])?;
    raw::deallocate(view, PAGE)?;
    Ok(raw::deallocate(at, PAGE)?)
}
