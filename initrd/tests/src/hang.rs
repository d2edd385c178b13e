//! `tests --hang KIND`: never ends, so that a watchdog has something to find.

use libmach::{Context, ReceiveRight, message};

/// Hangs: `wait` in a receive on a port that nobody knows, `spin` on the CPU. Another word ends with 98.
pub fn hang(context: &Context, kind: &str) -> ! {
    match kind {
        "wait" => {
            if let Ok(port) = ReceiveRight::<()>::new() {
                loop {
                    message::receive(port.name());
                }
            }
            context.exit(99)
        }
        "spin" => loop {
            core::hint::spin_loop();
        },
        _ => context.exit(98),
    }
}
