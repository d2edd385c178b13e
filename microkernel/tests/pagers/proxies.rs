//! Proxies: a part of a memory object, with at most some protection, as a right of its own.

use abi::kern_return::KernReturn as K;
use abi::names::{Name, disposition};
use abi::vm::{map_flags, protection};
use interfaces::vm::Vm;
use sim::Request;

use crate::fixture::{Fixture, PAGE, RW, Told, code};

const READ: u32 = protection::READ;

/// The client makes a proxy of pages of what it knows by `name`.
fn proxy(f: &mut Fixture, name: Name, (page, pages): (u64, u64), maximum: u32) -> Result<Name, K> {
    let request = Request::call(name)
        .id(<dyn Vm>::CREATE_PROXY.id)
        .port(name, disposition::COPY_SEND)
        .words([page * PAGE, pages * PAGE, maximum.into(), 0, 0, 0]);
    let reply = f.call_task(f.client, request);
    match code(&reply) {
        K::Success => Ok(Name(reply.right().name)),
        code => Err(code),
    }
}

// covers: O-09
#[test]
fn a_proxy_shows_its_part_with_no_more_than_its_protection() {
    let mut f = Fixture::new();
    let given = f.given;
    let made = proxy(&mut f, given, (2, 4), READ).unwrap();
    let control = f.init();
    assert_eq!(f.attributes(control, 0), K::Success);
    let who = (f.client, made);
    assert_eq!(f.try_map(who, (0, 4), 0), Err(K::InvalidRight), "writing");
    assert_eq!(f.map_with(who, (0, 5), 0, READ), Err(K::InvalidArgument));
    assert_eq!(f.map_with(who, (4, 1), 0, READ), Err(K::InvalidArgument));
    let at = f.map_with(who, (1, 3), 0, READ).unwrap();
    assert_eq!(f.load(f.client, at), None);
    assert_eq!(f.told(), Some(Told::Request { page: 3, access: 1 }));
    assert_eq!(f.supply(control, 3, &[0x33]).0, K::Success);
    assert_eq!(f.load(f.client, at), Some(0x33));
    let arguments = [at, PAGE, 0, u64::from(RW)];
    let raised = f.sim.on(f.client).trap(abi::trap::VM_PROTECT, &arguments);
    assert_eq!(
        raised,
        Err(K::ProtectionFailure),
        "the mapping keeps the limit"
    );
    // A private copy may be written: the object does not see it.
    let private = f.try_map(who, (1, 1), map_flags::COPY).unwrap();
    f.sim.on(f.client).poke(private, &[9]);
    assert_eq!(f.load(f.client, at), Some(0x33));
    f.unmap(private, 1);
    f.unmap(at, 3);
    assert_eq!(f.told(), None, "the proxy keeps the object");
    f.sim.on(f.client).deallocate(made).unwrap();
    f.terminated();
}

// covers: O-09
#[test]
fn a_proxy_of_a_proxy_only_takes_away() {
    let mut f = Fixture::new();
    let (at, control) = f.ready(1);
    let given = f.given;
    let wide = proxy(&mut f, given, (2, 4), RW).unwrap();
    assert_eq!(proxy(&mut f, wide, (0, 5), READ), Err(K::InvalidArgument));
    assert_eq!(
        proxy(&mut f, wide, (0, 1), RW | protection::EXECUTE),
        Err(K::ProtectionFailure)
    );
    let narrow = proxy(&mut f, wide, (1, 1), READ).unwrap();
    let who = (f.client, narrow);
    assert_eq!(f.supply(control, 3, &[7]).0, K::Success);
    let shown = f.map_with(who, (0, 1), 0, READ).unwrap();
    assert_eq!(f.load(f.client, shown), Some(7));
    for (mapped, pages) in [(shown, 1), (at, 1)] {
        f.unmap(mapped, pages);
    }
    for name in [wide, narrow] {
        f.sim.on(f.client).deallocate(name).unwrap();
    }
    f.terminated();
}

// covers: O-09
#[test]
fn a_proxy_that_cannot_be_is_refused_and_asks_nobody() {
    let mut f = Fixture::new();
    let given = f.given;
    for (range, maximum) in [((0, 0), READ), ((u64::MAX / PAGE, 2), READ), ((0, 1), 8)] {
        let refused = proxy(&mut f, given, range, maximum);
        assert_eq!(refused, Err(K::InvalidArgument), "{range:?} {maximum}");
    }
    let host = f.sim.on(f.client).trap(abi::trap::HOST_SELF, &[]).unwrap();
    let refused = proxy(&mut f, Name(host as u32), (0, 1), READ);
    assert_eq!(refused, Err(K::InvalidRight));
    assert_eq!(f.told(), None);
    f.sim.on(f.client).deallocate(Name(host as u32)).unwrap();
    f.at_baseline();
}
