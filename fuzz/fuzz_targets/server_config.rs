//! Any bytes for the body `server_config`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fourtuple_fuzz::server_config(data));
