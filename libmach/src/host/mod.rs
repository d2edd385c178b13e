//! x
use crate::trap::Registers;
pub(crate) fn buffer() -> *mut u8 {
    core::ptr::null_mut()
}
pub(crate) unsafe fn mach_msg(registers: Registers) -> (u32, Registers) {
    (0x1000_0010, registers)
}
pub(crate) unsafe fn trap(_number: i64, _arguments: [u64; 6]) -> (u64, u64) {
    (46, 0)
}
/// What a program's host build does when run: says why it does nothing.
pub fn refuse_main<E>(_main: fn(crate::Context) -> Result<(), E>) -> std::process::ExitCode {
    std::eprintln!("error: this program runs on MelloOS\ntry: cargo xtask run");
    std::process::ExitCode::from(2)
}
