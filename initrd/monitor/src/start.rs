//! The monitor's sessions, wired to its rights.

use alloc::rc::Rc;

use interfaces::console::Console;
use libmach::{Context, Result, Runtime};

use crate::port::Port;
use crate::session::{Kind, Session};
use crate::shell::{Rights, Shell};
use crate::{remote, terminal};

/// Sets the terminal's session and the command channel's going on `runtime`.
///
/// # Errors
/// When the manifest does not name the rights that they need.
pub fn start(context: &Context, runtime: &Runtime) -> Result<()> {
    let shell = Rc::new(Shell::new(runtime, Rights::of(context)?));
    let port = |name| -> Result<Port> {
        let right = context.send_right::<dyn Console>(name)?;
        Ok(Port::new(runtime, right))
    };

    let channel = Rc::new(Session::new(Kind::Channel, port("channel")?));
    let (served, reading) = (Rc::clone(&shell), port("channel")?);
    runtime.spawn(async move {
        end(remote::attend(&served, &channel, &reading).await);
    });

    // For one command, the console is left to what everybody else says.
    if context.variable("mode") != Some("command") {
        let console = Rc::new(Session::new(Kind::Terminal, port("console")?));
        let (heard, reading) = (Rc::clone(&console), port("console")?);
        runtime.spawn(async move { end(terminal::listen(&heard, &reading).await) });
        runtime.spawn(async move { end(terminal::attend(&shell, &console).await) });
    }
    Ok(())
}

/// A session that cannot go on ends the monitor: the supervisor reports it and starts it again.
fn end(result: Result<()>) {
    if let Err(error) = result {
        panic!("a session ended: {error}");
    }
}
