//! The bodies of the fuzz targets: those that the tests of each crate run over their corpus.
//!
//! A body lives beside the tests, so that it runs without a fuzzer on every machine, and is included
//! here by its path. Each target is one line that names its body.

#![forbid(unsafe_code)]

// The bodies call the crates as the tests of these crates do.
extern crate capacity as fourtuple_capacity;
extern crate engine as fourtuple_engine;
extern crate fourtuple_proto as proto;

#[path = "../../crates/load/tests/agents/body.rs"]
mod agents_body;
#[path = "../../crates/load/tests/arguments/body.rs"]
mod arguments_body;
#[path = "../../crates/proto/tests/wire/bodies.rs"]
mod bodies;
#[path = "../../crates/server/tests/config/body.rs"]
mod config_body;
#[path = "../../crates/server/tests/simulated/hall.rs"]
mod hall;
#[path = "../../crates/capacity/tests/process/machine_body.rs"]
mod machine_body;
#[path = "../../crates/proto/tests/wire/phoenix_bodies.rs"]
mod phoenix_bodies;
#[path = "../../crates/capacity/tests/process/body.rs"]
mod process_body;
#[allow(
    dead_code,
    reason = "the tests have limits of their own beside those of the bodies"
)]
#[path = "../../crates/proto/tests/wire/script.rs"]
mod script;

#[path = "../../crates/load/tests/script/body.rs"]
mod script_body;
#[path = "../../crates/server/tests/simulated/shard_body.rs"]
mod shard_body;
#[path = "../../crates/server/tests/simulated/shard_client.rs"]
mod shard_client;
#[path = "../../crates/server/tests/simulated/shard_script.rs"]
mod shard_script;
#[path = "../../crates/proto/tests/wire/socketio_bodies.rs"]
mod socketio_bodies;
#[path = "../../crates/capacity/tests/sockets/bodies.rs"]
mod sockets_bodies;
#[path = "../../crates/engine/tests/tls/body.rs"]
mod tls_body;

/// Gives each target its body.
macro_rules! targets {
    ($($target:ident: $body:path;)*) => {
        $(
            #[doc = concat!("The target `", stringify!($target), "`.")]
            pub fn $target(data: &[u8]) {
                $body(data);
            }
        )*
    };
}

targets! {
    ws_server: bodies::fuzz_ws_server;
    ws_client: bodies::fuzz_ws_client;
    http_request: bodies::fuzz_http_request;
    http_response: bodies::fuzz_http_response;
    phoenix_v1: phoenix_bodies::fuzz_phoenix_v1;
    phoenix_v2: phoenix_bodies::fuzz_phoenix_v2;
    phoenix_binary: phoenix_bodies::fuzz_phoenix_binary;
    phoenix_received_text: phoenix_bodies::fuzz_phoenix_received_text;
    phoenix_received_binary: phoenix_bodies::fuzz_phoenix_received_binary;
    phoenix_params: phoenix_bodies::fuzz_phoenix_params;
    phoenix_connect: phoenix_bodies::fuzz_phoenix_connect;
    socketio: socketio_bodies::fuzz_socketio;
    server_config: config_body::fuzz_config;
    load_arguments: arguments_body::fuzz_arguments;
    load_script: script_body::fuzz_script;
    load_agents: agents_body::fuzz_agents;
    process_files: process_body::fuzz_process_files;
    machine_files: machine_body::fuzz_machine_files;
    shard: shard_body::fuzz_shard;
    socket_lines: sockets_bodies::fuzz_socket_lines;
    socket_messages: sockets_bodies::fuzz_socket_messages;
    tls_client: tls_body::fuzz_tls_client;
}
