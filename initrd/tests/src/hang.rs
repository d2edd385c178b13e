//! `tests --hang KIND`: never ends, so that a watchdog has something to find, and a panic something to end.

use libmach::{ReceiveRight, Result, message};

use crate::case::World;

/// Says that it begins, and hangs: `wait` in a receive on a port that nobody knows, `spin` on the CPU. Another word ends
/// with 98.
///
/// # Errors
/// When it cannot be said, or there is no port.
pub fn hang(world: &World, kind: &str) -> Result<u8> {
    world.write("hangs\n")?;
    match kind {
        "wait" => {
            let port = ReceiveRight::<()>::new()?;
            loop {
                message::receive(port.name());
            }
        }
        "spin" => loop {
            core::hint::spin_loop();
        },
        _ => Ok(98),
    }
}
