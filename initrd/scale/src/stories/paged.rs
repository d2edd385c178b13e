//! Threads that wait for pages which this task supplies, or does not live to supply.

use alloc::format;

use interfaces::memory_object::{Attributes, MemoryControl};
use libmach::abi::PAGE_SIZE;
use libmach::abi::kern_return::MessageReturn;
use libmach::abi::names::Name;
use libmach::abi::trace::wait;
use libmach::abi::trap::construct;
use libmach::{Memory, SendRight, buffer, message, trap};

use super::threads::in_wait;
use super::{Peak, Scene};
use crate::raw::{Pages, asker, reader};
use crate::{Result, ensure};

/// What a memory object is told first.
const INIT: i32 = 2200;
/// A page of it is needed.
const DATA_REQUEST: i32 = 2202;

/// Half of the threads touch a page that the pager supplies; half have the kernel read one that it has not supplied when
/// it ends. Each half waits for one page, which is asked for once.
pub(super) fn awaited(scene: &Scene, count: u64, peak: &mut Peak) -> Result<()> {
    let object = trap::port_construct(construct::INSERT_SEND, 0, 0)?;
    let (pages, done) = (Pages::of(object, 2)?, Pages::new(2)?);
    heard(object, INIT)?;
    let [control, name] = [0, 1].map(|index| Name(buffer::descriptor(index).name));
    let control = SendRight::<dyn MemoryControl>::from_name(control);
    trap::port_deallocate(name)?;
    control.client().set_attributes(Attributes::default())?;
    let others = scene.threads()?;
    for n in 0..count {
        let state = match n % 2 {
            0 => reader(pages.page(0), done.page(0)),
            _ => asker(pages.page(1), done.page(1)),
        };
        scene.own.client().thread_create(state)?.client().resume()?;
    }
    scene.until("threads to wait", || {
        Ok(in_wait(scene, wait::PAGE)? == count)
    })?;
    peak.note(scene)?;
    let mut asked = [heard(object, DATA_REQUEST)?, heard(object, DATA_REQUEST)?];
    asked.sort_unstable();
    ensure(asked == [0, PAGE_SIZE], || format!("asked for {asked:x?}"))?;
    let supply = Memory::new(PAGE_SIZE as usize)?;
    let supplied = control.client().data_supply(0, &supply, 0, 0)?;
    ensure(supplied.result == 0, || format!("{supplied:?}"))?;
    let ended = |left| Ok(scene.host.client().statistics()?.threads == others + left);
    scene.until("the supply", || ended(count / 2))?;
    trap::port_destruct(object, -1)?;
    scene.until("the failure", || ended(0))?;
    let went_on = [done.read(0), done.read(1)];
    ensure(went_on == [count.div_ceil(2), count / 2], || {
        format!("{went_on:?} threads went on")
    })
}

/// The next thing that a memory object is told must be this; its first word.
fn heard(object: Name, id: i32) -> Result<u64> {
    let (code, found) = message::receive_until(object, 0);
    ensure(code == MessageReturn::Success, || format!("{code}"))?;
    ensure(found.id() == id, || format!("message {}", found.id()))?;
    Ok(found.words[0])
}
