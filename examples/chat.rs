//! A chat room: run it, and point phoenix.js at `ws://localhost:4000/socket` with a `name`.

use fourtuple::{Channel, Config, ConnectError, ConnectRequest, Context, JoinResult, Outcome};
use fourtuple::{Payload, Reply, Router, Socket, StopReason};
use serde_json::json;

struct UserSocket;

struct User {
    name: String,
}

impl Socket for UserSocket {
    type Assigns = User;

    fn connect(&self, request: &ConnectRequest<'_>) -> Result<User, ConnectError> {
        let name = request.param("name").ok_or(ConnectError::Refused)?;
        Ok(User {
            name: name.to_owned(),
        })
    }

    fn id(&self, user: &User) -> Option<String> {
        Some(format!("user:{}", user.name))
    }
}

struct Room;

type Ctx<'a> = Context<'a, UserSocket>;

impl Channel<UserSocket> for Room {
    fn join(topic: &str, _: Payload<'_>, ctx: &mut Ctx<'_>) -> JoinResult<Self> {
        if topic == "room:private" {
            return Err(Reply::reason("unauthorized"));
        }
        let name = ctx.assigns().name.clone();
        ctx.broadcast_from("joined", json!({ "name": name }));
        Ok((Self, Reply::ok(json!({ "welcome": name }))))
    }

    fn handle_in(&mut self, event: &str, payload: Payload<'_>, ctx: &mut Ctx<'_>) -> Outcome {
        match event {
            "new_msg" => ctx.broadcast("new_msg", payload),
            "whoami" => return Reply::ok(json!({ "name": ctx.assigns().name })).into(),
            _ => return Reply::reason("unknown event").into(),
        }
        Outcome::NoReply
    }

    fn terminate(&mut self, _: StopReason, ctx: &mut Ctx<'_>) {
        let name = ctx.assigns().name.clone();
        ctx.broadcast_from("left", json!({ "name": name }));
    }
}

fn main() -> Result<(), fourtuple::ServeError> {
    let router = Router::new(UserSocket).channel::<Room>("room:*");
    fourtuple::serve(router, Config::default())
}
