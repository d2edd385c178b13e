//! The stories, and what they share.

mod chain;
mod forks;
mod large;
mod paged;
mod ports;
mod superpages;
mod tasks;
mod threads;

use alloc::format;
use core::fmt;

use interfaces::host::Host;
use interfaces::mach_host::MachHost;
use interfaces::task::Task;
use libmach::abi::PAGE_SIZE;
use libmach::abi::message::MAX_PORTS;
use libmach::abi::names::{Name, right};
use libmach::abi::start::names::HOST_PRIVILEGED;
use libmach::{Context, SendRight, trap};

use crate::raw::Pages;
use crate::{Census, Failure, Order, Result, ensure};

/// How often a story yields to what it waits for, before it counts as missing: some seconds. Another CPU's emulation may stand
/// still for long on a loaded host, and does all that is waited for.
const PATIENCE: u32 = 1_000_000;
/// Addresses that one page table maps.
const TABLE_PAGES: u64 = 512;
/// Pages that a story has at most beside one for each object.
const ROOM: u64 = 4 * TABLE_PAGES;

/// What stories work with.
#[derive(Debug)]
pub struct Scene {
    host: SendRight<dyn Host>,
    privileged: SendRight<dyn MachHost>,
    own: SendRight<dyn Task>,
    seed: u64,
}

/// One story.
#[derive(Clone, Copy, Debug)]
pub struct Story {
    /// What it is about.
    pub name: &'static str,
    /// How many objects, undivided.
    pub count: u64,
    /// Makes so many, calls `Peak::note` when all are there, and ends them.
    run: fn(&Scene, u64, &mut Peak) -> Result<()>,
}

/// All of them.
pub const ALL: [Story; 31] = [
    Story {
        name: "threads",
        count: 50_000,
        run: threads::waiting,
    },
    Story {
        name: "threads of a task",
        count: 50_000,
        run: threads::with_their_task,
    },
    Story {
        name: "threads at words",
        count: 50_000,
        run: threads::at_words,
    },
    Story {
        name: "threads at deadlines",
        count: 50_000,
        run: threads::at_deadlines,
    },
    Story {
        name: "threads at deadlines, ended",
        count: 50_000,
        run: threads::ended_in_wait,
    },
    Story {
        name: "threads at a port",
        count: 50_000,
        run: threads::at_a_port,
    },
    Story {
        name: "threads at a full port",
        count: 50_000,
        run: threads::sending,
    },
    Story {
        name: "threads at semaphores",
        count: 60_000,
        run: threads::at_semaphores,
    },
    Story {
        name: "threads listed",
        count: 10_000,
        run: threads::listed,
    },
    Story {
        name: "threads at pages",
        count: 50_000,
        run: paged::awaited,
    },
    Story {
        name: "ports",
        count: 100_000,
        run: ports::one_by_one,
    },
    Story {
        name: "ports with timers",
        count: 50_000,
        run: ports::timed,
    },
    Story {
        name: "requests of the calendar",
        count: 50_000,
        run: ports::told_of_the_calendar,
    },
    Story {
        name: "ports of a task",
        count: 100_000,
        run: ports::with_their_task,
    },
    Story {
        name: "notifications of a port",
        count: 48_000,
        run: ports::watched_by_many,
    },
    Story {
        name: "messages",
        count: 50_000,
        run: ports::with_messages,
    },
    Story {
        name: "rights in messages",
        count: 50_000,
        run: ports::with_many_rights,
    },
    Story {
        name: "rights in an array",
        count: MAX_PORTS as u64,
        run: large::array,
    },
    Story {
        name: "memory in a message",
        count: 16_384,
        run: large::memory,
    },
    Story {
        name: "regions",
        count: 16_000,
        run: large::regions,
    },
    Story {
        name: "memory entries",
        count: 16_000,
        run: large::entries,
    },
    Story {
        name: "large pages",
        count: 16_384,
        run: superpages::touched,
    },
    Story {
        name: "large pages again",
        count: 8_192,
        run: superpages::again,
    },
    Story {
        name: "pages replaced",
        count: 512,
        run: large::replaced,
    },
    Story {
        name: "regions replaced",
        count: 16_000,
        run: large::regions_replaced,
    },
    Story {
        name: "tasks",
        count: 10_000,
        run: tasks::together,
    },
    Story {
        name: "tasks listed",
        count: 10_000,
        run: tasks::in_their_set,
    },
    Story {
        name: "threads listed by the set",
        count: 30_000,
        run: tasks::threads_in_their_set,
    },
    Story {
        name: "tasks told of room",
        count: 10_000,
        run: tasks::told_of_room,
    },
    Story {
        name: "nested rights",
        count: 10_000,
        run: chain::nested,
    },
    Story {
        name: "forks",
        count: 10_000,
        run: forks::beside_each_other,
    },
];

/// What objects took when all of a story's were there.
#[derive(Debug)]
struct Peak {
    before: Census,
    /// Bytes beyond what there was before.
    bytes: u64,
}

impl From<Census> for Peak {
    fn from(before: Census) -> Self {
        Self { before, bytes: 0 }
    }
}

impl Peak {
    /// All objects are there.
    fn note(&mut self, scene: &Scene) -> Result<()> {
        let now = scene.census()?;
        self.bytes = now.bytes().saturating_sub(self.before.bytes());
        Ok(())
    }
}

/// What came of a story. Written as text it is one JSON object.
#[derive(Debug)]
struct Told {
    name: &'static str,
    count: u64,
    bytes: u64,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, count, bytes } = self;
        let each = bytes / (*count).max(1);
        write!(
            f,
            "{{\"story\":\"{name}\",\"count\":{count},\"bytes\":{bytes},\"bytes_each\":{each}}}"
        )
    }
}

impl Scene {
    /// The scene, with an order of destruction from a seed.
    ///
    /// # Errors
    /// When the kernel refuses this task's own ports, or it has no privileged host port.
    pub fn set(context: &Context, seed: u64) -> Result<Self> {
        Ok(Self {
            privileged: context.send_right(HOST_PRIVILEGED)?,
            host: SendRight::from_name(trap::host_self()?),
            own: SendRight::from_name(trap::task_self()?),
            seed,
        })
    }

    fn census(&self) -> Result<Census> {
        Census::take(&self.host, &self.own)
    }

    fn order(&self, count: u64) -> Order {
        Order::of(self.seed, count)
    }

    /// How many threads there are.
    fn threads(&self) -> Result<u64> {
        Ok(self.host.client().statistics()?.threads)
    }

    /// Yields until there are only so many threads, those beside a story's own.
    fn until_only(&self, others: u64) -> Result<()> {
        self.until("threads to end", || Ok(self.threads()? == others))
    }

    /// Yields until something is so.
    fn until(&self, what: &str, is_so: impl Fn() -> Result<bool>) -> Result<()> {
        for _ in 0..PATIENCE {
            if is_so()? {
                return Ok(());
            }
            trap::thread_switch(Name::NULL, 0, 0)?;
        }
        Err(Failure::Wrong(format!("waited in vain for {what}")))
    }

    fn tell(&self, story: &Story, count: u64) -> Result<Told> {
        // The heap grows to what two of them take before it is counted.
        drop((self.census()?, self.census()?));
        let before = self.census()?;
        let mut peak = Peak::from(before);
        (story.run)(self, count, &mut peak)?;
        let settled = self.until("the end of what ended", || {
            Ok(self.census()?.differences(&peak.before).is_empty())
        });
        if settled.is_err() {
            let left = self.census()?.differences(&peak.before);
            return Err(Failure::Wrong(format!("left behind: {left}")));
        }
        ensure(peak.bytes > 0, || "nothing was there".into())?;
        Ok(Told {
            name: story.name,
            count,
            bytes: peak.bytes,
        })
    }
}

/// The report's first line: a kernel that measures tells behind it what was before the stories.
const BEFORE: &str = "{\"before\":\"the first story\"}";
/// Bytes of stack that no story needs more of.
const STACK: usize = 32 << 10;

/// Has the stack's pages come.
#[inline(never)]
fn touch_stack() {
    core::hint::black_box(&mut [1_u8; STACK]);
}

/// Has this task's tables grow to what the stories need: of names, and of pages.
///
/// # Errors
/// When the kernel refuses it.
pub fn warm_up(names: u64, pages: u64) -> Result<()> {
    touch_stack();
    let table = Table::new(names)?;
    for n in 0..names {
        table.set(n, trap::port_allocate(right::RECEIVE)?);
    }
    for n in 0..names {
        trap::port_destroy(table.get(n))?;
    }
    drop(table);
    warm_tables(pages)
}

/// Has this task's page tables come for so many pages, where memory is placed next.
fn warm_tables(pages: u64) -> Result<()> {
    let region = Pages::new(pages)?;
    for page in (0..pages).step_by(TABLE_PAGES as usize) {
        region.write(page, 1);
    }
    Ok(())
}

/// Tells every story with sizes divided; hands out what came of each. A line ends what a kernel measures together, so there is
/// one before the first story.
///
/// # Errors
/// When one does not end as it must, or `line` fails.
pub fn tell_all(
    scene: &Scene,
    divide: u64,
    line: impl Fn(&dyn fmt::Display) -> Result<()>,
) -> Result<()> {
    let size = |story: &Story| (story.count / divide).max(1);
    let most = ALL.iter().map(size).max().unwrap_or(0);
    warm_up(most + most / 8, most + ROOM)?;
    // Counting takes memory of this task's heap, once. So does the first fork: what lies beside a message buffer in the
    // same object gets one of its own when it is written, and the pages that this one hides stay with the other.
    let mut peak = Peak::from(scene.census()?);
    forks::beside_each_other(scene, forks::FEW, &mut peak)?;
    large::memory(scene, 1, &mut peak)?;
    // And who is listed for the first time, as this thread is.
    tasks::in_their_set(scene, 1, &mut peak)?;
    line(&BEFORE)?;
    for story in &ALL {
        let told = scene.tell(story, size(story));
        let told = told.map_err(|why| Failure::Wrong(format!("{}: {why}", story.name)))?;
        line(&told)?;
    }
    Ok(())
}

/// Names, in pages of their own: this task's heap does not grow by them.
#[derive(Debug)]
struct Table(Pages);

impl Table {
    const EACH: u64 = PAGE_SIZE / size_of::<u32>() as u64;

    fn new(count: u64) -> Result<Self> {
        Ok(Self(Pages::new(count.div_ceil(Self::EACH).max(1))?))
    }

    fn get(&self, index: u64) -> Name {
        Name(self.0.read_u32(index))
    }

    /// Where they lie, one behind the other.
    fn address(&self) -> u64 {
        self.0.page(0)
    }

    fn set(&self, index: u64, name: Name) {
        self.0.write_u32(index, name.0);
    }
}
