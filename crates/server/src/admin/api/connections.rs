//! Connections: pages of them, one by itself, the slowest, and the addresses that most come from.

#![allow(unused_qualifications, reason = "utoipa writes its paths out")]

use std::net::SocketAddr;

use axum::{Json, extract::State as Held};
use engine::ShardIndex;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    super::{
        problem::{Asking, Kind, Problem},
        state::State,
    },
    cursor::Cursor,
    input::{Asked, Named},
    search,
    target::{Target, named},
};
use crate::{
    control::Conn,
    question::{Brief, Detail, ITEMS_MAX, Question, Search},
};

/// Items of a page when nobody says how many, which is also the most.
pub(crate) const LIMIT: usize = ITEMS_MAX;

/// How many items a page may have: 1 to [`LIMIT`].
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "u16")]
pub(crate) struct Limit(pub(crate) u8);

/// Which connections: one of the first four, or none of them for all.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ConnectionsAsked {
    /// This one.
    #[param(
        pattern = "^(0|[1-9][0-9]{0,3})-(0|[1-9][0-9]{0,8})-(0|[1-9][0-9]{0,8})$",
        example = "0-17-3"
    )]
    id: Option<String>,
    /// Those that are connected under this socket id.
    socket_id: Option<String>,
    /// The members of this topic.
    #[param(example = "room:lobby")]
    topic: Option<String>,
    /// Those from this IP address, or from this address and port.
    #[param(format = "ipv4", example = "127.0.0.1")]
    address: Option<String>,
    /// Without one of the above: those with most to write first, as the last look through the tables has found
    /// them. Those of a shard that does not answer in time are left out, and `missing_shards` names it.
    #[param(inline)]
    sort: Option<Sort>,
    /// Where to go on: `next` of the page before.
    #[param(value_type = Option<String>, pattern = "^[0-9a-f]{12}$")]
    cursor: Option<Cursor>,
    /// How many at most.
    #[serde(default)]
    #[param(value_type = u8, minimum = 1, maximum = 100, default = 100)]
    limit: Limit,
}

/// What comes first.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Sort {
    /// Most bytes to write.
    Outbox,
}

/// Connections.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Connections {
    connections: Vec<Connection>,
    /// How many seconds ago the oldest figure that chose them was read; the figures shown are of now.
    as_of_s: Option<f64>,
    /// The cursor of the next page; null after the last.
    #[schema(value_type = Option<String>)]
    next: Option<Cursor>,
    /// The shards that did not answer in time, so that connections of theirs are missing from what `sort=outbox`
    /// lists; empty when none is. Any other list is refused with 503 instead, since its next page begins where it ends.
    missing_shards: Vec<u16>,
}

/// An open WebSocket.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Connection {
    /// By which it is named here, as long as it lasts.
    #[schema(example = "0-17-3")]
    id: String,
    /// Where it comes from: IP address and port.
    #[schema(example = "127.0.0.1:50114")]
    address: String,
    /// For how long it has been connected, in seconds.
    since_s: f64,
    /// For how long nothing was heard from it, in seconds; known to about a second.
    silent_s: f64,
    /// The id that the socket gave it.
    socket_id: Option<String>,
    /// The version of the serializer that the client chose.
    #[schema(example = "2.0.0")]
    vsn: &'static str,
    /// How many channels it has joined.
    channels: usize,
    /// Bytes that it has still to be sent.
    outbox_bytes: u32,
    /// Frames that these are in.
    outbox_frames: usize,
}

/// A connection by itself.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConnectionAlone {
    #[serde(flatten)]
    connection: Connection,
    /// The topics that it has joined, in the order of the joins.
    topics: Vec<String>,
}

/// Addresses.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Addresses {
    addresses: Vec<Address>,
    /// `sketch`: a count of 128 addresses on each shard, which knows by how much it may be wrong.
    #[schema(example = "sketch")]
    from: &'static str,
    /// How many seconds ago the oldest figure was read; null before the first look has ended.
    as_of_s: Option<f64>,
    /// Whether these are all there are.
    complete: bool,
}

/// An address that connections come from.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Address {
    #[schema(example = "127.0.0.1")]
    address: String,
    /// Connections, at most.
    connections: u64,
    /// By how much that may be too high; 0 when it is exact.
    error: u64,
}

/// How many addresses.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AddressesAsked {
    /// How many at most.
    #[serde(default)]
    #[param(value_type = u8, minimum = 1, maximum = 100, default = 100)]
    limit: Limit,
}

/// Lists connections.
///
/// Looks through a bounded part of the tables at a time, so a page may be short, or empty, and have a next
/// one. Connections that come or go meanwhile are listed or not.
#[utoipa::path(get, path = "/connections", tag = "connections", params(ConnectionsAsked), responses(
    (status = 200, description = "A page of connections", body = Connections),
    Asking,
))]
pub(crate) async fn connections(
    Held(state): Held<State>,
    Asked(asked): Asked<ConnectionsAsked>,
) -> Result<Json<Connections>, Problem> {
    let limit = usize::from(asked.limit.0);
    let target = Target {
        connection: asked.id,
        socket_id: asked.socket_id,
        topic: asked.topic,
        address: asked.address,
    };
    let is_any = target.is_any();
    let wrong = |what: &str| Err(Problem::new(Kind::BadParameter, what));
    match (asked.sort, is_any) {
        (Some(Sort::Outbox), true) if asked.cursor.is_none() => {
            return Ok(slowest(&state, limit).await);
        }
        (Some(_), _) => {
            return wrong("sort=outbox stands alone or with limit: it is one page of all");
        }
        (None, _) => {}
    }
    let search = match target.only(Kind::BadParameter)? {
        Some((Search::Conn(_), Some(conn))) => {
            let found = detail(&state, conn).await?;
            let brief = found.map(|found| (conn.shard, found.brief));
            let connections = brief.iter().map(Connection::of).collect();
            return Ok(Json(Connections::of(connections, None)));
        }
        Some((search, _)) => search,
        None => Search::All,
    };
    let from = asked.cursor.unwrap_or_default();
    let found = search::conns(&state.control, &search, from, limit).await?;
    let connections = found.items.iter().map(Connection::of).collect();
    Ok(Json(Connections::of(connections, found.next)))
}

/// Shows a connection and the topics that it has joined.
#[utoipa::path(get, path = "/connections/{id}", tag = "connections", params(
    ("id" = String, Path, description = "Its id, as lists of connections name it", example = "0-17-3"),
), responses(
    (status = 200, description = "The connection", body = ConnectionAlone),
    (status = 404, description = "There is no such connection, or no longer", body = Problem, content_type = "application/problem+json"),
    Asking,
))]
pub(crate) async fn connection(
    Held(state): Held<State>,
    Named(id): Named,
) -> Result<Json<ConnectionAlone>, Problem> {
    let conn = named(&id, Kind::NotFound)?;
    let found = detail(&state, conn).await?.ok_or_else(|| gone(&id))?;
    Ok(Json(ConnectionAlone {
        connection: Connection::of(&(conn.shard, found.brief)),
        topics: found.topics,
    }))
}

/// Lists the addresses that most connections come from.
#[utoipa::path(get, path = "/addresses", tag = "connections", params(AddressesAsked), responses(
    (status = 200, description = "The addresses with most connections first", body = Addresses),
    Asking,
))]
pub(crate) async fn addresses(
    Held(state): Held<State>,
    Asked(asked): Asked<AddressesAsked>,
) -> Result<Json<Addresses>, Problem> {
    let limit = asked.limit.0.into();
    let listed = state.observatory.read_board(|board| board.addresses(limit));
    let address = |item: &super::super::board::Address| Address {
        address: item.ip.to_string(),
        connections: item.connections,
        error: item.error,
    };
    Ok(Json(Addresses {
        addresses: listed.items.iter().map(address).collect(),
        from: "sketch",
        as_of_s: listed.age.map(|age| age.as_secs_f64()),
        complete: listed.is_complete,
    }))
}

/// What is not there any more, or never was.
pub(crate) fn gone(id: &str) -> Problem {
    let detail = format!(
        "there is no connection {id}, or it has ended; GET /api/v1/connections lists those there are"
    );
    Problem::new(Kind::NotFound, detail)
}

async fn detail(state: &State, conn: Conn) -> Result<Option<Detail>, Problem> {
    if conn.shard.0 >= state.control.shards_count() {
        return Ok(None);
    }
    let question = |reply| Question::Conn(conn.conn, reply);
    search::ask(&state.control, conn.shard, question).await
}

async fn slowest(state: &State, limit: usize) -> Json<Connections> {
    let listed = state.observatory.read_board(|board| board.slowest(limit));
    // Some may have ended since they were seen, and so have their troubles.
    let (mut found, missing) = search::briefs(&state.control, &listed.items).await;
    found.sort_by_key(|(_, brief)| std::cmp::Reverse(brief.outbox_bytes));
    Json(Connections {
        as_of_s: listed.age.map(|age| age.as_secs_f64()),
        missing_shards: missing.into_iter().map(|shard| shard.0).collect(),
        ..Connections::of(found.iter().map(Connection::of).collect(), None)
    })
}

impl Connections {
    const fn of(connections: Vec<Connection>, next: Option<Cursor>) -> Self {
        Self {
            connections,
            as_of_s: Some(0.0),
            next,
            missing_shards: Vec::new(),
        }
    }
}

impl Connection {
    pub(crate) fn of((shard, brief): &(ShardIndex, Brief)) -> Self {
        let conn = Conn {
            shard: *shard,
            conn: brief.conn,
        };
        Self {
            id: conn.to_string(),
            address: SocketAddr::to_string(&brief.peer),
            since_s: brief.age.as_secs_f64(),
            silent_s: brief.silence.as_secs_f64(),
            socket_id: brief.socket_id.clone(),
            vsn: brief.vsn,
            channels: brief.channels_count,
            outbox_bytes: brief.outbox_bytes,
            outbox_frames: brief.outbox_frames,
        }
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(LIMIT as u8)
    }
}

impl TryFrom<u16> for Limit {
    type Error = &'static str;

    fn try_from(limit: u16) -> Result<Self, Self::Error> {
        let fits = (1..=LIMIT).contains(&usize::from(limit));
        let limit = u8::try_from(limit).ok().filter(|_| fits);
        limit.map(Self).ok_or("a limit is 1 to 100")
    }
}

/// The list may be empty and is never longer than asked for.
const _: () = assert!(LIMIT <= u8::MAX as usize);
