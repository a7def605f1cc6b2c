//! Which sockets are asked for.

use std::{collections::HashSet, net::SocketAddr};

use super::{Family, Socket, States};

/// Which sockets are handed out: those that meet every condition. Without any, all.
///
/// All conditions but the inodes are the kernel's to check, which saves most of the time that a socket
/// takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// In one of these states.
    pub states: States,
    /// With this local port, as those of a server.
    pub local_port: Option<u16>,
    /// With this remote port, as those of a client.
    pub remote_port: Option<u16>,
    /// Not at this end.
    pub except: Option<LocalEnd>,
    /// With one of these inodes, as those of a process by the links in its `/proc/PID/fd`. A
    /// connection that nobody has accepted and one in TIME_WAIT have no inode and are in no
    /// process.
    pub inodes: Option<HashSet<u32>>,
}

/// Where a listener listens: sockets of its connections have this end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LocalEnd {
    /// What the program opened; an IPv6 socket may carry IPv4.
    pub family: Family,
    /// The address and port; an unspecified address is any of its kind.
    pub local: SocketAddr,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            states: States::ALL,
            local_port: None,
            remote_port: None,
            except: None,
            inodes: None,
        }
    }
}

impl Filter {
    /// The sockets with this local port, as those of a server.
    pub fn at(port: u16) -> Self {
        Self {
            local_port: Some(port),
            ..Self::default()
        }
    }

    /// The sockets with this remote port, as those of a client.
    pub fn towards(port: u16) -> Self {
        Self {
            remote_port: Some(port),
            ..Self::default()
        }
    }

    /// Whether a socket meets every condition.
    pub fn admits(&self, socket: &Socket) -> bool {
        let is_port = |wanted: Option<u16>, port| wanted.is_none_or(|wanted| wanted == port);
        self.states.contains(socket.state)
            && is_port(self.local_port, socket.local.port())
            && is_port(self.remote_port, socket.remote.port())
            && !self.except.is_some_and(|end| end.has(socket))
            && (self.inodes.as_ref()).is_none_or(|inodes| inodes.contains(&socket.inode))
    }
}

impl LocalEnd {
    /// Whether a socket has this end.
    ///
    /// # Implementation notes
    ///
    /// As the kernel sees it (`net/ipv4/inet_diag.c`, `inet_diag_bc_run`): to it an IPv6 socket that
    /// carries IPv4 has the ends of an IPv4 socket, too.
    pub fn has(&self, socket: &Socket) -> bool {
        let (ours, theirs) = (self.local.ip(), socket.local.ip());
        let is_any_of_family = self.family == Family::V6 && ours.is_ipv6();
        self.local.port() == socket.local.port()
            && (self.family == Family::V4 || socket.family == Family::V6)
            && match ours.is_unspecified() {
                true => is_any_of_family || theirs.is_ipv4(),
                false => ours == theirs,
            }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::{prelude::*, sample::select};

    use super::*;
    use crate::sockets::State;

    #[test]
    fn a_filter_admits_what_meets_every_condition() {
        let socket = Socket {
            family: Family::V4,
            state: State::Established,
            local: ([127, 0, 0, 1], 4_000).into(),
            remote: ([127, 0, 0, 2], 50_000).into(),
            rqueue: 0,
            wqueue: 0,
            inode: 7,
            uid: 0,
        };
        let end = |address: [u8; 4], port| LocalEnd {
            family: Family::V4,
            local: (address, port).into(),
        };
        let all = Filter {
            states: States::only(State::Established),
            local_port: Some(4_000),
            remote_port: Some(50_000),
            except: Some(end([127, 0, 0, 3], 4_000)),
            inodes: Some([6, 7].into()),
        };
        assert!(Filter::default().admits(&socket) && all.admits(&socket));
        assert!(Filter::at(4_000).admits(&socket) && Filter::towards(50_000).admits(&socket));
        let with = |change: fn(&mut Filter)| {
            let mut filter = all.clone();
            change(&mut filter);
            filter
        };
        let mut others = vec![
            with(|it| it.states = States::ALL.without(State::Established)),
            with(|it| it.local_port = Some(50_000)),
            with(|it| it.remote_port = Some(4_000)),
            with(|it| it.inodes = Some([6].into())),
            with(|it| it.inodes = Some([].into())),
        ];
        for address in [[127, 0, 0, 1], [0, 0, 0, 0]] {
            let except = Some(end(address, 4_000));
            others.push(Filter {
                except,
                ..all.clone()
            });
        }
        for filter in others {
            assert!(!filter.admits(&socket), "{filter:?}");
        }
    }

    #[test]
    fn an_end_is_that_of_every_address_it_stands_for() {
        let end = |family, local: &str| LocalEnd {
            family,
            local: local.parse().expect("an address"),
        };
        let socket = |family, local: &str| Socket {
            family,
            state: State::Established,
            local: local.parse().expect("an address"),
            remote: ([127, 0, 0, 2], 50_000).into(),
            rqueue: 0,
            wqueue: 0,
            inode: 7,
            uid: 0,
        };
        let v4 = socket(Family::V4, "10.0.0.1:80");
        let mapped = socket(Family::V6, "10.0.0.1:80");
        let v6 = socket(Family::V6, "[fd00::1]:80");
        for (end, wanted) in [
            (end(Family::V4, "0.0.0.0:80"), [true, true, false]),
            (end(Family::V4, "10.0.0.1:80"), [true, true, false]),
            (end(Family::V4, "10.0.0.2:80"), [false, false, false]),
            (end(Family::V4, "0.0.0.0:81"), [false, false, false]),
            (end(Family::V6, "[::]:80"), [false, true, true]),
            (end(Family::V6, "0.0.0.0:80"), [false, true, false]),
            (end(Family::V6, "[fd00::1]:80"), [false, false, true]),
        ] {
            assert_eq!([v4, mapped, v6].map(|it| end.has(&it)), wanted, "{end:?}");
        }
    }

    /// Sockets of a few addresses and ports.
    pub(in crate::sockets) fn any_socket() -> impl Strategy<Value = Socket> {
        let state = select(&State::ALL[..]);
        let address = (
            0..3_u8,
            prop_oneof![Just(4_000), Just(5_000), Just(40_000_u16)],
        );
        (any::<bool>(), state, address.clone(), address, 0..3_u32).prop_map(
            |(is_v6, state, local, remote, number)| Socket {
                family: if is_v6 { Family::V6 } else { Family::V4 },
                state,
                local: ([local.0.min(1) * 10, 0, 0, local.0], local.1).into(),
                remote: ([10, 9, 0, remote.0], remote.1).into(),
                rqueue: number,
                wqueue: number,
                inode: number,
                uid: 0,
            },
        )
    }
}
