//! Thread policies by number, as the words that messages carry.

use abi::kern_return::KernReturn;
use abi::task::{DEFAULT_PRIORITY, policy};
use interfaces::bounded::List;

use super::Core;
use crate::base::KernResult;
use crate::base::ids::ThreadId;
use crate::machine::Machine;
use crate::sched::{Constraint, Policy, Thread, Wishes};
use crate::task::Tasks;

/// What a caller asks for.
enum Asked {
    /// One of the wishes is another one.
    Wishes(Wishes),
    /// A time constraint.
    Constraint(Constraint),
    /// A tag.
    Tag(u32),
    /// How late it may wake.
    Latency(u32),
    /// How much it is to get done.
    Throughput(u32),
}

/// What a flavor's words mean for a thread below a limit of priority.
fn decode(thread: &Thread, limit: u8, (flavor, words): (u32, &[u32])) -> KernResult<Asked> {
    let wishes = thread.wishes;
    let with = |policy| Ok(Asked::Wishes(Wishes { policy, ..wishes }));
    match (flavor, words) {
        (policy::STANDARD, [] | [1]) => with(Policy::Timeshare),
        (policy::STANDARD, [0]) => with(Policy::Fixed),
        (policy::TIME_CONSTRAINT, &[a, b, c, d]) => {
            Ok(Asked::Constraint(Constraint::new([a, b, c, d])?))
        }
        (policy::PRECEDENCE, [importance]) => {
            let priority = i32::from(DEFAULT_PRIORITY).saturating_add(*importance as i32);
            let priority = priority.clamp(0, limit.into()) as u8;
            Ok(Asked::Wishes(Wishes { priority, ..wishes }))
        }
        (policy::AFFINITY, [tag]) => Ok(Asked::Tag(*tag)),
        (policy::BACKGROUND, [on @ (0 | policy::DARWIN_BACKGROUND)]) => {
            let background = *on != 0;
            Ok(Asked::Wishes(Wishes {
                background,
                ..wishes
            }))
        }
        (policy::LATENCY_QOS, [word]) if is_tier(*word) => Ok(Asked::Latency(*word)),
        (policy::THROUGHPUT_QOS, [word]) if is_tier(*word) => Ok(Asked::Throughput(*word)),
        _ => Err(KernReturn::InvalidArgument),
    }
}

/// Whether a word is a tier of quality, or none.
fn is_tier(word: u32) -> bool {
    word == 0 || (policy::tier(0)..=policy::tier(policy::LAST_TIER)).contains(&word)
}

/// Sets a policy of a thread, below its task's limit.
///
/// # Errors
/// `InvalidArgument`: see the interface · `ResourceShortage` · `Terminated`.
pub(super) fn set<M: Machine>(
    core: &mut Core<'_, M>,
    id: ThreadId,
    flavor: u32,
    words: &[u32],
) -> KernResult<()> {
    let thread = core.layers.cx.sched.threads.get(id);
    let thread = thread.ok_or(KernReturn::Terminated)?;
    let task = core.tasks.get(thread.task).ok_or(KernReturn::Terminated)?;
    let limit = task.priority_limit;
    let asked = decode(thread, limit, (flavor, words))?;
    if let Asked::Constraint(constraint) = asked {
        Tasks::set_constraint(&mut core.layers, id, constraint)?;
    }
    let cx = &mut core.layers.cx;
    if let Some(thread) = cx.sched.threads.get_mut(id) {
        match asked {
            Asked::Wishes(wishes) => thread.wishes = wishes,
            Asked::Constraint(_) => thread.wishes.policy = Policy::TimeConstraint,
            Asked::Tag(tag) => thread.tag = tag,
            Asked::Latency(tier) => thread.latency = tier as u8,
            Asked::Throughput(tier) => thread.throughput = tier as u8,
        }
    }
    cx.sched.grant(cx.machine, cx.cpu, id, limit);
    Ok(())
}

/// What was set.
///
/// # Errors
/// As [`set`], and `Failure`: there is no time constraint.
pub(super) fn get<M: Machine>(
    core: &Core<'_, M>,
    id: ThreadId,
    flavor: u32,
) -> KernResult<List<u32, 4>> {
    let sched = &core.layers.cx.sched;
    let thread = sched.threads.get(id).ok_or(KernReturn::Terminated)?;
    let wishes = thread.wishes;
    let word = match flavor {
        policy::STANDARD => u32::from(wishes.policy == Policy::Timeshare),
        policy::TIME_CONSTRAINT => {
            let extra = sched.extras.find(thread.extra);
            let constraint = extra.and_then(|extra| extra.constraint);
            let constraint = constraint.filter(|_| wishes.policy == Policy::TimeConstraint);
            return Ok(list(&constraint.ok_or(KernReturn::Failure)?.words()));
        }
        policy::PRECEDENCE => {
            let importance = i32::from(wishes.priority) - i32::from(DEFAULT_PRIORITY);
            importance as u32
        }
        policy::AFFINITY => thread.tag,
        policy::BACKGROUND if wishes.background => policy::DARWIN_BACKGROUND,
        policy::BACKGROUND => 0,
        policy::LATENCY_QOS => tier_word(thread.latency),
        policy::THROUGHPUT_QOS => tier_word(thread.throughput),
        _ => return Err(KernReturn::InvalidArgument),
    };
    Ok(list(&[word]))
}

/// The word of a tier, by what is kept of it.
fn tier_word(kept: u8) -> u32 {
    match kept {
        0 => 0,
        kept => policy::tier(u32::from(kept) - 1),
    }
}

fn list(words: &[u32]) -> List<u32, 4> {
    let mut list = List::default();
    for word in words {
        let fits = list.push(*word);
        debug_assert!(fits, "a policy has at most four words");
    }
    list
}
