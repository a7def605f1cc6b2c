//! Any bytes for the body `load_script`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fourtuple_fuzz::load_script(data));
