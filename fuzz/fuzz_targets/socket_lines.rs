//! Any bytes for the body `socket_lines`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fourtuple_fuzz::socket_lines(data));
