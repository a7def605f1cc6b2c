//! One WebSocket to the server, message by message or byte by byte.
//!
//! The codec is tungstenite's, so that our encoder and decoder never agree with themselves alone.
//! Every wait ends: a read that gets nothing for [`PATIENCE`] fails the test that waits.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::{Value, json};
use tungstenite::{
    Error, Message, WebSocket,
    client::{ClientRequestBuilder, IntoClientRequest},
    protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode},
};

/// How long a test waits for bytes that should come at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// What the server sent, or how it left.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Heard {
    Json(Value),
    Binary(Vec<u8>),
    Pong(Vec<u8>),
    /// A close frame with this code; 1005 when it had none.
    Closed(u16),
    /// The connection ended without a close frame.
    Gone,
}

/// An open WebSocket.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: WebSocket<Steady>,
}

impl Wire {
    /// Opens a socket that speaks the V2 serializer.
    pub(crate) fn open(addr: SocketAddr) -> Self {
        Self::open_at(addr, "/socket/websocket?vsn=2.0.0")
    }

    pub(crate) fn open_at(addr: SocketAddr, target: &str) -> Self {
        Self::upgrade(addr, target, &[]).unwrap_or_else(|status| panic!("{target}: {status}"))
    }

    /// Asks for a WebSocket with these headers besides; the status of the refusal otherwise.
    pub(crate) fn upgrade(
        addr: SocketAddr,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, u16> {
        let uri = format!("ws://{addr}{target}")
            .parse()
            .expect("a target is a URI");
        let request = headers
            .iter()
            .fold(ClientRequestBuilder::new(uri), |request, (name, value)| {
                request.with_header(*name, *value)
            });
        Self::ask(addr, request)
    }

    /// Asks for a WebSocket with these subprotocols.
    pub(crate) fn with_protocols(addr: SocketAddr, protocols: &[&str]) -> Result<Self, u16> {
        let uri = format!("ws://{addr}/socket/websocket?vsn=2.0.0")
            .parse()
            .expect("a URI");
        let request = protocols
            .iter()
            .fold(ClientRequestBuilder::new(uri), |request, protocol| {
                request.with_sub_protocol(*protocol)
            });
        Self::ask(addr, request)
    }

    fn ask(addr: SocketAddr, request: impl IntoClientRequest) -> Result<Self, u16> {
        // What a test sends broken is its own doing, so nothing here is stricter than the server.
        let config = WebSocketConfig::default()
            .max_message_size(None)
            .max_frame_size(None);
        let request = request
            .into_client_request()
            .expect("a request for a WebSocket");
        match tungstenite::client::client_with_config(request, Steady(dial(addr)), Some(config)) {
            Ok((socket, _)) => Ok(Self { socket }),
            Err(tungstenite::HandshakeError::Failure(Error::Http(response))) => {
                Err(response.status().as_u16())
            }
            Err(other) => panic!("the handshake failed: {other}"),
        }
    }

    pub(crate) fn send(&mut self, message: &Value) {
        self.send_text(&message.to_string());
    }

    pub(crate) fn send_text(&mut self, text: &str) {
        self.socket
            .send(Message::text(text))
            .expect("the socket is open");
    }

    pub(crate) fn send_binary(&mut self, bytes: &[u8]) {
        self.socket
            .send(Message::binary(bytes.to_vec()))
            .expect("the socket is open");
    }

    pub(crate) fn close(&mut self, code: u16) {
        let frame = CloseFrame {
            code: CloseCode::from(code),
            reason: "done".into(),
        };
        self.socket.close(Some(frame)).expect("the socket is open");
    }

    /// Writes bytes past the codec, straight to the connection.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.socket
            .get_mut()
            .write_all(bytes)
            .expect("the connection is open");
    }

    /// Writes bytes that the server may be refusing already.
    pub(crate) fn raw_while_it_lasts(&mut self, bytes: &[u8]) {
        // A reset in between is an answer too: the test asks for the answer that came before it.
        drop(self.socket.get_mut().write_all(bytes));
    }

    /// The next thing the server says.
    pub(crate) fn hear(&mut self) -> Heard {
        loop {
            return match self.socket.read() {
                Ok(Message::Text(text)) => Heard::Json(serde_json::from_str(&text).expect("JSON")),
                Ok(Message::Binary(bytes)) => Heard::Binary(bytes.to_vec()),
                Ok(Message::Pong(bytes)) => Heard::Pong(bytes.to_vec()),
                Ok(Message::Close(frame)) => Heard::Closed(frame.map_or(1005, |f| f.code.into())),
                Ok(Message::Ping(_) | Message::Frame(_)) => continue,
                Err(Error::Io(error)) if waited(&error) => panic!("heard nothing for {PATIENCE:?}"),
                Err(
                    Error::Io(_)
                    | Error::Protocol(_)
                    | Error::ConnectionClosed
                    | Error::AlreadyClosed,
                ) => Heard::Gone,
                Err(other) => panic!("{other}"),
            };
        }
    }

    /// The next message must be this one.
    #[track_caller]
    pub(crate) fn expect(&mut self, message: Value) {
        assert_eq!(self.hear(), Heard::Json(message));
    }

    /// The server must close with this code, whatever it had still to say before.
    #[track_caller]
    pub(crate) fn expect_close(&mut self, code: u16) {
        loop {
            match self.hear() {
                Heard::Json(_) | Heard::Binary(_) | Heard::Pong(_) => {}
                other => return assert_eq!(other, Heard::Closed(code)),
            }
        }
    }

    /// The server must drop this connection, with or without a word; a slow reader may never have
    /// got the close frame that it was sent.
    #[track_caller]
    pub(crate) fn expect_drop(&mut self) {
        loop {
            match self.hear() {
                Heard::Json(_) | Heard::Binary(_) | Heard::Pong(_) => {}
                Heard::Closed(code) => return assert_eq!(code, 4008),
                Heard::Gone => return,
            }
        }
    }

    /// Waits for a close frame without answering it.
    pub(crate) fn peek_close(&mut self) {
        let mut first = [0];
        self.socket
            .get_mut()
            .read_exact(&mut first)
            .expect("the connection is open");
        assert_eq!(first, [0x88], "a close frame");
    }

    /// Nothing may be on its way: the answer to a heartbeat must be the next thing heard.
    #[track_caller]
    pub(crate) fn expect_silence(&mut self) {
        self.send(&json!([null, "silence", "phoenix", "heartbeat", {}]));
        self.expect(
            json!([null, "silence", "phoenix", "phx_reply", {"status": "ok", "response": {}}]),
        );
    }

    /// Joins a topic with `join_ref` as its ref and expects the answer to be ok.
    #[track_caller]
    pub(crate) fn join(&mut self, join_ref: &str, topic: &str) {
        self.send(&json!([join_ref, join_ref, topic, "phx_join", {}]));
        match self.hear() {
            Heard::Json(reply) => {
                assert_eq!(reply[1], join_ref, "{reply}");
                assert_eq!(reply[4]["status"], "ok", "{reply}");
            }
            other => panic!("{topic}: {other:?}"),
        }
    }
}

/// A connection whose reads and writes go on after a signal. With a timeout set they are not restarted
/// by the kernel (`man 7 signal`), and the codec takes that for an error.
#[derive(Debug)]
struct Steady(TcpStream);

impl Read for Steady {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        undisturbed(|| self.0.read(buffer))
    }
}

impl Write for Steady {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        undisturbed(|| self.0.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn undisturbed<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// An answer to an HTTP request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Sends a request as it is and reads until the server has closed the connection.
pub(crate) fn http(addr: SocketAddr, request: &str) -> Answer {
    let mut stream = dial(addr);
    stream
        .write_all(request.as_bytes())
        .expect("the server reads");
    let text = read_to_end(&mut stream);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let status = status.unwrap_or_else(|| panic!("not an HTTP answer: {text:?}"));
    Answer {
        status,
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    }
}

/// A connection on which no read or write waits for ever.
pub(crate) fn dial(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&addr, PATIENCE).expect("the server accepts");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a timeout above zero");
    stream
        .set_write_timeout(Some(PATIENCE))
        .expect("a timeout above zero");
    stream.set_nodelay(true).expect("a TCP socket");
    stream
}

/// Everything until the end of the connection, be it orderly or a reset.
pub(crate) fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(error) if waited(&error) => {
            panic!(
                "still open after {PATIENCE:?}: {:?}",
                String::from_utf8_lossy(&bytes)
            )
        }
        Ok(_) | Err(_) => String::from_utf8_lossy(&bytes).into_owned(),
    }
}

fn waited(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
