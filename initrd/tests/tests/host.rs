//! The cases that the host backend knows enough for hold there too, and the report is complete.

use std::sync::{Arc, Mutex};

use interfaces::bounded::Bytes;
use interfaces::console::{CHUNK, Console};
use libmach::host::{Task, context, give};
use libmach::{Mach, ReceiveRight, Reply, Service};
use tests::{Case, World, areas};

/// A console that keeps what is written, a little at a time.
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Console for Kept {
    type Rights = Mach;

    async fn write(&mut self, bytes: &[u8], reply: Reply<u64>) {
        let taken = &bytes[..bytes.len().min(10)];
        self.0.lock().expect("no panic").extend_from_slice(taken);
        reply.send(Ok(taken.len() as u64));
    }

    async fn read(&mut self, _: Reply<Bytes<CHUNK>>) {}
}

fn world() -> (World, Arc<Mutex<Vec<u8>>>, Task) {
    let port = ReceiveRight::<dyn Console>::new().expect("a port");
    let console = port.make_send().expect("a right");
    let kept = Arc::default();
    let theirs = Arc::clone(&kept);
    let server = Task::spawn(vec![("port", give(port))], move |context| {
        let port = context
            .receive_right::<dyn Console>("port")
            .expect("a port");
        Service::on(port).serve(Kept(theirs)).expect("a loop");
    });
    let context = context(vec![("console", give(console))]);
    (World::of(context).expect("a console"), kept, server)
}

#[test]
fn cases_of_the_host_backend_pass() {
    let (world, _, server) = world();
    let failures: Vec<_> = areas::ON_HOST
        .iter()
        .flat_map(|area| area.iter())
        .filter_map(|case| Some((case.area, case.name, (case.run)(&world).err()?)))
        .collect();
    assert!(failures.is_empty(), "{failures:#?}");
    server.kill();
}

#[test]
fn names_are_unique_and_filters_choose() {
    let full = |case: &Case| format!("{}: {}", case.area, case.name);
    let mut all: Vec<_> = tests::select(&[]).iter().map(full).collect();
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count);
    assert!(
        tests::select(&["sets:"])
            .iter()
            .all(|case| case.area == "sets")
    );
    let two = tests::select(&["sets: ", "timers: "]).len();
    assert_eq!(
        two,
        tests::select(&["sets: "]).len() + tests::select(&["timers: "]).len()
    );
    assert!(tests::select(&["no such thing"]).is_empty());
}

#[test]
fn the_report_is_tap() {
    let (world, kept, server) = world();
    assert_eq!(tests::run(&world, &["sets: "]), Ok(0));
    let text = String::from_utf8(kept.lock().expect("no panic").clone()).expect("text");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], format!("1..{}", lines.len() - 1));
    assert!(lines[1].starts_with("ok 1 - sets: "), "{text}");
    kept.lock().expect("no panic").clear();
    // Without a supervisor, these fail.
    assert_eq!(tests::run(&world, &["null is not readable"]), Ok(1));
    let text = String::from_utf8(kept.lock().expect("no panic").clone()).expect("text");
    assert!(text.contains("not ok 1 - exceptions: null"), "{text}");
    server.kill();
}
