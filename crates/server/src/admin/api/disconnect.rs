//! Closing connections by an operator's decision: with 1001 and the word "disconnect", as Phoenix does.

use std::time::{Duration, Instant};

use axum::{Json, extract::State as Held};
use engine::ShardIndex;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    super::{
        problem::{Asking, Kind, Problem, Telling},
        state::State,
    },
    connections::gone,
    input::{Named, Told},
    search,
    target::{Target, named},
};
use crate::{
    control::{Conn, Control},
    question::{Closed, Question, Search},
};

/// How long a request goes on closing; then it says that there are more.
const PATIENCE: Duration = Duration::from_secs(10);

/// What became of the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Disconnected {
    /// How many were closed.
    closed: usize,
    /// Whether all that were meant are closed. It is false when 10 seconds were not enough: send the same again.
    complete: bool,
}

/// Closes connections.
///
/// One connection, all of a socket id, all members of a topic, or all from an address, with the close code 1001
/// and the reason `disconnect`. Phoenix clients come back unless they are refused then.
#[utoipa::path(post, path = "/disconnect", tag = "connections", request_body = Target, responses(
    (status = 200, description = "They are closed", body = Disconnected),
    Telling,
))]
pub(crate) async fn disconnect(
    Held(state): Held<State>,
    told: Told,
) -> Result<Json<Disconnected>, Problem> {
    let target: Target = told.read()?;
    let Some((search, conn)) = target.only(Kind::Invalid)? else {
        let detail = "nobody is named; expected one of connection, socket_id, topic and address";
        return Err(Problem::new(Kind::Invalid, detail));
    };
    let shards = match conn {
        Some(conn) => shard_of(&state.control, conn).into_iter().collect(),
        None => search::shards_of(&state.control, &search),
    };
    Ok(Json(close(&state.control, &search, &shards).await?))
}

/// Closes a connection.
#[utoipa::path(delete, path = "/connections/{id}", tag = "connections", params(
    ("id" = String, Path, description = "Its id, as lists of connections name it", example = "0-17-3"),
), responses(
    (status = 200, description = "It is closed", body = Disconnected),
    (status = 404, description = "There is no such connection, or no longer", body = Problem, content_type = "application/problem+json"),
    Asking,
))]
pub(crate) async fn disconnect_one(
    Held(state): Held<State>,
    Named(id): Named,
) -> Result<Json<Disconnected>, Problem> {
    let conn = named(&id, Kind::NotFound)?;
    let shard = shard_of(&state.control, conn).ok_or_else(|| gone(&id))?;
    let closed = close(&state.control, &Search::Conn(conn.conn), &[shard]).await?;
    if closed.closed == 0 {
        return Err(gone(&id));
    }
    Ok(Json(closed))
}

fn shard_of(control: &Control, conn: Conn) -> Option<ShardIndex> {
    Some(conn.shard).filter(|shard| shard.0 < control.shards_count())
}

async fn close(
    control: &Control,
    search: &Search,
    shards: &[ShardIndex],
) -> Result<Disconnected, Problem> {
    let deadline = Instant::now() + PATIENCE;
    let mut closed = 0;
    for shard in shards {
        let mut place = 0;
        loop {
            if Instant::now() >= deadline {
                return Ok(Disconnected {
                    closed,
                    complete: false,
                });
            }
            let question = |reply| Question::Close(search.clone(), place, reply);
            let Closed { count, next } = match search::ask(control, *shard, question).await {
                Ok(part) => part,
                // What is closed is closed, and the client is to know how many.
                Err(_) if closed > 0 => {
                    return Ok(Disconnected {
                        closed,
                        complete: false,
                    });
                }
                Err(problem) => return Err(problem),
            };
            closed += count;
            match next {
                Some(next) => place = next,
                None => break,
            }
        }
    }
    Ok(Disconnected {
        closed,
        complete: true,
    })
}
