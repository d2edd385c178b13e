//! One attacker after the other, and what must be as before when the last one is gone.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::{format, vec::Vec};
use core::sync::atomic::Ordering;

use interfaces::console::{CHUNK, Console, RIGHT};
use interfaces::host::{Host, TaskEntry};
use interfaces::supervisor::{End, Supervisor};
use interfaces::task::Task;
use libmach::abi::PAGE_SIZE;
use libmach::abi::vm::{inherit, map_flags, protection};
use libmach::{Context, Error, Result, SendRight, ms, thread, time, trap};

use super::witness::{Shared, watch};
use super::{life, raw};

/// Steps of one life: long enough to tangle things up, short enough that most lives get there.
const LIFE: u64 = 4_096;
/// So many lives in a row without a step mean that nothing works.
const STILLBORN: u32 = 20;
/// After so many lives everything must be as before: a trace that is left is soon noticed.
const GENERATION: u64 = 64;
/// How often the statistics are looked at until what the last death left is cleared away.
const LOOKS: u32 = 100;
/// How many looks in a row find the same when the system is at rest.
const REST: u32 = 3;

/// What was asked for.
struct Order {
    count: u64,
    seed: u64,
}

/// How lives ended.
#[derive(Default)]
struct Lives {
    steps: u64,
    total: u64,
    exited: u64,
    excepted: u64,
    terminated: u64,
    runaways: u64,
}

/// Runs the campaign; its exit status: 0 when everything held, 1 when not, 2 for bad usage.
///
/// # Errors
/// When it cannot be run.
pub(crate) fn run(context: &Context, arguments: &[&str]) -> Result<u8> {
    let console: SendRight<dyn Console> = context.send_right(RIGHT)?;
    let Some(order) = order(arguments) else {
        say(&console, "usage: fuzz --count N --seed S\n")?;
        return Ok(2);
    };
    let mut nursery = Nursery::new(context, &console)?;
    let shared = Arc::new(Shared::new(nursery.progress));
    let (theirs, echo) = (Arc::clone(&shared), context.send_right("echo")?);
    let watcher = thread::spawn(move || watch(&theirs, &echo))?;
    // One life before the count starts: what the system makes once and keeps is there then.
    let mut warm = Lives::default();
    nursery.raise(&shared, (order.seed, 64), &mut warm)?;
    let natives = tasks(&nursery.host)?;
    nursery.natives = natives
        .iter()
        .map(|task| (task.index, task.identity))
        .collect();
    let before = at_rest()?;
    let mut lives = Lives::default();
    let mut fault = attack(&mut nursery, (&shared, &before), &order, &mut lives)?;
    let after = settled(&before)?;
    shared.stop.store(1, Ordering::Relaxed);
    watcher.join();
    let noticed = shared.fault.lock().take();
    fault = fault.or(noticed).or_else(|| after.differs(&before));
    report(&console, &order, &lives, &shared, fault.as_deref())?;
    Ok(u8::from(fault.is_some()))
}

fn order(arguments: &[&str]) -> Option<Order> {
    let mut order = Order {
        count: 200_000,
        seed: 1,
    };
    for pair in arguments.chunks(2) {
        match pair {
            ["--count", count] => order.count = count.parse().ok()?,
            ["--seed", seed] => order.seed = seed.parse().ok()?,
            _ => return None,
        }
    }
    Some(order)
}

/// Lives until the steps are done or the witness noticed something; what is wrong, if anything is.
fn attack(
    nursery: &mut Nursery,
    (shared, before): (&Shared, &Gauges),
    order: &Order,
    lives: &mut Lives,
) -> Result<Option<String>> {
    let mut stillborn = 0;
    while lives.steps < order.count {
        // Each life has a seed of its own, which a report names.
        let seed = (order.seed << 20).wrapping_add(lives.total);
        let steps = LIFE.min(order.count - lives.steps);
        let done = nursery.raise(shared, (seed, steps), lives)?;
        stillborn = if done == 0 { stillborn + 1 } else { 0 };
        let noticed = shared.fault.lock().is_some();
        if noticed || stillborn == STILLBORN {
            let what = match noticed {
                true => "the witness noticed",
                false => "no attacker gets to do anything",
            };
            return Ok(Some(format!("{what} life {seed} at step {done}")));
        }
        if let Some(left) = nursery.left()? {
            return Ok(Some(format!("life {seed} left {left}")));
        }
        if lives.total.is_multiple_of(GENERATION)
            && let Some(left) = settled(before)?.differs(before)
        {
            return Ok(Some(format!("by life {seed}: {left}")));
        }
    }
    Ok(None)
}

/// Where attackers come from.
struct Nursery {
    supervisor: SendRight<dyn Supervisor>,
    console: SendRight<dyn Console>,
    entry: SendRight<dyn interfaces::memory::Entry>,
    /// A page that this task shares with the attacker.
    progress: u64,
    host: SendRight<dyn Host>,
    /// Index and identity of the tasks that are there without attackers.
    natives: Vec<(u32, u64)>,
}

impl Nursery {
    fn new(context: &Context, console: &SendRight<dyn Console>) -> Result<Self> {
        let progress = raw::allocate(PAGE_SIZE)?;
        let own = SendRight::<dyn Task>::from_name(trap::task_self()?);
        let both = protection::READ | protection::WRITE;
        let entry = own.client().make_entry(progress, PAGE_SIZE, both)?;
        let host = context.send_right("host")?;
        Ok(Self {
            supervisor: context.send_right("supervisor")?,
            console: console.duplicate()?,
            entry,
            progress,
            natives: Vec::new(),
            host,
        })
    }

    /// Ends the tasks that an attacker made and left running: no task ends with its creator. Those that nothing
    /// runs in end by themselves when nobody reaches them any more.
    fn end_runaways(&self) -> Result<u64> {
        let mut ended = 0;
        if self.natives.is_empty() {
            // The first life: services that are started on demand are not all there yet.
            return Ok(0);
        }
        for task in self.strangers()? {
            if task.threads > 0 {
                let port = self.host.client().task(task.index);
                // One that is gone by now needs no ending.
                ended += u64::from(port.is_ok_and(|port| port.client().terminate().is_ok()));
            }
        }
        Ok(ended)
    }

    /// A task that is there still when all that could end has ended, in words.
    fn left(&self) -> Result<Option<String>> {
        for look in 0..LOOKS {
            let strangers = self.strangers()?;
            let Some(task) = strangers.first() else {
                return Ok(None);
            };
            if look + 1 == LOOKS {
                return Ok(Some(format!("{} tasks: {task:?}", strangers.len())));
            }
            time::sleep(ms(20));
        }
        Ok(None)
    }

    /// The tasks that attackers made.
    fn strangers(&self) -> Result<Vec<TaskEntry>> {
        let mut found = tasks(&self.host)?;
        found.retain(|task| !self.natives.contains(&(task.index, task.identity)));
        Ok(found)
    }

    /// Starts a task and waits for its end; how many steps it did.
    fn raise(
        &mut self,
        shared: &Shared,
        (seed, steps): (u64, u64),
        lives: &mut Lives,
    ) -> Result<u64> {
        let arguments = format!("{}\0{seed}\0{steps}", life::FLAG);
        let console = self.console.duplicate()?.cast();
        let started = self.supervisor.client().run("fuzz", &arguments, console);
        let (number, task) = started.map_err(|refused| refused.error)?;
        raw::put_word(self.progress, 0);
        let flags = u64::from(protection::READ | protection::WRITE);
        let flags = flags << map_flags::CURRENT_SHIFT
            | flags << map_flags::MAXIMUM_SHIFT
            | u64::from(inherit::NONE) << map_flags::INHERIT_SHIFT;
        let entry = self.entry.duplicate()?;
        task.client()
            .vm_map(entry, life::PROGRESS, PAGE_SIZE, 0, flags)
            .map_err(|refused| refused.error)?;
        shared.attacker.store(task.name().0, Ordering::Release);
        let ended = self.supervisor.client().wait(number);
        shared.attacker.store(0, Ordering::Release);
        // The attacker can write anything there.
        let done = raw::word(self.progress).min(steps);
        lives.runaways += self.end_runaways()?;
        lives.total += 1;
        lives.steps += done;
        match ended?.how {
            End::Exited => lives.exited += 1,
            End::Exception => lives.excepted += 1,
            End::Terminated => lives.terminated += 1,
        }
        Ok(done)
    }
}

/// What is counted that must come back to where it was.
struct Gauges {
    /// Objects, by what they are called: exactly as before.
    objects: [(&'static str, u64); 4],
    /// Pages of physical memory that neither a living task accounts for nor the kernel keeps for its objects.
    lost_pages: u64,
}

/// Every task.
fn tasks(host: &SendRight<dyn Host>) -> Result<Vec<TaskEntry>> {
    let mut found = Vec::new();
    loop {
        let next = found.last().map_or(0, |task: &TaskEntry| task.index + 1);
        let tasks = host.client().tasks(next)?;
        if tasks.iter().next().is_none() {
            return Ok(found);
        }
        found.extend(tasks.iter().copied());
    }
}

impl Gauges {
    fn read() -> Result<Self> {
        let host = SendRight::<dyn Host>::from_name(trap::host_self()?);
        let mut pages = 0;
        let mut next = 0;
        loop {
            let tasks = host.client().tasks(next)?;
            let Some(last) = tasks.iter().last() else {
                break;
            };
            next = last.index + 1;
            pages += tasks.iter().map(|task| u64::from(task.pages)).sum::<u64>();
        }
        let statistics = host.client().statistics()?;
        Ok(Self {
            objects: [
                ("tasks", statistics.tasks),
                ("threads", statistics.threads),
                ("ports", statistics.ports),
                ("messages", statistics.queued_now),
            ],
            // Not all pages are a task's or the kernel's, even at first: the difference counts.
            lost_pages: statistics
                .frames
                .wrapping_sub(statistics.kernel_frames)
                .wrapping_sub(pages),
        })
    }

    /// What is not as it was, in words.
    fn differs(&self, before: &Self) -> Option<String> {
        let pairs = before.objects.iter().zip(&self.objects);
        let mut changed: Vec<String> = pairs
            .filter(|(before, after)| before != after)
            .map(|((what, before), (_, after))| format!("{what} {before} -> {after}"))
            .collect();
        let lost = self.lost_pages.wrapping_sub(before.lost_pages) as i64;
        if lost != 0 {
            changed.push(format!("{lost} pages that nobody has"));
        }
        (!changed.is_empty()).then(|| format!("not at the baseline: {}", changed.join(", ")))
    }
}

/// The gauges, once they stay as they are: servers may still have what was sent to them before.
fn at_rest() -> Result<Gauges> {
    let mut last = Gauges::read()?;
    let mut same = 0;
    for _ in 0..LOOKS {
        time::sleep(ms(20));
        let now = Gauges::read()?;
        same = if now.differs(&last).is_none() {
            same + 1
        } else {
            0
        };
        if same == REST {
            break;
        }
        last = now;
    }
    Ok(last)
}

/// The gauges, once they are as before, or after a while.
fn settled(before: &Gauges) -> Result<Gauges> {
    for _ in 0..LOOKS {
        let now = Gauges::read()?;
        if now.differs(before).is_none() {
            return Ok(now);
        }
        time::sleep(ms(20));
    }
    Gauges::read()
}

/// One JSON object on a line of its own.
fn report(
    console: &SendRight<dyn Console>,
    order: &Order,
    lives: &Lives,
    shared: &Shared,
    fault: Option<&str>,
) -> Result<()> {
    let verdict = fault.unwrap_or("held").replace(['"', '\\', '\n'], "'");
    let Lives {
        steps,
        total,
        exited,
        excepted,
        terminated,
        runaways,
    } = lives;
    let calls = shared.calls.load(Ordering::Relaxed);
    let stalled = shared.stalled.load(Ordering::Relaxed);
    let Order { count, seed } = order;
    say(
        console,
        &format!(
            "{{\"campaign\":\"traps\",\"seed\":{seed},\"count\":{count},\"steps\":{steps},\
             \"lives\":{total},\"exited\":{exited},\"exceptions\":{excepted},\
             \"terminated\":{terminated},\"stalled\":{stalled},\"runaways\":{runaways},\"witness_calls\":{calls},\"verdict\":\"{verdict}\"}}\n"
        ),
    )
}

fn say(console: &SendRight<dyn Console>, text: &str) -> Result<()> {
    for chunk in text.as_bytes().chunks(CHUNK) {
        let taken = console.client().write(chunk)?;
        if taken != chunk.len() as u64 {
            return Err(Error::TooLarge);
        }
    }
    Ok(())
}
