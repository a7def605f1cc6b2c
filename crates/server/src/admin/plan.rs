//! `GET /api/v1/plan`: what so many connections would need here, answered as `fourtuple plan` does.

#![allow(unused_qualifications, reason = "they are those of utoipa's macro")]

use std::{num::NonZero, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Query, State as Held, rejection::QueryRejection},
};
use capacity::{
    Bytes, Demand, Diagnosis, Side, Survey,
    plan::{Answer, Clients, Drawing, Nat, Ports, Program, Question},
};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};
use utoipa::IntoParams;

use super::{
    limits::question,
    problem::{self, Asking, Problem},
    state::State,
};
use crate::control::Control;

/// The most connections that a plan is made for, as on the command line.
const CONNECTIONS_MAX: u64 = u32::MAX as u64;

/// The longest time between two heartbeats: a day.
const HEARTBEAT_S_MAX: u32 = 86_400;
/// The most messages to a connection in a second.
const MESSAGE_RATE_MAX: f64 = 1_000_000.0;

/// Plans made at once, each on a thread of its own. Whoever asks for one more is told to come again.
pub(super) const THREADS: usize = 1;

/// Who makes plans. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Planner(Arc<Semaphore>);

impl Default for Planner {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(THREADS)))
    }
}

impl Planner {
    /// # Errors
    ///
    /// Another plan is being made.
    fn take(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let free = Arc::clone(&self.0).try_acquire_owned();
        free.map_err(|_| {
            let detail = "another plan is being made, and one is made at a time; ask again after Retry-After \
                          seconds";
            Problem::new(problem::Kind::Unavailable, detail)
        })
    }
}

/// What may be asked; the names of the command line.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// Connections that are to be open at once.
    #[param(minimum = 1, maximum = 4_294_967_295_u64)]
    connections: u64,
    /// Memory of the server's machine, such as 128G; without it that of this machine is judged alone.
    server_memory: Option<String>,
    /// Source addresses, all of one client machine.
    #[param(minimum = 1, maximum = 4_294_967_295_u64)]
    sources: Option<u64>,
    /// Client machines with one source address each.
    #[param(minimum = 1, maximum = 4_294_967_295_u64)]
    client_machines: Option<u64>,
    /// Source ports that each address may use, such as 1024-65535.
    port_range: Option<String>,
    /// What is between clients and server and dials for them, such as aws-nat-gateway:8.
    nat: Option<String>,
    /// Seconds between two heartbeats of a connection, 0 for none.
    #[param(minimum = 0, maximum = 86_400)]
    heartbeat_s: Option<u32>,
    /// Messages that the server delivers to each connection in a second.
    #[param(minimum = 0.0, maximum = 1_000_000.0)]
    message_rate: Option<f64>,
    /// Connections opened per second.
    #[param(minimum = 1, maximum = 4_294_967_295_u64)]
    connect_rate: Option<u64>,
}

/// The plan in three forms.
#[derive(Debug, Serialize)]
pub(super) struct Planned {
    /// Whether the plan fits.
    fits: bool,
    /// Whether this machine could be its server; null when not everything could be read.
    fits_here: Option<bool>,
    answer: Answer,
    text: String,
    svg: String,
}

/// What so many connections would need here.
#[utoipa::path(get, path = "/plan", tag = "limits", params(Asked), responses(
    (status = 200, description = "The answer of `fourtuple plan`: for programs, for people, and drawn", content_type = "application/json"),
    Asking,
))]
pub(super) async fn plan(
    Held(state): Held<State>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Planned>, Problem> {
    let Query(asked) = asked?;
    let seat = state.planner.take()?;
    // The machine is read for it, which may wait. The seat is given back when the thread is done, also when
    // nobody waits for it any more.
    let planned = spawn_blocking(move || {
        let _seat = seat;
        asked.answer(&state.control)
    });
    match planned.await {
        Ok(Ok(planned)) => Ok(Json(planned)),
        Ok(Err(words)) => Err(Problem::new(problem::Kind::BadParameter, words)),
        // Its own message has shown why it panicked.
        Err(_) => Err(Problem::new(
            problem::Kind::Unavailable,
            "the plan could not be made",
        )),
    }
}

impl Asked {
    /// The plan for this machine; the words say what was asked wrongly.
    fn answer(&self, control: &Control) -> Result<Planned, String> {
        let question = self.question(control)?;
        let mut demand = Demand::new(question.connections.get(), Side::Server, question.program);
        demand.kernel = question.server.kernel;
        demand.connects_per_second = question.connects_per_second.get();
        let diagnosis = Diagnosis::of(&Survey::read(), &demand);
        Ok(Planned::of(&question, &diagnosis))
    }

    fn question(&self, control: &Control) -> Result<Question, String> {
        let count = number("connections", self.connections)?;
        let mut asked = question(control, count.get());
        asked.program = Program::Fourtuple;
        if let Some(text) = &self.server_memory {
            asked.server_memory_bytes = Some(parse::<Bytes, _>("server_memory", text)?.0);
        }
        asked.clients = match (self.sources, self.client_machines) {
            (Some(_), Some(_)) => {
                return Err(
                    "sources and client_machines exclude each other: expected one of them"
                        .to_owned(),
                );
            }
            (Some(sources), None) => Some(Clients::Sources(number("sources", sources)?)),
            (None, Some(count)) => Some(Clients::Machines(number("client_machines", count)?)),
            (None, None) => None,
        };
        if let Some(text) = &self.port_range {
            asked.ports = parse::<Ports, _>("port_range", text)?;
        }
        if let Some(text) = &self.nat {
            asked.nat = Some(parse::<Nat, _>("nat", text)?);
        }
        if let Some(seconds) = self.heartbeat_s {
            if seconds > HEARTBEAT_S_MAX {
                return Err(format!(
                    "heartbeat_s is {seconds}: expected 0 to {HEARTBEAT_S_MAX}"
                ));
            }
            asked.heartbeat = Some(Duration::from_secs(seconds.into()));
        }
        if let Some(rate) = self.message_rate {
            if !(0.0..=MESSAGE_RATE_MAX).contains(&rate) {
                return Err(format!(
                    "message_rate is {rate}: expected 0 to {MESSAGE_RATE_MAX} per second"
                ));
            }
            // A rate so low that its interval is no time at all is none.
            asked.message_interval = Duration::try_from_secs_f64(rate.recip()).ok();
        }
        if let Some(rate) = self.connect_rate {
            asked.connects_per_second = number("connect_rate", rate)?;
        }
        Ok(asked)
    }
}

impl Planned {
    fn of(question: &Question, diagnosis: &Diagnosis) -> Self {
        let answer = Answer::of(question);
        let drawing = Drawing::of(&answer);
        let text = diagnosis.plan_text(&answer, &drawing);
        Self {
            fits: answer.fits(),
            fits_here: diagnosis.fits(),
            svg: drawing.svg().to_string(),
            text,
            answer,
        }
    }
}

fn number(name: &str, value: u64) -> Result<NonZero<u64>, String> {
    NonZero::new(value)
        .filter(|value| value.get() <= CONNECTIONS_MAX)
        .ok_or_else(|| format!("{name} is {value}: expected 1 to {CONNECTIONS_MAX}"))
}

fn parse<T: std::str::FromStr<Err = E>, E: std::fmt::Display>(
    name: &str,
    text: &str,
) -> Result<T, String> {
    text.parse().map_err(|error| format!("{name}: {error}"))
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;

    use super::*;

    #[test]
    fn one_plan_is_made_at_a_time_and_who_comes_between_is_told_when_to_come_again() {
        let planner = Planner::default();
        let seat = planner.take().expect("nobody plans");
        let refused = planner.take().expect_err("somebody plans");
        let response = refused.into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "1");
        drop(seat);
        drop(planner.take().expect("nobody plans any more"));
    }
}
