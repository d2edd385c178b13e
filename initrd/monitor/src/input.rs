//! Input between the line and who reads it: the editor, or the program in the foreground.
//!
//! Bytes wait in one queue, whoever reads next gets them: what is typed while a program runs and
//! is not read by it goes to the prompt. Ctrl-C does not queue: it interrupts.

use alloc::collections::VecDeque;
use core::future::poll_fn;
use core::task::{Poll, Waker};

use interfaces::bounded::Bytes;
use interfaces::console::CHUNK;
use libmach::Reply;

use core::cell::RefCell;

/// Bytes that wait before the line is held back. Ctrl-C is not seen then until some are read.
const CAPACITY: usize = 16 * 1024;

const INTERRUPT: u8 = 0x03;
const END: u8 = 0x04;

/// Where the bytes come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// A person: Ctrl-C interrupts, Ctrl-D ends a program's input, Enter is a line feed to it.
    Typed,
    /// A file or a pipe of the host: bytes are bytes.
    Piped,
}

#[derive(Debug)]
struct State {
    source: Source,
    bytes: VecDeque<u8>,
    /// No more will come.
    ended: bool,
    /// A program is in the foreground: Ctrl-C is for it.
    foreground: bool,
    interrupted: bool,
    /// No command is there any more that would want input.
    unwanted: bool,
    reader: Option<Reply<Bytes<CHUNK>>>,
    waiting: [Option<Waker>; 3],
}

/// What a task waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum For {
    Byte,
    Room,
    Interrupt,
}

/// The queue.
#[derive(Debug)]
pub struct Input(RefCell<State>);

impl State {
    fn wake(&mut self, what: For) {
        if let Some(waker) = self.waiting[what as usize].take() {
            waker.wake();
        }
    }

    /// What a program that reads gets now; `None` when it has to wait.
    fn chunk(&mut self) -> Option<Bytes<CHUNK>> {
        let mut chunk = Bytes::EMPTY;
        while let Some(byte) = self.bytes.front().copied() {
            let typed = self.source == Source::Typed;
            if typed && byte == END {
                if chunk.is_empty() {
                    self.bytes.pop_front();
                    return Some(chunk);
                }
                break;
            }
            let byte = if typed && byte == b'\r' { b'\n' } else { byte };
            if !chunk.push(byte) {
                break;
            }
            self.bytes.pop_front();
        }
        (!chunk.is_empty() || self.ended).then_some(chunk)
    }

    /// Answers the waiting program when there is something for it.
    fn deliver(&mut self) {
        if let Some(reader) = self.reader.take() {
            match self.chunk() {
                Some(chunk) => {
                    reader.send(Ok(chunk));
                    self.wake(For::Room);
                }
                None => self.reader = Some(reader),
            }
        }
    }
}

impl Input {
    /// An empty queue.
    pub fn new(source: Source) -> Self {
        Self(RefCell::new(State {
            source,
            bytes: VecDeque::new(),
            ended: false,
            foreground: false,
            interrupted: false,
            unwanted: false,
            reader: None,
            waiting: [const { None }; 3],
        }))
    }

    /// Bytes came in.
    pub fn put(&self, bytes: &[u8]) {
        let mut state = self.0.borrow_mut();
        if state.unwanted {
            return;
        }
        for byte in bytes {
            if state.source == Source::Typed && state.foreground && *byte == INTERRUPT {
                state.bytes.clear();
                state.interrupted = true;
                state.wake(For::Interrupt);
            } else {
                state.bytes.push_back(*byte);
            }
        }
        state.deliver();
        state.wake(For::Byte);
    }

    /// Nothing more will come in.
    pub fn end(&self) {
        let mut state = self.0.borrow_mut();
        state.ended = true;
        state.deliver();
    }

    /// Lets a program have the next bytes. A former reader of it is told `Aborted`.
    pub fn ask(&self, reader: Reply<Bytes<CHUNK>>) {
        let mut state = self.0.borrow_mut();
        state.reader = Some(reader);
        state.deliver();
    }

    /// A command begins: from now on Ctrl-C interrupts it. One that was typed behind the command's
    /// line is meant for it too.
    pub fn begin(&self) {
        let mut state = self.0.borrow_mut();
        state.foreground = true;
        state.unwanted = false;
        let typed = state.source == Source::Typed;
        let interrupt = state.bytes.iter().rposition(|byte| *byte == INTERRUPT);
        let interrupt = interrupt.filter(|_| typed);
        if let Some(at) = interrupt {
            state.bytes.drain(..=at);
            state.wake(For::Room);
        }
        state.interrupted = interrupt.is_some();
    }

    /// The command is over: a reader that it left behind gets nothing.
    pub fn finish(&self) {
        let mut state = self.0.borrow_mut();
        state.foreground = false;
        state.reader = None;
    }

    /// Forgets what was not read and what still comes, until the next command begins.
    pub fn discard(&self) {
        let mut state = self.0.borrow_mut();
        state.bytes.clear();
        state.unwanted = true;
        state.wake(For::Room);
    }

    /// The next byte, when it is there.
    pub fn next_now(&self) -> Option<u8> {
        let mut state = self.0.borrow_mut();
        let byte = state.bytes.pop_front();
        state.wake(For::Room);
        byte
    }

    /// Waits until a byte is there.
    pub async fn some(&self) {
        let some = |state: &mut State| (!state.bytes.is_empty()).then_some(());
        self.wait(For::Byte, some).await;
    }

    /// Waits until bytes may come in.
    pub async fn room(&self) {
        let room = |state: &mut State| (state.bytes.len() < CAPACITY).then_some(());
        self.wait(For::Room, room).await;
    }

    /// Waits for a Ctrl-C.
    pub async fn interrupted(&self) {
        let interrupted = |state: &mut State| state.interrupted.then_some(());
        self.wait(For::Interrupt, interrupted).await;
    }

    async fn wait<T>(&self, what: For, ready: impl Fn(&mut State) -> Option<T>) -> T {
        poll_fn(|context| {
            let mut state = self.0.borrow_mut();
            match ready(&mut state) {
                Some(value) => Poll::Ready(value),
                None => {
                    state.waiting[what as usize] = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use core::pin::pin;
    use core::task::{Context, Poll, Waker};

    use super::{CAPACITY, Input, Source};

    fn poll<T>(future: impl Future<Output = T>) -> Poll<T> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    fn chunk(input: &Input) -> Option<Vec<u8>> {
        input.0.borrow_mut().chunk().map(|chunk| chunk.to_vec())
    }

    #[test]
    fn a_program_gets_lines_and_an_end_from_a_person() {
        let input = Input::new(Source::Typed);
        input.put(b"a\rb\x04\x04c");
        assert_eq!(chunk(&input), Some(b"a\nb".to_vec()));
        assert_eq!(chunk(&input), Some(vec![]), "the first Ctrl-D behind bytes");
        assert_eq!(chunk(&input), Some(vec![]), "the second one");
        assert_eq!(chunk(&input), Some(b"c".to_vec()));
        assert_eq!(chunk(&input), None);
    }

    #[test]
    fn piped_bytes_are_bytes() {
        let input = Input::new(Source::Piped);
        input.begin();
        input.put(b"\x03\x04\r");
        assert_eq!(chunk(&input), Some(b"\x03\x04\r".to_vec()));
        assert_eq!(chunk(&input), None);
        input.end();
        assert_eq!(chunk(&input), Some(vec![]));
        assert_eq!(chunk(&input), Some(vec![]), "the end stays");
    }

    #[test]
    fn ctrl_c_interrupts_a_command_and_else_is_a_byte() {
        let input = Input::new(Source::Typed);
        input.put(b"\x03");
        assert_eq!(input.next_now(), Some(3));
        input.begin();
        assert_eq!(poll(input.interrupted()), Poll::Pending);
        input.put(b"typed ahead\x03x");
        assert_eq!(poll(input.interrupted()), Poll::Ready(()));
        input.finish();
        assert_eq!(poll(input.some()), Poll::Ready(()));
        assert_eq!(input.next_now(), Some(b'x'));
        assert_eq!(poll(input.some()), Poll::Pending);
        input.begin();
        assert_eq!(poll(input.interrupted()), Poll::Pending, "a new command");
    }

    #[test]
    fn ctrl_c_behind_a_line_is_for_its_command() {
        let input = Input::new(Source::Typed);
        input.put(b"run x\rabc\x03rest");
        for byte in b"run x\r" {
            assert_eq!(input.next_now(), Some(*byte));
        }
        input.begin();
        assert_eq!(poll(input.interrupted()), Poll::Ready(()));
        assert_eq!(input.next_now(), Some(b'r'), "what it did not take back");
    }

    #[test]
    fn a_full_queue_holds_the_line_back() {
        let input = Input::new(Source::Piped);
        input.put(&[0; CAPACITY]);
        assert_eq!(poll(input.room()), Poll::Pending);
        assert_eq!(input.next_now(), Some(0));
        assert_eq!(poll(input.room()), Poll::Ready(()));
        input.discard();
        assert_eq!(input.next_now(), None);
        input.put(b"late");
        assert_eq!(input.next_now(), None);
        input.begin();
        input.put(b"x");
        assert_eq!(input.next_now(), Some(b'x'));
    }
}
