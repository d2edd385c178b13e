//! What one call or message may be large with: rights in an array, memory out of line, regions in a range.

use alloc::format;

use libmach::abi::PAGE_SIZE;
use libmach::abi::kern_return::MessageReturn;
use libmach::abi::message::{Descriptor, MAX_DESCRIPTORS, descriptor};
use libmach::abi::names::{Name, disposition, right};
use libmach::abi::registers::Shape;
use libmach::abi::task::Limits;
use libmach::abi::trap::construct;
use libmach::abi::vm::{entry, protection};
use libmach::{buffer, message, trap};

use super::{Peak, Scene, TABLE_PAGES, Table};
use crate::raw::Pages;
use crate::{Result, ensure};

/// Pages of one piece of memory out of line: the most.
const EACH: u64 = 256;
/// Kernel memory that a region takes at most.
const REGION_BYTES: u64 = 512;

/// An array of rights, which arrives; and another one, which ends in its queue.
pub(super) fn array(scene: &Scene, count: u64, peak: &mut Peak) -> Result<()> {
    let ports = Table::new(count)?;
    for n in 0..count {
        ports.set(n, trap::port_construct(0, 0, 0)?);
    }
    let port = trap::port_construct(construct::INSERT_SEND, 0, 0)?;
    let rights = rights_in(&ports, count, disposition::MAKE_SEND);
    send(port, &[rights])?;
    peak.note(scene)?;
    receive(port)?;
    let arrived = buffer::descriptor(0);
    ensure(u64::from(arrived.name) == count, || {
        format!("{} rights came", arrived.name)
    })?;
    drop(Pages::brought(&arrived));
    for n in 0..count {
        let references = trap::port_get_refs(ports.get(n), right::SEND)?;
        ensure(references == 1, || format!("{references} send rights"))?;
    }
    send(port, &[rights])?;
    trap::port_destruct(port, -1)?;
    for n in 0..count {
        trap::port_destroy(ports.get(n))?;
    }
    Ok(())
}

/// As much memory as one message takes: it stays and arrives, leaves and arrives, and ends in its queue. `count` is of
/// pages.
pub(super) fn memory(scene: &Scene, count: u64, peak: &mut Peak) -> Result<()> {
    let pieces = count.div_ceil(EACH).min(MAX_DESCRIPTORS as u64);
    let port = trap::port_construct(construct::INSERT_SEND, 0, 0)?;
    for flags in [0, descriptor::DEALLOCATE] {
        let pages = Pages::new(pieces * EACH)?;
        for page in 0..pieces * EACH {
            pages.write(page, page);
        }
        let mut content = [Descriptor::default(); MAX_DESCRIPTORS];
        for (piece, n) in content.iter_mut().zip(0..pieces) {
            *piece = Descriptor {
                kind: descriptor::OUT_OF_LINE,
                flags,
                address: pages.page(n * EACH),
                size: EACH * PAGE_SIZE,
                ..Descriptor::default()
            };
        }
        let content = &content[..pieces as usize];
        send(port, content)?;
        peak.note(scene)?;
        receive(port)?;
        for piece in 0..pieces {
            let arrived = Pages::brought(&buffer::descriptor(piece as usize));
            for page in 0..EACH {
                let found = arrived.read(page);
                ensure(found == piece * EACH + page, || format!("page {found}"))?;
                arrived.write(page, 0);
            }
        }
        if flags == 0 {
            send(port, content)?;
            drop(pages);
            receive(port)?;
            for piece in 0..pieces {
                drop(Pages::brought(&buffer::descriptor(piece as usize)));
            }
        }
    }
    let pages = Pages::new(EACH)?;
    let content = Descriptor {
        kind: descriptor::OUT_OF_LINE,
        address: pages.page(0),
        size: EACH * PAGE_SIZE,
        ..Descriptor::default()
    };
    pages.write(1, 1);
    send(port, &[content; MAX_DESCRIPTORS])?;
    trap::port_destruct(port, -1)?;
    Ok(())
}

/// Entries of a page table.
const FANOUT: u64 = TABLE_PAGES;
/// Pages that one entry of the highest table leads to.
const TABLE: u64 = FANOUT * FANOUT * FANOUT;

/// Memory whose page tables are full where it begins and ends: on each level, `count` entries from either end on lead
/// somewhere.
fn full_at_the_ends(count: u64) -> Result<Pages> {
    let last = 2 * TABLE - 1;
    let pages = Pages::aligned(2 * TABLE, TABLE * PAGE_SIZE)?;
    for n in 0..count.min(FANOUT) {
        for stride in [1, FANOUT, FANOUT * FANOUT] {
            pages.write(n * stride, 1);
            pages.write(last - n * stride, 1);
        }
    }
    Ok(pages)
}

/// Replaces all but the ends, and then all.
fn replace_all(pages: &Pages) -> Result<()> {
    let last = 2 * TABLE - 1;
    pages.replace(1)?;
    let found = [0, 1, FANOUT, last - 1, last].map(|page| pages.read(page));
    ensure(found == [1, 0, 0, 0, 1], || format!("{found:?}"))?;
    // The tables at the ends as well.
    pages.replace(0)
}

/// Memory that is replaced at once, in page tables that are full where it begins and ends.
pub(super) fn replaced(scene: &Scene, count: u64, peak: &mut Peak) -> Result<()> {
    let pages = full_at_the_ends(count)?;
    peak.note(scene)?;
    replace_all(&pages)
}

/// The same of so many regions, half of which begin in the tables at the one end and half in those at the other.
pub(super) fn regions_replaced(scene: &Scene, count: u64, peak: &mut Peak) -> Result<()> {
    let pages = full_at_the_ends(FANOUT)?;
    let own = scene.own.client();
    for n in 0..count / 4 {
        for page in [2 * n + 2, 2 * TABLE - 3 - 2 * n] {
            own.vm_protect(pages.page(page), PAGE_SIZE, 0, protection::READ)?;
        }
    }
    peak.note(scene)?;
    replace_all(&pages)
}

/// A range with as many regions as pages: listed, inherited, made one, made many, replaced by one, and given back.
pub(super) fn regions(scene: &Scene, count: u64, peak: &mut Peak) -> Result<()> {
    let pages = Pages::new(count)?;
    let own = scene.own.client();
    let all = (pages.page(0), count * PAGE_SIZE);
    let split = || -> Result<()> {
        for page in (1..count).step_by(2) {
            own.vm_protect(pages.page(page), PAGE_SIZE, 0, protection::READ)?;
        }
        Ok(())
    };
    split()?;
    peak.note(scene)?;
    let (mut at, mut seen) = (all.0, 0);
    while at < all.0 + all.1 {
        let part = own.regions(at)?;
        let Some(last) = part.last() else { break };
        at = last.address + last.size;
        seen += part
            .iter()
            .filter(|region| region.address < all.0 + all.1)
            .count() as u64;
    }
    ensure(seen >= count - 1, || format!("{seen} regions"))?;
    let limits = Limits {
        names: 8,
        messages: 1,
        threads: 1,
        pages: 4096,
        kernel_bytes: (count + 1024) * REGION_BYTES,
    };
    let child = scene.own.client().create(limits, 0, 1)?;
    child.client().terminate()?;
    own.vm_protect(all.0, all.1, 0, protection::READ | protection::WRITE)?;
    split()?;
    for page in 0..count {
        pages.read(page);
    }
    pages.replace(1)?;
    split()?;
    // The tables of this range stay, and are there before it.
    for page in (0..count).step_by(TABLE_PAGES as usize) {
        pages.read(page);
    }
    Ok(())
}

/// Memory entries over so many pages: shared, and a copy as of now, of as many regions as pages. Each is mapped and given back.
pub(super) fn entries(scene: &Scene, count: u64, peak: &mut Peak) -> Result<()> {
    let pages = Pages::new(count)?;
    for page in 0..count {
        pages.write(page, page);
    }
    let mut show = |kind: u32| -> Result<()> {
        let parent = scene.own.duplicate()?.cast();
        let (size, permission) = (count * PAGE_SIZE, protection::READ | kind);
        let memory = scene.own.memory();
        let (_, made) = memory.make_entry(parent, size, pages.page(0), permission)?;
        let seen = Pages::of(made.name(), count)?;
        peak.note(scene)?;
        for page in 0..count {
            let found = seen.read(page);
            ensure(found == page, || format!("page {found}"))?;
        }
        Ok(())
    };
    show(entry::SHARE)?;
    for page in (1..count).step_by(2) {
        let own = scene.own.client();
        own.vm_protect(pages.page(page), PAGE_SIZE, 0, protection::READ)?;
    }
    show(entry::COPY)
}

/// The descriptor of an array of rights.
pub(super) fn rights_in(names: &Table, count: u64, how: u8) -> Descriptor {
    Descriptor {
        kind: descriptor::OUT_OF_LINE_PORTS,
        disposition: how,
        name: count as u32,
        address: names.address(),
        ..Descriptor::default()
    }
}

pub(super) fn send(port: Name, content: &[Descriptor]) -> Result<()> {
    for (index, descriptor) in content.iter().enumerate() {
        buffer::set_descriptor(index, *descriptor);
    }
    let shape = Shape::buffered(0, content.len() as u32);
    let code = message::send(port, disposition::COPY_SEND, 1, shape, [0; 6]);
    ensure(code == MessageReturn::Success, || format!("send: {code}"))
}

pub(super) fn receive(port: Name) -> Result<()> {
    let (code, _) = message::receive(port);
    ensure(code == MessageReturn::Success, || {
        format!("receive: {code}")
    })
}
