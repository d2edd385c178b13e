//! The calls that the kernel's own ports answer, with arguments by their names, so that most of them succeed.

use abi::names::{Name, disposition};
use abi::transport::{Argument, Description, Kind, Method};
use interfaces::KERNEL;

use crate::world::World;

/// Whom the calls of an interface are sent to, by its label in the world; `None`: nobody has such an object here.
fn object(interface: &str) -> Option<&'static str> {
    Some(match interface.strip_prefix("org.mello.")? {
        "task" | "vm" | "exception-ports" => "task",
        "thread" => "thread",
        "host" | "mach-host" => "host-privileged",
        "semaphore" => "semaphore",
        "clock" => "clock",
        "processor-set" => "processors",
        "io-range" => "ports",
        "interrupt" => "line",
        "io-root" => "io-root",
        "interrupt-root" => "interrupt-root",
        "memory-root" => "memory-root",
        "memory-entry" => "entry",
        _ => return None,
    })
}

/// A call: how it is written, to whom it goes, and what it takes.
pub(crate) struct Call {
    pub(crate) title: String,
    to: &'static str,
    method: &'static Method,
    /// Labels of the values, each with its argument's name.
    pub(crate) arguments: Vec<(String, &'static str)>,
}

/// All calls whose arguments are words, rights and memory.
pub(crate) fn all() -> Vec<Call> {
    let of = |interface: &'static Description| {
        let to = object(interface.name);
        let methods = interface.methods.iter();
        methods.filter_map(move |method| Call::new(interface, method, to?))
    };
    KERNEL.iter().copied().flat_map(of).collect()
}

impl Call {
    fn new(interface: &Description, method: &'static Method, to: &'static str) -> Option<Self> {
        let mut arguments = Vec::new();
        for argument in method.arguments {
            arguments.extend(values(method, argument)?);
        }
        let title = format!("{} {}", interface.name, method.name);
        Some(Self {
            title,
            to,
            method,
            arguments,
        })
    }

    /// What the kernel answers, in words, when the arguments are these.
    pub(crate) fn answer(&self, world: &mut World, values: &[u64]) -> String {
        let mut values = values.iter().copied();
        let mut next = || values.next().unwrap_or_default();
        let mut request = sim::Request::call(Name(world.value(self.to) as u32)).id(self.method.id);
        let mut words = Vec::new();
        for argument in self.method.arguments {
            match argument.kind {
                Kind::Value("Place") => words.extend([next(), next(), next()]),
                Kind::Value("Time") => words.extend([next(), next()]),
                Kind::Send(_) => {
                    request = request.port(Name(next() as u32), disposition::COPY_SEND)
                }
                Kind::SendOnce(_) => {
                    request = request.port(Name(next() as u32), disposition::MAKE_SEND_ONCE);
                }
                Kind::Receive(_) => {
                    request = request.port(Name(next() as u32), disposition::MOVE_RECEIVE);
                }
                Kind::Memory => request = request.memory(next(), next()),
                _ => words.push(next()),
            }
        }
        words.resize(6, 0);
        let words = words.try_into().expect("they fit into registers");
        world.message(&request.words(words))
    }
}

/// The values that an argument consists of; `None`: it is another structure.
fn values(method: &Method, argument: &Argument) -> Option<Vec<(String, &'static str)>> {
    let name = argument.name;
    let one = |label| vec![(name.to_owned(), label)];
    let several = |parts: &[(&str, &'static str)]| {
        let parts = parts.iter();
        parts
            .map(|(part, label)| (format!("{name}'s {part}"), *label))
            .collect()
    };
    Some(match argument.kind {
        Kind::Value("Place") => several(&[("address", "free"), ("size", "page"), ("mask", "0")]),
        Kind::Value("Time") => several(&[("seconds", "1"), ("nanoseconds", "0")]),
        Kind::Value("u8" | "u16" | "u32" | "u64" | "i32" | "Name") => one(usual(method.name, name)),
        Kind::Send("Task") => one("task"),
        Kind::Send("Thread") => one("thread"),
        Kind::Send("ProcessorSet") => one("processors"),
        Kind::Send("Entry") => one("entry"),
        Kind::Send(_) if name == "parent" => one("entry"),
        Kind::Send(_) => one("send"),
        Kind::SendOnce(_) | Kind::Receive(_) => one("port"),
        Kind::Memory => several(&[("address", "data"), ("size", "page")]),
        Kind::Value(_) | Kind::Bytes | Kind::Text | Kind::Sends(_) => return None,
    })
}

/// The label of an argument with which the call succeeds.
fn usual(method: &str, argument: &str) -> &'static str {
    match (method, argument) {
        ("port_guard", "value") => "2",
        ("port_guard" | "port_peek" | "extract_send", "name") => "port",
        ("port_unguard" | "port_swap_guard", "name") => "guarded",
        ("port_unguard", "value") | ("port_swap_guard", "old") => "8",
        ("extract_send", "disposition") => "make-send",
        ("extract_send_once", "disposition") => "make-send-once",
        ("insert_send" | "insert_receive" | "insert_send_once" | "port_allocate_name", "name") => {
            "unused"
        }
        ("vm_allocate" | "vm_map", "address") => "free",
        ("vm_map" | "map", "flags") => "read-rights",
        ("map_anonymous", "flags") => "rights",
        ("set" | "swap", "flavor") => "0",
        ("threads", "after") => "0",
        ("range", _) => "8",
        ("region", "flavor") => "basic-info",
        ("region" | "region_recurse", "count") => "64",
        (_, "address" | "source" | "source_address") => "data",
        (_, "into" | "destination") => "data-above",
        (_, "size" | "length") => "page",
        (_, "name" | "after") => "port",
        (_, "right" | "protection" | "permission" | "inheritance" | "maximum") => "1",
        (_, "mask") => "2",
        (_, "count") => "64",
        (_, "flavor" | "behavior" | "which" | "kind") => "1",
        (_, "priority") => "31",
        (_, "access" | "attribute") => "1",
        _ => "0",
    }
}
