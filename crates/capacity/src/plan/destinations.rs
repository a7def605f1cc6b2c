//! Where connections go to: (address, port) pairs, as `IP:PORT` or `IP:LO-HI`.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Serialize, Serializer};
use thiserror::Error;

use super::{Ports, PortsError};

/// (address, port) pairs at which a server listens, in the order given, none of them twice.
///
/// Parsed from `10.0.0.1:4000,10.0.0.2:4000-4015,[fd00::1]:4000`; both ends of a range belong to it. Each
/// pair is a destination, towards which the ports of a source address are there once more.
///
/// ```
/// use fourtuple_capacity::plan::Destinations;
///
/// let destinations: Destinations = "10.0.0.1:4000-4015".parse()?;
/// assert_eq!(destinations.count(), 16);
/// # Ok::<(), fourtuple_capacity::plan::DestinationsError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destinations {
    /// Invariant: not empty, disjoint.
    listeners: Vec<Listener>,
}

/// The ports of one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Listener {
    address: IpAddr,
    ports: Ports,
}

/// Why a list of destinations was not understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DestinationsError {
    /// An item between two commas is neither `IP:PORT` nor `IP:LO-HI`.
    #[error(
        "`{item}` is not a destination: expected IP:PORT or IP:LO-HI, such as 10.0.0.1:4000, \
         10.0.0.1:4000-4015 or [fd00::1]:4000, separated by commas"
    )]
    NotADestination {
        /// The text between the commas.
        item: String,
    },
    /// The ports of an item are no range.
    #[error(transparent)]
    Ports(PortsError),
    /// A pair appears twice, which would count the same tuples twice.
    #[error(
        "`{item}` overlaps an earlier destination: expected each pair of address and port once"
    )]
    Overlap {
        /// The text between the commas.
        item: String,
    },
}

impl Destinations {
    /// The number of pairs.
    pub fn count(&self) -> u64 {
        let counts = self.listeners.iter().map(|listener| listener.ports.count());
        counts.fold(0, u64::saturating_add)
    }

    /// The first of them.
    pub(super) fn label(&self) -> String {
        let first = self.listeners.first();
        first.map_or_else(String::new, Listener::to_string)
    }
}

impl Listener {
    fn parse(item: &str) -> Result<Self, DestinationsError> {
        let wrong = || DestinationsError::NotADestination {
            item: item.to_owned(),
        };
        let (host, ports) = item.rsplit_once(':').ok_or_else(wrong)?;
        let bracketed = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        // Without brackets the last group of an IPv6 address would be taken for the port.
        let address = match bracketed {
            Some(host) => host.parse().ok().filter(IpAddr::is_ipv6),
            None => host.parse().ok().filter(IpAddr::is_ipv4),
        };
        let address = address.ok_or_else(wrong)?;
        let ports = if ports.contains('-') {
            ports.parse().map_err(DestinationsError::Ports)?
        } else {
            format!("{ports}-{ports}").parse().map_err(|_| wrong())?
        };
        Ok(Self { address, ports })
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.address == other.address
            && self.ports.first() <= other.ports.last()
            && other.ports.first() <= self.ports.last()
    }
}

impl FromStr for Destinations {
    type Err = DestinationsError;

    fn from_str(text: &str) -> Result<Self, DestinationsError> {
        let mut listeners: Vec<Listener> = Vec::new();
        for item in text.split(',').map(str::trim) {
            let listener = Listener::parse(item)?;
            if listeners.iter().any(|other| other.overlaps(&listener)) {
                return Err(DestinationsError::Overlap {
                    item: item.to_owned(),
                });
            }
            listeners.push(listener);
        }
        Ok(Self { listeners })
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            IpAddr::V4(address) => write!(f, "{address}:")?,
            IpAddr::V6(address) => write!(f, "[{address}]:")?,
        }
        match self.ports.count() {
            1 => write!(f, "{}", self.ports.first()),
            _ => self.ports.fmt(f),
        }
    }
}

impl fmt::Display for Destinations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, listener) in self.listeners.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            listener.fmt(f)?;
        }
        Ok(())
    }
}

impl Serialize for Destinations {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_and_ranges_of_both_families() {
        for (text, count) in [
            ("10.0.0.1:4000", 1),
            ("10.0.0.1:4000-4015", 16),
            ("10.0.0.1:4000,10.0.0.2:4000,[fd00::1]:4000-4001", 4),
            ("10.0.0.1:4000,10.0.0.1:4001", 2),
        ] {
            let destinations: Destinations = text.parse().expect(text);
            assert_eq!(destinations.count(), count, "{text}");
            assert_eq!(destinations.to_string(), text);
        }
    }

    #[test]
    fn errors_say_what_was_expected() {
        for (text, words) in [
            ("", "expected IP:PORT or IP:LO-HI"),
            ("10.0.0.1", "expected IP:PORT or IP:LO-HI"),
            ("10.0.0.1:4000,", "expected IP:PORT or IP:LO-HI"),
            ("host:4000", "expected IP:PORT or IP:LO-HI"),
            ("10.0.0.1:0", "expected IP:PORT or IP:LO-HI"),
            ("10.0.0.1:65536", "expected IP:PORT or IP:LO-HI"),
            ("fd00::1:4000", "expected IP:PORT or IP:LO-HI"),
            ("[10.0.0.1]:4000", "expected IP:PORT or IP:LO-HI"),
            ("10.0.0.1:4015-4000", "lower port first"),
            ("10.0.0.1:0-9", "expected LO-HI"),
            (
                "10.0.0.1:4000-4015,10.0.0.1:4015",
                "each pair of address and port once",
            ),
        ] {
            let error = text.parse::<Destinations>().expect_err(text).to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
