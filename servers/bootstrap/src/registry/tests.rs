use std::format;

use libmach::Error;

use super::*;

fn refused<T>(result: Result<T>) -> KernReturn {
    match result.err() {
        Some(Error::Code(code)) => code,
        other => panic!("not refused with a code: {other:?}"),
    }
}

// covers: B-02
#[test]
fn names_and_rights_follow_mach() {
    let mut registry = Registry::default();
    registry.declare("org.mello.echo", 3).unwrap();
    let check_in = |registry: &mut Registry, name: &str, unit| {
        registry.to_check_in(Space::ROOT, name, unit)?.take();
        Ok(())
    };
    let unknown = check_in(&mut registry, "org.mello.other", Some(3));
    assert_eq!(refused(unknown), refusal::UNKNOWN_SERVICE);
    for other in [Some(2), None] {
        let foreign = check_in(&mut registry, "org.mello.echo", other);
        assert_eq!(refused(foreign), refusal::NOT_PRIVILEGED);
    }
    check_in(&mut registry, "org.mello.echo", Some(3)).unwrap();
    let again = check_in(&mut registry, "org.mello.echo", Some(3));
    assert_eq!(refused(again), refusal::SERVICE_ACTIVE);
    let taken = registry.declare("org.mello.echo", 4);
    assert_eq!(refused(taken), refusal::NAME_IN_USE);
    assert_eq!(
        refused(registry.find("org.mello.none").map(drop)),
        refusal::UNKNOWN_SERVICE
    );
}

// covers: B-01 B-02
#[test]
fn registering_has_its_bounds() {
    let port = ReceiveRight::<libmach::Untyped>::new().unwrap();
    let send = || port.make_send().unwrap();
    let mut registry = Registry::default();
    let invalid = KernReturn::InvalidArgument;
    assert_eq!(
        refused(registry.register((Space::ROOT, Owner::Task(1)), "", send())),
        invalid
    );
    let long = "x".repeat(MAX_NAME + 1);
    assert_eq!(
        refused(registry.register((Space::ROOT, Owner::Task(1)), &long, send())),
        invalid
    );
    registry
        .register((Space::ROOT, Owner::Task(1)), &long[..MAX_NAME], send())
        .unwrap();
    let again = registry.register((Space::ROOT, Owner::Task(1)), &long[..MAX_NAME], send());
    assert_eq!(refused(again), refusal::NAME_IN_USE);
    for index in 1..MAX_REGISTERED {
        registry
            .register((Space::ROOT, Owner::Task(1)), &format!("n{index}"), send())
            .unwrap();
    }
    let full = registry.register((Space::ROOT, Owner::Task(1)), "one-more", send());
    assert_eq!(refused(full), refusal::NO_MEMORY);
    assert!(registry.forget(port.name()));
    registry
        .register((Space::ROOT, Owner::Task(1)), "one-more", send())
        .unwrap();
}

#[test]
fn a_declared_port_is_known_by_its_name_and_never_forgotten() {
    let mut registry = Registry::default();
    registry.declare("a.b", 0).unwrap();
    registry.declare("a.c", 0).unwrap();
    let port = registry.find("a.c").unwrap().held().unwrap().name();
    assert_eq!(registry.by_port(port).unwrap().name(), "a.c");
    assert!(!registry.forget(port));
    assert_eq!(registry.of_unit(0).count(), 2);
    assert_eq!(registry.of_unit(1).count(), 0);
}

// covers: B-04
#[test]
fn private_names_are_each_tasks_own() {
    let port = ReceiveRight::<libmach::Untyped>::new().unwrap();
    let send = || port.make_send().unwrap();
    let mut registry = Registry::default();
    let enter = |registry: &mut Registry, owner, name: &str| {
        registry.register((Space::ROOT, owner), name, send())
    };
    let [one, two] = [1, 2].map(Owner::Private);
    for owner in [one, two, Owner::Task(1)] {
        enter(&mut registry, owner, "a").unwrap();
        let again = enter(&mut registry, owner, "a");
        assert_eq!(refused(again), refusal::NAME_IN_USE);
    }
    enter(&mut registry, one, "b").unwrap();
    let unknown = refused(registry.find("b").map(drop));
    assert_eq!(unknown, refusal::UNKNOWN_SERVICE);
    let others = refused(registry.find_of(Space::ROOT, two, "b").map(drop));
    assert_eq!(others, refusal::UNKNOWN_SERVICE);
    for index in 2..MAX_PRIVATE {
        enter(&mut registry, one, &format!("n{index}")).unwrap();
    }
    let full = enter(&mut registry, one, "one-more");
    assert_eq!(refused(full), refusal::NO_MEMORY);
    enter(&mut registry, two, "one-more").unwrap();
    // They end with their task.
    registry.forget_of(1);
    assert!(registry.find_of(Space::ROOT, one, "b").is_err());
    assert!(registry.find("a").is_err());
    assert!(registry.find_of(Space::ROOT, two, "a").is_ok());
}
