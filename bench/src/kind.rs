//! Who can be measured.

use crate::metric::Metric;
use crate::product::{Carrier, Variant};
use crate::session::Dialect;

/// A server that can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// The bare floor.
    Floor,
    /// `fourtuple serve` on epoll.
    FourtupleEpoll,
    /// `fourtuple serve` on io_uring.
    FourtupleUring,
    /// The same on epoll with as many shards as two million connections need.
    #[value(name = "fourtuple-epoll-110")]
    FourtupleEpoll110,
    /// The same on io_uring with as many shards as two million connections need.
    #[value(name = "fourtuple-uring-110")]
    FourtupleUring110,
    /// A plain tokio-tungstenite server.
    Tungstenite,
    /// fastwebsockets on hyper.
    Fastwebsockets,
    /// axum's WebSocket extractor.
    Axum,
    /// nginx with nchan.
    #[value(name = "nginx-nchan")]
    Nginx,
    /// ws on Node.
    #[value(name = "node-ws")]
    Node,
}

impl Kind {
    /// Who is measured when nobody is named, in the order in which the table shows them.
    pub(crate) const USUAL: [Self; 8] = [
        Self::Floor,
        Self::FourtupleEpoll,
        Self::FourtupleUring,
        Self::Tungstenite,
        Self::Fastwebsockets,
        Self::Axum,
        Self::Nginx,
        Self::Node,
    ];

    /// Returns its name on a command line and in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::FourtupleEpoll => "fourtuple-epoll",
            Self::FourtupleUring => "fourtuple-uring",
            Self::FourtupleEpoll110 => "fourtuple-epoll-110",
            Self::FourtupleUring110 => "fourtuple-uring-110",
            Self::Tungstenite => "tungstenite",
            Self::Fastwebsockets => "fastwebsockets",
            Self::Axum => "axum",
            Self::Nginx => "nginx-nchan",
            Self::Node => "node-ws",
        }
    }

    /// Returns how the product is started for it, or `None` when it is not the product.
    pub(crate) fn variant(self) -> Option<Variant> {
        let few = |carrier| Variant {
            carrier,
            shards_count: SHARDS_FEW,
            connections_max: None,
        };
        let many = |carrier| Variant {
            carrier,
            shards_count: SHARDS_MANY,
            connections_max: Some(CONNECTIONS_MANY),
        };
        Some(match self {
            Self::FourtupleEpoll => few(Carrier::Epoll),
            Self::FourtupleUring => few(Carrier::Uring),
            Self::FourtupleEpoll110 => many(Carrier::Epoll),
            Self::FourtupleUring110 => many(Carrier::Uring),
            _ => return None,
        })
    }

    /// Returns the carrier whose promises it is held to: those of the product with few shards.
    pub(crate) fn promises(self) -> Option<Carrier> {
        let variant = self.variant()?;
        (variant.shards_count == SHARDS_FEW).then_some(variant.carrier)
    }

    /// Returns the same server with few shards, for one that has many.
    pub(crate) fn with_few_shards(self) -> Option<Self> {
        match self {
            Self::FourtupleEpoll110 => Some(Self::FourtupleEpoll),
            Self::FourtupleUring110 => Some(Self::FourtupleUring),
            _ => None,
        }
    }

    /// Returns what it understands.
    pub(crate) fn dialect(self) -> Dialect {
        match self {
            Self::Nginx => Dialect::PubSub,
            _ => Dialect::Phoenix,
        }
    }

    /// Returns what the table has to say about it, where it is not measured as the others are.
    pub(crate) fn footnote(self) -> Option<&'static str> {
        match self {
            Self::Nginx => Some(
                "it knows no channels: who connects is subscribed, so its connections are upgraded \
                 and not joined; a push is published and comes back as it is; for push and reply \
                 each connection has a channel of its own; its channels and messages are in \
                 memory that its workers share, which is not counted",
            ),
            Self::Node => Some("one process, so one of the cores"),
            _ => None,
        }
    }

    /// Says whether it does what the row says: who knows no channels joins none.
    pub(crate) fn does_what(self, metric: &Metric) -> bool {
        self.dialect() == Dialect::Phoenix || !metric.is_of_joining()
    }

    /// Says whether it is somebody else's server.
    pub(crate) fn is_peer(self) -> bool {
        self != Self::Floor && self.variant().is_none()
    }
}

/// As many as the floor has threads.
const SHARDS_FEW: u32 = 2;
/// As many as two million connections need where a thread may have 20,000 descriptors.
const SHARDS_MANY: u32 = 110;
const CONNECTIONS_MANY: u32 = 2_000_000;

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn many_shards_are_those_of_two_million_connections() {
        for kind in Kind::value_variants() {
            let Some(variant) = kind.variant() else {
                continue;
            };
            let connections_max = kind.with_few_shards().map(|_| 2_000_000);
            assert_eq!(variant.connections_max, connections_max, "{}", kind.name());
        }
    }

    #[test]
    fn a_server_is_named_alike_everywhere() {
        for kind in Kind::value_variants() {
            let value = kind.to_possible_value().unwrap();
            assert_eq!(value.get_name(), kind.name());
        }
    }
}
