//! Making other CPUs forget mappings, and the quarantine of pages until they have.
//!
//! While the kernel runs, [`Batch::add`] collects what changed. After the lock is released, [`complete`]
//! interrupts the CPUs whose current root is concerned, waits until each has answered, and gives the pages
//! that were freed meanwhile to others. A CPU that waits, for this or for the kernel lock, answers others.
//!
//! Race 1: a CPU loads a root while its mappings change. It writes the root into its area before CR3
//! (`exit`), and CR3 is serialising; the flush reads the area after a full fence behind the change. So
//! either the flush sees the root, or the CPU sees the change.
//!
//! Race 2: a CPU takes a mapping away; before the others have forgotten it, another CPU frees the page, for nothing maps
//! it any more. So pages in quarantine wait for all batches that were unfinished when they got there.
//!
//! Race 3: a program on another CPU writes to a page that is in quarantine. So nothing lies in there ([`Quarantine`]).
//!
//! With PCID a CPU remembers mappings of roots that it does not run: then all CPUs are asked, not only
//! those that run the root.

use core::ops::Range;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use ksync::{Changes, Member, Noted, Rendezvous, Unfinished};
use microkernel::machine::{Cpu, MAX_CPUS};
use microkernel_x86_64::chain::Chain;
use microkernel_x86_64::contexts::context_of;
use microkernel_x86_64::layout::PAGE;
use microkernel_x86_64::quarantine::Quarantine;

use super::cpu::features;
use super::interrupts::number;
use super::memory::{Direct, MEMORY};
use super::percpu::{self, PerCpu, attention};
use super::{apic, asm};

/// The most ranges in a batch; beyond, the last one grows to everything.
const RANGES: usize = 16;
/// From this many pages on, forgetting everything is cheaper than page by page: so it is for a large page that
/// changed as a whole. Of one that changed in part, any address makes a CPU forget all it remembers as one.
const MANY: u64 = 32;
/// The most contexts that come back at once; one that is too many is never used again.
const RETIRED: usize = 64;
/// The most pages that are freed before other CPUs are asked to forget them: more than a step of the kernel frees, mostly.
const PAGES: usize = 512;
/// The most large ones.
const LARGE_PAGES: usize = 16;
/// What all addresses are.
const EVERYTHING: Range<u64> = 0..u64::MAX;

static RENDEZVOUS: Rendezvous<MAX_CPUS> = Rendezvous::new([const { Member::new() }; MAX_CPUS]);
/// The batches with changes that other CPUs may not know of yet.
static UNFINISHED: Unfinished<MAX_CPUS> = Unfinished::new([const { Changes::new() }; MAX_CPUS]);
/// The CPUs that run the kernel: bit n is CPU n.
static ONLINE: AtomicU32 = AtomicU32::new(0);

/// Interrupts sent.
static ASKED: AtomicU64 = AtomicU64::new(0);

/// What a CPU changed since it entered the kernel.
pub(crate) struct Batch {
    /// Roots and ranges.
    ranges: heapless::Vec<(u64, Range<u64>), RANGES>,
    /// Too many to tell apart: everything of every root.
    overflow: bool,
    /// Pages freed meanwhile.
    pages: Quarantine<PAGES>,
    /// Large ones.
    large: Quarantine<LARGE_PAGES>,
    /// Tables, and others that no program could ever write to.
    tables: Chain,
    /// Contexts (PCID) of spaces destroyed meanwhile.
    contexts: heapless::Vec<u64, RETIRED>,
    /// Whose batches what is freed waits for, beside this one.
    others: Noted<MAX_CPUS>,
}

impl Batch {
    /// Nothing.
    pub(crate) const fn new() -> Self {
        Self {
            ranges: heapless::Vec::new(),
            overflow: false,
            pages: Quarantine::new(),
            large: Quarantine::new(),
            tables: Chain::new(),
            contexts: heapless::Vec::new(),
            others: Noted::new(),
        }
    }

    /// Whether mappings changed.
    fn has_changes(&self) -> bool {
        self.overflow || !self.ranges.is_empty()
    }

    fn concerns(&self, root: u64) -> bool {
        self.overflow || self.ranges.iter().any(|(changed, _)| *changed == root)
    }

    /// Forgets on this CPU, which runs `root`.
    fn forget(&self, root: u64) {
        if self.overflow {
            return forget_all();
        }
        for (changed, range) in &self.ranges {
            if *changed != root {
                if features().pcid {
                    // SAFETY: `features` said so.
                    unsafe { asm::invalidate_context(1, context_of(*changed)) };
                }
                continue;
            }
            if (range.end - range.start) / PAGE >= MANY {
                return forget_all();
            }
            for address in range.clone().step_by(PAGE as usize) {
                asm::invalidate_page(address);
            }
        }
    }
}

fn forget_all() {
    if features().pcid {
        // SAFETY: `features` said so.
        unsafe { asm::invalidate_context(3, 0) };
    } else {
        // SAFETY: the root stays what it is.
        unsafe { asm::write_cr3(asm::read_cr3()) };
    }
}

/// This CPU's batch, to write.
///
/// # Safety
/// `area` is this CPU's own, nobody was asked to look at the batch, and no other reference exists.
#[allow(clippy::mut_from_ref, reason = "the contract makes it unique")]
unsafe fn batch_of(area: &PerCpu) -> &mut Batch {
    // SAFETY: the contract.
    unsafe { &mut *area.batch.get() }
}

/// Remembers that the mappings of a range changed.
pub(crate) fn add(area: &PerCpu, root: u64, range: Range<u64>) {
    // SAFETY: the kernel runs on this CPU, so no rendezvous is under way.
    let batch = unsafe { batch_of(area) };
    if !batch.has_changes() {
        UNFINISHED.begin(area.number.get() as usize);
    }
    let merged = batch.ranges.iter_mut().find(|(changed, old)| {
        *changed == root && old.start <= range.end && range.start <= old.end
    });
    if let Some((_, old)) = merged {
        *old = old.start.min(range.start)..old.end.max(range.end);
    } else if batch.ranges.push((root, range)).is_err() {
        batch.overflow = true;
    }
    area.attention.set(area.attention.get() | attention::FLUSH);
}

/// Remembers that everything of a root changed.
pub(crate) fn add_all(area: &PerCpu, root: u64) {
    add(area, root, EVERYTHING);
}

/// Keeps a page from being used until nobody has mappings of it.
pub(crate) fn quarantine(area: &PerCpu, page: u64) {
    // SAFETY: as in `add`.
    if unsafe { batch_of(area) }.pages.is_full() {
        tell(area);
    }
    keep(area, |batch| batch.pages.push(page));
}

/// As [`quarantine`], for a large page.
pub(crate) fn quarantine_large(area: &PerCpu, page: u64) {
    // SAFETY: as in `add`.
    if unsafe { batch_of(area) }.large.is_full() {
        tell(area);
    }
    keep(area, |batch| batch.large.push(page));
}

/// As [`quarantine`], for a table, or another page of the kernel's. The mappings that lead there may be told of later.
pub(crate) fn quarantine_table(area: &PerCpu, page: u64) {
    // A link is an entry that is not present: whoever still walks the table finds nothing there.
    keep(area, |batch| {
        batch.tables.push(&mut { Direct::KERNEL }, page)
    });
}

/// Keeps a context from being used until nobody remembers translations of it.
pub(crate) fn retire(area: &PerCpu, context: u64) {
    if context != 0 {
        keep(area, |batch| {
            batch.contexts.push(context).ok();
        });
    }
}

/// Puts something into the batch that waits for all batches that are unfinished now.
#[inline(always)]
fn keep(area: &PerCpu, put: impl FnOnce(&mut Batch)) {
    // SAFETY: as in `add`.
    let batch = unsafe { batch_of(area) };
    UNFINISHED.note(area.number.get() as usize, &mut batch.others);
    put(batch);
    area.attention.set(area.attention.get() | attention::FLUSH);
}

/// This CPU runs the kernel from now on.
pub(crate) fn join(cpu: Cpu) {
    ONLINE.fetch_or(1 << cpu.0, Ordering::SeqCst);
}

/// Waits until no CPU remembers what this one changed, and frees what is in quarantine.
pub(crate) fn complete(area: &PerCpu) {
    if area.attention.get() & attention::FLUSH == 0 {
        return;
    }
    area.attention.set(area.attention.get() & !attention::FLUSH);
    tell(area);
    // SAFETY: everybody has answered, so nobody looks at the batch any more.
    let tables = unsafe { &mut batch_of(area).tables };
    if tables.is_empty() {
        return;
    }
    let mut memory = MEMORY.lock();
    while let Some(page) = tables.pop(&Direct::KERNEL) {
        memory.free(page);
    }
}

/// The same without tables; with the kernel lock held, too: those who wait for it answer. A page is freed after it was said that
/// its mappings changed, so that whoever has forgotten what was said till now has none of it.
fn tell(area: &PerCpu) {
    let me = area.number.get();
    // SAFETY: nobody is asked yet.
    let batch = unsafe { &*area.batch.get() };
    let changed = batch.has_changes();
    if changed {
        batch.forget(area.root.load(Ordering::Relaxed));
        // Race 1.
        fence(Ordering::SeqCst);
        let targets = targets(batch, me);
        if targets != 0 {
            ask(me, targets);
        }
    }
    // SAFETY: everybody has answered, so nobody looks at the batch any more.
    let batch = unsafe { batch_of(area) };
    batch.ranges.clear();
    batch.overflow = false;
    if changed {
        UNFINISHED.end(me as usize);
    }
    // Race 2.
    while !UNFINISHED.is_over(&mut batch.others) {
        answer();
        core::hint::spin_loop();
    }
    let Batch {
        pages,
        large,
        contexts,
        ..
    } = batch;
    if pages.is_empty() && large.is_empty() && contexts.is_empty() {
        return;
    }
    let mut memory = MEMORY.lock();
    while let Some(page) = pages.pop() {
        memory.free(page);
    }
    while let Some(page) = large.pop() {
        memory.free_large(page);
    }
    while let Some(context) = contexts.pop() {
        memory.contexts.release(context);
    }
}

fn ask(me: u32, targets: u32) {
    RENDEZVOUS.ask(me as usize, targets);
    for cpu in 0..MAX_CPUS as u32 {
        if targets & 1 << cpu != 0 {
            apic::interrupt(Cpu(cpu), number::SHOOTDOWN);
            ASKED.fetch_add(1, Ordering::Relaxed);
        }
    }
    while !RENDEZVOUS.is_done(me as usize) {
        answer();
        core::hint::spin_loop();
    }
}

/// How many interrupts asked CPUs to forget something.
pub(crate) fn asked() -> u64 {
    ASKED.load(Ordering::Relaxed)
}

/// The other CPUs that may remember something of a batch.
fn targets(batch: &Batch, me: u32) -> u32 {
    let others = ONLINE.load(Ordering::SeqCst) & !(1 << me);
    if others == 0 || features().pcid || batch.overflow {
        return others;
    }
    (0..MAX_CPUS as u32)
        .filter(|cpu| others & 1 << cpu != 0)
        .filter(|cpu| batch.concerns(percpu::of(Cpu(*cpu)).root.load(Ordering::SeqCst)))
        .fold(0, |set, cpu| set | 1 << cpu)
}

/// Does what other CPUs want of this one.
pub(crate) fn answer() {
    let area = percpu::this();
    RENDEZVOUS.answer(area.number.get() as usize, |asker| {
        let asker = percpu::of(Cpu(asker as u32));
        // SAFETY: the asker does not write its batch until this answer has arrived.
        let batch = unsafe { &*asker.batch.get() };
        batch.forget(area.root.load(Ordering::Relaxed));
    });
}
