//! What the connections of a node cost, before it is started.

use capacity::{
    Ledger, Machine,
    ledger::{Per, Place, Term},
};
use engine::{StartError, V6_PEER_BYTES};
use hub::Interest;

use crate::{ServeError, config::Config, plan::Plan};

/// What `limits.connections_max` connections of [`relay`](crate::relay()) cost on this machine, each with
/// one channel in a topic that all have in common; without the setting, as many as can be held. Starts
/// nothing.
///
/// # Errors
///
/// The configuration demands io_uring, which this machine does not have.
pub fn ledger(config: &Config) -> Result<Ledger, ServeError> {
    let machine = Machine::read();
    let kernel = config.kernel.settle().map_err(StartError::Uring)?;
    let plan = Plan::new(config, &machine, kernel.kernel(), kernel.tables());
    let connections = plan.connections_wanted().into();
    let ledger = Ledger::of(connections, &plan.layout, machine.tcp_memory);
    let ledger = ledger.and(interest(plan.layout.shards));
    Ok(if config.listen.is_ipv6() {
        ledger.and(v6_peers(connections * V6_PEER_BYTES as u64))
    } else {
        ledger
    })
}

/// The table of who listens where.
pub(crate) fn interest(shards: u16) -> Term {
    Term {
        name: "shards of topics",
        place: Place::Process,
        per: Per::Once,
        bytes: Interest::bytes(shards) as u64,
        source: "hub::Interest::bytes",
    }
}

/// The addresses of clients that come by IPv6; those of others are in their connections.
pub(crate) fn v6_peers(bytes: u64) -> Term {
    Term {
        name: "IPv6 addresses",
        place: Place::Process,
        per: Per::Once,
        bytes,
        source: "blocks of 256 addresses, of engine::V6_PEER_BYTES each when they are full",
    }
}

#[cfg(test)]
mod tests {
    use hub::Socket;

    use super::*;
    use crate::{RelaySocket, relay::Relay};

    fn asked_for(connections: u32, kernel: engine::KernelChoice) -> Config {
        let mut config = Config {
            kernel,
            ..Config::default()
        };
        config.limits.connections_max = Some(connections);
        config
    }

    fn bytes(ledger: &Ledger, name: &str) -> usize {
        let term = ledger.terms().iter().find(|term| term.name == name);
        term.unwrap_or_else(|| panic!("no term {name}")).bytes as usize
    }

    /// What malloc takes for so many bytes: 8 for itself, in steps of 16, at least 32.
    const fn chunk(bytes: usize) -> usize {
        let chunk = (bytes + 8).next_multiple_of(16);
        if chunk < 32 { 32 } else { chunk }
    }

    #[test]
    fn every_term_of_a_connection_is_the_size_of_what_is_kept() {
        let config = asked_for(1_000, engine::KernelChoice::Epoll);
        let ledger = ledger(&config).expect("epoll is everywhere");
        let assigns = size_of::<<RelaySocket as Socket>::Assigns>();
        let spare = hub::MEMBERSHIP_BYTES / 8;
        let kept = [
            ("connection", engine::CONNECTION_BYTES),
            ("joined connection", hub::CONNECTION_BYTES + assigns),
            (
                "channel",
                chunk(size_of::<Relay>()) + hub::MEMBERSHIP_BYTES + spare,
            ),
        ];
        for (name, size) in kept {
            assert_eq!(bytes(&ledger, name), size, "{name}");
        }
        let sum: usize = kept.iter().map(|(_, size)| size).sum();
        assert_eq!(ledger.connection_bytes(Place::Process), sum as u64);
    }

    #[test]
    fn it_is_for_what_was_asked_even_when_it_does_not_fit() {
        let mut config = asked_for(100_000_000, engine::KernelChoice::Epoll);
        config.shards = Some(3);
        let ledger = ledger(&config).expect("epoll is everywhere");
        assert_eq!(ledger.connections(), 100_000_000);
        assert_eq!(ledger.layout().shards, 3);
        assert_eq!(bytes(&ledger, "shards of topics"), Interest::bytes(3));
    }

    #[test]
    fn clients_by_ipv6_cost_their_addresses_and_others_none() {
        let mut config = asked_for(1_000, engine::KernelChoice::Epoll);
        let names = |ledger: &Ledger| ledger.terms().iter().any(|it| it.name == "IPv6 addresses");
        assert!(!names(&ledger(&config).expect("epoll is everywhere")));
        config.listen = "[::]:4000".parse().expect("an address");
        let ledger = ledger(&config).expect("epoll is everywhere");
        assert_eq!(bytes(&ledger, "IPv6 addresses"), 1_000 * V6_PEER_BYTES);
    }

    #[test]
    fn without_a_number_it_is_for_what_can_be_held() {
        let ledger = ledger(&Config::default()).expect("auto takes what there is");
        assert!(ledger.connections() > 0);
    }
}
