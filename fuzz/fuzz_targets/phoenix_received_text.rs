//! Any bytes for the body `phoenix_received_text`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fourtuple_fuzz::phoenix_received_text(data));
