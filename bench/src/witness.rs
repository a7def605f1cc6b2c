//! What the server says of the crowd, by its own `GET /metrics`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddrV4, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail};

/// A server that says nothing for so long is gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to the admin side.
#[derive(Debug)]
pub(crate) struct Witness {
    admin: SocketAddrV4,
    stream: BufReader<TcpStream>,
}

/// What the server counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// WebSockets that were open once.
    pub(crate) opened: u64,
    /// Joins that were granted.
    pub(crate) joined: u64,
    /// WebSockets that are open.
    pub(crate) there: u64,
}

impl Witness {
    pub(crate) fn of(admin: SocketAddrV4) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(admin).context("the admin side does not listen")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let stream = BufReader::new(stream);
        Ok(Self { admin, stream })
    }

    pub(crate) fn look(&mut self) -> anyhow::Result<Seen> {
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {}\r\n\r\n", self.admin);
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        if !line.starts_with("HTTP/1.1 200 ") {
            bail!("the server does not tell its metrics: {line}");
        }
        let mut length = None;
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let head = line.trim();
            if head.is_empty() {
                break;
            }
            if let Some((name, value)) = head.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = Some(value.trim().parse()?);
            }
        }
        let mut body = vec![0; length.context("the metrics have no length")?];
        self.stream.read_exact(&mut body)?;
        Ok(Seen::parse(&String::from_utf8_lossy(&body)))
    }
}

impl Seen {
    /// Adds up the shards' figures of a text for Prometheus.
    fn parse(metrics: &str) -> Self {
        let mut seen = Self::default();
        for line in metrics.lines() {
            let Some((name, value)) = line.rsplit_once(' ') else {
                continue;
            };
            // Gauges may have a point; these count.
            let value = value.parse().unwrap_or(0.0) as u64;
            match name {
                "fourtuple_opened_connections_total" => seen.opened += value,
                r#"fourtuple_joins_total{outcome="granted"}"# => seen.joined += value,
                _ if name.starts_with("fourtuple_connections{") => seen.there += value,
                _ => {}
            }
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_shards_are_added_up() {
        let text = "# HELP fourtuple_connections Open WebSockets.\n\
                    fourtuple_connections{shard=\"0\"} 3.0\n\
                    fourtuple_connections{shard=\"1\"} 4\n\
                    fourtuple_opened_connections_total 9\n\
                    fourtuple_joins_total{outcome=\"granted\"} 8\n\
                    fourtuple_joins_total{outcome=\"refused\"} 1\n";
        let seen = Seen {
            opened: 9,
            joined: 8,
            there: 7,
        };
        assert_eq!(Seen::parse(text), seen);
    }
}
