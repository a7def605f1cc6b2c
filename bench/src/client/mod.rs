//! The crowd: one cheap client that drives every server of the bench in the same way.
//!
//! A crowd is a few squads, each a thread with its own epoll, its own source address and its part
//! of the connections. What it sends is ready-made, what it receives is compared with what it
//! must be, so its cost per message is near that of the system calls, and the same for every
//! server. Between the phases it does nothing at all, and the server can be measured at rest.

pub(crate) mod member;
mod squad;
mod tuples;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;
use hdrhistogram::Histogram;

use crate::session::Session;

use squad::Squad;
use tuples::Tuples;

/// Connections to one server, open and joined.
#[derive(Debug)]
pub(crate) struct Crowd {
    squads: Vec<Squad>,
}

/// What a crowd has received beside what it should have, over all its connections.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Messages that arrived as they should.
    pub(crate) delivered: u64,
    /// Messages that never arrived, on open and on dropped connections alike.
    pub(crate) lost: u64,
    /// Messages that arrived more than once, or after a later one.
    pub(crate) duplicated: u64,
    /// Whole frames that are no message of the session.
    pub(crate) unexpected: u64,
    /// Connections that the server closed.
    pub(crate) dropped: u64,
}

/// The result of a number of broadcasts, one after the other.
#[derive(Debug)]
pub(crate) struct Fanout {
    /// Time from each push to its last delivery, summed.
    pub(crate) elapsed: Duration,
    pub(crate) tally: Tally,
}

/// The result of a stretch of pushes and replies.
#[derive(Debug)]
pub(crate) struct Echo {
    /// Time in which new pushes were sent.
    pub(crate) elapsed: Duration,
    /// Nanoseconds from push to reply, for each reply inside `elapsed`.
    pub(crate) latency: Histogram<u64>,
    pub(crate) tally: Tally,
}

impl Crowd {
    pub(crate) fn new(server: SocketAddrV4, session: &Arc<Session>) -> anyhow::Result<Self> {
        let squads = (0..SQUADS)
            .map(|index| {
                // 127.0.0.1 belongs to the server's side of the machine.
                let source = Ipv4Addr::new(127, 0, 0, 2 + index);
                Squad::new(server, Tuples::new(source), Arc::clone(session))
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { squads })
    }

    /// Opens `count` more connections as fast as the server takes them and returns the time from
    /// the first SYN to the last join reply.
    pub(crate) fn open(&mut self, count: usize) -> anyhow::Result<Duration> {
        let start = Instant::now();
        let squads_count = self.squads.len();
        self.in_parallel(|index, squad| {
            let share = count / squads_count + usize::from(index < count % squads_count);
            squad.open(share, UNJOINED_MAX)
        })?;
        Ok(start.elapsed())
    }

    /// Has one member push `count` broadcasts, the next when the last has reached every member or
    /// is given up, and counts every delivery on every connection.
    pub(crate) fn fanout(&mut self, count: u32) -> anyhow::Result<Fanout> {
        let mut elapsed = Duration::ZERO;
        for sequence in 1..=count {
            let start = Instant::now();
            let Some(publisher) = self.squads.first_mut() else {
                bail!("a crowd without squads has no publisher");
            };
            publisher.push_shout(sequence)?;
            let arrivals = self.in_parallel(|_, squad| {
                let mut last = None;
                squad.receive_shout(sequence, |_| last = Some(Instant::now()))?;
                Ok(last)
            })?;
            if let Some(last) = arrivals.into_iter().flatten().max() {
                elapsed += last.saturating_duration_since(start);
            }
        }
        // What comes now comes too often.
        let tallies = self.in_parallel(|_, squad| {
            squad.listen(AFTERMATH)?;
            Ok(squad.fanout_tally(count))
        })?;
        Ok(Fanout {
            elapsed,
            tally: Tally::sum(tallies),
        })
    }

    /// Keeps one push in flight on every connection for `stretch`.
    pub(crate) fn echo(&mut self, stretch: Duration) -> anyhow::Result<Echo> {
        let results = self.in_parallel(|_, squad| squad.echo(stretch))?;
        let mut latency = squad::new_histogram()?;
        let mut tallies = Vec::new();
        for (squad_latency, tally) in results {
            latency.add(squad_latency)?;
            tallies.push(tally);
        }
        Ok(Echo {
            elapsed: stretch,
            latency,
            tally: Tally::sum(tallies),
        })
    }

    /// Runs `work` for each squad on a thread of its own and returns the results in their order.
    fn in_parallel<T: Send>(
        &mut self,
        work: impl Fn(usize, &mut Squad) -> anyhow::Result<T> + Sync,
    ) -> anyhow::Result<Vec<T>> {
        let work = &work;
        thread::scope(|scope| {
            let threads: Vec<_> = self
                .squads
                .iter_mut()
                .enumerate()
                .map(|(index, squad)| scope.spawn(move || work(index, squad)))
                .collect();
            threads
                .into_iter()
                .map(|thread| match thread.join() {
                    Ok(result) => result,
                    Err(_) => bail!("a squad of the crowd panicked"),
                })
                .collect()
        })
    }
}

impl Tally {
    /// Returns whether every message arrived once and no connection was lost.
    pub(crate) fn is_clean(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.unexpected == 0 && self.dropped == 0
    }

    pub(crate) fn sum(tallies: impl IntoIterator<Item = Self>) -> Self {
        tallies
            .into_iter()
            .fold(Self::default(), |sum, tally| Self {
                delivered: sum.delivered + tally.delivered,
                lost: sum.lost + tally.lost,
                duplicated: sum.duplicated + tally.duplicated,
                unexpected: sum.unexpected + tally.unexpected,
                dropped: sum.dropped + tally.dropped,
            })
    }
}

/// Threads of the crowd: as many as the servers have.
const SQUADS: u8 = 2;
/// Connections of a squad that are dialled and not yet joined. All squads together stay far below
/// the accept queue of every server, whose overflow would cost a second per connection.
const UNJOINED_MAX: usize = 256;
/// How long the crowd listens for duplicates after the last broadcast.
const AFTERMATH: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpListener, TcpStream};

    use super::*;
    use crate::session::Workload;

    /// Accepts one connection, lets it join, and says `last_words` to its first push.
    fn server_that_says(last_words: Vec<u8>) -> SocketAddrV4 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let SocketAddr::V4(addr) = listener.local_addr().unwrap() else {
            panic!("an IPv4 listener has an IPv4 address");
        };
        thread::spawn(move || {
            let session = Session::new(Workload::Fanout);
            let (mut socket, _) = listener.accept().unwrap();
            read_exactly(&mut socket, session.request(&addr.to_string()).len());
            socket.write_all(&session.accepted()).unwrap();
            read_exactly(&mut socket, session.join().len());
            // Cut in two, so that the crowd has to wait for the rest of a frame.
            let (begin, end) = session.joined().split_at(1);
            socket.write_all(begin).unwrap();
            socket.write_all(end).unwrap();
            read_exactly(&mut socket, session.shout_push(1).len());
            socket.write_all(&last_words).unwrap();
        });
        addr
    }

    fn read_exactly(socket: &mut TcpStream, bytes: usize) {
        socket.read_exact(&mut vec![0; bytes]).unwrap();
    }

    #[test]
    fn what_is_lost_repeated_or_invented_is_counted() {
        let session = Arc::new(Session::new(Workload::Fanout));
        let mut words = Vec::new();
        let mut frame = Vec::new();
        for sequence in [1, 1, 3] {
            session.shout_into(sequence, &mut frame);
            words.extend_from_slice(&frame);
        }
        words.extend_from_slice(session.joined());
        let mut crowd = Crowd::new(server_that_says(words), &session).unwrap();
        crowd.open(1).unwrap();
        let tally = crowd.fanout(4).unwrap().tally;
        // The second never came and the fourth was cut off by the close.
        assert_eq!(
            tally,
            Tally {
                delivered: 2,
                lost: 2,
                duplicated: 1,
                unexpected: 1,
                dropped: 1
            }
        );
        assert!(!tally.is_clean());
    }
}
