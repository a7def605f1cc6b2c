//! The bodies of the fuzz targets, run as ordinary tests.

use crate::{bodies, corpus::Corpus, phoenix_bodies, socketio_bodies};

fn check(name: &str, body: fn(&[u8])) {
    let folder = format!("{}/tests/wire/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
    Corpus {
        folder: &folder,
        cases: 256,
        random_bytes: 0..200,
        body,
    }
    .check();
}

#[test]
fn ws_server() {
    check("ws_server", bodies::fuzz_ws_server);
}

#[test]
fn ws_client() {
    check("ws_client", bodies::fuzz_ws_client);
}

#[test]
fn http_request() {
    check("http_request", bodies::fuzz_http_request);
}

#[test]
fn http_response() {
    check("http_response", bodies::fuzz_http_response);
}

#[test]
fn phoenix_v1() {
    check("phoenix_v1", phoenix_bodies::fuzz_phoenix_v1);
}

#[test]
fn phoenix_v2() {
    check("phoenix_v2", phoenix_bodies::fuzz_phoenix_v2);
}

#[test]
fn phoenix_binary() {
    check("phoenix_binary", phoenix_bodies::fuzz_phoenix_binary);
}

#[test]
fn phoenix_received_text() {
    check(
        "phoenix_received_text",
        phoenix_bodies::fuzz_phoenix_received_text,
    );
}

#[test]
fn phoenix_received_binary() {
    check(
        "phoenix_received_binary",
        phoenix_bodies::fuzz_phoenix_received_binary,
    );
}

#[test]
fn phoenix_params() {
    check("phoenix_params", phoenix_bodies::fuzz_phoenix_params);
}

#[test]
fn phoenix_connect() {
    check("phoenix_connect", phoenix_bodies::fuzz_phoenix_connect);
}

#[test]
fn socketio() {
    check("socketio", socketio_bodies::fuzz_socketio);
}
