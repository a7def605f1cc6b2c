//! Any bytes for the body `phoenix_v1`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fourtuple_fuzz::phoenix_v1(data));
