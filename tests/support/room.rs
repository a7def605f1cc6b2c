//! A socket and a channel that do all that a channel can, for the clients under test to try.
//!
//! ```text
//! connect   token=bad: 403   token=busy: 429   user_id or api_key: the socket's id
//! join      room:forbidden: refused   room:broken: panics   {name}: echoed   {greet: true}: "greeting"
//!           {farewell: true}: the others hear "gone" when the connection ends
//! push      echo fail quiet binary length later release push_me tell_others tell_everyone
//!           whoami stop stop_silently crash disconnect_me
//! ```

use std::thread;

use fourtuple::{
    Channel, ConnectError, ConnectRequest, Context, Info, JoinResult, Outcome, Params, Payload,
    Reply, ReplyRef, Router, Socket, StopReason,
};
use proto::phoenix::connect::Param;
use serde_json::{Map, Value, json};

/// Who connects, with what they said of themselves.
#[derive(Debug)]
pub(crate) struct Visitors;

/// One of them.
#[derive(Debug)]
pub(crate) struct Visitor {
    id: Option<String>,
    params: Value,
    auth_token: Option<String>,
}

/// The channel of `room:*`.
#[derive(Debug)]
pub(crate) struct Room {
    /// A reply that `release` sends.
    owed: Option<(ReplyRef, Value)>,
    /// Whether the others are told when the visitor's connection ends.
    farewell: bool,
}

/// What a room says to a visitor after the join.
struct Greeting(Value);

/// The fixture's channels.
pub(crate) fn router() -> Router<Visitors> {
    Router::new(Visitors).channel::<Room>("room:*")
}

impl Socket for Visitors {
    type Assigns = Visitor;

    fn connect(&self, request: &ConnectRequest<'_>) -> Result<Visitor, ConnectError> {
        match (request.param("token"), request.param("api_key")) {
            (Some("bad"), _) | (_, Some("refuse-me")) => return Err(ConnectError::Refused),
            (Some("busy"), _) => {
                let body = "Too many requests".to_owned();
                return Err(ConnectError::Status { status: 429, body });
            }
            _ => {}
        }
        let id = request
            .param("user_id")
            .or_else(|| request.param("api_key"));
        Ok(Visitor {
            id: id.map(str::to_owned),
            params: object(request.params),
            auth_token: request.auth_token.map(str::to_owned),
        })
    }

    fn id(&self, visitor: &Visitor) -> Option<String> {
        visitor.id.as_ref().map(|id| format!("visitor:{id}"))
    }
}

impl Channel<Visitors> for Room {
    fn join(
        topic: &str,
        payload: Payload<'_>,
        ctx: &mut Context<'_, Visitors>,
    ) -> JoinResult<Self> {
        let room = topic.trim_start_matches("room:");
        assert_ne!(room, "broken", "the fixture breaks here on purpose");
        if room == "forbidden" {
            return Err(Reply::reason("unauthorized"));
        }
        let asked: Value = payload.decode().unwrap_or_default();
        let mut answer = json!({ "room": room });
        if let Some(name) = asked.get("name") {
            answer["name"] = name.clone();
        }
        if asked["greet"] == true {
            ctx.channel_ref()
                .send(Greeting(asked["name"].clone()))
                .expect("the mailbox has room");
        }
        Ok((
            Self {
                owed: None,
                farewell: asked["farewell"] == true,
            },
            Reply::ok(answer),
        ))
    }

    fn handle_in(
        &mut self,
        event: &str,
        payload: Payload<'_>,
        ctx: &mut Context<'_, Visitors>,
    ) -> Outcome {
        match event {
            "echo" => return Reply::ok(payload).into(),
            "fail" => return Reply::error(payload).into(),
            "binary" => {
                let reversed: Vec<_> = payload.as_bytes().iter().rev().copied().collect();
                return Reply::ok(Payload::binary(reversed)).into();
            }
            "length" => return Reply::ok(json!({ "length": payload.as_bytes().len() })).into(),
            "whoami" => {
                let Visitor {
                    params, auth_token, ..
                } = ctx.assigns();
                return Reply::ok(json!({ "params": params, "auth_token": auth_token })).into();
            }
            "later" => self.owed = Some((ctx.reply_ref(), payload.decode().unwrap_or_default())),
            "release" => self.release(),
            "push_me" => ctx.push("pushed", payload),
            "tell_others" => {
                ctx.broadcast_from("told", payload);
                return Reply::empty().into();
            }
            "tell_everyone" => {
                ctx.broadcast("told", payload);
                return Reply::empty().into();
            }
            "stop" => return Outcome::StopWithReply(Reply::ok(payload)),
            "stop_silently" => return Outcome::Stop,
            "crash" => panic!("the fixture crashes here on purpose"),
            "disconnect_me" => {
                let id = ctx.assigns().id.clone().unwrap_or_default();
                ctx.disconnect(&format!("visitor:{id}"));
            }
            // Among them "quiet", which a client waits for in vain.
            _ => {}
        }
        Outcome::NoReply
    }

    fn handle_info(&mut self, message: Info, ctx: &mut Context<'_, Visitors>) -> Outcome {
        if let Ok(Greeting(name)) = message.downcast() {
            ctx.push("greeting", json!({ "hello": name }));
        }
        Outcome::NoReply
    }

    fn terminate(&mut self, reason: StopReason, ctx: &mut Context<'_, Visitors>) {
        if self.farewell && reason == StopReason::Closed {
            ctx.broadcast_from("gone", json!({}));
        }
    }
}

impl Room {
    /// Sends the reply that is owed from a thread of its own, as a slow query would.
    fn release(&self) {
        if let Some((reply_ref, response)) = &self.owed {
            let (reply_ref, reply) = (reply_ref.clone(), Reply::ok(response));
            thread::spawn(move || reply_ref.reply(&reply).expect("the mailbox has room"));
        }
    }
}

/// Connect parameters as the JSON that the client made them of.
fn object(params: &Params) -> Value {
    let entries = params
        .iter()
        .map(|(name, param)| (name.to_owned(), value(param)));
    Value::Object(entries.collect::<Map<_, _>>())
}

fn value(param: &Param) -> Value {
    match param {
        Param::Text(text) => text.as_str().into(),
        Param::Map(params) => object(params),
        Param::List(list) => list.iter().map(value).collect(),
    }
}
