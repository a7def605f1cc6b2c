//! Any bytes for the body `phoenix_connect`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fourtuple_fuzz::phoenix_connect(data));
