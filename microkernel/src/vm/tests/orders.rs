//! Orders for pages of a pager's object, without messages.

use super::*;
use crate::vm::{Cursor, Flush, Order, OrderStep, PagerId, Returns};
use abi::vm::copy_strategy;

pub(super) const FLUSH: Order = Order {
    returns: Returns::All,
    flush: Flush::All,
    lock: None,
};

pub(super) const CLEAN: Order = Order {
    flush: Flush::Nothing,
    ..FLUSH
};

impl Rig {
    /// Carries an order out; how many pages went back.
    pub(super) fn order(&mut self, pager: PagerId, range: (u64, u64), order: &Order) -> u64 {
        let range = (pages(range.0), pages(range.1));
        let (mut cursor, mut returned) = (Cursor::at(0), 0);
        loop {
            let step = self
                .with(|vm, context| vm.order_step(context, (pager, range), order, cursor))
                .unwrap();
            cursor = match step {
                OrderStep::Done => {
                    self.verify();
                    return returned;
                }
                OrderStep::More(cursor) => cursor,
                OrderStep::Return(cursor) => {
                    let back = self.with(|vm, context| vm.collect(context, pager, cursor));
                    let back = back.unwrap();
                    returned += back.size / PAGE_SIZE;
                    self.with(|vm, context| vm.copy_discard(context, back.copy));
                    cursor
                }
            };
        }
    }

    pub(super) fn map_shared(&mut self, map: MapId, pager: PagerId, count: u64) {
        let request = self.request(Source::Pager(pager, 0), 0, count);
        self.do_map(map, request).unwrap();
    }

    /// How many pages of a pager's object are in memory.
    pub(super) fn supplied(&self, pager: PagerId) -> u64 {
        let object = self.vm.pagers.get(pager).unwrap().object;
        self.vm.resident_below(object, u64::MAX)
    }
}

// covers: O-05
#[test]
fn an_order_reaches_clean_pages_on_both_sides_of_a_written_one() {
    let mut rig = Rig::new();
    let pager = rig.pager(copy_strategy::DELAY);
    let map = rig.map();
    rig.map_shared(map, pager, 200);
    for page in 0..200 {
        rig.load(map, page).unwrap();
    }
    for page in [50, 51, 60, 130] {
        rig.store(map, page, 1).unwrap();
    }
    assert_eq!(rig.order(pager, (0, 200), &FLUSH), 4);
    assert_eq!(rig.supplied(pager), 0);
    rig.end_pagers();
}
