//! Tasks as threads with a port space.

use std::any::Any;
use std::boxed::Box;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::MutexGuard;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::vec::Vec;

use abi::names::{Name, disposition};
use abi::start::{self, Page};

use super::world::{Right, SpaceId, World};
use super::{CHANGED, world};
use crate::context::Context;
use crate::rights::{ReceiveRight, SendRight};

/// What belongs to one host thread.
struct Thread {
    space: SpaceId,
    /// The space ends with the thread.
    owner: bool,
    slot: Cell<Right>,
}

#[repr(C, align(4096))]
struct Buffer([u8; crate::buffer::SIZE]);

std::thread_local! {
    static THREAD: RefCell<Option<Thread>> = const { RefCell::new(None) };
    pub(super) static REPLY: Cell<Name> = const { Cell::new(Name::NULL) };
    static BUFFER: *mut u8 = Box::into_raw(Box::new(Buffer([0; crate::buffer::SIZE]))).cast();
}

/// The payload with which a killed task's thread unwinds.
struct Killed;

impl Drop for Thread {
    fn drop(&mut self) {
        let mut world = world();
        world.destroy(self.slot.get());
        if self.owner {
            world.terminate(self.space);
        }
        CHANGED.notify_all();
    }
}

/// The calling thread's buffer. It is never freed: a few pages for each thread of a test.
pub(super) fn buffer() -> *mut u8 {
    BUFFER.with(|buffer| *buffer)
}

/// The world, and the calling thread's place in it.
pub(super) struct Entered {
    pub(super) world: MutexGuard<'static, World>,
    pub(super) space: SpaceId,
}

/// Takes the lock for a trap of the calling thread; a killed task's thread ends here.
pub(super) fn enter() -> Entered {
    let mut world = world();
    let space = THREAD.with_borrow_mut(|thread| {
        let new = || Thread {
            space: world.new_space(),
            owner: true,
            slot: Cell::new(Right::Null),
        };
        thread.get_or_insert_with(new).space
    });
    check_alive(&world, space);
    Entered { world, space }
}

/// Ends the calling thread when its task was killed, except while it unwinds already.
pub(super) fn check_alive(world: &World, space: SpaceId) {
    if !world.spaces.contains_key(&space) && !std::thread::panicking() {
        resume_unwind(Box::new(Killed));
    }
}

/// The reply slot's content, replaced by `right`.
pub(super) fn replace_slot(right: Right) -> Right {
    THREAD.with_borrow(|thread| match thread {
        Some(thread) => thread.slot.replace(right),
        None => Right::Null,
    })
}

/// A right between two spaces.
#[derive(Debug)]
pub struct Parcel(Right);

impl Drop for Parcel {
    fn drop(&mut self) {
        world().destroy(self.0);
        CHANGED.notify_all();
    }
}

/// A right that can be given to another task.
pub trait Give {
    /// Its name and how it moves.
    fn parts(self) -> (Name, u8);
}

impl<I: ?Sized> Give for SendRight<I> {
    fn parts(self) -> (Name, u8) {
        (self.into_name(), disposition::MOVE_SEND)
    }
}

impl<I: ?Sized> Give for ReceiveRight<I> {
    fn parts(self) -> (Name, u8) {
        (self.into_name(), disposition::MOVE_RECEIVE)
    }
}

/// Takes a right out of the calling task, to be given to another.
pub fn give(right: impl Give) -> Parcel {
    let (name, how) = right.parts();
    let Entered { mut world, space } = enter();
    Parcel(world.copy_in(space, name, how).unwrap_or(Right::Dead))
}

/// The calling task's context, with further rights: what a start page would say.
pub fn context(rights: Vec<(&str, Parcel)>) -> Context {
    let Entered { mut world, space } = enter();
    let mut page = Page {
        magic: start::MAGIC,
        version: abi::ABI_VERSION,
        right_count: 0,
        argument_count: 0,
        environment_count: 0,
        strings_size: 0,
        reserved: 0,
        identity: world.spaces.get(&space).map_or(0, |space| space.identity),
        rights: [start::Right::EMPTY; start::MAX_RIGHTS],
        strings: [0; start::STRINGS_SIZE],
    };
    for ((text, mut parcel), entry) in rights.into_iter().zip(&mut page.rights) {
        let right = std::mem::replace(&mut parcel.0, Right::Null);
        let size = text.len().min(start::NAME_SIZE);
        entry.name[..size].copy_from_slice(&text.as_bytes()[..size]);
        entry.port = world.copy_out(space, right).0.0;
        page.right_count += 1;
        drop(world);
        drop(parcel);
        world = super::world();
    }
    drop(world);
    Context::new(Box::leak(Box::new(page)))
}

/// Ends the calling task, as it asked for.
pub(crate) fn exit() -> ! {
    let Entered { mut world, space } = enter();
    world.terminate(space);
    CHANGED.notify_all();
    drop(world);
    resume_unwind(Box::new(Killed))
}

/// Starts a further thread of the calling task; `done` becomes 1 when it has ended.
pub(crate) fn spawn_thread(body: Box<dyn FnOnce() + Send>, done: Arc<AtomicU32>) {
    let space = enter().space;
    std::thread::spawn(move || {
        let thread = Thread {
            space,
            owner: false,
            slot: Cell::new(Right::Null),
        };
        THREAD.with_borrow_mut(|place| *place = Some(thread));
        // A panic here is a panic of the task: it dies as a whole.
        if catch_unwind(AssertUnwindSafe(body)).is_err() {
            world().terminate(space);
        }
        done.store(1, Ordering::Release);
        CHANGED.notify_all();
    });
}

/// A task with one thread.
#[derive(Debug)]
pub struct Task {
    space: SpaceId,
    thread: Option<JoinHandle<Result<(), Box<dyn Any + Send>>>>,
}

impl Task {
    /// Starts a task that holds `rights` and runs `main`.
    pub fn spawn(
        rights: Vec<(&'static str, Parcel)>,
        main: impl FnOnce(Context) + Send + 'static,
    ) -> Self {
        let space = world().new_space();
        let body = move || {
            let thread = Thread {
                space,
                owner: true,
                slot: Cell::new(Right::Null),
            };
            THREAD.with_borrow_mut(|place| *place = Some(thread));
            let result = catch_unwind(AssertUnwindSafe(|| main(context(rights))));
            // The task ends here, and not when the host gets round to it.
            drop(THREAD.with_borrow_mut(Option::take));
            result
        };
        Self {
            space,
            thread: Some(std::thread::spawn(body)),
        }
    }

    /// Ends the task at once, whatever it does: `task_terminate`.
    pub fn kill(&self) {
        world().terminate(self.space);
        CHANGED.notify_all();
    }

    /// Waits for the task's end. A panic goes on in the caller; having been killed is no error.
    pub fn join(mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        match thread.join() {
            Ok(Ok(())) => {}
            Ok(Err(payload)) if payload.is::<Killed>() => {}
            Ok(Err(payload)) | Err(payload) => resume_unwind(payload),
        }
    }
}
