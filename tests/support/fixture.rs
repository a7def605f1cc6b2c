//! The library with the channels of [`room`](super::room), inside the test itself.

use std::{net::SocketAddr, time::Duration};

use fourtuple::{Config, KernelChoice, Node};

use super::{binary::on_epoll, loopback::own_address, room};

/// A running server, which drains with this value.
#[derive(Debug)]
pub(crate) struct Fixture {
    /// Nothing only while the server is being changed for another.
    node: Option<Node>,
    config: Config,
}

impl Fixture {
    /// Starts a server on a free port.
    pub(crate) fn start() -> Self {
        Self::with(Config::default())
    }

    /// The same, for clients that say nothing for so long only.
    pub(crate) fn start_impatient(idle_timeout: Duration) -> Self {
        Self::with(Config {
            idle_timeout: Some(idle_timeout),
            ..Config::default()
        })
    }

    fn with(mut config: Config) -> Self {
        // It may be started again, on the same port.
        config.listen = own_address();
        config.socket.auth_token = true;
        // Two, so that what is said on one shard is heard on another on any machine.
        config.shards = Some(2);
        if on_epoll() {
            config.kernel = KernelChoice::Epoll;
        }
        let node = Node::start(room::router(), config.clone()).expect("a port is free");
        config.listen = node.local_addr();
        Self {
            node: Some(node),
            config,
        }
    }

    pub(crate) const fn addr(&self) -> SocketAddr {
        self.config.listen
    }

    /// Where phoenix.js connects to.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}/socket", self.addr())
    }

    /// Drains the server and starts it again on the same port.
    pub(crate) fn restart(&mut self) {
        self.end();
        let config = self.config.clone();
        self.node = Some(Node::start(room::router(), config).expect("the port is free again"));
    }

    fn end(&mut self) {
        if let Some(node) = self.node.take() {
            node.drain();
            node.join().expect("no shard failed");
        }
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.end();
    }
}
