//! A backend that calls the API: one request, one connection.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{relay::Relay, wire};

/// How long a test waits for what must come true by itself.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the API is. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Api(SocketAddr);

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) head: String,
    pub(crate) json: Value,
}

impl Api {
    pub(crate) fn of(relay: &Relay) -> Self {
        Self(relay.admin())
    }

    pub(crate) fn get(self, path: &str) -> Reply {
        self.call("GET", path, &[], None)
    }

    /// The JSON of an answer that must be 200.
    #[track_caller]
    pub(crate) fn see(self, path: &str) -> Value {
        let reply = self.get(path);
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        reply.json
    }

    pub(crate) fn post(self, path: &str, body: &Value) -> Reply {
        self.send("POST", path, body)
    }

    pub(crate) fn send(self, method: &str, path: &str, body: &Value) -> Reply {
        self.call(method, path, &[JSON], Some(&body.to_string()))
    }

    /// The same with a key.
    pub(crate) fn post_under(self, key: &str, path: &str, body: &Value) -> Reply {
        let headers = [JSON, ("Idempotency-Key", key)];
        self.call("POST", path, &headers, Some(&body.to_string()))
    }

    pub(crate) fn call(
        self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Reply {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.0);
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        if let Some(body) = body {
            request += &format!("Content-Length: {}\r\n", body.len());
        }
        request += &format!("Connection: close\r\n\r\n{}", body.unwrap_or_default());
        let answer = wire::http(self.0, &request);
        Reply {
            status: answer.status,
            json: serde_json::from_str(&answer.body).unwrap_or_default(),
            head: answer.head,
        }
    }

    /// Asks until the answer is as it must become.
    #[track_caller]
    pub(crate) fn see_until(self, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let json = self.see(path);
            if is_so(&json) {
                return json;
            }
            assert!(Instant::now() < deadline, "{path} is still {json}");
            thread::yield_now();
        }
    }
}

/// The header that says what a body is.
pub(crate) const JSON: (&str, &str) = ("Content-Type", "application/json");
