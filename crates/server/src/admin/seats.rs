//! The seats of the control plane: so many connections together, and no more of them for one address than
//! its share, so that one client cannot keep out all others.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::guard::source;
use crate::config::Admin;

/// When nobody decides, one address may have all seats divided by this.
const AUTO_DIVISOR: u16 = 4;

/// All seats. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Seats {
    free: Arc<Semaphore>,
    taken: Arc<Mutex<HashMap<IpAddr, u16>>>,
    share: Share,
}

/// How many one address may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    /// So many, whatever address it is.
    Everywhere(u16),
    /// So many from elsewhere. Every program of this machine has a loopback address, and through a proxy on it
    /// everybody has.
    Elsewhere(u16),
}

/// A seat that nobody has yet.
#[derive(Debug)]
pub(super) struct FreeSeat {
    _permit: OwnedSemaphorePermit,
}

/// A seat of an address, which is free again with the end of this value.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Seats,
    address: IpAddr,
    _one: FreeSeat,
}

impl Seats {
    pub(super) fn new(admin: &Admin) -> Self {
        let auto = (admin.connections_max / AUTO_DIVISOR).max(1);
        Self {
            free: Arc::new(Semaphore::new(admin.connections_max.into())),
            taken: Arc::default(),
            share: admin
                .connections_per_address_max
                .map_or(Share::Elsewhere(auto), Share::Everywhere),
        }
    }

    /// Waits for one that is free.
    pub(super) async fn free(&self) -> FreeSeat {
        let permit = Arc::clone(&self.free).acquire_owned().await;
        FreeSeat {
            _permit: permit.expect("nobody closes the semaphore"),
        }
    }

    /// Gives a seat to an address; none when it has its share.
    pub(super) fn take(&self, one: FreeSeat, address: IpAddr) -> Option<Seat> {
        let max = self.share.of(address);
        let address = source(address);
        let mut taken = self.taken();
        let own = taken.get(&address).copied().unwrap_or(0);
        if own >= max {
            return None;
        }
        taken.insert(address, own + 1);
        drop(taken);
        Some(Seat {
            seats: self.clone(),
            address,
            _one: one,
        })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<IpAddr, u16>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    fn of(self, address: IpAddr) -> u16 {
        match self {
            Self::Everywhere(max) => max,
            Self::Elsewhere(_) if address.to_canonical().is_loopback() => u16::MAX,
            Self::Elsewhere(max) => max,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        if let Some(own) = taken.get_mut(&self.address) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Builder;

    use super::*;

    fn seats(connections_max: u16, connections_per_address_max: Option<u16>) -> Seats {
        Seats::new(&Admin {
            connections_max,
            connections_per_address_max,
            ..Admin::default()
        })
    }

    /// How many of nine an address gets.
    fn given(seats: &Seats, address: &str) -> usize {
        let address = address.parse().expect("an address");
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        let take = || seats.take(runtime.block_on(seats.free()), address);
        let given: Vec<_> = (0..9).filter_map(|_| take()).collect();
        given.len()
    }

    #[test]
    fn an_address_gets_a_quarter_and_this_machine_all() {
        let seats = seats(16, None);
        for (address, count) in [
            ("192.0.2.1", 4),
            ("2001:db8::1", 4),
            ("127.0.0.1", 9),
            ("127.9.9.9", 9),
            ("::1", 9),
            ("::ffff:127.0.0.1", 9),
            ("::ffff:192.0.2.1", 4),
        ] {
            assert_eq!(given(&seats, address), count, "{address}");
        }
        assert!(seats.taken().is_empty(), "all are given back");
    }

    #[test]
    fn a_number_counts_for_every_address_and_a_network_of_ipv6_is_one() {
        let seats = seats(16, Some(2));
        assert_eq!(given(&seats, "127.0.0.1"), 2);
        let one = |seats: &Seats, address: &str| {
            let runtime = Builder::new_current_thread().build().expect("a runtime");
            let free = runtime.block_on(seats.free());
            seats.take(free, address.parse().expect("an address"))
        };
        let held = ["2001:db8::1", "2001:db8::2"].map(|address| one(&seats, address));
        assert!(held.iter().all(Option::is_some));
        assert!(one(&seats, "2001:db8::3").is_none());
        assert!(one(&seats, "2001:db8:0:1::3").is_some());
        assert_eq!(given(&seats, "192.0.2.1"), 2);
    }
}
