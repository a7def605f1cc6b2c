//! What each parser promises for any bytes at all. The fuzz targets include this file.

use fourtuple_proto::{
    http::{self, Parsed, head_end},
    ws::{
        Limits, Role,
        handshake::{ClientKey, accept, verify},
    },
};

use crate::script::{Heard, hear};

/// Small, so that a fuzzer reaches them.
const WS_LIMITS: Limits = Limits {
    frame_bytes_max: 600,
    message_bytes_max: 1000,
    fragments_max: 8,
};

const HTTP_LIMITS: http::Limits = http::Limits {
    head_bytes_max: 1024,
    headers_max: 16,
};

/// A server hears the same in any pieces, within its limits, and ends once.
pub(crate) fn fuzz_ws_server(data: &[u8]) {
    fuzz_ws(Role::Server, data);
}

/// A client hears the same in any pieces, within its limits, and ends once.
pub(crate) fn fuzz_ws_client(data: &[u8]) {
    fuzz_ws(Role::Client, data);
}

fn fuzz_ws(role: Role, data: &[u8]) {
    let whole = hear(role, &WS_LIMITS, [data]);
    for heard in &whole {
        let (len, max) = match heard {
            Heard::Text(text) => (text.len() as u64, WS_LIMITS.message_bytes_max),
            Heard::Binary(bytes) => (bytes.len() as u64, WS_LIMITS.message_bytes_max),
            Heard::Ping(bytes) | Heard::Pong(bytes) => (bytes.len() as u64, 125),
            Heard::Close(close) => (
                close.as_ref().map_or(0, |(_, reason)| reason.len() as u64),
                123,
            ),
            Heard::Failed(error) => {
                assert!(error.close_code().is_sendable());
                continue;
            }
        };
        assert!(len <= max, "{heard:?} is longer than {max}");
    }
    for size in [1, 2, 3, 7, 64] {
        assert_eq!(
            hear(role, &WS_LIMITS, data.chunks(size)),
            whole,
            "in pieces of {size}"
        );
    }
}

/// A request is complete exactly where its head ends, whatever follows; a part of it is never more
/// than a part; and the handshake has an answer to it.
pub(crate) fn fuzz_http_request(data: &[u8]) {
    fuzz_head(data, |bytes| {
        let Parsed::Complete { head, len } = http::parse_request(bytes, &HTTP_LIMITS)? else {
            return Ok(None);
        };
        assert!(head.headers.len() <= HTTP_LIMITS.headers_max);
        assert!(head.path().is_empty() || head.path().starts_with('/'));
        let mut response = Vec::new();
        match accept(&head) {
            Ok(accept) => accept.encode(&mut response, head.header("sec-websocket-protocol")),
            Err(refusal) => refusal.encode(&mut response),
        }
        let limits = http::Limits {
            head_bytes_max: 2048,
            headers_max: 8,
        };
        let answer = http::parse_response(&response, &limits);
        assert!(matches!(answer, Ok(Parsed::Complete { .. })), "{answer:?}");
        Ok(Some((format!("{head:?}"), len)))
    });
}

/// A response is complete exactly where its head ends, whatever follows; a part of it is never more
/// than a part; and only the right digest opens a WebSocket.
pub(crate) fn fuzz_http_response(data: &[u8]) {
    fuzz_head(data, |bytes| {
        let Parsed::Complete { head, len } = http::parse_response(bytes, &HTTP_LIMITS)? else {
            return Ok(None);
        };
        assert!(head.headers.len() <= HTTP_LIMITS.headers_max);
        // RFC 6455 §1.3: the example's key, so that a corpus can hold its digest.
        let key = ClientKey::new(*b"the sample nonce");
        if let Ok(protocol) = verify(&head, &key, &["phoenix"]) {
            assert_eq!(head.status, 101);
            assert_eq!(
                head.header("sec-websocket-accept"),
                Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
            );
            assert!(matches!(protocol, None | Some("phoenix")));
        }
        Ok(Some((format!("{head:?}"), len)))
    });
}

/// A head in words and its length, if it is whole.
type Head = Result<Option<(String, usize)>, http::Error>;

fn fuzz_head(data: &[u8], parse: impl Fn(&[u8]) -> Head) {
    let end = head_end(data, 0);
    for from in 0..=data.len() {
        // Where nothing was found in the first bytes, the search goes on behind them.
        if head_end(&data[..from], 0).is_none() {
            assert_eq!(head_end(data, from), end, "resumed at {from}");
        }
    }
    let whole = parse(data);
    match (&whole, end) {
        (Ok(Some((_, len))), end) => assert_eq!(Some(*len), end),
        (Ok(None), end) => assert!(end.is_none() && data.len() <= HTTP_LIMITS.head_bytes_max),
        (Err(error), _) => assert!(matches!(error.status(), 400 | 431 | 505)),
    }
    let Some(end) = end else { return };
    assert_eq!(
        parse(&data[..end]),
        whole,
        "what follows a head is none of its business"
    );
    for len in 0..end {
        match parse(&data[..len]) {
            Ok(None) => {}
            Ok(Some(head)) => panic!("{head:?} is whole after {len} of {end} bytes"),
            Err(error) => assert!(whole.is_err(), "{error} after {len} of {end} bytes"),
        }
    }
}
