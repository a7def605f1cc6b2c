//! Any bytes for the body `http_request`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fourtuple_fuzz::http_request(data));
