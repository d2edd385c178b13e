//! What pagers say of their memory objects (MACH.md O-01, O-02, O-06), by calls to the ports that the kernel told them of.

use core::ops::Range;

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn as Code;
use abi::names::Name;
use abi::vm::{copy_strategy, protection, returns};

use super::control::answer;
use super::names::refuse;
use super::objects::{Content, Had, Life, ObjectId};
use super::vm::settled;
use super::{Bytes, Entry, Holder, Model, PortId, Seen, TaskId, Verdict};

/// The most pages of one supply.
const MOST: u64 = 64;

/// Pages that a pager supplies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Supply {
    /// Where, and how many bytes.
    pub range: Bytes,
    /// The number in the first page; each further one has one more.
    pub number: u64,
    /// What needs the pager's leave.
    pub lock: u32,
    /// Whether the pages are to come back in any case.
    pub precious: u32,
}

/// What is to be done with the pages of a memory object that are there.
pub(super) struct Order {
    /// Whether a page comes back.
    pub(super) comes: fn(&Content) -> bool,
    /// Whether it goes, and it came back or not.
    pub(super) goes: fn(&Content, bool) -> bool,
    /// What needs the pager's leave from now on, or [`protection::NO_CHANGE`].
    pub(super) lock: u32,
}

/// A call to a memory object's control port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PagerOp {
    /// Whether it stays without mappings, and the copy strategy.
    SetAttributes(u32, u32),
    /// What was said.
    Attributes,
    /// `data_supply`.
    Supply(Supply),
    /// `data_unavailable`.
    Unavailable(Bytes),
    /// `data_error`.
    Error(Bytes),
    /// `lock_request`: which pages come back, whether all go, and the lock.
    Lock(Bytes, [u32; 3]),
    /// `destroy`.
    Destroy,
}

/// A memory object as its pager knows it.
#[derive(Clone, Debug)]
pub struct Known {
    /// The control port, or the name port.
    pub name: Name,
    /// Whether it is the control port.
    pub is_control: bool,
    /// Whether the pager has said that it is ready.
    pub is_ready: bool,
    /// Pages that it was asked for.
    pub asked: Vec<u64>,
}

/// Whether a range is of whole pages, and of some.
fn is_whole((offset, size): Bytes) -> bool {
    let whole = (offset | size).is_multiple_of(PAGE_SIZE);
    whole && size > 0 && offset.checked_add(size).is_some()
}

impl Model {
    /// The memory objects that a task can speak of.
    pub fn known_objects(&self, task: TaskId) -> Vec<Known> {
        let names = self.tasks[task].names.iter();
        let known = names.filter_map(|(name, entry)| {
            let Entry::Port { port, send, .. } = entry else {
                return None;
            };
            if *send == 0 || self.ports[*port].holder != Holder::Kernel {
                return None;
            }
            let object = &self.objects.all[self.object_of(*port)?];
            Some(Known {
                name: *name,
                is_control: object.control == *port,
                is_ready: object.life == Life::Ready,
                asked: object.requests.keys().copied().collect(),
            })
        });
        known.collect()
    }

    /// The object that a port is the control or the name port of.
    fn object_of(&self, port: PortId) -> Option<ObjectId> {
        let mut all = self.objects.all.iter();
        all.position(|object| [object.control, object.name].contains(&port))
    }

    pub(super) fn pager_op(
        &mut self,
        task: TaskId,
        (name, op): (Name, PagerOp),
        seen: &Seen,
    ) -> Verdict {
        let port = self.sends_to(task, name).ok_or("there is no such right")?;
        let object = self.object_of(port).ok_or("it is no memory object's")?;
        if let Some(code) = self.answered_leaving(port) {
            return refuse(answer(seen)?, &[code]);
        }
        let here = &self.objects.all[object];
        if port == here.name {
            return refuse(answer(seen)?, &[Code::MigBadId]);
        }
        let wrong = match here.life {
            Life::Ready => None,
            Life::Told => Some(Code::Failure),
            Life::Dead | Life::Over => Some(Code::Terminated),
        };
        let mut wrong: Vec<_> = wrong.into_iter().collect();
        match op {
            PagerOp::SetAttributes(stays, strategy) => {
                wrong.retain(|code| *code == Code::Terminated);
                self.set_object((object, [stays, strategy]), wrong, seen)
            }
            PagerOp::Attributes => {
                let ready = u64::from(here.life == Life::Ready);
                let [stays, strategy] = here.attributes.map(u64::from);
                match seen {
                    Seen::Told(told) if told[..3] == [ready, stays, strategy] => Ok(()),
                    _ => Err(format!(
                        "{ready} {:?} expected, not {seen:?}",
                        here.attributes
                    )),
                }
            }
            PagerOp::Supply(supply) => self.supply(object, &supply, (wrong, seen)),
            PagerOp::Unavailable(range) | PagerOp::Error(range) => {
                if !is_whole(range) {
                    wrong.push(Code::InvalidArgument);
                }
                if settled(answer(seen)?, &wrong)? {
                    self.no_data(object, range, op);
                }
                Ok(())
            }
            PagerOp::Lock(range, order) => self.lock(object, (range, order), (wrong, seen)),
            PagerOp::Destroy => {
                settled(answer(seen)?, &[])?;
                self.abandon_object(object);
                Ok(())
            }
        }
    }

    /// O-01, O-06.
    fn set_object(
        &mut self,
        (object, attributes): (ObjectId, [u32; 2]),
        mut wrong: Vec<Code>,
        seen: &Seen,
    ) -> Verdict {
        let [stays, strategy] = attributes;
        match strategy {
            copy_strategy::NONE | copy_strategy::DELAY | copy_strategy::TEMPORARY => {}
            copy_strategy::CALL => wrong.push(Code::NotSupported),
            _ => wrong.push(Code::InvalidArgument),
        }
        if stays > 1 {
            wrong.push(Code::InvalidArgument);
        }
        if !settled(answer(seen)?, &wrong)? {
            return Ok(());
        }
        let here = &mut self.objects.all[object];
        here.attributes = attributes;
        if here.life == Life::Told {
            here.life = Life::Ready;
            self.send_requests(object);
        }
        self.leave_objects();
        Ok(())
    }

    /// O-02: up to the first page that is there already.
    fn supply(
        &mut self,
        object: ObjectId,
        supply: &Supply,
        (mut wrong, seen): (Vec<Code>, &Seen),
    ) -> Verdict {
        let (offset, size) = supply.range;
        if !is_whole(supply.range) || size > MOST * PAGE_SIZE {
            wrong.push(Code::InvalidArgument);
        }
        if supply.lock > 7 || supply.precious > 1 {
            wrong.push(Code::InvalidArgument);
        }
        let [result, stopped] = match seen {
            Seen::Told(told) if wrong.is_empty() => [told[0], told[1]],
            seen => return refuse(answer(seen)?, &wrong),
        };
        let mut expected = [Code::Success.0.into(), offset + size];
        for (at, number) in (offset..offset + size)
            .step_by(PAGE_SIZE as usize)
            .zip(supply.number..)
        {
            let page = at / PAGE_SIZE;
            if self.objects.all[object].pages.contains_key(&page) {
                expected = [Code::MemoryPresent.0.into(), at];
                break;
            }
            if !self.can_pay(object) {
                expected = [Code::ResourceShortage.0.into(), at];
                self.answer_request((object, page), Had::Not);
                break;
            }
            let content = Content {
                number,
                lock: supply.lock,
                is_dirty: false,
                is_precious: supply.precious == 1,
            };
            self.objects.all[object].pages.insert(page, content);
            self.answer_request((object, page), Had::Maybe);
        }
        match [result, stopped] == expected {
            true => Ok(()),
            false => Err(format!("{expected:x?} expected, not {seen:x?}")),
        }
    }

    /// O-05.
    fn lock(
        &mut self,
        object: ObjectId,
        (range, order): (Bytes, [u32; 3]),
        (mut wrong, seen): (Vec<Code>, &Seen),
    ) -> Verdict {
        let [back, flush, lock] = order;
        if !is_whole(range) || back > returns::ALL || flush > 1 || lock > protection::NO_CHANGE {
            wrong.push(Code::InvalidArgument);
        }
        if settled(answer(seen)?, &wrong)? {
            let (offset, size) = range;
            let order = Order {
                comes: match back {
                    returns::NONE => |_| false,
                    returns::DIRTY => |content| content.is_dirty,
                    _ => Content::is_new,
                },
                goes: match flush {
                    0 => |_, _| false,
                    _ => |_, _| true,
                },
                lock,
            };
            let pages = offset / PAGE_SIZE..(offset + size) / PAGE_SIZE;
            self.order_pages(object, pages, &order);
        }
        Ok(())
    }

    pub(super) fn order_pages(&mut self, object: ObjectId, range: Range<u64>, order: &Order) {
        let there = self.objects.all[object].pages.range(range);
        let there: Vec<(u64, Content)> = there.map(|(page, content)| (*page, *content)).collect();
        let comes = order.comes;
        let coming: Vec<_> = there.iter().filter(|(_, content)| comes(content)).collect();
        let runs =
            coming.chunk_by(|(a, one), (b, other)| a + 1 == *b && one.is_dirty == other.is_dirty);
        for run in runs {
            let pages: Vec<u64> = run.iter().map(|(page, _)| *page).collect();
            let goes = (order.goes)(&run[0].1, true);
            self.return_pages(object, &pages, u64::from(!goes));
        }
        for (page, content) in there {
            let pages = &mut self.objects.all[object].pages;
            if (order.goes)(&content, comes(&content)) {
                pages.remove(&page);
            } else if let Some(here) = pages.get_mut(&page) {
                if comes(&content) {
                    (here.is_dirty, here.is_precious) = (false, false);
                }
                if order.lock != protection::NO_CHANGE {
                    here.lock = order.lock;
                }
            }
            self.admit_waiting(object, page);
        }
    }

    /// O-02: of what was asked for, pages are zero, or cannot be had.
    fn no_data(&mut self, object: ObjectId, (offset, size): Bytes, op: PagerOp) {
        let range = offset / PAGE_SIZE..(offset + size) / PAGE_SIZE;
        let asked = self.objects.all[object].requests.range(range);
        let asked: Vec<u64> = asked.map(|(page, _)| *page).collect();
        for page in asked {
            let had = match op {
                PagerOp::Unavailable(_) if !self.can_pay(object) => Had::Not,
                PagerOp::Unavailable(_) => {
                    self.objects.all[object].pages.entry(page).or_default();
                    Had::Maybe
                }
                _ => Had::Not,
            };
            self.answer_request((object, page), had);
        }
    }
}
