//! Handlers and other futures that wait, and who has been woken.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};

use super::answer::ReplyTo;
use super::request::Answer;

/// What a task is: something that ends with an answer (for a request) or with [`Answer::None`].
pub(crate) type Boxed = Pin<Box<dyn Future<Output = Answer>>>;

/// Set when a task may go on, and the runtime's own flag that any may.
#[derive(Debug)]
struct Flag {
    woken: AtomicBool,
    any: Arc<AtomicBool>,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Relaxed);
        self.any.store(true, Ordering::Relaxed);
    }
}

struct Task {
    future: Boxed,
    reply: ReplyTo,
    flag: Arc<Flag>,
}

/// The list.
#[derive(Default)]
pub(crate) struct Tasks {
    waiting: RefCell<Vec<Task>>,
    any: Arc<AtomicBool>,
}

impl Tasks {
    /// Adds a future; it is polled before the next receive.
    pub(crate) fn add(&self, future: Boxed, reply: ReplyTo) {
        let any = Arc::clone(&self.any);
        any.store(true, Ordering::Relaxed);
        let flag = Arc::new(Flag {
            woken: AtomicBool::new(true),
            any,
        });
        self.waiting.borrow_mut().push(Task {
            future,
            reply,
            flag,
        });
    }

    /// How many there are, those being polled not counted.
    pub(crate) fn len(&self) -> usize {
        self.waiting.borrow().len()
    }

    /// Whether a task was woken.
    #[inline(always)]
    pub(crate) fn any_woken(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// Polls woken tasks until none is; each answer goes out as it is made.
    pub(crate) fn run(&self) {
        while self.any.swap(false, Ordering::Relaxed) {
            // Taken out while they run: a task may add others.
            let tasks = core::mem::take(&mut *self.waiting.borrow_mut());
            let mut left: Vec<_> = tasks.into_iter().filter_map(step).collect();
            let mut waiting = self.waiting.borrow_mut();
            left.append(&mut waiting);
            *waiting = left;
        }
    }
}

fn step(mut task: Task) -> Option<Task> {
    if !task.flag.woken.swap(false, Ordering::Relaxed) {
        return Some(task);
    }
    let waker = Waker::from(Arc::clone(&task.flag));
    match task.future.as_mut().poll(&mut Context::from_waker(&waker)) {
        Poll::Pending => Some(task),
        Poll::Ready(answer) => {
            task.reply.send(answer);
            None
        }
    }
}
