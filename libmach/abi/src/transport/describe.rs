//! An interface described as data: for traces, `lsmp`, the fuzzer and the C headers.

/// An interface.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// The service's name.
    pub name: &'static str,
    /// Id of the first request.
    pub subsystem: i32,
    /// The methods, in the order of their ids.
    pub methods: &'static [Method],
}

impl Description {
    /// The method whose request has this id.
    pub fn method(&self, id: i32) -> Option<&Method> {
        self.methods.iter().find(|method| method.id == id)
    }
}

/// One method.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// Its name.
    pub name: &'static str,
    /// Id of its request.
    pub id: i32,
    /// May be repeated when the server died.
    pub idempotent: bool,
    /// Has no reply.
    pub one_way: bool,
    /// What goes to the server.
    pub arguments: &'static [Argument],
    /// What comes back.
    pub results: &'static [Kind],
}

/// One argument.
#[derive(Clone, Copy, Debug)]
pub struct Argument {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
}

/// What a value on the wire is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A plain value of this Rust type, as words.
    Value(&'static str),
    /// A byte string.
    Bytes,
    /// UTF-8.
    Text,
    /// A send right to this interface.
    Send(&'static str),
    /// A send-once right to this interface.
    SendOnce(&'static str),
    /// A receive right of this interface.
    Receive(&'static str),
    /// An array of send rights to this interface.
    Sends(&'static str),
    /// Out-of-line memory.
    Memory,
}
