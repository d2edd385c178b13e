//! Subsets of the name service and its unprivileged ports (MACH.md B-04).

use std::fmt::Debug;
use std::sync::Mutex;

use bootstrap::registry::{MAX_REGISTERED_IN_SUBSET, MAX_SUBSETS_OF_TASK};
use interfaces::bootstrap::{Bootstrap, refusal};
use interfaces::supervisor::State;
use libmach::abi::kern_return::KernReturn;
use libmach::{Context, Error, ReceiveRight, SendRight, Untyped, ms, time};

use super::system::{BOOT, System, serve_echo};

type Port = ReceiveRight<Untyped>;
type Names = SendRight<dyn Bootstrap>;

fn port() -> Port {
    Port::new().unwrap()
}

fn subset(of: &Names, requestor: &Port) -> Names {
    let requestor = requestor.make_send().unwrap();
    of.client().subset(requestor).unwrap()
}

fn register(names: &Names, name: &str, port: &Port) -> Result<(), Error> {
    let made = names.client().register(name, port.make_send().unwrap());
    made.map_err(Error::from)
}

#[track_caller]
fn refused<T: Debug, E: Into<Error>>(result: Result<T, E>, code: KernReturn) {
    match result {
        Err(error) => assert_eq!(error.into(), Error::Code(code)),
        Ok(value) => panic!("{value:?} instead of {code:?}"),
    }
}

/// Waits until `holds`, which other tasks bring about.
#[track_caller]
fn wait_until(holds: impl Fn() -> bool) {
    for _ in 0..5000 {
        if holds() {
            return;
        }
        time::sleep(ms(1));
    }
    panic!("it never comes");
}

/// Whether no message reaches the namespace any more.
fn has_ended(names: &Names) -> bool {
    match names.client().look_up("no.such") {
        Err(Error::Code(refusal::UNKNOWN_SERVICE)) => false,
        Err(_) => true,
        Ok(right) => panic!("found {right:?}"),
    }
}

// covers: B-04
#[test]
fn what_is_registered_in_a_subset_is_seen_in_it_and_below_only() {
    let system = System::start(&[(BOOT, serve_echo)], &[]);
    let (root, requestor) = (&system.bootstrap, port());
    let (upper, beside) = (subset(root, &requestor), subset(root, &requestor));
    let lower = subset(&upper, &requestor);
    let (mine, other) = (port(), port());
    register(&upper, "my.own", &mine).unwrap();
    refused(register(&upper, "my.own", &mine), refusal::NAME_IN_USE);
    for names in [&upper, &lower] {
        let found = names.client().look_up("my.own").unwrap();
        assert_eq!(found.name(), mine.name());
    }
    for names in [root, &beside] {
        refused(names.client().look_up("my.own"), refusal::UNKNOWN_SERVICE);
    }
    // The nearest name counts; above nothing changes.
    register(&lower, "my.own", &other).unwrap();
    let found = |names: &Names| names.client().look_up("my.own").unwrap().name();
    assert_eq!((found(&lower), found(&upper)), (other.name(), mine.name()));
    // What the root has is found from below.
    let echo = lower.client().look_up("test.echo").unwrap();
    assert_eq!(echo.name(), system.look_up("test.echo").unwrap().name());
    assert!(lower.client().look_up("test.supervisor").is_ok());
}

// covers: B-04
#[test]
fn a_subset_gives_no_rights_to_services() {
    let system = System::start(&[(BOOT, serve_echo)], &[]);
    let requestor = port();
    let names = subset(&system.bootstrap, &requestor);
    let client = names.client();
    refused(client.check_in("test.echo"), refusal::NOT_PRIVILEGED);
    refused(client.check_in("no.such"), refusal::UNKNOWN_SERVICE);
    let supervisor = client.look_up("org.mello.supervisor");
    refused(supervisor, refusal::NOT_PRIVILEGED);
    // A name that hides a service's is nobody's to check in, and leaves the service alone.
    let mine = port();
    register(&names, "test.echo", &mine).unwrap();
    refused(client.check_in("test.echo"), refusal::NOT_PRIVILEGED);
    assert_eq!(client.look_up("test.echo").unwrap().name(), mine.name());
    assert_eq!(system.echo().client().echo(4), Ok(4));
    refused(client.parent(), refusal::NOT_PRIVILEGED);
    refused(system.bootstrap.client().parent(), refusal::NOT_PRIVILEGED);
}

// covers: B-04
#[test]
fn a_server_checks_in_through_a_subset_and_the_privileged_find_the_parent() {
    const SERVER: &str = "name = 'echo'\nstart = 'boot'\nrestart = 'never'\n\
        services = ['test.echo']\nrights = { s = { service = 'org.mello.supervisor' } }";
    let system = System::start(
        &[(SERVER, |context| {
            let root = context.send_right::<dyn Bootstrap>("bootstrap").unwrap();
            let requestor = port();
            let upper = subset(&root, &requestor);
            let lower = subset(&upper, &requestor);
            assert!(lower.client().check_in("test.echo").is_ok());
            let parent = |names: &Names| names.client().parent().unwrap().name();
            assert_eq!(parent(&lower), upper.name());
            assert_eq!(parent(&upper), root.name());
            assert_eq!(parent(&root), root.name());
            let weak = lower.client().unprivileged().unwrap();
            refused(weak.client().parent(), refusal::NOT_PRIVILEGED);
            context.exit(5);
        })],
        &[],
    );
    let ended = system.wait_for("echo", |info| info.state == State::Stopped);
    assert_eq!(&*ended.reason, "ended by itself with status 5");
}

// covers: B-04
#[test]
fn a_subset_ends_with_its_requestor_and_all_below_it() {
    let system = System::start(&[], &[]);
    let (requestor, stays) = (port(), port());
    let upper = subset(&system.bootstrap, &requestor);
    let lower = subset(&upper, &stays);
    let beside = subset(&system.bootstrap, &stays);
    let weak = upper.client().unprivileged().unwrap();
    assert!(!has_ended(&upper) && !has_ended(&lower) && !has_ended(&weak));
    drop(requestor);
    for names in [&upper, &lower, &weak] {
        wait_until(|| has_ended(names));
    }
    assert!(!has_ended(&beside) && !has_ended(&system.bootstrap));
}

// covers: B-04
#[test]
fn a_subset_ends_when_nobody_can_reach_it() {
    let system = System::start(&[], &[]);
    let requestor = port();
    let upper = subset(&system.bootstrap, &requestor);
    let lower = subset(&upper, &requestor);
    let weak = upper.client().unprivileged().unwrap();
    drop(upper);
    for names in [&lower, &weak] {
        wait_until(|| has_ended(names));
    }
}

// covers: B-04
#[test]
fn a_subset_cannot_keep_itself() {
    let system = System::start(&[], &[]);
    let requestor = port();
    let names = subset(&system.bootstrap, &requestor);
    let invalid = KernReturn::InvalidArgument;
    for at in [&system.bootstrap, &names] {
        let client = at.client();
        let own = || names.duplicate().unwrap().cast::<Untyped>();
        refused(client.register("a.subset", own()), invalid);
        refused(client.subset(own()), invalid);
    }
}

// covers: B-04
#[test]
fn subsets_and_their_names_are_bounded() {
    let system = System::start(&[], &[]);
    let (root, requestor, mine) = (&system.bootstrap, port(), port());
    let mut all = vec![subset(root, &requestor)];
    while all.len() < MAX_SUBSETS_OF_TASK {
        all.push(subset(&all[all.len() - 1], &requestor));
    }
    let more = || root.client().subset(requestor.make_send().unwrap());
    refused(more(), refusal::NO_MEMORY);
    for index in 0..MAX_REGISTERED_IN_SUBSET {
        register(&all[0], &format!("n{index}"), &mine).unwrap();
    }
    let full = register(&all[0], "one-more", &mine);
    refused(full, refusal::NO_MEMORY);
    register(&all[1], "one-more", &mine).unwrap();
    // Its end makes room again.
    all.pop();
    wait_until(|| more().is_ok());
}

/// Identity tokens of the tasks that did all that [`enter_own`] does.
static OWNERS: Mutex<Vec<u64>> = Mutex::new(Vec::new());

/// Enters ports of its own, in the root and in a subset, and lives on.
fn enter_own(context: Context) {
    let root = context.send_right::<dyn Bootstrap>("bootstrap").unwrap();
    let (outer, inner, me) = (port(), port(), context.identity());
    let enter = |names: &Names, name, port: &Port| {
        let entered = names.client().register_own(name, port.make_send().unwrap());
        entered.map_err(Error::from)
    };
    enter(&root, "my.own", &outer).unwrap();
    refused(enter(&root, "my.own", &inner), refusal::NAME_IN_USE);
    let names = subset(&root, &outer);
    let weak = names.client().unprivileged().unwrap();
    refused(enter(&weak, "my.own", &inner), refusal::NOT_PRIVILEGED);
    enter(&names, "my.own", &inner).unwrap();
    enter(&names, "below", &inner).unwrap();
    let found = |names: &Names, name| names.client().look_up_of(me, name);
    for (names, port) in [(&root, &outer), (&names, &inner), (&weak, &inner)] {
        assert_eq!(found(names, "my.own").unwrap().name(), port.name());
    }
    refused(found(&root, "below"), refusal::UNKNOWN_SERVICE);
    OWNERS.lock().unwrap().push(me);
    time::sleep(ms(600_000));
}

// covers: B-04
#[test]
fn a_service_of_one_task_is_found_by_who_names_the_task() {
    const ONE: &str = "name = 'one'\nstart = 'boot'\nrestart = 'never'\nservices = []";
    const TWO: &str = "name = 'two'\nstart = 'boot'\nrestart = 'never'\nservices = []";
    let system = System::start(&[(ONE, enter_own), (TWO, enter_own)], &[]);
    let root = &system.bootstrap;
    wait_until(|| OWNERS.lock().unwrap().len() == 2);
    let both = OWNERS.lock().unwrap().clone();
    let found = |task| root.client().look_up_of(task, "my.own");
    assert!(both.iter().all(|task| found(*task).is_ok()));
    refused(found(0), refusal::UNKNOWN_SERVICE);
    refused(root.client().look_up("my.own"), refusal::UNKNOWN_SERVICE);
    let unknown = root
        .client()
        .register_own("other", port().make_send().unwrap());
    refused(unknown, refusal::NOT_PRIVILEGED);
    // They end with their task.
    let name = root.client().name_of(both[0]).unwrap();
    system.supervisor.client().kill(&name).unwrap();
    wait_until(|| found(both[0]).is_err());
    assert!(found(both[1]).is_ok());
}

// covers: B-04
#[test]
fn an_unprivileged_port_allows_looking_up_only() {
    let system = System::start(&[(BOOT, serve_echo)], &[]);
    let requestor = port();
    let names = subset(&system.bootstrap, &requestor);
    register(&names, "my.own", &requestor).unwrap();
    for full in [&system.bootstrap, &names] {
        let weak = full.client().unprivileged().unwrap();
        let client = weak.client();
        assert!(client.look_up("test.echo").is_ok());
        assert_eq!(
            client.look_up("my.own").is_ok(),
            full.name() == names.name()
        );
        let denied = refusal::NOT_PRIVILEGED;
        refused(register(&weak, "another", &requestor), denied);
        refused(client.check_in("test.echo"), denied);
        refused(client.check_in("no.such"), denied);
        refused(client.violated("test.echo", "x"), denied);
        refused(client.parent(), denied);
        let below = client.subset(requestor.make_send().unwrap());
        refused(below, denied);
        // There is one for all who ask, and it makes no other.
        assert_eq!(client.unprivileged().unwrap().name(), weak.name());
    }
}
