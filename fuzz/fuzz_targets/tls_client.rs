//! Any bytes for the body `tls_client`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fourtuple_fuzz::tls_client(data));
