//! What `#[interface]` makes of an interface: the dispatch of requests and the client's reading of replies, whose
//! descriptors and data any bytes are. Both run on libmach's host backend, over ports of two tasks.

use std::sync::{Mutex, PoisonError};

use abi::message::{Descriptor, descriptor};
use abi::names::{Name, disposition, right};
use abi::registers::Shape;
use abi::transport::{Interface, REPLY_OFFSET};
use interfaces::crash::Summary;
use libmach::host::{Names, Task, give};
use libmach::message::{call_registers, exchange, receive, reply_receive_registers};
use libmach::trap::{self, Registers};
use libmach::{Mach, Memory, ReceiveRight, Result, SendRight, SendRights, buffer};
use macros::interface;

/// Data of a message at the most.
const MOST: usize = 1024;

#[interface(name = "org.mello.probed", subsystem = 9310)]
trait Probed {
    #[oneway]
    async fn seen(&mut self, n: u64);
}

/// A method for each kind of argument and result.
#[interface(name = "org.mello.probe", subsystem = 9300)]
trait Probe {
    async fn add(&mut self, n: u64) -> Result<u64>;
    async fn text(&self, text: &str, bytes: &[u8], n: u64) -> Result<(u64, [u64; 8])>;
    async fn value(&self, what: Summary) -> Result<Summary>;
    async fn memory(&self, data: Memory) -> Result<Memory>;
    async fn right(&self, to: SendRight<dyn Probed>) -> Result<SendRight<dyn Probed>>;
    async fn rights(&self, all: SendRights<dyn Probed>) -> Result<SendRights<dyn Probed>>;
}

/// How many methods it has, and one that it has not.
const METHODS: u8 = 7;

#[derive(Default)]
struct Server(u64);

impl Probe for Server {
    type Rights = Mach;

    async fn add(&mut self, n: u64) -> Result<u64> {
        self.0 = self.0.wrapping_add(n);
        Ok(self.0)
    }

    async fn text(&self, text: &str, bytes: &[u8], n: u64) -> Result<(u64, [u64; 8])> {
        assert!(text.len() + bytes.len() <= MOST, "more than was sent");
        Ok((text.chars().count() as u64, [n; 8]))
    }

    async fn value(&self, what: Summary) -> Result<Summary> {
        Ok(what)
    }

    async fn memory(&self, data: Memory) -> Result<Memory> {
        Ok(data)
    }

    async fn right(&self, to: SendRight<dyn Probed>) -> Result<SendRight<dyn Probed>> {
        Ok(to)
    }

    async fn rights(&self, all: SendRights<dyn Probed>) -> Result<SendRights<dyn Probed>> {
        Ok(all)
    }
}

/// What the liar answers next.
static ANSWER: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// What a thread that fuzzes talks to.
struct Scene {
    server: SendRight<dyn Probe>,
    liar: SendRight<dyn Probe>,
    own: ReceiveRight<dyn Probed>,
}

thread_local! {
    static SCENE: &'static Scene = Box::leak(Box::new(Scene::new().expect("two servers start")));
}

impl Scene {
    fn new() -> Result<Self> {
        let names = Names::start()?;
        let task = names.spawn(|context| {
            let service = context.check_in::<dyn Probe>().expect("it is declared");
            service.serve(Server::default()).expect("it serves");
        })?;
        let server = names
            .context()?
            .look_up_right::<dyn Probe>(<dyn Probe>::NAME)?;
        let port = ReceiveRight::<dyn Probe>::new()?;
        let liar = port.make_send()?;
        let other = Task::spawn(vec![("port", give(port))], |context| {
            let port = context.receive_right::<dyn Probe>("port");
            lie(&port.expect("it was given"));
        });
        // They live as long as the process.
        std::mem::forget((names, task, other));
        Ok(Self {
            server,
            liar,
            own: ReceiveRight::new()?,
        })
    }
}

/// Answers every request with what the fuzzer wants.
fn lie(port: &ReceiveRight<dyn Probe>) {
    let own = ReceiveRight::<dyn Probed>::new().expect("a port");
    let (_, mut request) = receive(port.name());
    loop {
        release(&request);
        let answer = ANSWER
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let (shape, words) = fill(&answer, own.name());
        let id = request.id() + REPLY_OFFSET;
        (_, request) = exchange(reply_receive_registers(port.name(), id, shape, words));
    }
}

/// Puts bytes into buffer and registers: the first says how many descriptors, the next what they are, then come words
/// for the registers, and data.
fn fill(bytes: &[u8], own: Name) -> (Shape, [u64; 6]) {
    let Some((&[form, kinds], rest)) = bytes.split_first_chunk() else {
        return (Shape::SHORT, [0; 6]);
    };
    let (head, data) = rest.split_at(rest.len().min(48));
    let mut words = [0; 6];
    for (word, bytes) in words.iter_mut().zip(head.as_chunks().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    let descriptors = usize::from(form & 3);
    for n in 0..descriptors {
        let kind = kinds >> (2 * n) & 3;
        let name = if kind == 2 { Name::NULL } else { own };
        let disposition = match kind {
            3 => disposition::MAKE_SEND_ONCE,
            _ => disposition::MAKE_SEND,
        };
        buffer::set_descriptor(
            n,
            Descriptor {
                kind: if kind == 1 {
                    descriptor::OUT_OF_LINE
                } else {
                    descriptor::PORT
                },
                disposition,
                name: name.0,
                ..Descriptor::default()
            },
        );
    }
    let data = &data[..data.len().min(MOST)];
    if descriptors == 0 && form & 4 == 0 {
        return (Shape::SHORT, words);
    }
    buffer::copy_in_bytes(descriptors, data);
    (
        Shape::buffered(data.len() as u32, descriptors as u32),
        words,
    )
}

/// Gives back the rights of a message that nobody else takes.
fn release(registers: &Registers) {
    for n in 0..registers.received().shape().descriptors() as usize {
        let found = buffer::descriptor(n);
        let kind = match found.disposition {
            disposition::MOVE_SEND => right::SEND,
            _ => right::SEND_ONCE,
        };
        if found.kind == descriptor::PORT {
            // What was null or died is nobody's.
            trap::port_mod_refs(Name(found.name), kind, -1).ok();
        }
    }
}

/// A request whose method is the first byte's, or a reply to one of each method.
pub fn stub(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else {
        return;
    };
    SCENE.with(|scene| {
        if first & 0x80 == 0 {
            ask(scene, i32::from(first % METHODS), rest);
        } else {
            rest.clone_into(&mut ANSWER.lock().unwrap_or_else(PoisonError::into_inner));
            listen(scene);
        }
    });
}

fn ask(scene: &Scene, method: i32, bytes: &[u8]) {
    let (shape, words) = fill(bytes, scene.own.name());
    let id = <dyn Probe>::ADD.id + method;
    let (code, reply) = exchange(call_registers(scene.server.name(), id, shape, words));
    if code.0 == 0 {
        assert_eq!(reply.id(), id + REPLY_OFFSET, "the server died of {method}");
        release(&reply);
    }
    assert!(scene.server.client().add(1).is_ok(), "the server is gone");
    assert_eq!(scene.own.send_rights(), Ok(0), "a right was not given back");
}

fn listen(scene: &Scene) {
    let client = scene.liar.client();
    // Any answer will do, as long as it comes.
    std::hint::black_box(client.add(1).is_ok());
    std::hint::black_box(client.text("a", b"bc", 2).is_ok());
    std::hint::black_box(client.value(Summary::default()).is_ok());
    std::hint::black_box(client.memory(b"abc").is_ok());
    let right = scene.own.make_send().expect("it is alive");
    std::hint::black_box(client.right(right).is_ok());
    let rights = SendRights::new([]).expect("none are not too many");
    std::hint::black_box(client.rights(rights).is_ok());
}
