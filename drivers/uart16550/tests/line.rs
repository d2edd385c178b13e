//! The line on a fake device: nothing is lost, doubled or reordered, whatever the timing.

use std::cell::RefCell;
use std::rc::Rc;

use interfaces::bounded::Bytes;
use interfaces::console::CHUNK;
use kit::fake::{Device as _, Fake};
use kit::{Ports, Width};
use libmach::abi::kern_return::KernReturn;
use libmach::{Error, Result};
use uart16550::fake::Fake16550;
use uart16550::{Answer, INPUT_CAPACITY, Line, MAX_WRITERS};

/// Where the answers of a test arrive.
struct Slot<T>(Rc<RefCell<Vec<Result<T>>>>);

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Rc::default())
    }
}

impl<T> Slot<T> {
    fn place(&self) -> Self {
        Self(Rc::clone(&self.0))
    }

    fn taken(&self) -> Vec<Result<T>> {
        self.0.take()
    }
}

impl<T> Answer<T> for Slot<T> {
    fn answer(self, result: Result<T>) {
        self.0.borrow_mut().push(result);
    }
}

type TestLine = Line<Fake<Fake16550>, Slot<Bytes<CHUNK>>, Slot<u64>>;

fn open() -> (Fake<Fake16550>, TestLine) {
    let device = Fake::new(Fake16550::default());
    let line = Line::open(device.clone()).expect("the device is there");
    (device, line)
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|n| (n * 7 + n / 256) as u8).collect()
}

/// A device that once it is stuck reports nothing but breaks, without end.
#[derive(Clone)]
struct Stuck(Fake<Fake16550>, Rc<RefCell<bool>>);

impl Ports for Stuck {
    fn read(&self, offset: u16, width: Width) -> Result<u32> {
        const LINE_STATUS: u16 = 5;
        const BREAK: u32 = 1 << 4;
        if offset == LINE_STATUS && *self.1.borrow() {
            return Ok(BREAK);
        }
        self.0.read(offset, width)
    }

    fn write(&self, offset: u16, width: Width, value: u32) -> Result<()> {
        self.0.write(offset, width, value)
    }
}

#[test]
fn a_device_that_never_comes_to_rest_is_given_up() {
    let stuck = Stuck(Fake::new(Fake16550::default()), Rc::default());
    let line: Result<Line<_, Slot<Bytes<CHUNK>>, Slot<u64>>> = Line::open(stuck.clone());
    let mut line = line.expect("the device is there");
    assert_eq!(line.service(), Ok(()));
    *stuck.1.borrow_mut() = true;
    assert_eq!(line.service(), Err(Error::Code(KernReturn::Failure)));
}

#[test]
fn opening_sets_the_device_up() {
    let (device, _line) = open();
    let device = device.device();
    assert_eq!(device.divisor(), 1, "115200 baud");
    assert!(device.asks_for_input());
    assert!(!device.interrupts(), "nothing is pending");
}

#[test]
fn a_port_without_a_device_is_refused() {
    let device = Fake::new(Fake16550::absent());
    let refused = TestLine::open(device).map(|_| ());
    assert_eq!(refused, Err(Error::Code(KernReturn::NotSupported)));
}

#[test]
fn a_write_is_answered_when_the_device_has_all_of_it() {
    let (device, mut line) = open();
    let answers = Slot::default();
    let text = bytes(40);
    line.write(&text, answers.place()).unwrap();
    assert!(answers.taken().is_empty(), "16 of 40 are with the device");
    assert!(device.device().wire.is_empty());
    for _ in 0..2 {
        device.device().carry();
        assert!(device.device().interrupts());
        line.service().unwrap();
    }
    assert_eq!(answers.taken(), [Ok(40)]);
    device.device().carry();
    line.service().unwrap();
    let device = device.device();
    assert_eq!(device.wire, text);
    assert_eq!(device.lost, 0);
    assert!(!device.interrupts(), "an idle transmitter is quiet");
}

#[test]
fn a_fast_device_takes_everything_at_once() {
    let (device, mut line) = open();
    device.device().instant = true;
    let answers = Slot::default();
    let text = bytes(CHUNK + 5);
    line.write(&text, answers.place()).unwrap();
    assert_eq!(answers.taken(), [Ok(CHUNK as u64)], "a write has a limit");
    line.write(&text[CHUNK..], answers.place()).unwrap();
    line.write(&[], answers.place()).unwrap();
    assert_eq!(answers.taken(), [Ok(5), Ok(0)]);
    assert_eq!(device.device().wire, text);
}

#[test]
fn writes_keep_their_order_and_do_not_mix() {
    let (device, mut line) = open();
    let answers = Slot::default();
    let (first, second) = ([b'a'; 20], [b'b'; 20]);
    line.write(&first, answers.place()).unwrap();
    line.write(&second, answers.place()).unwrap();
    while device.device().wire.len() < 40 {
        device.device().carry();
        line.service().unwrap();
    }
    assert_eq!(answers.taken(), [Ok(20), Ok(20)]);
    assert_eq!(device.device().wire, [first, second].concat());
}

#[test]
fn waiting_writes_are_bounded() {
    let (_device, mut line) = open();
    let answers = Slot::default();
    for _ in 0..MAX_WRITERS {
        line.write(&[b'x'; 20], answers.place()).unwrap();
    }
    assert!(answers.taken().is_empty());
    line.write(b"x", answers.place()).unwrap();
    let full = Err(Error::Code(KernReturn::ResourceShortage));
    assert_eq!(answers.taken(), [full]);
}

#[test]
fn input_reaches_the_reader_in_order() {
    let (device, mut line) = open();
    let answers = Slot::default();
    line.read(answers.place()).unwrap();
    assert!(answers.taken().is_empty());
    device.device().hear_all(b"ab");
    assert!(device.device().interrupts());
    line.service().unwrap();
    assert_eq!(answers.taken(), [Ok(Bytes::new(b"ab").unwrap())]);
    assert!(!device.device().interrupts());
    device.device().hear(b'c');
    line.service().unwrap();
    line.read(answers.place()).unwrap();
    assert_eq!(answers.taken(), [Ok(Bytes::new(b"c").unwrap())]);
}

#[test]
fn a_new_reader_takes_over() {
    let (device, mut line) = open();
    let (former, next) = (Slot::default(), Slot::default());
    line.read(former.place()).unwrap();
    line.read(next.place()).unwrap();
    assert_eq!(former.taken(), [Err(Error::Code(KernReturn::Aborted))]);
    device.device().hear(b'x');
    line.service().unwrap();
    assert_eq!(next.taken().len(), 1);
}

#[test]
fn input_without_a_reader_is_held_back_and_not_lost() {
    let (device, mut line) = open();
    let text = bytes(2 * INPUT_CAPACITY);
    let mut sent = 0;
    let mut got = Vec::new();
    let answers = Slot::default();
    while got.len() < text.len() {
        // The sender stops where the device is full, as an emulated line does.
        while sent < text.len() && !device.device().is_full() {
            device.device().hear(text[sent]);
            sent += 1;
            line.service().unwrap();
        }
        let held = sent < text.len();
        assert!(!held || !device.device().asks_for_input());
        assert!(!device.device().interrupts(), "a full queue is quiet");
        line.read(answers.place()).unwrap();
        for chunk in answers.taken() {
            got.extend_from_slice(&chunk.unwrap());
        }
    }
    assert_eq!(got, text);
    assert!(device.device().asks_for_input());
    assert_eq!(line.counters().overruns, 0);
    assert_eq!(line.counters().received, text.len() as u64);
}

#[test]
fn overruns_and_breaks_are_counted_and_add_no_bytes() {
    let (device, mut line) = open();
    for n in 0..20 {
        device.device().hear(n);
    }
    let answers = Slot::default();
    line.read(answers.place()).unwrap();
    let first: Vec<u8> = (0..16).collect();
    assert_eq!(answers.taken(), [Ok(Bytes::new(&first).unwrap())]);
    assert_eq!(line.counters().overruns, 1);
    device.device().hear_break();
    device.device().hear(b'z');
    line.service().unwrap();
    line.read(answers.place()).unwrap();
    assert_eq!(answers.taken(), [Ok(Bytes::new(b"z").unwrap())]);
    assert_eq!(line.counters().damaged, 1);
}

#[test]
fn a_restart_keeps_what_is_in_the_device() {
    let (device, mut line) = open();
    let answers = Slot::default();
    line.write(b"last words", answers.place()).unwrap();
    assert_eq!(answers.taken(), [Ok(10)]);
    device.device().hear_all(b"typed");
    drop(line);
    let mut line = TestLine::open(device.clone()).unwrap();
    let answers = Slot::default();
    line.read(answers.place()).unwrap();
    assert_eq!(answers.taken(), [Ok(Bytes::new(b"typed").unwrap())]);
    device.device().carry();
    assert_eq!(device.device().wire, b"last words");
}

#[test]
fn input_from_before_the_first_driver_is_kept() {
    let device = Fake::new(Fake16550::default());
    device.device().hear(b'x');
    let mut line = TestLine::open(device.clone()).unwrap();
    let answers = Slot::default();
    line.read(answers.place()).unwrap();
    assert_eq!(answers.taken(), [Ok(Bytes::new(b"x").unwrap())]);
    // Without FIFOs, one byte at a time.
    for byte in [b'y', b'z'] {
        device.device().hear(byte);
        line.service().unwrap();
    }
    line.read(answers.place()).unwrap();
    assert_eq!(answers.taken(), [Ok(Bytes::new(b"yz").unwrap())]);
    let writes = Slot::default();
    line.write(b"abc", writes.place()).unwrap();
    while writes.taken().is_empty() {
        device.device().carry();
        line.service().unwrap();
    }
    device.device().carry();
    assert_eq!(device.device().wire, b"abc");
    assert_eq!(device.device().lost, 0);
}

#[test]
fn a_device_that_goes_away_is_an_error() {
    let (device, mut line) = open();
    device.device().present = false;
    let gone = Err(Error::Code(KernReturn::NotSupported));
    assert_eq!(line.service(), gone);
}
