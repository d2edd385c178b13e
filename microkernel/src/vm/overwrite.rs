//! `vm_copy`, `vm_read_overwrite`, `vm_write`: bytes into memory that is there.
//!
//! They go by pieces, each of which lies in one page of either side and is copied as a whole. A step copies up to
//! [`PIECES`] pieces and says how many bytes are done; each step checks all that is left again, since the maps may
//! have changed while the lock was released (V-16). An error in a later step leaves what earlier ones wrote.

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn;

use super::{COPY_STEP, Context, CopyId, MapId, STALLED, Vm};
use crate::base::KernResult;
use crate::machine::{Access, Machine, Page};

/// Pieces that a step copies. Each may have to copy the page first that it writes to.
const PIECES: u64 = COPY_STEP / 2;

/// A range of the copy that a step looks at: what is done lies below, or above when it goes downward.
#[derive(Clone, Copy)]
struct Piece {
    from: u64,
    to: u64,
    length: u64,
}

impl Vm {
    /// Copies `size` bytes of one task's memory to another one's, or within one, from `done` on; returns how many are
    /// done. Ranges of one map may overlap.
    ///
    /// # Errors
    /// As [`read_bytes`](Self::read_bytes), for either side. When `done` is 0, nothing was written.
    pub fn copy_bytes<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        from: (MapId, u64),
        to: (MapId, u64),
        (size, done): (u64, u64),
    ) -> KernResult<u64> {
        let downward = from.0 == to.0 && from.1 < to.1;
        let mut left = size.checked_sub(done).ok_or(KernReturn::InvalidArgument)?;
        let skip = if downward { 0 } else { done };
        let place = |start: u64| {
            let place = start.checked_add(skip).ok_or(KernReturn::InvalidArgument);
            place.and_then(|place| Ok((place, bytes(left)?)))
        };
        let (source, target) = (place(from.1)?, place(to.1)?);
        self.prepare(context, from.0, source, Access::Read)?;
        self.prepare(context, to.0, target, Access::Write)?;
        let before = left;
        for _ in 0..PIECES {
            if left == 0 {
                break;
            }
            let piece = if downward {
                last_piece(from.1, to.1, left)
            } else {
                first_piece(from.1 + (size - left), to.1 + (size - left), left)
            };
            // The target first: giving it a page of its own may change what the source shows.
            let into = self.page_for(context, to.0, piece.to, Access::Write);
            let pages = into.and_then(|into| {
                let page = self.page_for(context, from.0, piece.from, Access::Read)?;
                Ok((page.page, into.page))
            });
            if pages == Err(STALLED) && left < before {
                // Done again, a step might read what it has overwritten.
                break;
            }
            let (page, into) = pages?;
            copy_between(context, (page, piece.from), (into, piece.to), piece.length);
            left -= piece.length;
        }
        Ok(size - left)
    }

    /// Writes a copy into memory that is there, from the copy's byte `done` on; returns how many are done. The copy
    /// stays.
    ///
    /// # Errors
    /// `InvalidArgument`: there is no such copy, or the range wraps around. Else as [`write_bytes`](Self::write_bytes).
    /// When `done` is 0, nothing was written.
    pub fn overwrite<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        copy: CopyId,
        (map, address): (MapId, u64),
        done: u64,
    ) -> KernResult<u64> {
        let invalid = KernReturn::InvalidArgument;
        let here = self.copies.get(copy).ok_or(invalid)?;
        let (size, offset) = (here.size, here.offset);
        let mut left = size.checked_sub(done).ok_or(invalid)?;
        let start = address.checked_add(done).ok_or(invalid)?;
        self.prepare(context, map, (start, bytes(left)?), Access::Write)?;
        for _ in 0..PIECES {
            if left == 0 {
                break;
            }
            let at = size - left;
            let piece = first_piece(offset + at, address + at, left);
            let into = self.page_for(context, map, piece.to, Access::Write)?.page;
            let here = self.copies.get(copy).ok_or(invalid)?;
            match self.copied_page(here, piece.from / PAGE_SIZE) {
                Some(page) => {
                    copy_between(context, (page, piece.from), (into, piece.to), piece.length);
                }
                None => zero(context, (into, piece.to), piece.length),
            }
            left -= piece.length;
        }
        Ok(size - left)
    }
}

/// The largest first piece of `left` bytes.
fn first_piece(from: u64, to: u64, left: u64) -> Piece {
    let room = PAGE_SIZE - (from % PAGE_SIZE).max(to % PAGE_SIZE);
    let length = left.min(room);
    Piece { from, to, length }
}

/// The largest last piece of `left` bytes.
fn last_piece(from: u64, to: u64, left: u64) -> Piece {
    let within = |start: u64| (start + left - 1) % PAGE_SIZE + 1;
    let length = left.min(within(from)).min(within(to));
    Piece {
        from: from + left - length,
        to: to + left - length,
        length,
    }
}

fn bytes(size: u64) -> KernResult<usize> {
    usize::try_from(size).map_err(|_| KernReturn::InvalidArgument)
}

/// Copies from one page to another, or inside one; the places are addresses, of which the offset in the page counts.
fn copy_between<M: Machine>(
    context: &mut Context<'_, M>,
    from: (Page, u64),
    to: (Page, u64),
    length: u64,
) {
    let (a, b) = ((from.1 % PAGE_SIZE) as usize, (to.1 % PAGE_SIZE) as usize);
    let length = length as usize;
    if from.0 != to.0 {
        return context.machine.copy((from.0, a), (to.0, b), length);
    }
    // What overlaps is read before it is written.
    let mut part = [0; 64];
    let mut done = 0;
    while done < length {
        let now = &mut part[..(length - done).min(64)];
        let at = if a < b {
            length - done - now.len()
        } else {
            done
        };
        context.machine.read((from.0, a + at), now);
        context.machine.write((to.0, b + at), now);
        done += now.len();
    }
}

/// Writes zeros.
fn zero<M: Machine>(context: &mut Context<'_, M>, to: (Page, u64), length: u64) {
    let (start, length) = ((to.1 % PAGE_SIZE) as usize, length as usize);
    for done in (0..length).step_by(64) {
        let zeros = &[0; 64][..(length - done).min(64)];
        context.machine.write((to.0, start + done), zeros);
    }
}
