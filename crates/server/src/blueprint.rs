//! How a shard of a server is made, the same on real sockets and on simulated ones.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::{Arc, OnceLock},
};

use engine::{AcceptRate, Remote, Settings, ShardIndex};
use hub::{Hub, Interest, Router, Socket};

use crate::{
    config::Config,
    occupancy::{Occupancy, Seats},
    plan::Plan,
    shard::{Post, Shard, ShardMail},
    trouble::Troubles,
    upgrade::Gatekeeper,
};

/// What all shards of a node have in common.
#[derive(Debug)]
pub(crate) struct Blueprint<S: Socket> {
    router: Arc<Router<S>>,
    config: Arc<Config>,
    occupancy: Arc<Occupancy>,
    troubles: Arc<Troubles>,
    plan: Plan,
    /// Made with the first shard, when the number of shards is known.
    interest: OnceLock<Arc<Interest>>,
    interest_seed: u64,
}

impl<S: Socket> Blueprint<S> {
    pub(crate) fn new(router: Router<S>, config: Config, plan: Plan) -> Self {
        Self {
            router: Arc::new(router),
            config: Arc::new(config),
            occupancy: Arc::new(Occupancy::new(plan.connections_max)),
            troubles: Arc::default(),
            plan,
            interest: OnceLock::new(),
            interest_seed: RandomState::new().build_hasher().finish(),
        }
    }

    /// The same with nothing left to chance.
    pub(crate) fn repeatable(self) -> Self {
        Self {
            interest_seed: 0,
            ..self
        }
    }

    pub(crate) const fn config(&self) -> &Arc<Config> {
        &self.config
    }

    pub(crate) const fn occupancy(&self) -> &Arc<Occupancy> {
        &self.occupancy
    }

    /// The table of who listens where, made for so many shards by whoever comes first.
    pub(crate) fn interest(&self, shards_count: u16) -> &Arc<Interest> {
        let make = || Arc::new(Interest::new(shards_count, self.interest_seed));
        self.interest.get_or_init(make)
    }

    /// Makes the app of one shard.
    pub(crate) fn build(&self, shard: ShardIndex, remote: Remote<ShardMail>) -> Shard<S> {
        let limits = hub::Limits {
            channels_max: self.config.limits.channels_per_socket_max,
            names: self.config.limits.names(),
        };
        let interest = self.interest(remote.shards_count());
        let hub = Hub::new(
            Arc::clone(&self.router),
            hub::ShardIndex(shard.0),
            Arc::clone(interest),
            Arc::new(Post(remote)),
            limits,
        );
        let gatekeeper = Gatekeeper::new(
            Arc::clone(&self.router),
            Arc::clone(&self.config),
            Seats::new(Arc::clone(&self.occupancy), self.plan.shard_connections_max),
        );
        Shard::new(hub, gatekeeper, Arc::clone(&self.troubles))
    }

    /// What the engine is told of the configuration and of the plan.
    pub(crate) fn settings(&self) -> Settings {
        let config = &self.config;
        Settings {
            ws: config.limits.ws(),
            http: config.limits.http(),
            handshake_timeout: config.handshake_timeout,
            idle_timeout: config.idle_timeout,
            close_timeout: config.close_timeout,
            outbox_bytes_max: config.limits.outbox_bytes_max,
            connections_max: self.plan.shard_slots_max,
            accept_rate: config
                .limits
                .connect_rate_max
                .map(|rate| AcceptRate::per_second(rate).into()),
            backlog: config.limits.backlog,
            mailbox_max: config.limits.mailbox_max,
            steering: self.plan.steering().map(Arc::new),
            kernel: config.kernel,
            tables: self.plan.layout.tables,
            ..Settings::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use capacity::Tables;
    use engine::KernelChoice;

    use super::*;
    use crate::relay;

    #[test]
    fn every_limit_of_the_configuration_reaches_the_engine() {
        let mut config = Config {
            handshake_timeout: Duration::from_secs(1),
            idle_timeout: Some(Duration::from_secs(2)),
            close_timeout: Duration::from_secs(3),
            ..Config::default()
        };
        config.limits.connect_rate_max = Some(4);
        config.limits.head_bytes_max = 500;
        config.limits.headers_max = 6;
        config.limits.frame_bytes_max = Some(700);
        config.limits.message_bytes_max = 8_000;
        config.limits.fragments_max = 9;
        config.limits.outbox_bytes_max = 10_000;
        config.limits.mailbox_max = 110;
        config.limits.backlog = 12;
        config.kernel = KernelChoice::Epoll;
        let settings = Blueprint::new(relay(&config), config, Plan::boundless(13)).settings();
        assert_eq!(settings.handshake_timeout, Duration::from_secs(1));
        assert_eq!(settings.idle_timeout, Some(Duration::from_secs(2)));
        assert_eq!(settings.close_timeout, Duration::from_secs(3));
        assert_eq!(
            settings
                .accept_rate
                .map(|rate| rate.connections_per_second()),
            Some(4)
        );
        assert_eq!(
            (settings.http.head_bytes_max, settings.http.headers_max),
            (500, 6)
        );
        assert_eq!(settings.ws.frame_bytes_max, 700);
        assert_eq!(settings.ws.message_bytes_max, 8_000);
        assert_eq!(settings.ws.fragments_max, 9);
        assert_eq!(settings.outbox_bytes_max, 10_000);
        assert_eq!(settings.mailbox_max, 110);
        assert_eq!(settings.backlog, 12);
        assert_eq!(settings.connections_max, 13 + 4_096);
        assert_eq!(settings.kernel, KernelChoice::Epoll);
        assert_eq!(settings.tables, Tables::PerProcess);
    }
}
