//! Any bytes for the body `ws_client`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fourtuple_fuzz::ws_client(data));
