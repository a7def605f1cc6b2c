//! Publishing: one message, or a batch in its order.
//!
//! A message is taken by all shards that have members of its topic, or by none. A batch is read whole before
//! the first message of it is published, so one that cannot be read is refused whole. It then waits a moment for
//! room in full mailboxes; when there is none it stops, and says how many it has published: those in front,
//! and none behind. So whoever sends the rest again neither loses nor repeats a message, nor changes their order.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Extension,
    extract::{OriginalUri, State as Held},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use utoipa::ToSchema;

use super::{
    super::{
        guard::{Caller, Deed},
        problem::{Kind, Problem, Publishing, Telling},
        state::State,
    },
    idempotency::{Begun, Flight, Idempotency, Outcome},
    input::Told,
    message::{Batch, Message, Ready},
};
use crate::control::{Control, Unpublished};

/// Messages in a batch.
const MESSAGES_MAX: usize = 10_000;
/// Messages after which others get their turn on this thread.
const MESSAGES_PER_TURN: usize = 64;
/// How long a batch waits for room, all waits together.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long until it looks for room again.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// Requests that publish at the same time; others wait for them.
const REQUESTS_MAX: usize = 64;

/// What publishing keeps between two requests. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Press {
    idempotency: Idempotency,
    /// A place for each request under way: it goes on when its client has gone.
    places: Arc<Semaphore>,
}

/// A published message.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct Published {
    /// How many shards took it: all that may have members of its topic. Zero when it has none.
    #[schema(example = 2)]
    shards: usize,
}

/// A published batch.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BatchPublished {
    /// How many messages were taken: all.
    taken: usize,
    /// What became of each, in the order of the messages.
    results: Vec<Published>,
}

/// How far a batch came.
#[derive(Debug)]
struct Progress {
    results: Vec<Published>,
    /// Why it went no further.
    stopped: Option<Unpublished>,
}

impl Default for Press {
    fn default() -> Self {
        Self {
            idempotency: Idempotency::default(),
            places: Arc::new(Semaphore::new(REQUESTS_MAX)),
        }
    }
}

/// Publishes a message.
///
/// To every member of its topic, or to all but one connection. Status 202 says that all shards with members have
/// it in their mailboxes; 429 that none has.
#[utoipa::path(post, path = "/publish", tag = "publish", request_body = Message, params(
    ("Idempotency-Key" = Option<String>, Header, description = "The same request under the same key is carried out once in 5 minutes, and answered the same. A key belongs to the API key or the user that sends it, and to this path. The last 10,000 keys of all callers together and 16 MiB of their answers are kept; the oldest of whoever has most go first", min_length = 1, max_length = 255, pattern = "^[!-~]+$"),
), responses(
    (status = 202, description = "All shards with members have it", body = Published, headers(
        ("Idempotency-Replayed" = String, description = "`true` when this was answered before"),
    )),
    Telling, Publishing,
))]
pub(crate) async fn publish(
    Held(state): Held<State>,
    OriginalUri(uri): OriginalUri,
    caller: Option<Extension<Caller>>,
    headers: HeaderMap,
    told: Told,
) -> Result<Response, Problem> {
    let flight = match begin(&state, caller, &headers, uri.path(), &told)? {
        Begun::New(flight) => flight,
        Begun::Before(outcome) => return Ok(outcome.replay()),
    };
    let message: Message<'_> = told.read()?;
    let ready = message.prepare(&state.control.config().limits);
    let ready = ready.map_err(|unfit| {
        let detail = format!("the message cannot be published: {unfit}");
        Problem::new(Kind::Invalid, detail)
    })?;
    let shards = state.control.publish(&ready.broadcast, ready.but);
    let shards = shards.map_err(|why| Problem::unpublished(why, None))?;
    Ok(end(flight, &Published { shards }))
}

/// Publishes messages in their order.
///
/// All of them are read before the first is published: one that cannot be read or published refuses the whole
/// batch with 422. When a mailbox is full and stays full for a second, the batch stops there with 429: the first
/// `taken` messages were published, and none of the others. Send the others again, under a new idempotency key.
#[utoipa::path(post, path = "/publish/batch", tag = "publish", request_body = Batch, params(
    ("Idempotency-Key" = Option<String>, Header, description = "The same request under the same key is carried out once in 5 minutes, and answered the same. A key belongs to the API key or the user that sends it, and to this path. The last 10,000 keys of all callers together and 16 MiB of their answers are kept; the oldest of whoever has most go first", min_length = 1, max_length = 255, pattern = "^[!-~]+$"),
), responses(
    (status = 202, description = "All messages were taken", body = BatchPublished, headers(
        ("Idempotency-Replayed" = String, description = "`true` when this was answered before"),
    )),
    Telling, Publishing,
))]
pub(crate) async fn publish_batch(
    Held(state): Held<State>,
    OriginalUri(uri): OriginalUri,
    caller: Option<Extension<Caller>>,
    deed: Option<Extension<Deed>>,
    headers: HeaderMap,
    told: Told,
) -> Result<Response, Problem> {
    let flight = match begin(&state, caller, &headers, uri.path(), &told)? {
        Begun::New(flight) => flight,
        Begun::Before(outcome) => return Ok(outcome.replay()),
    };
    let place = Arc::clone(&state.press.places).acquire_owned().await;
    // A task of its own is not ended in the middle when its client goes away.
    let task = tokio::spawn(async move {
        let _place = place;
        let done = carry_out(&state.control, &told, flight).await;
        if let Some(Extension(deed)) = deed {
            deed.end(status(&done));
        }
        done
    });
    let unavailable = |_| Problem::new(Kind::Unavailable, "the server ends; nothing is known");
    task.await.map_err(unavailable)?
}

fn begin(
    state: &State,
    caller: Option<Extension<Caller>>,
    headers: &HeaderMap,
    path: &str,
    told: &Told,
) -> Result<Begun, Problem> {
    let caller = caller.map_or(Caller::Open, |Extension(caller)| caller);
    let idempotency = &state.press.idempotency;
    idempotency.begin(headers, caller, path, &told.0, Instant::now())
}

fn status(done: &Result<Response, Problem>) -> StatusCode {
    let failed = |problem: &Problem| StatusCode::from_u16(problem.status()).unwrap_or_default();
    done.as_ref().map_or_else(failed, Response::status)
}

fn end<T: Serialize>(flight: Flight, done: &T) -> Response {
    // Numbers in lists and objects: they cannot but be written.
    let body = serde_json::to_vec(done).unwrap_or_default();
    let outcome = Outcome::done(body.into());
    flight.end(&outcome, Instant::now());
    outcome.into_response()
}

async fn carry_out(control: &Control, told: &Told, flight: Flight) -> Result<Response, Problem> {
    let ready = read(control, told).await?;
    let Progress { results, stopped } = publish_all(control, &ready).await;
    let taken = results.len();
    let Some(why) = stopped else {
        return Ok(end(flight, &BatchPublished { taken, results }));
    };
    let problem = Problem::unpublished(why, Some(taken));
    if taken > 0 {
        // Who sends the same again must not publish its beginning again.
        flight.end(&Outcome::partly(&problem), Instant::now());
    }
    Err(problem)
}

async fn read(control: &Control, told: &Told) -> Result<Vec<Ready>, Problem> {
    let Batch { messages } = told.read()?;
    if !(1..=MESSAGES_MAX).contains(&messages.len()) {
        let detail = format!(
            "the batch has {} messages; expected 1 to {MESSAGES_MAX}, so send them in several batches",
            messages.len()
        );
        return Err(Problem::new(Kind::Invalid, detail));
    }
    let limits = &control.config().limits;
    let mut ready = Vec::with_capacity(messages.len());
    for (index, message) in messages.iter().enumerate() {
        give_way(index).await;
        ready.push(message.prepare(limits).map_err(|unfit| {
            let detail = format!("message {index} cannot be published, so none was: {unfit}");
            Problem::new(Kind::Invalid, detail)
        })?);
    }
    Ok(ready)
}

async fn publish_all(control: &Control, ready: &[Ready]) -> Progress {
    let mut results = Vec::with_capacity(ready.len());
    let mut waited = Duration::ZERO;
    for (index, message) in ready.iter().enumerate() {
        give_way(index).await;
        let shards = loop {
            match control.publish(&message.broadcast, message.but) {
                Ok(shards) => break shards,
                Err(Unpublished::Full) if waited < PATIENCE => {
                    let asleep = Instant::now();
                    tokio::time::sleep(LOOK_AGAIN).await;
                    waited += asleep.elapsed();
                }
                Err(why) => {
                    return Progress {
                        results,
                        stopped: Some(why),
                    };
                }
            }
        };
        results.push(Published { shards });
    }
    Progress {
        results,
        stopped: None,
    }
}

/// Lets other requests go on after each part of a batch.
async fn give_way(index: usize) {
    if index % MESSAGES_PER_TURN == MESSAGES_PER_TURN - 1 {
        tokio::task::yield_now().await;
    }
}
