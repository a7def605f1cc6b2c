//! Any bytes for the body `phoenix_params`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fourtuple_fuzz::phoenix_params(data));
