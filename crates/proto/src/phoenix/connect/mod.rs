//! What a client says before it is connected: where, as whom, from which page.
//!
//! Pure answers to the questions of the HTTP request; the caller turns a refusal into its status.
//! Phoenix asks them in this order: origin, subprotocols, `vsn`, and then the application.
//!
//! Source: Phoenix `lib/phoenix/transports/websocket.ex`, `lib/phoenix/socket/transport.ex`.

mod origin;
mod params;
mod protocols;

pub use origin::{InvalidPattern, Origin, OriginCheck, OriginPattern};
pub use params::{Param, Params, ParamsError, ParamsLimits};
pub use protocols::{Protocols, ProtocolsError, choose_protocol};

/// Whether a request's path is where a socket mounted at `mount` takes WebSockets:
/// `<mount>/websocket`. Empty segments do not count, so doubled and trailing slashes match.
pub fn is_websocket_path(mount: &str, path: &str) -> bool {
    let segments = |path| str::split(path, '/').filter(|segment: &&str| !segment.is_empty());
    segments(mount).chain(["websocket"]).eq(segments(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_the_mount_and_websocket() {
        for (mount, path) in [
            ("/socket", "/socket/websocket"),
            ("/socket/", "/socket/websocket/"),
            ("/", "/websocket"),
            ("", "//websocket"),
            ("/a/b", "/a/b/websocket"),
        ] {
            assert!(is_websocket_path(mount, path), "{mount} {path}");
        }
        for path in [
            "/socket",
            "/socket/longpoll",
            "/websocket",
            "/socket/websocket/x",
            "/",
        ] {
            assert!(!is_websocket_path("/socket", path), "{path}");
        }
    }
}
