//! A network in memory: deterministic, seeded, and as unkind as asked.
//!
//! [`Net`] is the network and its clock. Each shard under test gets a [`SimKernel`]; both ends of a
//! connection may be shards (a server's and a crowd's), or one end is a [`Peer`] that a test scripts.
//! Everything that a real network may do to a byte stream happens here with the probabilities of
//! [`Faults`]: short reads and writes, full windows, completions that come late and in any order,
//! resets, failing accepts and refused dials. The same seed gives the same run.
//!
//! Some sends complete at once, as on epoll, and some later, as on io_uring, so both shapes of the
//! seam are walked in every run.

mod kernel;
mod peer;
mod wires;

use std::{cell::RefCell, net::SocketAddr, rc::Rc};

use self::wires::Wires;
pub use self::{
    kernel::SimKernel,
    peer::{Listener, Peer},
};
use crate::{App, Reactor, Snapshot, Time, Turn};

/// How often what goes wrong, in 1/1000.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// A ready socket is passed over this turn.
    pub delay: u32,
    /// A read brings only a part.
    pub short_read: u32,
    /// A write takes only a part.
    pub short_write: u32,
    /// A write completes later.
    pub late_write: u32,
    /// A read or write finds the connection reset.
    pub reset: u32,
    /// `accept4` fails with `EMFILE`.
    pub accept: u32,
    /// A dial is refused.
    pub refuse: u32,
}

impl Faults {
    /// Everything that a correct peer on a slow network sees: no connection is lost.
    pub const SLOW: Self = Self {
        delay: 300,
        short_read: 400,
        short_write: 400,
        late_write: 300,
        reset: 0,
        accept: 0,
        refuse: 0,
    };
    /// As [`Faults::SLOW`], and connections are lost, too.
    pub const ROUGH: Self = Self {
        reset: 5,
        accept: 50,
        refuse: 50,
        ..Self::SLOW
    };
}

/// The network, its clock and its luck.
#[derive(Clone, Debug)]
pub struct Net(Rc<RefCell<Wires>>);

/// Anything that [`Net::run`] can turn: a [`Reactor`] of any app.
pub trait Shard {
    /// One turn.
    fn turn(&mut self) -> Turn;
    /// Whether only time or a peer can give it more to do.
    fn is_idle(&self) -> bool;
    /// Whether it leaves what its kernel has to report, until time has passed.
    fn is_choked(&self) -> bool {
        false
    }
    /// What the shard has counted.
    fn counters(&self) -> Snapshot;
}

impl Net {
    /// A network without connections at time zero.
    pub fn new(seed: u64, faults: Faults) -> Self {
        Self(Rc::new(RefCell::new(Wires::new(seed, faults))))
    }

    /// A kernel for one shard, listening if an address is given; several may share an address.
    pub fn kernel(&self, listen: Option<SocketAddr>) -> SimKernel {
        let index = self.0.borrow_mut().add_kernel(listen);
        SimKernel {
            net: self.clone(),
            index,
            ready: Vec::new(),
            buffer: Vec::new(),
        }
    }

    /// Connects a scripted peer; `None` when nobody listens there.
    pub fn connect(&self, source: SocketAddr, destination: SocketAddr) -> Option<Peer> {
        let mut state = self.0.borrow_mut();
        let socket = state.dial(source, destination).ok()?;
        Some(Peer {
            net: self.clone(),
            socket,
        })
    }

    /// Listens at an address for whoever connects, in the hands of a test.
    pub fn listen(&self, address: SocketAddr) -> Listener {
        let kernel = self.0.borrow_mut().add_kernel(Some(address));
        Listener {
            net: self.clone(),
            kernel,
        }
    }

    /// The network's clock.
    pub fn now(&self) -> Time {
        self.0.borrow().now
    }

    /// Lets time go by in which nothing happens.
    pub fn pass(&self, until: Time) {
        let mut state = self.0.borrow_mut();
        state.now = state.now.max(until);
    }

    /// Changes how unkind the network is from here on.
    pub fn set_faults(&self, faults: Faults) {
        self.0.borrow_mut().faults = faults;
    }

    /// Turns the shards, in any order, until `done`, moving the clock to the next deadline whenever
    /// nothing else can happen. Returns whether it was done before `until`.
    pub fn run(
        &self,
        shards: &mut [&mut dyn Shard],
        until: Time,
        mut done: impl FnMut() -> bool,
    ) -> bool {
        let mut order: Vec<usize> = (0..shards.len()).collect();
        loop {
            if done() {
                return true;
            }
            self.0.borrow_mut().random.shuffle(&mut order);
            let mut deadline: Option<Time> = None;
            for &index in &order {
                if let Turn::Done(Some(next)) = shards[index].turn() {
                    deadline = Some(deadline.map_or(next, |earliest| earliest.min(next)));
                }
            }
            let is_quiet = self.is_quiet() || shards.iter().any(|shard| shard.is_choked());
            if is_quiet && shards.iter().all(|shard| shard.is_idle()) {
                if done() {
                    return true;
                }
                let now = self.now();
                match deadline {
                    Some(next) if next <= until => self.0.borrow_mut().now = next.max(now),
                    _ => return false,
                }
            }
        }
    }

    /// Whether no kernel has anything to report.
    fn is_quiet(&self) -> bool {
        let state = self.0.borrow();
        (0..state.kernels).all(|kernel| state.ready(kernel).is_empty())
    }
}

impl<A: App> Shard for Reactor<A> {
    fn turn(&mut self) -> Turn {
        Self::turn(self).expect("a simulated kernel waits without failing")
    }

    fn is_idle(&self) -> bool {
        Self::is_idle(self)
    }

    fn is_choked(&self) -> bool {
        Self::is_choked(self)
    }

    fn counters(&self) -> Snapshot {
        Self::counters(self).snapshot()
    }
}
