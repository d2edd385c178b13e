//! A panic becomes an exception: the text goes to the supervisor, the task dies.
//!
//! Convention with the supervisor: `int3` (`EXC_BREAKPOINT`) with `rax` =
//! `abi::exception::software::PANIC`, `rdi` = address and `rsi` = size of the text, UTF-8. The
//! supervisor reads registers and memory through the task's ports before it lets the task go.

use core::fmt::{self, Write as _};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

/// Bytes of a panic's text; a longer one is cut.
const CAPACITY: usize = 512;

struct Text {
    bytes: [u8; CAPACITY],
    size: usize,
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = CAPACITY - self.size;
        let size = text.floor_char_boundary(text.len().min(room));
        self.bytes[self.size..self.size + size].copy_from_slice(&text.as_bytes()[..size]);
        self.size += size;
        Ok(())
    }
}

static PANICKED: AtomicBool = AtomicBool::new(false);

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let mut text = Text {
        bytes: [0; CAPACITY],
        size: 0,
    };
    // A second panic, out of the first one's `Display`, says nothing.
    if !PANICKED.swap(true, Ordering::Relaxed) {
        // Writing never fails: what does not fit is cut.
        crate::ignore(match info.location() {
            Some(at) => write!(text, "{} ({}:{})", info.message(), at.file(), at.line()),
            None => write!(text, "{}", info.message()),
        });
    }
    loop {
        // SAFETY: an exception; the supervisor terminates the task. Should it resume the thread
        // instead, no register was changed and the loop raises it again.
        unsafe {
            core::arch::asm!(
                "int3",
                in("rax") abi::exception::software::PANIC,
                in("rdi") text.bytes.as_ptr(),
                in("rsi") text.size,
                options(nostack),
            );
        }
    }
}
