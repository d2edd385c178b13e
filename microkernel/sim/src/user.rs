//! [`User`]: a thread whose part the test plays, with typed traps.

use abi::kern_return::KernReturn;
use abi::message::MIN_BUFFER;
use abi::message::{Descriptor, descriptor};
use abi::names::Name;
use abi::start;
use abi::trap;
use microkernel::machine::{Cpu, Event, FrameIndex, Next};

use crate::image;
use crate::message::{Reply, Request};
use crate::sim::{Answer, Sim};

/// Where [`User::register_buffer`] puts thread `n`'s message buffer.
pub fn buffer_address(thread: FrameIndex) -> u64 {
    image::DATA + 0x4000 + u64::from(thread % 16) * MIN_BUFFER
}

/// How often a fault may cost a thread its turn.
const TURNS: u32 = 8;

/// One thread, for as long as the test speaks for it.
pub struct User<'a> {
    sim: &'a mut Sim,
    thread: FrameIndex,
}

impl Sim {
    /// Speaks for a thread.
    pub fn on(&mut self, thread: FrameIndex) -> User<'_> {
        User { sim: self, thread }
    }

    /// The first task's first thread.
    pub fn first(&self) -> FrameIndex {
        self.current(Cpu(0))
    }
}

impl User<'_> {
    /// Gets the thread onto a CPU.
    pub fn cpu(&mut self) -> Cpu {
        self.sim.until_runs(self.thread)
    }

    /// Starts a trap; `None`: it has not come back yet.
    pub fn start(&mut self, number: i64, arguments: &[u64]) -> Option<Answer> {
        let cpu = self.cpu();
        self.sim.trap(cpu, number, arguments)
    }

    /// Waits for a trap that was started.
    ///
    /// # Panics
    /// When it does not come back.
    pub fn finish(&mut self) -> Answer {
        self.cpu();
        match self.sim.take_answer(self.thread) {
            Some(answer) => answer,
            None => panic!("thread {} was in no trap", self.thread),
        }
    }

    /// A trap that answers a code and a value, and comes back without anybody else's help.
    ///
    /// # Errors
    /// The code, when it is not `Success`.
    pub fn trap(&mut self, number: i64, arguments: &[u64]) -> Result<u64, KernReturn> {
        let answer = match self.start(number, arguments) {
            Some(answer) => answer,
            None => self.finish(),
        };
        match KernReturn(answer.frame.rax as u32) {
            KernReturn::Success => Ok(answer.frame.rdx),
            error => Err(error),
        }
    }

    fn name(&mut self, number: i64, arguments: &[u64]) -> Result<Name, KernReturn> {
        self.trap(number, arguments).map(|value| Name(value as u32))
    }

    fn done(&mut self, number: i64, arguments: &[u64]) -> Result<(), KernReturn> {
        self.trap(number, arguments).map(|_| ())
    }

    /// `mach_port_allocate`.
    ///
    /// # Errors
    /// The trap's code; so for all traps here.
    pub fn allocate(&mut self, right: u32) -> Result<Name, KernReturn> {
        self.name(trap::PORT_ALLOCATE, &[right.into()])
    }

    /// `mach_port_construct`.
    ///
    /// # Errors
    /// The trap's code.
    pub fn construct(&mut self, flags: u64, limit: u64, label: u64) -> Result<Name, KernReturn> {
        self.name(trap::PORT_CONSTRUCT, &[flags, limit, label])
    }

    /// A port with a send right under the same name.
    ///
    /// # Panics
    /// When there is none.
    pub fn port(&mut self) -> Name {
        match self.construct(trap::construct::INSERT_SEND, 0, 0) {
            Ok(name) => name,
            Err(code) => panic!("no port: {code:?}"),
        }
    }

    /// `mach_port_allocate_name`.
    ///
    /// # Errors
    /// The trap's code.
    pub fn allocate_name(&mut self, right: u32, name: Name) -> Result<Name, KernReturn> {
        self.name(trap::PORT_ALLOCATE_NAME, &[right.into(), name.0.into()])
    }

    /// `mach_port_guard`; `strict` is 0 or 1.
    ///
    /// # Errors
    /// The trap's code.
    pub fn guard(&mut self, name: Name, guard: u64, strict: u64) -> Result<(), KernReturn> {
        self.done(trap::PORT_GUARD, &[name.0.into(), guard, strict])
    }

    /// `mach_port_unguard`.
    ///
    /// # Errors
    /// The trap's code.
    pub fn unguard(&mut self, name: Name, guard: u64) -> Result<(), KernReturn> {
        self.done(trap::PORT_UNGUARD, &[name.0.into(), guard])
    }

    /// `mach_port_swap_guard`.
    ///
    /// # Errors
    /// The trap's code.
    pub fn swap_guard(&mut self, name: Name, old: u64, new: u64) -> Result<(), KernReturn> {
        self.done(trap::PORT_SWAP_GUARD, &[name.0.into(), old, new])
    }

    /// `mach_port_destruct` with a guard.
    ///
    /// # Errors
    /// The trap's code.
    pub fn destruct_guarded(&mut self, name: Name, guard: u64) -> Result<(), KernReturn> {
        self.done(trap::PORT_DESTRUCT, &[name.0.into(), 0, guard])
    }

    /// `mach_port_destruct`.
    ///
    /// # Errors
    /// The trap's code.
    pub fn destruct(&mut self, name: Name, send_delta: i64) -> Result<(), KernReturn> {
        self.done(trap::PORT_DESTRUCT, &[name.0.into(), send_delta as u64])
    }

    /// `mach_port_destroy`.
    ///
    /// # Errors
    /// The trap's code.
    pub fn destroy(&mut self, name: Name) -> Result<(), KernReturn> {
        self.done(trap::PORT_DESTROY, &[name.0.into()])
    }

    /// `mach_port_deallocate`.
    ///
    /// # Errors
    /// The trap's code.
    pub fn deallocate(&mut self, name: Name) -> Result<(), KernReturn> {
        self.done(trap::PORT_DEALLOCATE, &[name.0.into()])
    }

    /// `mach_port_mod_refs`.
    ///
    /// # Errors
    /// The trap's code.
    pub fn mod_refs(&mut self, name: Name, right: u32, delta: i64) -> Result<(), KernReturn> {
        self.done(
            trap::PORT_MOD_REFS,
            &[name.0.into(), right.into(), delta as u64],
        )
    }

    /// `mach_port_get_refs`.
    ///
    /// # Errors
    /// The trap's code.
    pub fn refs(&mut self, name: Name, right: u32) -> Result<u64, KernReturn> {
        self.trap(trap::PORT_GET_REFS, &[name.0.into(), right.into()])
    }

    /// `mach_port_type`.
    ///
    /// # Errors
    /// The trap's code.
    pub fn kind(&mut self, name: Name) -> Result<u32, KernReturn> {
        self.trap(trap::PORT_TYPE, &[name.0.into()])
            .map(|value| value as u32)
    }

    /// `mach_port_insert_right` on the task itself.
    ///
    /// # Errors
    /// The trap's code.
    pub fn insert_right(
        &mut self,
        name: Name,
        right: Name,
        disposition: u8,
    ) -> Result<(), KernReturn> {
        let arguments = [name.0.into(), right.0.into(), disposition.into()];
        self.done(trap::PORT_INSERT_RIGHT, &arguments)
    }

    /// `mach_port_move_member`.
    ///
    /// # Errors
    /// The trap's code.
    pub fn move_member(&mut self, member: Name, set: Name) -> Result<(), KernReturn> {
        self.done(trap::PORT_MOVE_MEMBER, &[member.0.into(), set.0.into()])
    }

    /// `mach_port_insert_member`.
    ///
    /// # Errors
    /// The trap's code.
    pub fn insert_member(&mut self, member: Name, set: Name) -> Result<(), KernReturn> {
        self.done(trap::PORT_INSERT_MEMBER, &[member.0.into(), set.0.into()])
    }

    /// `mach_port_extract_member`.
    ///
    /// # Errors
    /// The trap's code.
    pub fn extract_member(&mut self, member: Name, set: Name) -> Result<(), KernReturn> {
        self.done(trap::PORT_EXTRACT_MEMBER, &[member.0.into(), set.0.into()])
    }

    /// `mach_port_get_attributes`.
    ///
    /// # Errors
    /// The trap's code.
    pub fn attribute(&mut self, name: Name, attribute: u64) -> Result<u64, KernReturn> {
        self.trap(trap::PORT_GET_ATTRIBUTE, &[name.0.into(), attribute])
    }

    /// `port_set_attribute`.
    ///
    /// # Errors
    /// The trap's code.
    pub fn set_attribute(
        &mut self,
        name: Name,
        attribute: u64,
        value: u64,
    ) -> Result<(), KernReturn> {
        self.done(trap::PORT_SET_ATTRIBUTE, &[name.0.into(), attribute, value])
    }

    /// `mach_port_request_notification`: the send-once right that was registered before.
    ///
    /// # Errors
    /// The trap's code.
    pub fn request(
        &mut self,
        name: Name,
        id: i32,
        sync: u64,
        notify: Name,
    ) -> Result<Name, KernReturn> {
        let arguments = [name.0.into(), id as u64, sync, notify.0.into()];
        self.name(trap::PORT_REQUEST_NOTIFICATION, &arguments)
    }

    /// `reply_slot_take`.
    ///
    /// # Errors
    /// The trap's code.
    pub fn take_slot(&mut self) -> Result<Name, KernReturn> {
        self.name(trap::REPLY_SLOT_TAKE, &[])
    }

    /// Registers a message buffer of the smallest size at the thread's usual place.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn register_buffer(&mut self) {
        let arguments = [buffer_address(self.thread), MIN_BUFFER];
        if let Err(code) = self.trap(trap::MESSAGE_BUFFER, &arguments) {
            panic!("no message buffer: {code:?}");
        }
    }

    /// Writes to each page of the buffer.
    pub fn touch_buffer(&mut self) {
        let address = buffer_address(self.thread);
        for page in 0..MIN_BUFFER / abi::PAGE_SIZE {
            self.poke(address + page * abi::PAGE_SIZE, &[0]);
        }
    }

    /// Starts a `mach_msg`; `None`: it has not come back yet.
    ///
    /// # Panics
    /// When the message's body cannot be written to the buffer.
    pub fn start_message(&mut self, request: &Request) -> Option<Reply> {
        let cpu = self.load(request);
        let answer = self.sim.enter_trap(cpu)?;
        Some(self.reply(&answer))
    }

    /// The first steps of a `mach_msg` that has more of them; the CPU stays in the kernel, and goes on with
    /// `Event::Continue`.
    ///
    /// # Panics
    /// When it has no more of them, and as [`start_message`](Self::start_message).
    pub fn message_steps(&mut self, request: &Request, steps: u32) -> Cpu {
        let cpu = self.load(request);
        let next = self.sim.event_steps(cpu, Event::Trap, steps);
        assert_eq!(next, Next::Continue, "it was done in {steps} steps");
        cpu
    }

    /// Puts a message into buffer and registers.
    fn load(&mut self, request: &Request) -> Cpu {
        let cpu = self.cpu();
        if let Some(bytes) = request.buffer() {
            let written = self.sim.write(cpu, buffer_address(self.thread), &bytes);
            assert_eq!(written, Ok(()), "the message buffer is not there");
        }
        request.load(self.sim.machine.registers(self.thread));
        cpu
    }

    /// Waits for a `mach_msg` that was started.
    ///
    /// # Panics
    /// When it does not come back.
    pub fn finish_message(&mut self) -> Reply {
        let answer = self.finish();
        self.reply(&answer)
    }

    /// A `mach_msg` that comes back without anybody else's help.
    ///
    /// # Panics
    /// When it does not.
    pub fn message(&mut self, request: &Request) -> Reply {
        match self.start_message(request) {
            Some(reply) => reply,
            None => self.finish_message(),
        }
    }

    /// Looks for a message without waiting.
    pub fn poll(&mut self, from: Name) -> Reply {
        self.message(&Request::poll(from))
    }

    /// Reads memory that must be there.
    ///
    /// # Panics
    /// When the access faults for good.
    pub fn peek<const N: usize>(&mut self, address: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.look(address, &mut bytes);
        bytes
    }

    /// Reads so much memory that must be there.
    ///
    /// # Panics
    /// As [`peek`](Self::peek).
    pub fn look(&mut self, address: u64, bytes: &mut [u8]) {
        // As for writes.
        let read = (0..TURNS).any(|_| {
            let cpu = self.cpu();
            self.sim.read(cpu, address, bytes).is_ok()
        });
        assert!(read, "{address:#x} cannot be read");
    }

    /// A right from the first task's start page, by its label.
    ///
    /// # Panics
    /// When the page names none.
    pub fn root(&mut self, label: &str) -> Name {
        let page: [u8; size_of::<start::Page>()] = self.peek(start::ADDRESS);
        let rights = &page[std::mem::offset_of!(start::Page, rights)..];
        let mut rights = rights.chunks_exact(size_of::<start::Right>());
        let found = rights.find_map(|right| {
            let (text, rest) = right.split_at(start::NAME_SIZE);
            let is_it = text.starts_with(label.as_bytes()) && text.get(label.len()) == Some(&0);
            is_it.then(|| u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]))
        });
        match found {
            Some(name) => Name(name),
            None => panic!("the start page names no {label}"),
        }
    }

    /// Writes memory that must be there.
    ///
    /// # Panics
    /// When the access faults for good.
    pub fn poke(&mut self, address: u64, bytes: &[u8]) {
        // Others may have their turn when a fault is repaired.
        let written = (0..TURNS).any(|_| {
            let cpu = self.cpu();
            self.sim.write(cpu, address, bytes).is_ok()
        });
        assert!(written, "{address:#x} cannot be written");
    }

    /// Fresh memory with these names.
    ///
    /// # Panics
    /// When there is none.
    pub fn poke_names(&mut self, names: &[Name]) -> u64 {
        let size = size_of_val(names) as u64;
        let anywhere = [0, size, abi::vm::flags::ANYWHERE];
        let address = match self.trap(trap::VM_ALLOCATE, &anywhere) {
            Ok(address) => address,
            Err(code) => panic!("no memory for names: {code:?}"),
        };
        let bytes: Vec<u8> = names.iter().flat_map(|name| name.0.to_le_bytes()).collect();
        for (at, part) in (address..).step_by(4096).zip(bytes.chunks(4096)) {
            self.poke(at, part);
        }
        address
    }

    /// The names in a received array, whose memory is freed.
    ///
    /// # Panics
    /// When the descriptor is of something else.
    pub fn take_names(&mut self, array: &Descriptor) -> Vec<Name> {
        assert_eq!(array.kind, descriptor::OUT_OF_LINE_PORTS, "no array");
        assert_eq!(array.flags, descriptor::DEALLOCATE);
        assert_eq!(array.size, u64::from(array.name) * 4);
        let names = (0..u64::from(array.name))
            .map(|n| Name(u32::from_le_bytes(self.peek(array.address + n * 4))))
            .collect();
        let freed = self.trap(trap::VM_DEALLOCATE, &[array.address, array.size]);
        assert_eq!(freed, Ok(0), "the memory of an array is the receiver's");
        names
    }

    /// How many pages of the machine somebody has: the leak oracle.
    pub fn pages_in_use(&self) -> u64 {
        self.sim.machine.memory.in_use()
    }

    /// What a `mach_msg` answered, with the body from the buffer.
    ///
    /// # Panics
    /// When the buffer cannot be read.
    pub fn reply(&mut self, answer: &Answer) -> Reply {
        let mut reply = Reply::from_frame(&answer.frame);
        if reply.has_body() {
            let mut bytes = vec![0; MIN_BUFFER as usize];
            let cpu = self.cpu();
            let read = self.sim.read(cpu, buffer_address(self.thread), &mut bytes);
            assert_eq!(read, Ok(()), "the message buffer is not there");
            reply = reply.with_body(&bytes);
        }
        reply
    }
}
