//! Registers reach the device with their width and place; interrupts are served around the
//! acknowledgement.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use kit::fake::{Device, Fake};
use kit::{InterruptSource, Ports, ReadOnly, ReadWrite, Register, Width, attend};
use libmach::abi::kern_return::KernReturn;
use libmach::{Error, Result};

#[derive(Default)]
struct Cells {
    bytes: [u8; 4],
    log: Vec<(u16, Width)>,
}

impl Device for Cells {
    const PORTS: u16 = 4;

    fn read(&mut self, offset: u16, width: Width) -> u32 {
        self.log.push((offset, width));
        let mut raw = [0; 4];
        let at = usize::from(offset);
        raw[..width as usize].copy_from_slice(&self.bytes[at..at + width as usize]);
        u32::from_le_bytes(raw)
    }

    fn write(&mut self, offset: u16, width: Width, value: u32) {
        let at = usize::from(offset);
        let size = width as usize;
        self.bytes[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
    }

    fn interrupts(&self) -> bool {
        false
    }
}

bitflags::bitflags! {
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    struct Flags: u8 {
        const LOW = 1;
    }
}
kit::bits!(Flags: u8);

#[test]
fn a_register_has_width_place_and_meaning() {
    const WORD: Register<u16, ReadWrite> = Register::at(2);
    const FLAGS: Register<Flags, ReadOnly> = Register::at(3);
    let ports = Fake::new(Cells::default());
    WORD.write(&ports, 0x8112).unwrap();
    assert_eq!(ports.device().bytes, [0, 0, 0x12, 0x81]);
    assert_eq!(WORD.read(&ports), Ok(0x8112));
    let flags = FLAGS.read(&ports).unwrap();
    assert!(flags.contains(Flags::LOW));
    assert_eq!(flags.bits(), 0x81, "unnamed bits are kept");
    let log = &ports.device().log;
    assert_eq!(log[..], [(2, Width::Word), (3, Width::Byte)]);
}

#[test]
fn an_access_outside_the_range_is_refused() {
    let ports = Fake::new(Cells::default());
    let refused = Err(Error::Code(KernReturn::InvalidArgument));
    assert_eq!(ports.read(1, Width::Long), refused);
    assert_eq!(ports.write(u16::MAX, Width::Word, 0), refused.map(|_| ()));
    assert!(ports.device().log.is_empty());
}

/// Fires `left` times, and notes what is asked of it.
struct Script {
    left: Cell<u32>,
    log: Rc<RefCell<Vec<&'static str>>>,
}

impl InterruptSource for Script {
    async fn next(&self) -> Result<()> {
        if self.left.get() == 0 {
            return std::future::pending().await;
        }
        self.left.set(self.left.get() - 1);
        self.log.borrow_mut().push("fired");
        Ok(())
    }

    fn acknowledge(&self) -> Result<()> {
        self.log.borrow_mut().push("acknowledged");
        Ok(())
    }
}

fn attended(
    left: u32,
    service: impl FnMut() -> Result<()>,
) -> (Poll<Result<()>>, Vec<&'static str>) {
    let log = Rc::default();
    let source = Script {
        left: Cell::new(left),
        log: Rc::clone(&log),
    };
    let mut service = service;
    let noted = Rc::clone(&log);
    let both = move || {
        noted.borrow_mut().push("served");
        service()
    };
    let polled = pin!(attend(&source, both)).poll(&mut Context::from_waker(Waker::noop()));
    (polled, log.take())
}

#[test]
fn the_device_is_served_before_and_after_the_acknowledgement() {
    let (polled, log) = attended(2, || Ok(()));
    assert_eq!(polled, Poll::Pending);
    let once = ["fired", "served", "acknowledged", "served"];
    assert_eq!(log, [once, once].concat());
}

#[test]
fn a_device_that_cannot_be_served_stays_masked() {
    let failure = Error::Code(KernReturn::Failure);
    let (polled, log) = attended(1, || Err(failure));
    assert_eq!(polled, Poll::Ready(Err(failure)));
    assert_eq!(log, ["fired", "served"]);
}
