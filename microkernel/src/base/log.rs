//! The kernel's own log: the last lines of text, by position, for `dmesg`.

use core::fmt::{Arguments, Write};

/// Bytes that the ring keeps.
pub const SIZE: usize = 8192;

/// A ring of text.
pub struct Log {
    bytes: [u8; SIZE],
    /// Bytes that were ever written.
    end: u64,
}

impl Log {
    /// Nothing was logged yet.
    pub const fn new() -> Self {
        Self {
            bytes: [0; SIZE],
            end: 0,
        }
    }

    /// Adds a line, with the time (given in ns) in seconds before it; the oldest text goes.
    pub fn line(&mut self, now: u64, text: Arguments<'_>) {
        let (seconds, rest) = (now / 1_000_000_000, now / 1000 % 1_000_000);
        // The ring takes any text: its `write_str` never fails.
        writeln!(self, "[{seconds:>5}.{rest:06}] {text}").ok();
    }

    /// Copies text from a position on, or from the oldest byte that is left; answers where that is, and how many bytes.
    pub fn read(&self, position: u64, bytes: &mut [u8]) -> (u64, usize) {
        let oldest = self.end.saturating_sub(SIZE as u64);
        let start = position.clamp(oldest, self.end);
        let length = bytes.len().min((self.end - start) as usize);
        for (byte, at) in bytes.iter_mut().take(length).zip(start..) {
            *byte = self.bytes[at as usize % SIZE];
        }
        (start, length)
    }
}

impl Default for Log {
    fn default() -> Self {
        Self::new()
    }
}

impl Write for Log {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for byte in text.bytes() {
            self.bytes[self.end as usize % SIZE] = byte;
            self.end += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Log, SIZE};

    #[test]
    fn the_ring_says_where_its_text_begins() {
        let mut log = Log::new();
        log.line(1_500_000_000, format_args!("hello"));
        let mut bytes = [0; SIZE];
        let (start, length) = log.read(0, &mut bytes);
        assert_eq!(
            (start, &bytes[..length]),
            (0, &b"[    1.500000] hello\n"[..])
        );
        assert_eq!(
            log.read(15, &mut bytes),
            (15, length - 15),
            "from a position on"
        );
        for _ in 0..1000 {
            log.line(0, format_args!("a line like many others"));
        }
        let (start, length) = log.read(15, &mut bytes);
        assert_eq!(length, SIZE, "the oldest text is gone");
        assert_eq!(
            log.read(start + SIZE as u64, &mut bytes),
            (start + SIZE as u64, 0)
        );
        assert_eq!(log.read(u64::MAX, &mut bytes).1, 0);
    }
}
