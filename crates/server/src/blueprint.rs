//! How a shard of a server is made, the same on real sockets and on simulated ones.

use std::sync::Arc;

use engine::{Remote, Settings, ShardIndex};
use hub::{Hub, Router, Socket};

use crate::{
    config::Config,
    occupancy::Occupancy,
    shard::{Post, Shard, ShardMail},
    trouble::Troubles,
    upgrade::Gatekeeper,
};

/// Slots of a shard beyond the connections it may hold, for those that are greeting, being refused or
/// saying goodbye.
const LOBBY: u32 = 4_096;

/// What all shards of a node have in common.
#[derive(Debug)]
pub(crate) struct Blueprint<S: Socket> {
    router: Arc<Router<S>>,
    config: Arc<Config>,
    occupancy: Arc<Occupancy>,
    troubles: Arc<Troubles>,
    connections_max: u32,
}

impl<S: Socket> Blueprint<S> {
    pub(crate) fn new(router: Router<S>, config: Config, connections_max: u32) -> Self {
        Self {
            router: Arc::new(router),
            config: Arc::new(config),
            occupancy: Arc::new(Occupancy::new(connections_max)),
            troubles: Arc::default(),
            connections_max,
        }
    }

    pub(crate) const fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Makes the app of one shard.
    pub(crate) fn build(&self, shard: ShardIndex, remote: Remote<ShardMail>) -> Shard<S> {
        let limits = hub::Limits {
            channels_max: self.config.limits.channels_per_socket_max,
            names: self.config.limits.names(),
        };
        let post = Arc::new(Post(remote));
        let hub = Hub::new(
            Arc::clone(&self.router),
            hub::ShardIndex(shard.0),
            post,
            limits,
        );
        let gatekeeper = Gatekeeper::new(
            Arc::clone(&self.router),
            Arc::clone(&self.config),
            Arc::clone(&self.occupancy),
        );
        let (occupancy, troubles) = (Arc::clone(&self.occupancy), Arc::clone(&self.troubles));
        Shard::new(hub, gatekeeper, occupancy, troubles)
    }

    /// What the engine is told of the configuration. Each shard has room for all connections, since the
    /// kernel may give all of them to one.
    pub(crate) fn settings(&self, shards: u16) -> Settings {
        let config = &self.config;
        Settings {
            ws: config.limits.ws(),
            http: config.limits.http(),
            handshake_timeout: config.handshake_timeout,
            idle_timeout: config.idle_timeout,
            close_timeout: config.close_timeout,
            outbox_bytes_max: config.limits.outbox_bytes_max,
            connections_max: self.connections_max.saturating_add(LOBBY),
            accept_rate_max: config
                .limits
                .connect_rate_max
                .map(|rate| rate.div_ceil(shards.into())),
            backlog: config.limits.backlog,
            mailbox_max: config.limits.mailbox_max,
        }
    }
}
