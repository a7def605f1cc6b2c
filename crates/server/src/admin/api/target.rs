//! Whom a request means: one connection, a socket id, the members of a topic, or an address.

use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    super::problem::{Kind, Problem},
    input::given,
};
use crate::{control::Conn, question::Search};

/// Whom a request means: exactly one of these.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1, max_properties = 1, example = json!({"topic": "room:lobby"}))]
pub(crate) struct Target {
    /// This connection, as queries name it.
    #[schema(
        nullable = false,
        pattern = "^(0|[1-9][0-9]{0,3})-(0|[1-9][0-9]{0,8})-(0|[1-9][0-9]{0,8})$",
        example = "0-17-3"
    )]
    #[serde(default, deserialize_with = "given")]
    pub(crate) connection: Option<String>,
    /// All connections under this socket id.
    #[schema(nullable = false)]
    #[serde(default, deserialize_with = "given")]
    pub(crate) socket_id: Option<String>,
    /// All members of this topic.
    #[schema(nullable = false, example = "room:lobby")]
    #[serde(default, deserialize_with = "given")]
    pub(crate) topic: Option<String>,
    /// All connections from this IP address, or from this address and port.
    #[schema(nullable = false, format = "ipv4", example = "192.0.2.7")]
    #[serde(default, deserialize_with = "given")]
    pub(crate) address: Option<String>,
}

impl Target {
    /// Whether it means nobody in particular.
    pub(crate) const fn is_any(&self) -> bool {
        self.connection.is_none()
            && self.socket_id.is_none()
            && self.topic.is_none()
            && self.address.is_none()
    }

    /// The search for those that are meant, and the one connection if it is one; none when nobody is named.
    ///
    /// # Errors
    ///
    /// More than one is named, or one that cannot be.
    pub(crate) fn only(self, kind: Kind) -> Result<Option<(Search, Option<Conn>)>, Problem> {
        Ok(Some(
            match (self.connection, self.socket_id, self.topic, self.address) {
                (None, None, None, None) => return Ok(None),
                (Some(id), None, None, None) => {
                    let conn = named(&id, kind)?;
                    (Search::Conn(conn.conn), Some(conn))
                }
                (None, Some(id), None, None) => (Search::SocketId(id.into()), None),
                (None, None, Some(topic), None) => (Search::Topic(topic.into()), None),
                (None, None, None, Some(address)) => (place(&address, kind)?, None),
                _ => {
                    let detail = "more than one of connection, socket id, topic and address is \
                                  named; expected one of them";
                    return Err(Problem::new(kind, detail));
                }
            },
        ))
    }
}

/// The connection of an id.
///
/// # Errors
///
/// The text is no id.
pub(crate) fn named(id: &str, kind: Kind) -> Result<Conn, Problem> {
    id.parse().map_err(|error: crate::control::NoConn| {
        Problem::new(kind, format!("{id:?} names no connection: {error}"))
    })
}

fn place(address: &str, kind: Kind) -> Result<Search, Problem> {
    if let Ok(ip) = address.parse::<IpAddr>() {
        // As the engine keeps it: RFC 4291 §2.5.5.2.
        return Ok(Search::Address(ip.to_canonical(), None));
    }
    let place = address.parse::<SocketAddr>().map_err(|_| {
        let detail = format!(
            "{address:?} is no address; expected an IP address such as 192.0.2.7 or 2001:db8::7, or one with \
             a port such as 192.0.2.7:50114 or [2001:db8::7]:50114"
        );
        Problem::new(kind, detail)
    })?;
    Ok(Search::Address(
        place.ip().to_canonical(),
        Some(place.port()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Result<Option<(Search, Option<Conn>)>, Problem> {
        let address = Some(text.to_owned());
        let target = Target {
            address,
            ..Target::default()
        };
        target.only(Kind::Invalid)
    }

    #[test]
    fn an_address_may_have_a_port() {
        let search = |text| address(text).unwrap().unwrap().0;
        let ip = IpAddr::from([192, 0, 2, 7]);
        assert_eq!(search("192.0.2.7"), Search::Address(ip, None));
        assert_eq!(search("192.0.2.7:80"), Search::Address(ip, Some(80)));
        let v6 = "2001:db8::7".parse().unwrap();
        assert_eq!(search("2001:db8::7"), Search::Address(v6, None));
        assert_eq!(search("[2001:db8::7]:9"), Search::Address(v6, Some(9)));
        assert_eq!(search("::ffff:192.0.2.7"), Search::Address(ip, None));
        for text in ["", "example.com", "192.0.2.7:", "1.2.3", "[::1]"] {
            assert!(address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn one_is_meant_and_no_two() {
        assert!(Target::default().only(Kind::Invalid).unwrap().is_none());
        let two = Target {
            topic: Some("a".to_owned()),
            socket_id: Some("b".to_owned()),
            ..Target::default()
        };
        assert!(two.only(Kind::Invalid).is_err());
    }
}
