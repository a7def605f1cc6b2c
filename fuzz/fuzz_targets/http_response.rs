//! Any bytes for the body `http_response`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fourtuple_fuzz::http_response(data));
