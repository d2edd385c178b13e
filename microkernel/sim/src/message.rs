//! `mach_msg` as tests say it: a request that becomes registers and buffer, and what came back.

use abi::kern_return::MessageReturn;
use abi::message::{DESCRIPTOR_SIZE, Descriptor, HEADER_SIZE, Header, descriptor};
use abi::names::{Name, disposition};
use abi::registers::{self, ReplyKind, Shape, options};
use abi::trap::MACH_MSG;
use microkernel::machine::Frame;

/// One `mach_msg`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Request {
    /// Options.
    pub options: u32,
    /// Where to, and with which disposition.
    pub remote: (Name, u8),
    /// Reply right, and its disposition.
    pub local: (Name, u8),
    /// What to receive from.
    pub receive: Name,
    /// Message id.
    pub id: i32,
    /// Deadline in ns.
    pub deadline: u64,
    /// Payload.
    pub words: [u64; 6],
    /// What goes through the buffer, if anything does.
    pub body: Option<Body>,
    /// The names of its arrays, for who puts them into memory.
    pub arrays: Vec<Vec<Name>>,
    /// The same of its memory.
    pub memory: Vec<Vec<u8>>,
}

/// What a message has beside its words.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Body {
    /// Rights and memory.
    pub descriptors: Vec<Descriptor>,
    /// Inline data.
    pub data: Vec<u8>,
}

impl Request {
    /// A short message to a send right, with no reply right.
    pub fn send(to: Name) -> Self {
        Self {
            options: options::SEND,
            remote: (to, disposition::COPY_SEND),
            ..Self::default()
        }
    }

    /// A wait for a message.
    pub fn receive(from: Name) -> Self {
        Self {
            options: options::RECEIVE,
            receive: from,
            ..Self::default()
        }
    }

    /// A look for a message: a receive whose deadline is past.
    pub fn poll(from: Name) -> Self {
        let mut request = Self::receive(from);
        request.options |= options::RECEIVE_TIMEOUT;
        request
    }

    /// A call: a send with the thread's own reply object, and a wait for the reply.
    pub fn call(to: Name) -> Self {
        let mut request = Self::send(to);
        request.options |= options::RECEIVE;
        request.local = (Name::NULL, disposition::MAKE_SEND_ONCE);
        request
    }

    /// An answer to what the reply slot holds.
    pub fn reply() -> Self {
        Self::send(Name::REPLY_SLOT).disposed(disposition::MOVE_SEND_ONCE)
    }

    /// With another disposition of the destination.
    #[must_use]
    pub fn disposed(mut self, disposition: u8) -> Self {
        self.remote.1 = disposition;
        self
    }

    /// With this reply right.
    #[must_use]
    pub fn replying(mut self, name: Name, disposition: u8) -> Self {
        self.local = (name, disposition);
        self
    }

    /// With this id.
    #[must_use]
    pub fn id(mut self, id: i32) -> Self {
        self.id = id;
        self
    }

    /// With this payload.
    #[must_use]
    pub fn words(mut self, words: [u64; 6]) -> Self {
        self.words = words;
        self
    }

    /// With more options.
    #[must_use]
    pub fn with(mut self, options: u32) -> Self {
        self.options |= options;
        self
    }

    /// With this deadline, which counts when an option says so.
    #[must_use]
    pub fn until(mut self, deadline: u64) -> Self {
        self.deadline = deadline;
        self
    }

    /// And then a wait for a message.
    #[must_use]
    pub fn then_receive(mut self, from: Name) -> Self {
        self.options |= options::RECEIVE;
        self.receive = from;
        self
    }

    /// With one more right.
    #[must_use]
    pub fn port(mut self, name: Name, disposition: u8) -> Self {
        let descriptor = Descriptor {
            name: name.0,
            disposition,
            ..Descriptor::default()
        };
        self.body
            .get_or_insert_default()
            .descriptors
            .push(descriptor);
        self
    }

    /// With a copy of this memory of the sender's.
    #[must_use]
    pub fn memory(mut self, address: u64, size: u64) -> Self {
        let descriptor = Descriptor {
            kind: descriptor::OUT_OF_LINE,
            address,
            size,
            ..Descriptor::default()
        };
        self.body
            .get_or_insert_default()
            .descriptors
            .push(descriptor);
        self
    }

    /// With an array of rights, whose names lie in the sender's memory.
    #[must_use]
    pub fn array(mut self, address: u64, count: u32, disposition: u8) -> Self {
        let descriptor = Descriptor {
            kind: descriptor::OUT_OF_LINE_PORTS,
            disposition,
            name: count,
            address,
            ..Descriptor::default()
        };
        self.body
            .get_or_insert_default()
            .descriptors
            .push(descriptor);
        self
    }

    /// With this inline data.
    #[must_use]
    pub fn data(mut self, data: &[u8]) -> Self {
        self.body.get_or_insert_default().data = data.to_vec();
        self
    }

    /// Whether a receive right leaves the sender with it.
    pub fn moves_receive_right(&self) -> bool {
        let mut parts = self.body.iter().flat_map(|body| &body.descriptors);
        parts.any(|part| part.disposition == disposition::MOVE_RECEIVE)
    }

    /// The shape of what is sent.
    pub fn shape(&self) -> Shape {
        self.body.as_ref().map_or(Shape::SHORT, |body| {
            Shape::buffered(body.data.len() as u32, body.descriptors.len() as u32)
        })
    }

    /// Puts the request into registers.
    pub fn load(&self, frame: &mut Frame) {
        frame.rax = MACH_MSG as u64;
        frame.rdi = registers::send_word(self.options, self.remote.1, self.local.1, self.shape());
        frame.rsi = registers::pair(self.remote.0.0, self.local.0.0);
        frame.rdx = registers::pair(self.receive.0, self.id as u32);
        frame.r10 = self.deadline;
        frame.words = self.words;
    }

    /// What lies in the buffer: an empty header, descriptors, data.
    pub fn buffer(&self) -> Option<Vec<u8>> {
        let body = self.body.as_ref()?;
        let mut bytes = vec![0; HEADER_SIZE];
        for descriptor in &body.descriptors {
            bytes.extend([descriptor.kind, descriptor.disposition]);
            bytes.extend(descriptor.flags.to_le_bytes());
            bytes.extend(descriptor.name.to_le_bytes());
            bytes.extend(descriptor.address.to_le_bytes());
            bytes.extend(descriptor.size.to_le_bytes());
        }
        bytes.extend(&body.data);
        Some(bytes)
    }
}

/// What a `mach_msg` answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// The code.
    pub code: MessageReturn,
    /// What came beside the words.
    pub shape: Shape,
    /// What kind of right the reply name is.
    pub kind: ReplyKind,
    /// The reply right's name.
    pub reply: Name,
    /// Name of the port received on.
    pub local: Name,
    /// Its label.
    pub label: u64,
    /// Message id.
    pub id: i32,
    /// The sender's identity token.
    pub identity: u64,
    /// Payload.
    pub words: [u64; 6],
    /// Descriptors and data, when the message came through the buffer.
    pub body: Option<Body>,
    /// The names of its arrays, for who took them out of memory.
    pub arrays: Vec<Vec<Name>>,
    /// The same of its memory.
    pub memory: Vec<Vec<u8>>,
}

impl Reply {
    /// Reads the registers; the body is not in them.
    pub fn from_frame(frame: &Frame) -> Self {
        let received = registers::Received(frame.rdi as u32);
        Self {
            code: MessageReturn(frame.rax as u32),
            shape: received.shape(),
            kind: received.reply(),
            reply: registers::high_name(frame.rdx),
            local: registers::high_name(frame.rdi),
            label: frame.rsi,
            id: frame.rdx as u32 as i32,
            identity: frame.r10,
            words: frame.words,
            body: None,
            arrays: Vec::new(),
            memory: Vec::new(),
        }
    }

    /// Whether a body lies in the buffer: one that came, or one that came back.
    pub fn has_body(&self) -> bool {
        let back = [MessageReturn::SendTimedOut, MessageReturn::SendInterrupted];
        let came = self.code == MessageReturn::Success || back.contains(&self.code);
        came && self.shape.is_buffered()
    }

    /// The same, with the body that lies in these bytes of the buffer.
    ///
    /// # Panics
    /// When the message came, and the header there says something else than the registers.
    #[must_use]
    pub fn with_body(self, bytes: &[u8]) -> Self {
        if self.code == MessageReturn::Success {
            check_header(bytes, &self);
        }
        let body = Some(body(bytes, self.shape));
        Self { body, ..self }
    }

    /// The one right that came as a descriptor.
    ///
    /// # Panics
    /// When there is not exactly one descriptor.
    pub fn right(&self) -> Descriptor {
        match self.body.as_ref().map(|body| body.descriptors.as_slice()) {
            Some([descriptor]) => *descriptor,
            other => panic!("one descriptor expected, not {other:?}: {self:x?}"),
        }
    }
}

/// Registers and header say the same.
fn check_header(bytes: &[u8], reply: &Reply) {
    let header = header(bytes);
    let said = (
        header.remote,
        header.local,
        header.id,
        header.label,
        header.identity,
    );
    let registers = (
        reply.reply,
        reply.local,
        reply.id,
        reply.label,
        reply.identity,
    );
    assert_eq!(
        said, registers,
        "remote, local, id, label, identity of header and registers"
    );
    assert_eq!(
        header.descriptors,
        reply.shape.descriptors(),
        "descriptors of header"
    );
}

/// Reads a received message's header.
pub fn header(bytes: &[u8]) -> Header {
    let word = |at: usize| {
        let mut word = [0; 4];
        word.copy_from_slice(&bytes[at..at + 4]);
        u32::from_le_bytes(word)
    };
    let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
    Header {
        bits: word(0),
        size: word(4),
        remote: Name(word(8)),
        local: Name(word(12)),
        voucher: word(16),
        id: word(20) as i32,
        label: long(24),
        identity: long(32),
        sequence: word(40),
        descriptors: word(44),
        reserved: [long(48), long(56)],
    }
}

/// Reads what follows the header.
pub fn body(bytes: &[u8], shape: Shape) -> Body {
    let mut at = HEADER_SIZE;
    let mut descriptors = Vec::new();
    for _ in 0..shape.descriptors() {
        let bytes = &bytes[at..at + DESCRIPTOR_SIZE];
        let number = |range: std::ops::Range<usize>| {
            bytes[range]
                .iter()
                .rev()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
        };
        descriptors.push(Descriptor {
            kind: bytes[0],
            disposition: bytes[1],
            flags: number(2..4) as u16,
            name: number(4..8) as u32,
            address: number(8..16),
            size: number(16..24),
        });
        at += DESCRIPTOR_SIZE;
    }
    Body {
        descriptors,
        data: bytes[at..at + shape.size() as usize].to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Body, Name, Request, body, header};
    use abi::message::{Descriptor, HEADER_SIZE};

    #[test]
    fn a_body_is_read_as_it_was_written() {
        let request = Request::send(Name(9))
            .port(Name(0x1234_5678), 17)
            .data(b"hello");
        let mut bytes = request.buffer().unwrap();
        let right = Descriptor {
            name: 0x1234_5678,
            disposition: 17,
            ..Descriptor::default()
        };
        let expected = Body {
            descriptors: vec![right],
            data: b"hello".to_vec(),
        };
        assert_eq!(body(&bytes, request.shape()), expected);
        bytes[24..32].copy_from_slice(&7_u64.to_le_bytes());
        assert_eq!((header(&bytes[..HEADER_SIZE]).label, HEADER_SIZE), (7, 64));
    }
}
