//! Any bytes for the body `load_arguments`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fourtuple_fuzz::load_arguments(data));
