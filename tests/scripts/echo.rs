//! A small WebSocket server that nobody here wrote the codec of: it says back what it hears, and remembers
//! what that was.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use tungstenite::{
    Message, accept_hdr,
    handshake::server::{Request, Response},
};

/// How the server behaves.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ways {
    /// The subprotocol that it speaks.
    pub(crate) protocol: Option<&'static str>,
}

/// A server with a thread for each connection, which ends with the process.
#[derive(Debug)]
pub(crate) struct Echo {
    addr: SocketAddr,
    memory: Arc<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    heard: Mutex<Vec<String>>,
    heads: Mutex<Vec<String>>,
}

impl Echo {
    pub(crate) fn start(ways: Ways) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("it listens");
        let memory = Arc::<Memory>::default();
        let shared = Arc::clone(&memory);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let memory = Arc::clone(&shared);
                thread::spawn(move || serve(stream, ways, &memory));
            }
        });
        Self { addr, memory }
    }

    /// The server's URL, with the path `/`.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}/", self.addr)
    }

    /// Every text that it heard.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.memory
            .heard
            .lock()
            .expect("no thread panics with it")
            .clone()
    }

    /// The target and the headers of every request.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.memory
            .heads
            .lock()
            .expect("no thread panics with it")
            .clone()
    }
}

#[allow(
    clippy::result_large_err,
    reason = "the callback's type is tungstenite's"
)]
fn serve(stream: TcpStream, ways: Ways, memory: &Memory) {
    let greet = |request: &Request, mut response: Response| {
        let headers = request.headers().iter();
        let headers: Vec<_> = headers
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or_default()))
            .collect();
        let head = format!("{}\n{}", request.uri(), headers.join("\n"));
        memory
            .heads
            .lock()
            .expect("no thread panics with it")
            .push(head);
        if let Some(protocol) = ways.protocol {
            let value = protocol.parse().expect("a header's value");
            response
                .headers_mut()
                .insert("sec-websocket-protocol", value);
        }
        Ok(response)
    };
    let Ok(mut socket) = accept_hdr(stream, greet) else {
        return;
    };
    while let Ok(message) = socket.read() {
        if let Message::Text(text) = &message {
            memory
                .heard
                .lock()
                .expect("no thread panics with it")
                .push(text.to_string());
            if socket.send(message).is_err() {
                return;
            }
        }
    }
}
