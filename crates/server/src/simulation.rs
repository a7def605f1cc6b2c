//! A whole server on a simulated network, for tests of what it does when the network is unkind.

use std::cell::RefCell;

use engine::{
    Reactor, Remote,
    sim::{self, SimKernel},
};
use hub::{Router, Socket};

use crate::{
    blueprint::Blueprint,
    config::Config,
    node,
    plan::Plan,
    shard::{Shard, ShardMail},
};

/// The shards of one simulated node; [`engine::sim::Net::run`] turns them.
pub struct SimulatedNode {
    /// Each shard, on its own kernel.
    pub shards: Vec<Box<dyn SimulatedShard>>,
    remote: Remote<ShardMail>,
    config: Config,
}

/// A shard as the network turns it, and what its hub has counted.
pub trait SimulatedShard: sim::Shard {
    /// The hub's counters; those of the engine are [`sim::Shard::counters`].
    fn hub_counters(&self) -> hub::Counters;
}

impl<S: Socket> SimulatedShard for Reactor<Shard<S>> {
    fn hub_counters(&self) -> hub::Counters {
        *self.app().hub().counters()
    }
}

impl SimulatedNode {
    /// A server with one shard for each of `kernels`.
    ///
    /// # Panics
    ///
    /// There is no kernel.
    pub fn new<S: Socket>(
        router: Router<S>,
        config: Config,
        kernels: impl IntoIterator<Item = SimKernel>,
    ) -> Self {
        let kernels: Vec<_> = kernels.into_iter().collect();
        let connections_max = config.limits.connections_max.unwrap_or(u32::MAX);
        let blueprint =
            Blueprint::new(router, config.clone(), Plan::boundless(connections_max)).repeatable();
        let settings = blueprint.settings();
        let reached = RefCell::new(None);
        let shards = Reactor::simulate(kernels, &settings, |shard, remote| {
            reached.borrow_mut().get_or_insert_with(|| remote.clone());
            blueprint.build(shard, remote)
        });
        let boxed = |shard| Box::new(shard) as Box<dyn SimulatedShard>;
        let shards = shards.into_iter().map(boxed).collect();
        let remote = reached.into_inner().expect("a node has a shard");
        Self {
            shards,
            remote,
            config,
        }
    }

    /// Begins to close everything in order, as [`Node::drain`](crate::Node::drain) does.
    pub fn drain(&self) {
        node::drain(&self.remote, &self.config);
    }
}

impl std::fmt::Debug for SimulatedNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimulatedNode")
            .field("shards", &self.shards.len())
            .finish()
    }
}
