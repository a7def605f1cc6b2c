//! The kernel by itself: what a shard's tests cannot reach, because they cannot hold it still.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    time::{Duration, Instant},
};

use io_uring::{cqueue, squeue};

use super::{
    reads::{BUFFER_BYTES, BUFFERS},
    ring::{COMPLETIONS, SUBMISSIONS},
    slots::SLOT_BYTES,
    *,
};
use crate::sys::{Waiting, Waker, ledger_bytes, listener};

/// A turn that lasts as long as this has missed something.
const LONG: Duration = Duration::from_secs(20);

/// A kernel, and what a shard would keep: connections by index, all of generation 0.
struct Bench {
    kernel: Uring,
    conns: Conns,
    address: SocketAddr,
}

#[derive(Default)]
struct Conns(Vec<Option<Socket>>);

impl Sockets for Conns {
    fn socket(&self, conn: ConnId) -> Option<(&Socket, Waiting)> {
        let socket = self.0.get(conn.index as usize)?.as_ref()?;
        Some((socket, Waiting::Data))
    }
}

/// What a turn brought, without its borrows.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Accepted(u32),
    AcceptFailed(Errno),
    QueueFull,
    Connected(u32, Result<(), Errno>),
    Bytes(u32, usize),
    End(u32),
    Sent(u32, usize),
    Blocked(u32),
}

/// `None` where there is no io_uring, which it says aloud, or fails if `REQUIRE_URING` is set.
fn bench(backlog: i32) -> Option<Bench> {
    if let Err(reason) = check() {
        let required = std::env::var_os("REQUIRE_URING").is_some();
        assert!(!required, "io_uring is required here: {reason}");
        eprintln!("SKIPPED: {reason}");
        return None;
    }
    let any = "127.0.0.1:0".parse().unwrap();
    let (listener, address) = listener::listen(any, backlog).unwrap();
    let Ok(Waker::Event(waker)) = Waker::new() else {
        panic!("no eventfd");
    };
    let kernel = Uring::new(waker, Some(listener), 1000).unwrap();
    let conns = Conns::default();
    Some(Bench {
        kernel,
        conns,
        address,
    })
}

fn conn(index: u32) -> ConnId {
    ConnId {
        index,
        generation: 0,
    }
}

impl Bench {
    /// One turn that waits until something has happened, for as long as `left`.
    fn turn(&mut self, left: Duration) -> Vec<Event> {
        let deadline = self.kernel.now().after(left);
        self.kernel.wait(Some(deadline)).unwrap();
        let mut events = Vec::new();
        let mut accepted = Vec::new();
        while let Some(completion) = self.kernel.next(Wanted::Everything, &self.conns) {
            events.push(match completion {
                Completion::Accepted { socket, .. } => {
                    accepted.push(socket);
                    Event::Accepted((self.conns.0.len() + accepted.len() - 1) as u32)
                }
                Completion::AcceptFailed(errno) => Event::AcceptFailed(errno),
                Completion::AcceptQueueFull { .. } => Event::QueueFull,
                Completion::Connected { conn, result } => Event::Connected(conn.index, result),
                Completion::Received { conn, what } => match what {
                    Received::Bytes(bytes) => Event::Bytes(conn.index, bytes.len()),
                    Received::End => Event::End(conn.index),
                    Received::Failed(errno) => panic!("{conn:?} fails: {errno}"),
                },
                Completion::Sent { conn, result } => Event::Sent(conn.index, result.unwrap()),
                Completion::Blocked { conn } => Event::Blocked(conn.index),
            });
        }
        for socket in accepted {
            self.kernel.attach(conn(self.conns.0.len() as u32), &socket);
            self.conns.0.push(Some(socket));
        }
        events
    }

    /// Turns until `done`, and fails when a turn sleeps although something has happened.
    fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self, Vec<Event>) -> bool) {
        let start = Instant::now();
        loop {
            let events = self.turn(LONG);
            let is_done = done(self, events);
            assert!(start.elapsed() < LONG, "never came: {what}");
            if is_done {
                return;
            }
        }
    }

    /// Connected streams, the n-th of which is connection n.
    fn accept(&mut self, count: usize) -> Vec<TcpStream> {
        let mut streams = Vec::new();
        for index in self.conns.0.len()..self.conns.0.len() + count {
            streams.push(TcpStream::connect(self.address).unwrap());
            self.until("it is accepted", |bench, _| bench.conns.0.len() > index);
        }
        streams
    }

    fn send(&mut self, index: u32, frame: &Frame) {
        let socket = self.conns.0[index as usize].as_ref().unwrap();
        let frames = std::slice::from_ref(frame);
        let submission = self.kernel.send(conn(index), socket, frames, 0);
        assert_eq!(submission, Submission::Pending { held: 1 });
    }

    fn close(&mut self, index: u32) -> u32 {
        let socket = self.conns.0[index as usize].take().unwrap();
        let slot = slot(&socket);
        self.kernel.close(socket, false);
        slot
    }

    /// Turns until nothing is asked for in the name of a slot that was closed.
    fn until_vacant(&mut self, slot: u32) {
        self.until("the slot is vacant", |bench, _| {
            bench.kernel.slots.is_vacant(slot)
        });
    }
}

#[test]
fn hundreds_that_become_readable_or_writable_at_once_are_all_heard_of() {
    const COUNT: usize = 300;
    let Some(mut bench) = bench(1024) else { return };
    let mut streams = bench.accept(COUNT);
    for stream in &mut streams {
        stream.write_all(b"x").unwrap();
    }
    let mut heard = 0;
    bench.until("all are read", |_, events| {
        heard += events.len();
        heard == COUNT
    });
    // The kernel makes answers to some twenty at a time; the others must not wait for the next sleep's end.
    let frame = Frame::from(vec![0; 256 * 1024]);
    let mut full = 0;
    (0..COUNT as u32).for_each(|index| bench.send(index, &frame));
    bench.until("all sockets are full", |bench, events| {
        for event in events {
            match event {
                Event::Sent(index, _) => bench.send(index, &frame),
                Event::Blocked(_) => full += 1,
                other => panic!("{other:?}"),
            }
        }
        full == COUNT
    });
    let mut buffer = vec![0; 64 * 1024];
    for stream in &mut streams {
        stream.set_nonblocking(true).unwrap();
        while stream.read(&mut buffer).is_ok() {}
    }
    let mut writable = 0;
    bench.until("all are writable again", |_, events| {
        writable += events.len();
        writable == COUNT
    });
}

#[test]
fn a_dial_whose_source_is_refused_connects_from_nowhere_however_it_is_submitted() {
    let Some(mut bench) = bench(1024) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let destination = listener.local_addr().unwrap();
    // RFC 5737: an address for documentation, which no machine has.
    let source = "192.0.2.1:0".parse().unwrap();
    for left in 0..=6 {
        if left > 0 {
            // The queue is full in the middle of it.
            bench.kernel.ring.fill(left);
        }
        let dial = bench.kernel.connect(conn(left), source, destination);
        if left == 0 {
            bench.kernel.ring.submit_singly();
        }
        let mut answers = Vec::new();
        bench.until("the dial is answered", |_, events| {
            answers.extend(events);
            !answers.is_empty()
        });
        let refused = Event::Connected(left, Err(Errno::ADDRNOTAVAIL));
        assert_eq!(answers, [refused]);
        bench.kernel.close(dial.unwrap(), false);
    }
    let waiting = AcceptQueue::of(&listener.into()).unwrap().waiting;
    assert_eq!(waiting, 0, "somebody has connected");
}

#[test]
fn who_comes_when_no_slot_is_left_is_noticed_at_once_and_reported_once() {
    let Some(mut bench) = bench(1024) else { return };
    let slots: Vec<_> = std::iter::from_fn(|| bench.kernel.slots.take()).collect();
    assert_eq!(bench.turn(Duration::ZERO), [], "nobody waits yet");
    let _stream = TcpStream::connect(bench.address).unwrap();
    let _other = TcpStream::connect(bench.address).unwrap();
    // A sleep that had begun before they came.
    bench.kernel.ring.wait(Some(LONG)).unwrap();
    assert!(bench.kernel.ring.has_answers(), "it would have gone on");
    let mut troubles = Vec::new();
    bench.until("it is noticed", |_, events| {
        troubles.extend(events);
        !troubles.is_empty()
    });
    assert_eq!(troubles, [Event::AcceptFailed(Errno::MFILE)]);
    // What a shard does then.
    bench.kernel.set_accepting(false);
    slots
        .into_iter()
        .for_each(|slot| bench.kernel.slots.give_back(slot));
    assert_eq!(bench.turn(Duration::ZERO), []);
    bench.kernel.set_accepting(true);
    bench.until("both are accepted", |bench, events| {
        assert!(!events.contains(&Event::AcceptFailed(Errno::MFILE)));
        bench.conns.0.len() == 2
    });
}

#[test]
fn who_comes_while_the_last_slot_is_being_vacated_gets_it() {
    let Some(mut bench) = bench(1024) else { return };
    let _stream = bench.accept(1);
    bench.kernel.set_accepting(false);
    while bench.kernel.accepts.in_flight() > 0 {
        bench.turn(LONG);
    }
    while bench.kernel.slots.take().is_some() {}
    let _other = TcpStream::connect(bench.address).unwrap();
    bench.kernel.set_accepting(true);
    bench.close(0);
    bench.until("it is accepted", |bench, events| {
        assert!(!events.contains(&Event::AcceptFailed(Errno::MFILE)));
        bench.conns.0.len() == 2
    });
}

#[test]
fn listening_ends_at_once_with_accepts_in_flight_and_connections_nobody_has_heard_of() {
    let Some(mut bench) = bench(1024) else { return };
    assert_eq!(bench.turn(Duration::ZERO), []);
    assert!(bench.kernel.accepts.in_flight() > 0);
    let mut stream = TcpStream::connect(bench.address).unwrap();
    let deadline = bench.kernel.now().after(LONG);
    bench.kernel.wait(Some(deadline)).unwrap();
    bench.kernel.take_up_all();
    assert!(bench.kernel.accepts.has_news());
    bench.kernel.wait(None).unwrap();
    let mut unaccepted = TcpStream::connect(bench.address).unwrap();
    bench.kernel.stop_listening();
    assert!(TcpStream::connect(bench.address).is_err());
    bench.until("every slot is vacant", |bench, events| {
        assert_eq!(events, []);
        bench.kernel.slots.count() == 0
    });
    assert_eq!(bench.kernel.accepts.in_flight(), 0);
    for stream in [&mut stream, &mut unaccepted] {
        assert!(!matches!(stream.read(&mut [0]), Ok(1..)));
    }
}

#[test]
fn a_dial_that_is_closed_while_it_is_under_way_is_never_answered() {
    let Some(mut bench) = bench(1024) else { return };
    let any = "127.0.0.1:0".parse().unwrap();
    // One may wait; the machine drops the next one's first segment, so it waits for an answer.
    let (_listener, destination) = listener::listen(any, 0).unwrap();
    let _waits = TcpStream::connect(destination).unwrap();
    // Closed before anything is submitted, when it is bound, and when it connects.
    for turns in 0..=2 {
        let socket = bench.kernel.connect(conn(7), any, destination).unwrap();
        for _ in 0..turns {
            assert_eq!(bench.turn(Duration::ZERO), [], "it is under way");
        }
        let slot = slot(&socket);
        assert!(bench.kernel.slots.is_asked(slot, What::Connected));
        bench.kernel.close(socket, false);
        bench.until("the slot is vacant", |bench, events| {
            assert_eq!(events, []);
            bench.kernel.slots.is_vacant(slot)
        });
        assert_eq!(bench.kernel.dials.count(), 0);
    }
}

#[test]
fn without_a_descriptor_to_spare_a_shutdown_still_arrives_and_hits_nobody_else() {
    let Some(mut bench) = bench(1024) else { return };
    let mut streams = bench.accept(2);
    for index in 0..2u32 {
        let slot = slot(bench.conns.0[index as usize].as_ref().unwrap());
        bench.kernel.slots.ask(slot, What::Installed);
        bench.kernel.handle_installed(slot, Err(Errno::MFILE));
        assert!(bench.kernel.slots.is_asked(slot, What::Shut));
    }
    // A slot that is closed before the kernel's thread comes to it is not given to another.
    let closed = bench.close(1);
    bench.until_vacant(closed);
    assert!(!bench.kernel.slots.is_asked(closed, What::Shut));
    for stream in &mut streams {
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
    streams[0].write_all(b"still heard").unwrap();
    bench.until("the other direction is open", |_, events| {
        events.contains(&Event::Bytes(0, 11))
    });
}

#[test]
fn a_kernel_that_goes_with_accepts_in_flight_ends_them_and_its_sockets() {
    let Some(mut bench) = bench(1024) else { return };
    let mut stream = bench.accept(1).pop().unwrap();
    assert_eq!(bench.turn(Duration::ZERO), []);
    assert!(bench.kernel.accepts.in_flight() > 0);
    bench.close(0);
    let address = bench.address;
    drop(bench);
    assert!(TcpStream::connect(address).is_err());
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_ring_and_its_buffers_take_what_the_ledger_says() {
    let says = |name| ledger_bytes(capacity::Kernel::Uring, name);
    let (submissions, completions) = (SUBMISSIONS as usize, COMPLETIONS as usize);
    let queues =
        submissions * size_of::<squeue::Entry>() + completions * size_of::<cqueue::Entry>();
    // The machine's own `struct io_kiocb` for each request is 256 bytes.
    assert_eq!(says("ring"), queues + submissions * 256);
    assert_eq!(says("receive buffers"), BUFFERS * BUFFER_BYTES);
    assert_eq!(says("ring's slot"), SLOT_BYTES);
}
