//! A receive right in a message in the queue of a port whose receive right is in a message, and so on.

use alloc::format;

use libmach::abi::kern_return::MessageReturn;
use libmach::abi::names::disposition;
use libmach::abi::registers::Shape;
use libmach::{buffer, message, trap};

use super::ports::right_to;
use super::{Peak, Scene};
use crate::{Result, ensure};

// covers: F-07
pub(super) fn nested(scene: &Scene, count: u64, peak: &mut Peak) -> Result<()> {
    let mut inner = trap::port_construct(0, 0, 0)?;
    for n in 0..count {
        let outer = trap::port_construct(0, 0, 0)?;
        buffer::set_descriptor(0, right_to(inner, disposition::MOVE_RECEIVE));
        let shape = Shape::buffered(0, 1);
        let code = message::send(outer, disposition::MAKE_SEND, 1, shape, [n; 6]);
        ensure(code == MessageReturn::Success, || format!("send: {code}"))?;
        inner = outer;
    }
    let there = scene.host.client().statistics()?;
    ensure(there.queued_now >= count, || {
        format!("{} messages", there.queued_now)
    })?;
    peak.note(scene)?;
    trap::port_destruct(inner, 0)?;
    Ok(())
}
