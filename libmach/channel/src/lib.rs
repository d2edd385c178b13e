//! The command channel between `cargo xtask run -- CMD` and the guest: a byte stream cut in frames.
//!
//! It runs over the second serial port (COM2), so that a command's output stays byte-exact beside
//! the console and the kernel log. A frame is `[kind: u8, length: u16 little-endian, payload]`. The
//! guest says [`Frame::Ready`], the host answers with one [`Frame::Run`], then both stream until
//! [`Frame::Exit`]; [`Frame::Shutdown`] ends the guest.
//!
//! Before the guest is up its firmware may write to the port: [`Frame::Ready`] carries a mark, and the
//! host's decoder passes over everything before it ([`Decoder::after_noise`]).
//!
//! Invariants: a payload has at most [`MAX_PAYLOAD`] bytes; a decoder that met an error stays
//! failed, since no other frame has a mark to be found by.
//!
//! Deliberately absent: I/O, allocation, checksums (the emulated line loses nothing), flow control
//! (the serial port's own holds the sender back).
#![no_std]
#![forbid(unsafe_code)]

/// Bytes before a frame's payload.
pub const HEADER_SIZE: usize = 3;

/// The most bytes in one payload: bounds the decoder's buffer. A longer stream takes more frames,
/// an argument list must fit into one.
pub const MAX_PAYLOAD: usize = 4096;

/// The whole of [`Frame::Ready`] as it stands on the wire. Its first byte occurs nowhere else in it.
const READY: [u8; HEADER_SIZE + 16] = *b"\x81\x10\x00MelloOS-channel1";
const _: () = assert!(READY[0] == kind::READY && READY[1] as usize + HEADER_SIZE == READY.len());

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// By itself, with this status.
    Exited(u8),
    /// It was never started: nothing has that name.
    NoSuchCommand,
    /// An exception that nothing handled ended it; the Mach exception type.
    Exception {
        /// The Mach exception type.
        kind: u16,
        /// The signal that POSIX has for it; 0: none.
        signal: u16,
    },
}

/// One message of the channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Frame<'a> {
    /// Host → guest: run this; arguments, the command's name first, each ended by a NUL.
    Run(&'a [u8]),
    /// Host → guest: bytes for the command's standard input.
    Stdin(&'a [u8]),
    /// Host → guest: the command's standard input is at its end.
    StdinEof,
    /// Host → guest: shut the system down.
    Shutdown,
    /// Guest → host: the system is up and takes a [`Frame::Run`].
    Ready,
    /// Guest → host: bytes that the command wrote to its standard output.
    Stdout(&'a [u8]),
    /// Guest → host: bytes that the command wrote to its standard error.
    Stderr(&'a [u8]),
    /// Guest → host: the command ended.
    Exit(Exit),
}

/// Why a frame cannot be written or read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// The payload exceeds [`MAX_PAYLOAD`].
    TooLong,
    /// The caller's buffer is smaller than the frame.
    NoRoom,
    /// No frame has this kind.
    UnknownKind(u8),
    /// The payload does not have the shape that its kind asks for.
    Malformed,
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::TooLong => write!(f, "a frame's payload exceeds {MAX_PAYLOAD} bytes"),
            Self::NoRoom => write!(f, "the buffer is smaller than the frame"),
            Self::UnknownKind(kind) => write!(f, "no frame has kind {kind:#04x}"),
            Self::Malformed => write!(f, "a frame's payload does not fit its kind"),
        }
    }
}

impl core::error::Error for Error {}

/// Kinds on the wire: the host's are below 0x80, the guest's above.
mod kind {
    pub(super) const RUN: u8 = 0x01;
    pub(super) const STDIN: u8 = 0x02;
    pub(super) const STDIN_EOF: u8 = 0x03;
    pub(super) const SHUTDOWN: u8 = 0x04;
    pub(super) const READY: u8 = 0x81;
    pub(super) const STDOUT: u8 = 0x82;
    pub(super) const STDERR: u8 = 0x83;
    pub(super) const EXIT: u8 = 0x84;
}

/// Writes `frame` to the start of `out` and says how many bytes it took.
///
/// # Errors
/// [`Error::TooLong`] or [`Error::NoRoom`]; `out` is then unchanged.
pub fn encode(frame: &Frame<'_>, out: &mut [u8]) -> Result<usize, Error> {
    let exit;
    let (kind, payload): (u8, &[u8]) = match *frame {
        Frame::Run(bytes) => (kind::RUN, bytes),
        Frame::Stdin(bytes) => (kind::STDIN, bytes),
        Frame::StdinEof => (kind::STDIN_EOF, &[]),
        Frame::Shutdown => (kind::SHUTDOWN, &[]),
        Frame::Ready => (kind::READY, &READY[HEADER_SIZE..]),
        Frame::Stdout(bytes) => (kind::STDOUT, bytes),
        Frame::Stderr(bytes) => (kind::STDERR, bytes),
        Frame::Exit(status) => {
            exit = encode_exit(status);
            (kind::EXIT, &exit)
        }
    };
    if payload.len() > MAX_PAYLOAD {
        return Err(Error::TooLong);
    }
    let length = u16::try_from(payload.len()).map_err(|_| Error::TooLong)?;
    let [low, high] = length.to_le_bytes();
    let size = HEADER_SIZE + payload.len();
    let target = out.get_mut(..size).ok_or(Error::NoRoom)?;
    target[..HEADER_SIZE].copy_from_slice(&[kind, low, high]);
    target[HEADER_SIZE..].copy_from_slice(payload);
    Ok(size)
}

fn encode_exit(exit: Exit) -> [u8; 5] {
    let (tag, code) = match exit {
        Exit::Exited(code) => (0, u32::from(code)),
        Exit::NoSuchCommand => (1, 0),
        Exit::Exception { kind, signal } => (2, u32::from(kind) | u32::from(signal) << 16),
    };
    let [a, b, c, d] = code.to_le_bytes();
    [tag, a, b, c, d]
}

fn decode_exit(payload: &[u8]) -> Result<Exit, Error> {
    let &[tag, a, b, c, d] = payload else {
        return Err(Error::Malformed);
    };
    let code = u32::from_le_bytes([a, b, c, d]);
    match tag {
        0 => Ok(Exit::Exited(
            u8::try_from(code).map_err(|_| Error::Malformed)?,
        )),
        1 if code == 0 => Ok(Exit::NoSuchCommand),
        2 => Ok(Exit::Exception {
            kind: code as u16,
            signal: (code >> 16) as u16,
        }),
        _ => Err(Error::Malformed),
    }
}

/// Collects bytes until they make a frame.
#[derive(Debug)]
pub struct Decoder {
    buffer: [u8; HEADER_SIZE + MAX_PAYLOAD],
    used: usize,
    /// Whether [`Frame::Ready`] is still being looked for.
    searching: bool,
    failed: Option<Error>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder at the start of a stream.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            buffer: [0; HEADER_SIZE + MAX_PAYLOAD],
            used: 0,
            searching: false,
            failed: None,
        }
    }

    /// A decoder that passes over everything before the first [`Frame::Ready`].
    #[must_use]
    pub const fn after_noise() -> Self {
        Self {
            searching: true,
            ..Self::new()
        }
    }

    /// Takes the next byte of the stream; the frame that it completes, if it does.
    ///
    /// # Errors
    /// The stream is not a sequence of frames. Every later call fails the same way.
    pub fn push(&mut self, byte: u8) -> Result<Option<Frame<'_>>, Error> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.searching && byte != READY[self.used] {
            // The frame's first byte occurs nowhere else in it: nothing that was passed over can begin one.
            self.used = 0;
            if byte != READY[0] {
                return Ok(None);
            }
        }
        if let Some(slot) = self.buffer.get_mut(self.used) {
            *slot = byte;
        }
        self.used += 1;
        if self.used < HEADER_SIZE {
            return Ok(None);
        }
        let length = usize::from(u16::from_le_bytes([self.buffer[1], self.buffer[2]]));
        if length > MAX_PAYLOAD {
            self.failed = Some(Error::TooLong);
            return Err(Error::TooLong);
        }
        let size = HEADER_SIZE + length;
        if self.used < size {
            return Ok(None);
        }
        self.used = 0;
        self.searching = false;
        match decode(self.buffer[0], &self.buffer[HEADER_SIZE..size]) {
            Ok(frame) => Ok(Some(frame)),
            Err(error) => {
                self.failed = Some(error);
                Err(error)
            }
        }
    }
}

fn decode(kind: u8, payload: &[u8]) -> Result<Frame<'_>, Error> {
    let bare = |frame| match payload {
        [] => Ok(frame),
        _ => Err(Error::Malformed),
    };
    match kind {
        kind::RUN if payload.last() == Some(&0) => Ok(Frame::Run(payload)),
        kind::RUN => Err(Error::Malformed),
        kind::STDIN => Ok(Frame::Stdin(payload)),
        kind::STDIN_EOF => bare(Frame::StdinEof),
        kind::SHUTDOWN => bare(Frame::Shutdown),
        kind::READY if payload == &READY[HEADER_SIZE..] => Ok(Frame::Ready),
        kind::READY => Err(Error::Malformed),
        kind::STDOUT => Ok(Frame::Stdout(payload)),
        kind::STDERR => Ok(Frame::Stderr(payload)),
        kind::EXIT => decode_exit(payload).map(Frame::Exit),
        other => Err(Error::UnknownKind(other)),
    }
}

/// The arguments of a [`Frame::Run`] payload, the command's name first.
pub fn arguments(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    payload
        .strip_suffix(&[0])
        .into_iter()
        .flat_map(|list| list.split(|&byte| byte == 0))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    const SAMPLES: [Frame<'static>; 10] = [
        Frame::Run(b"echo\0two words\0\0"),
        Frame::Stdin(b"\x00\xff\r\n"),
        Frame::StdinEof,
        Frame::Shutdown,
        Frame::Ready,
        Frame::Stdout(b"out"),
        Frame::Stderr(b""),
        Frame::Exit(Exit::Exited(255)),
        Frame::Exit(Exit::NoSuchCommand),
        Frame::Exit(Exit::Exception {
            kind: 1,
            signal: 11,
        }),
    ];

    #[test]
    fn noise_before_the_first_frame_is_passed_over() {
        let mut stream = b"\x1b[2J\xff\xff\x81\x81\x10\x00MelloOS-chan".to_vec();
        let mut frames = [0; 64];
        let size = encode(&Frame::Ready, &mut frames).unwrap();
        stream.extend_from_slice(&frames[..size]);
        let size = encode(&Frame::Stdout(b"\x81out"), &mut frames).unwrap();
        stream.extend_from_slice(&frames[..size]);
        let mut decoder = Decoder::after_noise();
        let mut found = Vec::new();
        for byte in stream {
            if let Some(frame) = decoder.push(byte).unwrap() {
                found.push(std::format!("{frame:?}"));
            }
        }
        let expected = [Frame::Ready, Frame::Stdout(b"\x81out")];
        assert_eq!(found, expected.map(|frame| std::format!("{frame:?}")));
    }

    #[test]
    fn a_stream_of_frames_comes_back_in_order() {
        let mut stream = [0; 256];
        let mut end = 0;
        for frame in &SAMPLES {
            end += encode(frame, &mut stream[end..]).unwrap();
        }
        let mut decoder = Decoder::new();
        let mut seen = 0;
        for &byte in &stream[..end] {
            if let Some(frame) = decoder.push(byte).unwrap() {
                assert_eq!(frame, SAMPLES[seen]);
                seen += 1;
            }
        }
        assert_eq!(seen, SAMPLES.len());
    }

    #[test]
    fn the_longest_payload_fits_and_one_byte_more_does_not() {
        let payload = [7; MAX_PAYLOAD + 1];
        let mut out = [0; HEADER_SIZE + MAX_PAYLOAD + 1];
        let longest = Frame::Stdout(&payload[..MAX_PAYLOAD]);
        let size = encode(&longest, &mut out).unwrap();
        let mut decoder = Decoder::new();
        let (last, rest) = out[..size].split_last().unwrap();
        assert!(rest.iter().all(|&byte| decoder.push(byte) == Ok(None)));
        assert_eq!(decoder.push(*last), Ok(Some(longest)));
        assert_eq!(
            encode(&Frame::Stdout(&payload), &mut out),
            Err(Error::TooLong)
        );
        assert_eq!(encode(&longest, &mut out[..10]), Err(Error::NoRoom));
    }

    #[test]
    fn a_bad_stream_fails_for_good() {
        let feed = |bytes: &[u8]| {
            let mut decoder = Decoder::new();
            let error = bytes
                .iter()
                .find_map(|&byte| decoder.push(byte).err())
                .expect("the stream is bad");
            assert_eq!(decoder.push(kind::READY), Err(error));
            error
        };
        assert_eq!(feed(&[0x7f, 0, 0]), Error::UnknownKind(0x7f));
        assert_eq!(feed(&[kind::STDOUT, 1, 0x10]), Error::TooLong);
        assert_eq!(feed(&[kind::READY, 1, 0, 0]), Error::Malformed);
        assert_eq!(feed(&[kind::RUN, 1, 0, b'x']), Error::Malformed);
        assert_eq!(feed(&[kind::EXIT, 5, 0, 0, 0, 1, 0, 0]), Error::Malformed);
    }

    #[test]
    fn arguments_keep_empty_ones() {
        assert!(arguments(b"a\0\0b c\0").eq([b"a".as_slice(), b"", b"b c"]));
        assert!(arguments(b"\0").eq([b"".as_slice()]));
        assert_eq!(arguments(b"unended").count(), 0);
    }
}
