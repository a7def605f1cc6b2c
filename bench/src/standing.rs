//! How the product stands among the servers of others: its rank, and by how much.
//!
//! The floor is not ranked, for it does not do the work; nor do variants of the product compete with
//! each other. The medians over the rounds are compared.

use std::fmt;

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::metric::Better;

/// The rank of one variant of the product in one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Standing {
    /// From 1, the best.
    pub(crate) rank: usize,
    /// The variant and its peers.
    pub(crate) servers_count: usize,
    /// The best of the peers.
    pub(crate) rival: Kind,
    /// How many times better than the rival: less than 1 where the rival is better.
    pub(crate) times: f64,
}

impl Standing {
    /// Ranks `value` among the medians of the peers. Returns `None` without peers, and where nobody
    /// is ranked.
    pub(crate) fn among(better: Better, value: f64, peers: &[(Kind, f64)]) -> Option<Self> {
        let mut best: Option<(Kind, f64)> = None;
        let mut ahead_count = 0;
        for (kind, peer) in peers {
            let times = better.times(value, *peer)?;
            if times < 1.0 {
                ahead_count += 1;
            }
            if best.is_none_or(|(_, least)| times < least) {
                best = Some((*kind, times));
            }
        }
        let (rival, times) = best?;
        Some(Self {
            rank: ahead_count + 1,
            servers_count: peers.len() + 1,
            rival,
            times,
        })
    }

    pub(crate) fn to_json(self) -> Value {
        json!({
            "rank": self.rank,
            "of": self.servers_count,
            "best_peer": self.rival.name(),
            "times": self.times,
        })
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rank,
            servers_count,
            rival,
            times,
        } = self;
        let rival = rival.name();
        write!(out, "{rank} of {servers_count}, {times:.2} times {rival}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEERS: [(Kind, f64); 2] = [(Kind::Tungstenite, 20.0), (Kind::Floor, 40.0)];

    #[test]
    fn the_first_is_so_many_times_better_than_the_next() {
        let standing = Standing::among(Better::More, 80.0, &PEERS).unwrap();
        assert_eq!(standing.to_string(), "1 of 3, 2.00 times floor");
        let standing = Standing::among(Better::Less, 10.0, &PEERS).unwrap();
        assert_eq!(standing.to_string(), "1 of 3, 2.00 times tungstenite");
    }

    #[test]
    fn who_is_behind_is_compared_with_the_best() {
        let standing = Standing::among(Better::More, 30.0, &PEERS).unwrap();
        assert_eq!(standing.to_string(), "2 of 3, 0.75 times floor");
        let standing = Standing::among(Better::Less, 80.0, &PEERS).unwrap();
        assert_eq!(standing.to_string(), "3 of 3, 0.25 times tungstenite");
    }

    #[test]
    fn nobody_stands_alone_or_in_a_row_without_a_better() {
        assert_eq!(Standing::among(Better::More, 1.0, &[]), None);
        assert_eq!(Standing::among(Better::Neither, 1.0, &PEERS), None);
    }
}
