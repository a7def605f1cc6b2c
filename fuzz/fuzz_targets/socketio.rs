//! Any bytes for the body `socketio`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fourtuple_fuzz::socketio(data));
