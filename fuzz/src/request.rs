//! Requests to the kernel's own ports, whose arguments any bytes are.

use abi::message::{Descriptor, descriptor};
use abi::names::Name;
use abi::registers::options;
use abi::trap::{HOST_SELF, TASK_SELF, THREAD_SELF};
use interfaces::KERNEL;
use microkernel::machine::FrameIndex;
use sim::{Request, Sim};

/// Bytes of a request without its data: what, whose, how many descriptors, their forms, words of data, and six words.
const HEAD: usize = 53;
/// The most requests of one input.
const REQUESTS: usize = 8;
/// How often hardware may act until a request that waits is given up.
const PATIENCE: u32 = 100;

/// Methods after which the caller does nothing more, or not what it did.
const LETHAL: [&str; 4] = ["terminate", "suspend", "set_state", "abort"];

/// Up to 8 requests of one task to its own port, its thread's and the host's.
pub fn request(bytes: &[u8]) {
    let (mut sim, thread) = Sim::single();
    let names = [TASK_SELF, THREAD_SELF, HOST_SELF].map(|number| {
        let name = sim.on(thread).trap(number, &[]);
        Name(name.expect("a task knows itself") as u32)
    });
    let own = sim.on(thread).port();
    let names = [names[0], names[1], names[2], own, Name::NULL, Name::DEAD];
    let methods: Vec<i32> = KERNEL
        .iter()
        .flat_map(|object| object.methods)
        .filter(|method| !LETHAL.contains(&method.name))
        .map(|method| method.id)
        .collect();
    let mut rest = bytes;
    for _ in 0..REQUESTS {
        let Some((head, more)) = rest.split_at_checked(HEAD) else {
            break;
        };
        let size = (usize::from(head[4]) * 8).min(more.len());
        let (data, more) = more.split_at(size);
        rest = more;
        let id = methods[usize::from(head[0]) % methods.len()];
        let to = names[usize::from(head[1]) % 3];
        let request = build(Request::call(to).id(id), (head, data), &names);
        if !is_answered(&mut sim, thread, &request) {
            return;
        }
        assert_eq!(sim.kernel.check(&sim.machine), Ok(()));
    }
}

fn build(request: Request, (head, data): (&[u8], &[u8]), names: &[Name]) -> Request {
    let (chunks, _) = head[5..].as_chunks();
    let mut words = [0; 6];
    for (word, bytes) in words.iter_mut().zip(chunks) {
        *word = u64::from_le_bytes(*bytes);
    }
    let mut request = request.words(words).with(options::RECEIVE_TIMEOUT);
    for n in 0..usize::from(head[2] % 3) {
        let form = head[3] >> (4 * n);
        let one = Descriptor {
            kind: form & 3,
            disposition: 16 + (form >> 2 & 3) + 1,
            name: match form & 3 {
                descriptor::OUT_OF_LINE_PORTS => words[n + 2] as u32 % 64,
                _ => names[words[n + 2] as usize % names.len()].0,
            },
            address: words[n + 3],
            size: words[n + 4],
            ..Descriptor::default()
        };
        request.body.get_or_insert_default().descriptors.push(one);
    }
    if data.is_empty() && request.body.is_none() {
        return request;
    }
    request.data(data)
}

/// Whether the thread came back: what it asked for may need a page that nobody brings.
fn is_answered(sim: &mut Sim, thread: FrameIndex, request: &Request) -> bool {
    if sim.on(thread).start_message(request).is_some() {
        return true;
    }
    for _ in 0..PATIENCE {
        if sim.take_answer(thread).is_some() {
            return true;
        }
        if !sim.turn() {
            break;
        }
    }
    false
}
