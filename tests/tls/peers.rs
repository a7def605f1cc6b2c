//! Peers that speak no TLS, or not to its end, and a network that cuts it into bytes.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use super::{
    assert_refused, assert_status, kernels, run,
    server::{Authority, Server},
};

/// Serves each connection as `serve` does, until the process ends.
fn listen(serve: impl Fn(TcpStream) + Send + Sync + Copy + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("it listens");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    addr
}

/// Reads what a client says first, which is its `ClientHello`.
fn hear(stream: &mut TcpStream) {
    let mut bytes = [0; 4_096];
    let _ = stream.read(&mut bytes);
}

#[test]
fn a_server_that_speaks_http_is_told_apart() {
    let addr = listen(|mut stream| {
        hear(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    });
    let url = format!("wss://{addr}/");
    let words = ["does not answer in TLS", "ws://"];
    assert_refused(
        "http",
        &url,
        &[("-k", "-q".as_ref())],
        "tls_not_spoken",
        &words,
    );
}

#[test]
fn a_server_that_ends_in_the_middle_of_the_handshake_is_told_apart() {
    let addr = listen(|mut stream| {
        hear(&mut stream);
        // The beginning of a record.
        let _ = stream.write_all(&[22, 3, 3, 0, 122, 2, 0, 0]);
    });
    let url = format!("wss://{addr}/");
    let words = ["ended the connection in the handshake"];
    assert_refused("cut", &url, &[("-k", "-q".as_ref())], "tls_cut", &words);
}

#[test]
fn a_server_that_never_answers_falls_under_the_deadline_of_the_handshake() {
    let addr = listen(|mut stream| {
        let mut bytes = [0; 4_096];
        while matches!(stream.read(&mut bytes), Ok(1..)) {}
    });
    let flags = "--raw -k -c 3 --rate 100 --hold 0s --connect-timeout 1s";
    let (output, report) = run("silent", &format!("wss://{addr}/"), flags, &[]);
    assert_status(&output, 1);
    let failures = &report["not_opened"];
    assert_eq!(failures[0]["class"], "handshake_timeout", "{report:#}");
}

/// Carries bytes one by one.
fn dribble(mut from: TcpStream, mut to: TcpStream) {
    to.set_nodelay(true).expect("a socket");
    let mut bytes = [0; 16_384];
    loop {
        let count = match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        for byte in &bytes[..count] {
            if to.write_all(std::slice::from_ref(byte)).is_err() {
                return;
            }
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

#[test]
fn records_that_come_byte_by_byte_are_the_same() {
    let authority = Authority::new("bytes");
    for version in ["1.2", "1.3"] {
        let server = Server::start(&authority.server_pass(), version, None);
        let target: SocketAddr = ([127, 0, 0, 1], server.port()).into();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("it listens");
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect_timeout(&target, Duration::from_secs(5));
                let Ok(server) = server else { return };
                let clones = (client.try_clone(), server.try_clone());
                let (Ok(to_client), Ok(from_server)) = clones else {
                    return;
                };
                thread::spawn(move || dribble(client, server));
                thread::spawn(move || dribble(from_server, to_client));
            }
        });
        for kernel in kernels() {
            let flags =
                format!("--raw -c 5 --rate 100 --hold 1s --push 4/s --size 3000 --kernel {kernel}");
            let url = format!("wss://{addr}/");
            let (output, _) = run("bytes", &url, &flags, &[("--ca", &authority.file())]);
            assert_status(&output, 0);
        }
        server.wait_for(5 * kernels().len(), "goodbye clean");
    }
}
