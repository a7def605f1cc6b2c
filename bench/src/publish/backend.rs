//! A backend: one connection to the HTTP API, one batch after the other.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::{BODY, DIGITS, padding, topic};

/// What a backend has published.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Sent {
    pub(super) messages: u64,
    /// Batches of which only a part was taken at first.
    pub(super) stopped: u64,
}

/// A batch whose numbers are written over for the next.
#[derive(Debug)]
struct Batch {
    body: Vec<u8>,
    /// Where the numbers are, with the index of each message's topic.
    places: Vec<(usize, usize)>,
}

/// Publishes to `topics` in turn, each message with the next number of its topic.
pub(super) fn publish(
    server: SocketAddrV4,
    topics: &[usize],
    batch: usize,
    until: Instant,
) -> anyhow::Result<Sent> {
    let mut sent = Sent::default();
    if topics.is_empty() {
        return Ok(sent);
    }
    let mut connection = Connection::open(server)?;
    let mut numbers = vec![0_u32; topics.len()];
    let mut whole = Batch::of(
        topics,
        &(0..topics.len()).cycle().take(batch).collect::<Vec<_>>(),
    );
    while Instant::now() < until {
        whole.number(&mut numbers.clone());
        let mut left: Vec<_> = whole.places.iter().map(|(_, index)| *index).collect();
        let mut taken = connection.post(&whole.body)?;
        while taken < left.len() {
            sent.stopped += 1;
            left.iter()
                .take(taken)
                .for_each(|index| numbers[*index] += 1);
            sent.messages += taken as u64;
            left.drain(..taken);
            let mut rest = Batch::of(topics, &left);
            rest.number(&mut numbers.clone());
            taken = connection.post(&rest.body)?;
        }
        left.iter().for_each(|index| numbers[*index] += 1);
        sent.messages += left.len() as u64;
    }
    Ok(sent)
}

impl Batch {
    fn of(topics: &[usize], indexes: &[usize]) -> Self {
        let (mut body, mut places) = (br#"{"messages":["#.to_vec(), Vec::new());
        for index in indexes {
            if !places.is_empty() {
                body.push(b',');
            }
            let topic = topic(topics[*index]);
            let head = format!(r#"{{"topic":"{topic}","event":"tick","payload":{BODY}"#);
            body.extend_from_slice(head.as_bytes());
            places.push((body.len(), *index));
            body.extend_from_slice(&[b'0'; DIGITS]);
            body.extend_from_slice(padding().as_bytes());
            body.push(b'}');
        }
        body.extend_from_slice(b"]}");
        Self { body, places }
    }

    /// Writes the numbers that follow for each topic.
    fn number(&mut self, next: &mut [u32]) {
        for (place, index) in &self.places {
            let mut number = next[*index];
            next[*index] += 1;
            for digit in self.body[*place..*place + DIGITS].iter_mut().rev() {
                *digit = b'0' + (number % 10) as u8;
                number /= 10;
            }
        }
    }
}

/// A connection that is kept.
#[derive(Debug)]
struct Connection {
    server: SocketAddrV4,
    stream: BufReader<TcpStream>,
}

impl Connection {
    fn open(server: SocketAddrV4) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(server).context("the admin side does not accept")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let stream = BufReader::with_capacity(64 << 10, stream);
        Ok(Self { server, stream })
    }

    /// Posts a batch; how many messages of it were taken.
    fn post(&mut self, body: &[u8]) -> anyhow::Result<usize> {
        let head = format!(
            "POST /api/v1/publish/batch HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            self.server,
            body.len()
        );
        let stream = self.stream.get_mut();
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let (status, answer) = self.answer()?;
        // The number stands in front; the results behind it are as many as the messages.
        let taken = match status {
            202 => {
                let text = str::from_utf8(&answer).context("an answer is text")?;
                let number = text.strip_prefix(r#"{"taken":"#);
                number.and_then(|text| text.split(',').next()?.parse().ok())
            }
            429 => serde_json::from_slice::<Value>(&answer)?["taken"].as_u64(),
            _ => bail!("{status}: {}", String::from_utf8_lossy(&answer)),
        };
        let taken = taken.with_context(|| format!("{status} does not say how many were taken"))?;
        Ok(taken as usize)
    }

    fn answer(&mut self) -> anyhow::Result<(u16, Vec<u8>)> {
        let (mut status, mut len, mut line) = (None, 0, String::new());
        loop {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                bail!("the admin side has closed the connection");
            }
            let text = line.trim_end().to_ascii_lowercase();
            if status.is_none() {
                status = text
                    .split(' ')
                    .nth(1)
                    .and_then(|status| status.parse().ok());
            } else if let Some(value) = text.strip_prefix("content-length:") {
                len = value.trim().parse().context("a length is a number")?;
            } else if text.is_empty() {
                break;
            }
        }
        let mut body = vec![0; len];
        self.stream.read_exact(&mut body)?;
        Ok((status.context("an answer has a status")?, body))
    }
}

const PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_topic_has_numbers_of_its_own() {
        let mut batch = Batch::of(&[3, 5], &[0, 1, 0]);
        batch.number(&mut [41, 7]);
        let json: Value = serde_json::from_slice(&batch.body).unwrap();
        let message = |index: usize| {
            let message = &json["messages"][index];
            let body = message["payload"]["body"].as_str().unwrap();
            assert_eq!(body.len(), 128);
            (message["topic"].as_str().unwrap(), &body[..DIGITS])
        };
        assert_eq!(message(0), ("room:3", "00000041"));
        assert_eq!(message(1), ("room:5", "00000007"));
        assert_eq!(message(2), ("room:3", "00000042"));
    }
}
