//! `mach_error_string` and the C names of codes.

use abi::kern_return::{KernReturn, MessageReturn};
use alloc::ffi::CString;
use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::c_char;
use interfaces::bootstrap::refusal;
use libmach::abi;
use libmach::sync::Mutex;

/// Codes of the name service, by their C names.
pub const BOOTSTRAP: [(&str, KernReturn); 10] = [
    ("BOOTSTRAP_NOT_PRIVILEGED", refusal::NOT_PRIVILEGED),
    ("BOOTSTRAP_NAME_IN_USE", refusal::NAME_IN_USE),
    ("BOOTSTRAP_UNKNOWN_SERVICE", refusal::UNKNOWN_SERVICE),
    ("BOOTSTRAP_SERVICE_ACTIVE", refusal::SERVICE_ACTIVE),
    ("BOOTSTRAP_BAD_COUNT", refusal::BAD_COUNT),
    ("BOOTSTRAP_NO_MEMORY", refusal::NO_MEMORY),
    ("BOOTSTRAP_SERVICE_FAILED", refusal::SERVICE_FAILED),
    ("BOOTSTRAP_NO_SUCH_PROGRAM", refusal::NO_SUCH_PROGRAM),
    ("BOOTSTRAP_NOT_RUNNING", refusal::NOT_RUNNING),
    ("BOOTSTRAP_NOT_LOADED", refusal::NOT_LOADED),
];

/// The C name of a code of any kind: `KERN_INVALID_NAME`, `MACH_SEND_INVALID_DEST`, `MIG_BAD_ID`.
pub fn c_name(code: u32) -> Option<String> {
    if let Some((name, _)) = BOOTSTRAP.iter().find(|(_, known)| known.0 == code) {
        return Some(String::from(*name));
    }
    if let Some(name) = KernReturn(code).name() {
        let prefix = if name.starts_with("Mig") { "" } else { "KERN_" };
        return Some(upper(prefix, name));
    }
    let name = MessageReturn(code).without_resources().name()?;
    Some(match name.strip_prefix("Receive") {
        Some(rest) => upper("MACH_RCV_", rest),
        None => upper("MACH_", name),
    })
}

/// `NoSpace` as `PREFIX_NO_SPACE`.
pub(crate) fn upper(prefix: &str, name: &str) -> String {
    let mut text = String::from(prefix);
    for (index, letter) in name.char_indices() {
        if index > 0 && letter.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(letter.to_ascii_uppercase());
    }
    text
}

/// Texts that were given out: they stay.
static TEXTS: Mutex<Vec<(u32, CString)>> = Mutex::new(Vec::new());

/// `mach_error_string`: the code's name, which stays valid.
#[unsafe(no_mangle)]
pub extern "C" fn mach_error_string(code: u32) -> *const c_char {
    // All numbers without a name share one text, so that the list is bounded.
    let name = c_name(code);
    let key = if name.is_some() { code } else { u32::MAX };
    let mut texts = TEXTS.lock();
    let place = texts.iter().position(|(known, _)| *known == key);
    let index = place.unwrap_or_else(|| {
        let text = name.unwrap_or_else(|| String::from("unknown error code"));
        // No name holds a NUL.
        texts.push((key, CString::new(text).unwrap_or_default()));
        texts.len() - 1
    });
    texts[index].1.as_ptr()
}

/// `bootstrap_strerror`.
#[unsafe(no_mangle)]
pub extern "C" fn bootstrap_strerror(code: u32) -> *const c_char {
    mach_error_string(code)
}
