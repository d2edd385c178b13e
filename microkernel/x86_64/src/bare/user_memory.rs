//! Pages of user memory, through the direct map: by value, or page to page.
//!
//! User code may change them at any time, so no reference to them is ever made. Copies move 8 bytes at a
//! time where they can.

use core::arch::asm;

use microkernel::machine::Page;
use microkernel_x86_64::layout::{DIRECT, PAGE};

#[inline(always)]
fn place((page, offset): (Page, usize), length: usize) -> *mut u8 {
    assert!(
        offset <= PAGE as usize && length <= PAGE as usize - offset,
        "beyond the end of a page"
    );
    (DIRECT + u64::from(page.0) * PAGE + offset as u64) as *mut u8
}

/// Copies bytes forwards, from low to high addresses.
///
/// # Safety
/// `length` bytes from `from` on may be read and from `to` on be written; if they overlap, `to` is not
/// above `from`.
#[inline(always)]
unsafe fn copy_bytes(from: *const u8, to: *mut u8, length: usize) {
    // SAFETY: the contract; the direction flag is clear in ring 0.
    unsafe {
        asm!(
            "rep movsq",
            "mov ecx, {rest:e}",
            "rep movsb",
            rest = in(reg) length & 7,
            inout("rcx") length >> 3 => _,
            inout("rsi") from => _,
            inout("rdi") to => _,
            options(nostack, preserves_flags),
        );
    }
}

/// Copies bytes of one page to another one.
#[inline(always)]
pub(crate) fn copy(from: (Page, usize), to: (Page, usize), length: usize) {
    let (from, to) = (place(from, length), place(to, length));
    // SAFETY: both ranges lie inside pages of the direct map. Within one page the kernel copies to
    // another place only downwards.
    unsafe { copy_bytes(from, to, length) };
}

/// Reads bytes of a page.
pub(crate) fn read(from: (Page, usize), bytes: &mut [u8]) {
    // SAFETY: the source lies inside a page of the direct map; the target is the caller's.
    unsafe { copy_bytes(place(from, bytes.len()), bytes.as_mut_ptr(), bytes.len()) };
}

/// Writes bytes of a page.
#[inline(always)]
pub(crate) fn write(to: (Page, usize), bytes: &[u8]) {
    // SAFETY: the target lies inside a page of the direct map that holds user memory.
    unsafe { copy_bytes(bytes.as_ptr(), place(to, bytes.len()), bytes.len()) };
}

/// The place of aligned words.
#[inline(always)]
fn words_at(at: (Page, usize), count: usize) -> *mut u64 {
    assert!(
        at.1.is_multiple_of(size_of::<u64>()),
        "words that are not aligned"
    );
    place(at, count * size_of::<u64>()).cast()
}

/// Reads aligned words, each in one access.
#[inline(always)]
pub(crate) fn read_words<const COUNT: usize>(from: (Page, usize)) -> [u64; COUNT] {
    let place = words_at(from, COUNT);
    core::array::from_fn(|index| {
        // SAFETY: `words_at` has looked that all words are aligned and lie inside a page of the direct map.
        unsafe { place.wrapping_add(index).read_volatile() }
    })
}

/// Writes aligned words.
#[inline(always)]
pub(crate) fn write_words<const COUNT: usize>(to: (Page, usize), words: [u64; COUNT]) {
    let place = words_at(to, COUNT);
    for (index, word) in words.into_iter().enumerate() {
        // SAFETY: as in `read_words`.
        unsafe { place.wrapping_add(index).write(word) };
    }
}

/// Fills a page with zeros.
pub(crate) fn zero(page: Page) {
    let place = place((page, 0), PAGE as usize);
    // SAFETY: a whole page of the direct map; the direction flag is clear in ring 0.
    unsafe {
        asm!("rep stosq", inout("rcx") PAGE / 8 => _, inout("rdi") place => _, in("rax") 0,
            options(nostack, preserves_flags));
    }
}

/// Reads an aligned word in one access.
pub(crate) fn read_u32(from: (Page, usize)) -> u32 {
    assert!(from.1.is_multiple_of(4), "a word that is not aligned");
    let place = place(from, 4).cast::<u32>();
    // SAFETY: the word is aligned and lies inside a page of the direct map.
    unsafe { place.read_volatile() }
}
