//! Any bytes for the body `machine_files`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fourtuple_fuzz::machine_files(data));
