//! The whole driver as its clients see it, over the host backend.

use interfaces::console::Console;
use kit::fake::{Device as _, Fake};
use libmach::host::{Names, Task};
use libmach::{Error, Runtime, ms, time};
use uart16550::fake::Fake16550;
use uart16550::{Line, Server, Shared};

fn drive(names: &Names, device: &Fake<Fake16550>) -> Task {
    let device = device.clone();
    names
        .spawn(move |context| {
            let runtime = Runtime::new().expect("a runtime");
            let service = loop {
                match context.check_in::<dyn Console>() {
                    Ok(service) => break service,
                    Err(Error::Code(_)) => time::sleep(ms(1)),
                    Err(error) => panic!("{error}"),
                }
            };
            let line = Shared::new(Line::open(device.clone()).expect("a device"));
            runtime
                .serve(service.into_port(), Server::new(&line))
                .expect("a service");
            let source = device.line(&runtime);
            runtime.spawn(async move {
                kit::attend(&source, || line.service())
                    .await
                    .expect("an end without error");
            });
            runtime.run().expect("a loop");
        })
        .expect("a task")
}

#[test]
fn a_reader_waits_and_a_writer_writes_meanwhile() {
    let names = Names::start().unwrap();
    let device = Fake::new(Fake16550::instant());
    let driver = drive(&names, &device);
    let reader = names
        .spawn(|context| {
            let console = context.look_up::<dyn Console>().unwrap();
            assert_eq!(&*console.read().unwrap(), b"typed");
        })
        .unwrap();
    let console = names.context().unwrap().look_up::<dyn Console>().unwrap();
    let text = [b'x'; 300];
    assert_eq!(console.write(&text), Ok(300));
    assert_eq!(device.device().wire, text);
    // All five at once, as the reader gets them.
    device.device().hear_all(b"typed");
    reader.join();
    driver.kill();
}

#[test]
fn a_restarted_driver_serves_clients_that_wait() {
    let names = Names::start().unwrap();
    let device = Fake::new(Fake16550::default());
    let first = drive(&names, &device);
    let console = names.context().unwrap().look_up::<dyn Console>().unwrap();
    assert_eq!(console.write(b"one "), Ok(4));
    first.kill();
    first.join();
    let _second = drive(&names, &device);
    device.device().carry();
    assert_eq!(console.write(b"two"), Ok(3));
    device.device().carry();
    assert_eq!(device.device().wire, b"one two");
    assert!(!device.device().interrupts());
}
