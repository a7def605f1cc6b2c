//! Any bytes for the body `phoenix_v2`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fourtuple_fuzz::phoenix_v2(data));
