//! Any bytes for the body `load_agents`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fourtuple_fuzz::load_agents(data));
