//! `targets::trace` under the engine.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::trace(data));
