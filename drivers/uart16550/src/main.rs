//! One line for each argument, `SERVICE=REGISTERS`.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

use interfaces::console::Console;
use kit::Driver;
use libmach::{Context, Result};
use uart16550::{Assignment, Line, Server, Shared};

#[libmach::main]
fn main(context: Context) -> Result<()> {
    let driver = Driver::new(context)?;
    for argument in context.arguments().skip(1) {
        let assignment = Assignment::parse(argument)?;
        let ports = driver.io_ports(assignment.registers)?;
        let line = Shared::new(Line::open(ports)?);
        let interrupt = driver.interrupt(&assignment.interrupt())?;
        driver.serve::<dyn Console, _>(assignment.service, Server::new(&line))?;
        driver.attend(interrupt, move || line.service());
    }
    driver.run()
}
