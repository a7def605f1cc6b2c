//! Where the admin side listens, as an operator says it.

use std::net::{Ipv4Addr, SocketAddr};

use super::{
    kind::{Address, Kind},
    written::{Written, quoted},
};

/// The listener of dashboard, metrics and HTTP API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminListen {
    /// [`AdminListen::USUAL`], or any free port of that address where another program has it.
    Auto,
    /// There is none.
    Off,
    /// This address, or the server does not start.
    At(SocketAddr),
}

/// The kind of the setting.
#[derive(Clone, Copy, Debug)]
pub(super) struct AdminAddress;

impl AdminListen {
    /// Where it is expected: reached from this machine alone.
    pub const USUAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 4001);
}

impl Kind for AdminAddress {
    type Value = AdminListen;

    fn read(&self, written: &Written<'_>) -> Option<AdminListen> {
        match written.text() {
            Some("auto") => Some(AdminListen::Auto),
            Some("off") => Some(AdminListen::Off),
            _ => Address.read(written).map(AdminListen::At),
        }
    }

    fn write(&self, value: &AdminListen) -> String {
        match value {
            AdminListen::Auto => quoted("auto"),
            AdminListen::Off => quoted("off"),
            AdminListen::At(address) => Address.write(address),
        }
    }

    fn expected(&self) -> String {
        format!("\"auto\", \"off\" or {}", Address.expected())
    }

    fn placeholder(&self) -> &'static str {
        Address.placeholder()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_address_is_a_loopback_one() {
        assert!(AdminListen::USUAL.ip().is_loopback());
    }
}
