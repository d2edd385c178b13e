use super::{Arena, Full, LAST_GENERATION, Region};

fn arena<T>(pages: usize) -> Arena<T> {
    Arena::new(Region::on_heap(pages * 4096))
}

#[test]
fn an_id_reaches_its_object_until_it_is_removed() {
    let mut arena = arena::<u64>(1);
    let a = arena.insert(1).unwrap();
    let b = arena.insert(2).unwrap();
    assert_eq!(
        (arena.get(a), arena.get(b), arena.len()),
        (Some(&1), Some(&2), 2)
    );
    assert_eq!(arena.remove(a), Some(1));
    assert_eq!((arena.remove(a), arena.len()), (None, 1));
    assert_eq!(arena.get(a), None);
    let c = arena.insert(3).unwrap();
    assert_eq!(c.index(), a.index(), "the slot is used again");
    assert_eq!(
        (arena.get(a), arena.get(c)),
        (None, Some(&3)),
        "with another generation"
    );
}

#[test]
fn a_renewed_object_keeps_its_place_and_loses_its_old_ids() {
    let mut arena = arena::<u64>(1);
    let old = arena.insert(7).unwrap();
    let new = arena.renew(old).unwrap();
    assert_eq!(
        (arena.get(old), arena.get(new), arena.len()),
        (None, Some(&7), 1)
    );
    assert_eq!(arena.renew(old), None);
}

#[test]
fn a_full_arena_says_so_and_keeps_what_it_has() {
    let mut arena = arena::<[u64; 62]>(2);
    let ids: [_; 16] = core::array::from_fn(|n| arena.insert([n as u64; 62]).unwrap());
    assert_eq!(arena.insert([0; 62]), Err(Full));
    for (n, id) in ids.into_iter().enumerate() {
        assert_eq!(arena.get(id), Some(&[n as u64; 62]));
    }
}

#[test]
fn growth_that_fails_changes_nothing() {
    let base = core::ptr::NonNull::<u8>::dangling();
    // SAFETY: nothing is ever committed, so nothing behind `base` is touched.
    let region = unsafe { Region::new(base, 4096, |_, _| false) };
    let mut arena = Arena::<u64>::new(region);
    assert_eq!(arena.insert(1), Err(Full));
    assert_eq!(
        (arena.len(), arena.end(), arena.committed_bytes()),
        (0, 0, 0)
    );
}

#[test]
fn two_objects_are_at_hand_and_the_others_beside_them() {
    let mut arena = arena::<u64>(1);
    let [a, b, c] = [1, 2, 3].map(|value| arena.insert(value).unwrap());
    let mut pair = arena.pair(a, Some(b)).unwrap();
    assert_eq!(pair.both(), (&1, &2));
    *pair.first() += 10;
    *pair.second() += 20;
    *pair.other(c).unwrap() += 30;
    // Also the two themselves; the pair's own pointers are good afterwards.
    *pair.other(a).unwrap() += 100;
    *pair.first() += 200;
    assert_eq!(pair.both(), (&311, &22));
    let values = [a, b, c].map(|id| *arena.get(id).unwrap());
    assert_eq!(values, [311, 22, 33]);
    assert!(arena.pair(a, None).is_none());
    arena.remove(b);
    assert!(arena.pair(a, Some(b)).is_none());
    assert!(arena.pair(b, Some(a)).is_none());
}

#[test]
fn both_of_a_pair_may_be_the_same_object() {
    let mut arena = arena::<u64>(1);
    let a = arena.insert(1).unwrap();
    let mut pair = arena.pair(a, Some(a)).unwrap();
    *pair.first() += 1;
    *pair.second() += 1;
    *pair.first() += 1;
    assert_eq!(pair.both(), (&4, &4));
}

#[test]
fn scanning_by_index_finds_what_is_live() {
    let mut arena = arena::<u64>(1);
    let ids: [_; 4] = core::array::from_fn(|n| arena.insert(n as u64).unwrap());
    arena.remove(ids[1]);
    let found = (0..arena.end())
        .filter_map(|index| arena.id_at(index))
        .count();
    assert_eq!(found, 3);
    assert_eq!(arena.id_at(1), None);
    assert_eq!(arena.id_at(99), None);
}

#[test]
fn what_is_found_is_known_by_its_id() {
    let mut arena = arena::<u64>(1);
    assert_eq!(arena.find_known(None), None);
    let id = arena.insert(4).unwrap();
    assert_eq!(arena.find_known(Some(id)), Some((id, &4)));
    assert_eq!(arena.find_known_mut(Some(id)), Some((id, &mut 4)));
    assert_eq!((id.is(Some(id)), id.is(None)), (true, false));
    arena.remove(id);
    assert_eq!(arena.find_known(Some(id)), None);
    assert_eq!(arena.find_known_mut(Some(id)), None);
    assert_eq!(arena.find_known(None), None);
}

#[test]
fn no_id_finds_nothing() {
    let mut arena = arena::<u64>(1);
    assert_eq!(arena.find(None), None);
    let id = arena.insert(4).unwrap();
    assert_eq!((arena.find(None), arena.find(Some(id))), (None, Some(&4)));
    assert_eq!(arena.find_mut(None), None);
    arena.remove(id);
    assert_eq!((arena.find(Some(id)), arena.find(None)), (None, None));
}

#[test]
fn room_that_was_made_is_there() {
    let mut arena = arena::<[u64; 62]>(1);
    for n in 0..8 {
        assert_eq!(arena.make_room(), Ok(()));
        assert_eq!(arena.len(), n, "nothing is in it yet");
        arena.insert([n.into(); 62]).unwrap();
    }
    assert_eq!(arena.make_room(), Err(Full));
    let first = arena.id_at(0).unwrap();
    arena.discard(first);
    assert_eq!((arena.get(first), arena.len()), (None, 7));
    assert_eq!(arena.make_room(), Ok(()), "a slot is free again");
    arena.discard(first);
    assert_eq!(arena.len(), 7, "it was gone already");
}

/// A generation that came round would let an old id reach a new object.
#[test]
fn a_slot_whose_generations_are_used_up_is_used_no_more() {
    for (generation, again) in [(LAST_GENERATION, true), (LAST_GENERATION + 2, false)] {
        let mut arena = arena::<u64>(1);
        let place = arena.insert(1).unwrap().index();
        arena.slot_mut(place).stamp = u64::from(generation) << 32 | u64::from(place);
        let last = arena.id_at(place).unwrap();
        assert_eq!(arena.remove(last), Some(1));
        let next = arena.insert(2).unwrap();
        assert_eq!(next.index() == place, again, "generation {generation:#x}");
        assert_eq!(arena.get(last), None);
    }
}

/// What [`Arena::renewals`] says is how often it goes, and what fails changes nothing.
#[test]
fn an_object_is_renewed_as_often_as_is_said() {
    let mut arena = arena::<u64>(1);
    let first = arena.insert(7).unwrap();
    let left = Arena::<u64>::renewals(first);
    assert_eq!(arena.renew_times(first, left + 1), None);
    let last = arena.renew_times(first, left).unwrap();
    assert_eq!((arena.get(first), arena.get(last)), (None, Some(&7)));
    assert_eq!(Arena::<u64>::renewals(last), 0);
    assert_eq!(arena.renew(last), None);
    assert_eq!(arena.renew_times(first, 1), None, "its id is stale");
    assert_eq!(arena.remove(last), Some(7));
}
