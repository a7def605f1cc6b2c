//! Any bytes for the body `process_files`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fourtuple_fuzz::process_files(data));
