//! A console's port as its client: whole buffers out, what comes in, over restarts of the driver.

use interfaces::bounded::Bytes;
use interfaces::console::{CHUNK, Console};
use libmach::{Error, Result, Runtime, SendRight, ms};

/// The client's side of a console.
#[derive(Debug)]
pub struct Port {
    runtime: Runtime,
    right: SendRight<dyn Console>,
}

impl Port {
    /// A client on `right`, whose calls do not stop `runtime`.
    pub fn new(runtime: &Runtime, right: SendRight<dyn Console>) -> Self {
        Self {
            runtime: runtime.clone(),
            right,
        }
    }

    /// Writes all of `bytes`. What the driver had in hand when it died counts as written: it may be
    /// on the wire, and twice is worse than cut short.
    ///
    /// # Errors
    /// When the console is gone for good.
    pub async fn write_all(&self, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let chunk = next_chunk(rest);
            let taken = match self.runtime.concurrent(&self.right).write(chunk).await {
                Ok(count @ 1..) => usize::try_from(count).map_err(|_| Error::BadReply)?,
                Ok(0) => return Err(Error::BadReply),
                Err(Error::ServerDied {
                    maybe_executed: true,
                }) => chunk.len(),
                // Its queue is full; nothing was sent.
                Err(Error::TimedOut) => {
                    self.runtime.sleep(ms(1)).await?;
                    0
                }
                Err(error) => return Err(error),
            };
            rest = rest.get(taken..).ok_or(Error::BadReply)?;
        }
        Ok(())
    }

    /// Waits for input. An empty answer is its end.
    ///
    /// # Errors
    /// `Aborted` when another reader took over, others when the console is gone for good.
    pub async fn read(&self) -> Result<Bytes<CHUNK>> {
        loop {
            match self.runtime.concurrent(&self.right).read().await {
                // The next instance of the driver, or a queue with room, answers.
                Err(
                    Error::TimedOut
                    | Error::ServerDied {
                        maybe_executed: true,
                    },
                ) => self.runtime.sleep(ms(1)).await?,
                other => return other,
            }
        }
    }
}

/// What is written next: whole lines where they fit, since other writers' text may come between two writes.
fn next_chunk(rest: &[u8]) -> &[u8] {
    let Some(chunk) = rest.get(..CHUNK) else {
        return rest;
    };
    let lines = chunk.iter().rposition(|byte| *byte == b'\n');
    lines.map_or(chunk, |end| &chunk[..=end])
}

#[cfg(test)]
mod tests {
    use super::{CHUNK, next_chunk};

    #[test]
    fn a_write_ends_with_a_line_where_one_ends() {
        assert_eq!(next_chunk(b"one\ntwo"), b"one\ntwo", "all fits");
        let mut text = [b'x'; 2 * CHUNK];
        assert_eq!(next_chunk(&text).len(), CHUNK, "one long line");
        text[99] = b'\n';
        text[CHUNK] = b'\n';
        assert_eq!(next_chunk(&text).len(), 100);
    }
}
