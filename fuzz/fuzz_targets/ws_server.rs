//! Any bytes for the body `ws_server`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fourtuple_fuzz::ws_server(data));
