//! What a pure crate must not name: time, bytes and randomness reach it as arguments.

use super::source::words;

pub(crate) const PURE_CRATES: [&str; 2] = ["proto", "hub"];

/// Words alone, wherever they stand: an import may nest and rename what it brings.
const IMPURE: [&str; 14] = [
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
    "UnixDatagram",
    "ToSocketAddrs",
    "Instant",
    "SystemTime",
    "File",
    "thread",
    "fs",
    "env",
    "net",
];

/// The words of a line of code that reach for the world. An address is a number, not a socket.
pub(crate) fn impure(line: &str) -> Vec<&'static str> {
    let line = line.replace("core::net::SocketAddr", "");
    IMPURE
        .into_iter()
        .filter(|impure| words(&line).any(|word| word == *impure))
        .collect()
}

#[test]
fn the_world_is_found_inside_nested_imports_and_under_other_names() {
    for (line, found) in [
        ("use std::{", &[][..]),
        ("    net::{self, TcpStream},", &["TcpStream", "net"]),
        ("    fs, thread,", &["thread", "fs"]),
        ("    time::Instant as Clock,", &["Instant"]),
        ("use std::net::SocketAddr;", &["net"]),
        ("let now = std::time::SystemTime::now();", &["SystemTime"]),
        ("use core::net::SocketAddr;", &[]),
        ("use core::net::TcpListener;", &["TcpListener", "net"]),
        ("let environment = offset + filename.thread_count;", &[]),
    ] {
        assert_eq!(impure(line), found, "{line}");
    }
}
