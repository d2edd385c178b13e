//! Registers of another task's thread, by flavor; watchpoints; threads that are stopped while they run.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;

use interfaces::exceptions::{Exceptions, Raised};
use interfaces::task::Task;
use interfaces::thread::Thread;
use libmach::abi::exception::{BREAKPOINT, MASK_ALL, behavior};
use libmach::abi::kern_return::KernReturn as K;
use libmach::abi::thread_state::{
    AVX_FLAVOR, AVX_SIZE, DEBUG_FLAVOR, FLAVOR, FLOAT_FLAVOR, FLOAT_SIZE, ThreadState,
};
use libmach::abi::trace::wait;
use libmach::{Error, Mach, ReceiveRight, Result, Runtime, SendRight, ms, time, trap};

use super::cases;
use crate::case::{Check, World, check, equal};
use crate::child::{Child, exceptions};
use crate::raw::{self, Words};

cases! { "registers":
    "vector registers are set before a thread runs, and read when it waits" => vectors,
    "no thread sees where another one computed" => x87,
    "what no thread may have is refused" => refused,
    "a segment's base is the one that was set" => segment_base,
    "a watchpoint tells of the write that it watches for" => watchpoint,
    "a watchpoint met just before a trap does no harm" => before_a_trap,
    "a thread that runs is stopped before its registers are told" => while_it_runs,
}

/// Where `fxsave64` has `xmm0`.
const XMM0: usize = 160;
/// Word of the page that is watched.
const WATCHED: usize = 6;
const PATTERN: u64 = 0x0123_4567_89ab_cdef;

/// Tells what a vector register was, gives it another value, and waits.
extern "C" fn swap(page: &Words, value: u64) {
    page.set(0, raw::exchange_vector(value));
    trap::futex_wait(page.half(4), 0, u64::MAX).ok();
}

// covers: T-08
fn vectors(_: &World) -> Check {
    let child = Child::new(swap, !PATTERN)?;
    let thread = child.thread.client();
    let mut state = thread.get_state_of(FLOAT_FLAVOR)?.to_vec();
    equal("bytes", state.len(), FLOAT_SIZE)?;
    equal("x87's control word", &state[..2], &[0x7f, 3])?;
    state[XMM0..XMM0 + 8].copy_from_slice(&PATTERN.to_le_bytes());
    thread.set_state_of(FLOAT_FLAVOR, &state)?;
    child.run()?;
    child.until_it_waits(wait::FUTEX)?;
    equal("what the thread found", child.page.get(0), PATTERN)?;
    for (flavor, size) in [(FLOAT_FLAVOR, FLOAT_SIZE), (AVX_FLAVOR, AVX_SIZE)] {
        let state = thread.get_state_of(flavor)?;
        equal("bytes", state.len(), size)?;
        let left = &state[XMM0..XMM0 + 8];
        equal("what it left", left, &(!PATTERN).to_le_bytes())?;
    }
    Ok(())
}

/// Tells where x87 was used last, uses it if the value says so, tells again, and waits.
extern "C" fn compute(page: &Words, uses: u64) {
    page.set(0, raw::last_x87().into());
    if uses != 0 {
        raw::compute_x87();
    }
    page.set(1, raw::last_x87().into());
    trap::futex_wait(page.half(4), 0, u64::MAX).ok();
}

/// Some CPUs neither save nor load it; `cargo xtask test story XSAVE` boots such a one.
fn x87(_: &World) -> Check {
    let mut found = Vec::new();
    for uses in [1, 0] {
        let child = Child::new(compute, uses)?;
        child.run()?;
        child.until_it_waits(wait::FUTEX)?;
        found.push([0, 1].map(|word| child.page.get(word)));
    }
    check!(found[0][1] != 0, "x87 was not used");
    equal("where a clean state was used", found[0][0], 0)?;
    equal("what the next thread found", found[1][0], 0)
}

fn code<T>(result: &Result<T>) -> Option<K> {
    match result {
        Err(Error::Code(code)) => Some(*code),
        _ => None,
    }
}

/// Debug registers: the first address and what is watched.
fn watch(address: u64, control: u64) -> Vec<u8> {
    let words = [address, 0, 0, 0, 0, 0, 0, control];
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// DR7: the first register watches for writes, or for any access, of 8 bytes.
const WRITES: u64 = 1 | 1 << 16 | 2 << 18;
const ACCESSES: u64 = 1 | 3 << 16 | 2 << 18;

// covers: T-08
fn refused(_: &World) -> Check {
    let child = Child::new(swap, 0)?;
    let thread = child.thread.client();
    let kernel = 0xffff_8000_0000_0000;
    let bad = [
        (DEBUG_FLAVOR, watch(kernel, WRITES)),
        (DEBUG_FLAVOR, watch(kernel, 0)),
        // I/O ports; the debug registers themselves.
        (DEBUG_FLAVOR, watch(0x1000, 1 | 2 << 16)),
        (DEBUG_FLAVOR, watch(0x1000, 1 << 13)),
        (DEBUG_FLAVOR, Vec::from([0; 63])),
        (FLOAT_FLAVOR, Vec::from([0; FLOAT_SIZE - 1])),
        (AVX_FLAVOR, Vec::from([0; FLOAT_SIZE])),
        (FLAVOR, Vec::from([0; 8])),
        (99, Vec::new()),
    ];
    for (flavor, bytes) in bad {
        let set = code(&thread.set_state_of(flavor, &bytes));
        equal("code", set, Some(K::InvalidArgument))?;
    }
    let unknown = code(&thread.get_state_of(99));
    equal("code", unknown, Some(K::InvalidArgument))?;
    // Control bits that the processor does not have would make it refuse the whole state.
    let mut state = thread.get_state_of(AVX_FLAVOR)?.to_vec();
    state[24..32].fill(0xff);
    thread.set_state_of(AVX_FLAVOR, &state)?;
    child.run()?;
    child.until_it_waits(wait::FUTEX)
}

/// Word of the page that is read by way of the segment.
const BY_SEGMENT: usize = 9;

/// Tells what lies at the base of the segment `gs`.
extern "C" fn look(page: &Words, _: u64) {
    page.set(0, raw::word_by_gs());
    trap::futex_wait(page.half(4), 0, u64::MAX).ok();
}

// covers: T-08
fn segment_base(_: &World) -> Check {
    let child = Child::new(look, 0)?;
    let thread = child.thread.client();
    child.page.set(BY_SEGMENT, PATTERN);
    let mut state = thread.get_state()?;
    let base = child.page.address() + 8 * BY_SEGMENT as u64;
    for bad in [1 << 47, u64::MAX] {
        for (fs_base, gs_base) in [(bad, base), (state.fs_base, bad)] {
            let wrong = ThreadState {
                fs_base,
                gs_base,
                ..state
            };
            let set = code(&thread.set_state(wrong));
            equal("code", set, Some(K::InvalidArgument))?;
        }
    }
    state.gs_base = base;
    thread.set_state(state)?;
    child.run()?;
    // By `fs` it finds what this library keeps of its thread.
    child.until_it_waits(wait::FUTEX)?;
    equal("what the thread found", child.page.get(0), PATTERN)?;
    let found = thread.get_state()?;
    equal(
        "the bases",
        (found.fs_base, found.gs_base),
        (state.fs_base, base),
    )
}

/// A handler that notes what a thread met, and ends the watch.
struct Watcher(Rc<RefCell<Vec<(Raised, u64)>>>);

impl Exceptions for Watcher {
    type Rights = Mach;

    async fn raise(
        &mut self,
        thread: SendRight<dyn Thread>,
        _: SendRight<dyn Task>,
        what: Raised,
    ) -> Result<()> {
        let state = thread.client().get_state_of(DEBUG_FLAVOR)?;
        let met = state.get(48).copied().unwrap_or_default();
        self.0.borrow_mut().push((what, met.into()));
        thread.client().set_state_of(DEBUG_FLAVOR, &watch(0, 0))
    }

    async fn raise_state(&mut self, _: Raised, _: u32, _: ThreadState) -> Result<ThreadState> {
        Err(K::NotSupported.into())
    }

    async fn raise_state_identity(
        &mut self,
        _: SendRight<dyn Thread>,
        _: SendRight<dyn Task>,
        _: Raised,
        _: u32,
        _: ThreadState,
    ) -> Result<ThreadState> {
        Err(K::NotSupported.into())
    }
}

/// What a child meets until it ends.
fn met(child: &Child, control: u64) -> Check<Vec<(Raised, u64)>> {
    let runtime = Runtime::new()?;
    let seen = Rc::default();
    let port = ReceiveRight::<dyn Exceptions>::new()?;
    let right = port.make_send()?.cast();
    runtime.serve(port, Watcher(Rc::clone(&seen)))?;
    let ports = exceptions(&child.thread)?;
    let form = behavior::DEFAULT | behavior::WIDE_CODES;
    ports.client().set(MASK_ALL, right, form, 0)?;
    let address = child.page.address() + 8 * WATCHED as u64;
    let thread = child.thread.client();
    thread.set_state_of(DEBUG_FLAVOR, &watch(address, control))?;
    child.run()?;
    let task = child.task.duplicate()?;
    let served = runtime.clone();
    runtime.run_until(async move { served.died(&task).await })??;
    let seen = seen.borrow().clone();
    Ok(seen)
}

/// Writes beside what is watched, then there, then reads it.
extern "C" fn touch(page: &Words, value: u64) {
    page.set(WATCHED - 1, value);
    page.set(WATCHED, value);
    page.set(0, page.get(WATCHED));
}

// covers: T-08
fn watchpoint(_: &World) -> Check {
    let child = Child::new(touch, PATTERN)?;
    let seen = met(&child, WRITES)?;
    equal("exceptions", seen.len(), 1)?;
    let (raised, met) = seen[0];
    equal("type", raised.exception, BREAKPOINT)?;
    equal("register", (raised.subcode & 0xf, met & 0xf), (1, 1))?;
    equal("what was written", child.page.get(0), PATTERN)
}

extern "C" fn load(page: &Words, address: u64) {
    raw::load_stack_segment_and_trap(address);
    page.set(0, 1);
}

fn before_a_trap(_: &World) -> Check {
    // The address is known once the child is there: it is given in a register.
    let child = Child::new(load, 0)?;
    let mut state = child.thread.client().get_state()?;
    state.rdx = child.page.address() + 8 * WATCHED as u64;
    child.thread.client().set_state(state)?;
    let seen = met(&child, ACCESSES)?;
    // The write of the selector is met at the latest.
    check!(!seen.is_empty(), "nothing was met");
    equal("the thread goes on", child.page.get(0), 1)
}

/// Counts for ever.
extern "C" fn count(page: &Words, _: u64) {
    loop {
        page.set(0, page.get(0) + 1);
    }
}

// covers: T-08
fn while_it_runs(_: &World) -> Check {
    let child = Child::new(count, 0)?;
    let thread = child.thread.client();
    child.run()?;
    let end = time::deadline(ms(10_000));
    let mut counted = 0;
    for _ in 0..50 {
        while child.page.get(0) == counted {
            check!(time::now() < end, "it does not run");
            time::sleep(ms(1));
        }
        thread.suspend()?;
        let first = thread.get_state()?;
        counted = child.page.get(0);
        let second = thread.get_state()?;
        check!(first == second, "{first:?} became {second:?}");
        equal("what it counted", child.page.get(0), counted)?;
        thread.set_state(second)?;
        thread.resume()?;
    }
    Ok(())
}
