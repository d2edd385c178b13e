//! From a device's interrupt to the thread that waits for it, in another task of higher priority.
//!
//! The first serial port interrupts as soon as it may, for it has nothing to send: the row contains the trap that lets
//! it, from before its stub. Who measures holds the device and serves it afterwards; the waiting task just notes the time.

use interfaces::interrupt::{Interrupt, InterruptRoot};
use interfaces::io::{IoRange, IoRoot};
use libmach::abi::names::right;
use libmach::abi::notify::pending;
use libmach::abi::start::names;
use libmach::{Context, SendRight, Untyped, trap};

use super::message::{HIGHER, note_arrivals};
use super::{Bench, Take, WARM_UP, row};
use crate::peer::Peer;
use crate::samples::{COUNT, Samples};
use crate::{Result, ensure, raw, time};

/// The first serial port: its I/O ports and its line (PC compatibles).
const PORTS: (u16, u16) = (0x3f8, 8);
const LINE: u32 = 4;
/// Its registers (16550, National Semiconductor data sheet, table II): which interrupts are enabled, which one is pending.
const ENABLE: u16 = 1;
const IDENTIFY: u16 = 2;
/// Of the first: there is nothing left to send. Reading the second ends it.
const EMPTY: u32 = 2;

/// Measures it if this is the first task, which has the machine to itself.
pub(super) fn all(bench: &Bench, context: &Context, take: Take<'_>) -> Result<()> {
    let roots = (
        context.send_right::<dyn IoRoot>(names::IO_ROOT),
        context.send_right::<dyn InterruptRoot>(names::INTERRUPT_ROOT),
    );
    let (Ok(io), Ok(interrupts)) = roots else {
        return Ok(());
    };
    let device = io.client().range(PORTS.0, PORTS.1)?;
    let line = interrupts.client().line(LINE)?;
    let page = raw::allocate_shared(1)?;
    let peer = Peer::serving(note_arrivals, page)?
        .at_priority(HIGHER)?
        .run()?;
    trap::port_mod_refs(peer.port(), right::SEND, 1)?;
    let bound = line
        .client()
        .bind(SendRight::<Untyped>::from_name(peer.port()));
    bound.map_err(|refused| refused.error)?;
    let mut samples = Samples::with_room(COUNT);
    for round in 0..WARM_UP + COUNT {
        let start = time::start();
        let enabled = trap::io_write(device.name(), ENABLE, 1, EMPTY);
        let (end, id) = (raw::read(page), raw::read(page + 16));
        enabled?;
        let came = end > start && id == pending::INTERRUPT as u64;
        ensure(came, "an interrupt did not come at once")?;
        serve(&device, &line)?;
        if round >= WARM_UP {
            samples.push(bench.sample(start, end));
        }
    }
    line.client().unbind()?;
    drop(peer);
    raw::release(page, 1)?;
    take(row("interrupt_to_thread", samples))
}

/// Ends the device's interrupt and lets the line fire again.
fn serve(device: &SendRight<dyn IoRange>, line: &SendRight<dyn Interrupt>) -> Result<()> {
    trap::io_write(device.name(), ENABLE, 1, 0)?;
    trap::io_read(device.name(), IDENTIFY, 1)?;
    Ok(trap::interrupt_acknowledge(line.name())?)
}
