//! `tests --ask SERVICE`: somebody's first message to a service that waits for one.

use interfaces::echo::Echo;
use libmach::{Context, Error, KernReturn};

/// Looks the service up and sends a request of echo's, which any other server does not know: 0 when a server says so.
pub fn ask(context: &Context, service: &str) -> u8 {
    let answer = context
        .look_up_right::<dyn Echo>(service)
        .and_then(|right| right.client().echo(1));
    u8::from(!matches!(answer, Err(Error::Code(KernReturn::MigBadId))))
}
