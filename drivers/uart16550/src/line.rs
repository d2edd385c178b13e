//! What becomes of the bytes: writes in order, one reader, both waiting on the device.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use interfaces::bounded::Bytes;
use interfaces::console::CHUNK;
use kit::Ports;
use libmach::abi::kern_return::KernReturn;
use libmach::{Reply, Result};

use crate::registers::InterruptEnable;
use crate::uart::Uart;

/// The most bytes that came in and nobody read yet; the device holds further ones back.
pub const INPUT_CAPACITY: usize = 4096;

/// The most writes that wait: bounds the memory that clients can fill.
pub const MAX_WRITERS: usize = 64;

/// How often the device is looked at in a row before it counts as broken. Each look but the last
/// moves a byte, so that even full queues need fewer.
const MAX_LOOKS: usize = 2 * (INPUT_CAPACITY + MAX_WRITERS * CHUNK);

/// The duty to answer a call: a [`Reply`], or what a test takes for one.
pub trait Answer<T> {
    /// Answers.
    fn answer(self, result: Result<T>);
}

impl<T> Answer<T> for Reply<T> {
    fn answer(self, result: Result<T>) {
        self.send(result);
    }
}

/// What happened on the line since it was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Bytes that came in.
    pub received: u64,
    /// Bytes that the device was given.
    pub sent: u64,
    /// How often the device lost bytes because nobody took them in time.
    pub overruns: u64,
    /// Bytes that came in damaged, and breaks.
    pub damaged: u64,
}

struct Write<W> {
    bytes: Box<[u8]>,
    sent: usize,
    answer: W,
}

/// A terminal line. `R` and `W` answer reads and writes.
pub struct Line<P, R, W> {
    uart: Uart<P>,
    input: VecDeque<u8>,
    reader: Option<R>,
    writers: VecDeque<Write<W>>,
    counters: Counters,
}

impl<P, R, W> core::fmt::Debug for Line<P, R, W> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Line")
            .field("input", &self.input.len())
            .field("writers", &self.writers.len())
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

impl<P: Ports, R: Answer<Bytes<CHUNK>>, W: Answer<u64>> Line<P, R, W> {
    /// Resets the device and takes input from it.
    ///
    /// # Errors
    /// As `Uart::reset`.
    pub fn open(ports: P) -> Result<Self> {
        let mut line = Self {
            uart: Uart::reset(ports)?,
            input: VecDeque::new(),
            reader: None,
            writers: VecDeque::new(),
            counters: Counters::default(),
        };
        line.want()?;
        Ok(line)
    }

    /// Queues the first [`CHUNK`] bytes; answered when the device has them.
    ///
    /// # Errors
    /// When the device cannot be reached. Too many waiting writes are the caller's error.
    pub fn write(&mut self, bytes: &[u8], answer: W) -> Result<()> {
        let taken = &bytes[..bytes.len().min(CHUNK)];
        if taken.is_empty() {
            answer.answer(Ok(0));
        } else if self.writers.len() == MAX_WRITERS {
            answer.answer(Err(KernReturn::ResourceShortage.into()));
        } else {
            self.writers.push_back(Write {
                bytes: Vec::from(taken).into_boxed_slice(),
                sent: 0,
                answer,
            });
        }
        self.service()
    }

    /// Lets `answer` have the next input; a former reader that still waits is told `Aborted`.
    ///
    /// # Errors
    /// When the device cannot be reached.
    pub fn read(&mut self, answer: R) -> Result<()> {
        if let Some(former) = self.reader.replace(answer) {
            former.answer(Err(KernReturn::Aborted.into()));
        }
        self.service()
    }

    /// Moves what can be moved, until the device wants nothing more.
    ///
    /// # Errors
    /// When the device cannot be reached, or never comes to rest.
    pub fn service(&mut self) -> Result<()> {
        for _ in 0..MAX_LOOKS {
            self.receive()?;
            self.transmit()?;
            self.want()?;
            if !self.uart.is_pending()? {
                return Ok(());
            }
        }
        Err(KernReturn::Failure.into())
    }

    /// What happened so far.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Lets the device interrupt for what there is room or work for.
    fn want(&mut self) -> Result<()> {
        let mut wanted = InterruptEnable::empty();
        if self.input.len() < INPUT_CAPACITY {
            wanted |= InterruptEnable::RECEIVED | InterruptEnable::LINE_STATUS;
        }
        if !self.writers.is_empty() {
            wanted |= InterruptEnable::TRANSMITTER_EMPTY;
        }
        self.uart.want(wanted)
    }

    fn receive(&mut self) -> Result<()> {
        self.deliver();
        let mut damaged = 0;
        while self.input.len() < INPUT_CAPACITY {
            let received = self.uart.receive()?;
            self.counters.overruns += u64::from(received.overrun);
            self.counters.damaged += u64::from(received.damaged);
            match received.byte {
                Some(byte) => {
                    self.counters.received += 1;
                    self.input.push_back(byte);
                }
                None if received.damaged && damaged < INPUT_CAPACITY => damaged += 1,
                None if received.damaged => return Err(KernReturn::Failure.into()),
                None => break,
            }
        }
        self.deliver();
        Ok(())
    }

    fn deliver(&mut self) {
        if self.input.is_empty() {
            return;
        }
        let Some(reader) = self.reader.take() else {
            return;
        };
        let mut chunk = Bytes::EMPTY;
        while let Some(byte) = self.input.front()
            && chunk.push(*byte)
        {
            self.input.pop_front();
        }
        reader.answer(Ok(chunk));
    }

    fn transmit(&mut self) -> Result<()> {
        while let Some(write) = self.writers.front_mut() {
            let sent = self.uart.transmit(&write.bytes[write.sent..])?;
            if sent == 0 {
                break;
            }
            write.sent += sent;
            self.counters.sent += sent as u64;
            if write.sent == write.bytes.len()
                && let Some(done) = self.writers.pop_front()
            {
                done.answer.answer(Ok(done.sent as u64));
            }
        }
        Ok(())
    }
}
