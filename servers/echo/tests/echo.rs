//! The server over the host backend: answers, and comes back after a death.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use interfaces::echo::Echo;
use libmach::host::Names;
use libmach::{Context, Error, Result, ms, time};

#[test]
fn it_echoes_and_sums() {
    let names = Names::start().unwrap();
    let server = names
        .spawn(|context| {
            let service = context.check_in::<dyn Echo>().unwrap();
            service.serve(echo::Server::default()).unwrap();
        })
        .unwrap();
    let echo = names.context().unwrap().look_up::<dyn Echo>().unwrap();
    assert_eq!(echo.echo(u64::MAX), Ok(u64::MAX));
    assert_eq!(echo.add(2), Ok(2));
    assert_eq!(echo.with_deadline(ms(5000)).add(3), Ok(5));
    assert_eq!(client(&names.context().unwrap()), Ok(7));
    assert_eq!(echo.add(0), Ok(7), "the client's 2");
    server.kill();
}

/// The README's client.
fn client(context: &Context) -> Result<u64> {
    let echo = context.look_up::<dyn Echo>()?;
    echo.add(2)?;
    echo.with_deadline(ms(5000)).echo(7)
}

#[test]
fn its_sum_dies_with_it_and_the_service_goes_on() {
    let names = Names::start().unwrap();
    let serve = |context: Context| {
        let service = loop {
            match context.check_in::<dyn Echo>() {
                Ok(service) => break service,
                Err(Error::Code(_)) => time::sleep(ms(1)),
                Err(error) => panic!("{error}"),
            }
        };
        service.serve(echo::Server::default()).unwrap();
    };
    let first = names.spawn(serve).unwrap();
    let echo = names.context().unwrap().look_up::<dyn Echo>().unwrap();
    assert_eq!(echo.add(2), Ok(2));
    first.kill();
    let _second = names.spawn(serve).unwrap();
    assert_eq!(echo.add(2), Ok(2), "a new life begins at zero");
    assert_eq!(echo.echo(1), Ok(1));
}
