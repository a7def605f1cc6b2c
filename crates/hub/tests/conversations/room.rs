//! The application under test: a channel that does what its client tells it.

use std::{
    collections::VecDeque,
    rc::Rc,
    sync::{Arc, Mutex},
};

use fourtuple_hub::{
    Channel, ChannelRef, ConnectError, ConnectRequest, Context, Info, JoinResult, Outcome, Payload,
    Reply, ReplyRef, Router, Socket, StopReason,
};
use serde_json::{Value, json};

/// Everyone may connect; a person with a name has a socket id.
pub(crate) struct House;

/// A value whose drop panics.
pub(crate) struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("drop was told to");
    }
}

/// What is remembered about a connection.
#[derive(Clone, Default)]
pub(crate) struct Person {
    pub(crate) name: Option<String>,
    pub(crate) bomb: Option<Rc<Bomb>>,
    /// What its channels hand out and leave behind, for the test to look at.
    pub(crate) table: Arc<Table>,
}

#[derive(Default)]
pub(crate) struct Table {
    pub(crate) reply_refs: Mutex<VecDeque<ReplyRef>>,
    pub(crate) channel_refs: Mutex<VecDeque<ChannelRef>>,
    pub(crate) ends: Mutex<Vec<(String, StopReason)>>,
}

impl Person {
    pub(crate) fn named(name: &str) -> Self {
        Self {
            name: Some(name.to_owned()),
            ..Self::default()
        }
    }
}

impl Socket for House {
    type Assigns = Person;

    fn connect(&self, request: &ConnectRequest<'_>) -> Result<Person, ConnectError> {
        match request.param("name") {
            Some("nobody") => Err(ConnectError::Refused),
            Some("crash") => panic!("connect was told to"),
            name => Ok(Person {
                name: name.map(str::to_owned),
                ..Person::default()
            }),
        }
    }

    fn id(&self, person: &Person) -> Option<String> {
        let name = person.name.as_ref()?;
        assert_ne!(name, "crash", "id was told to");
        Some(format!("person:{name}"))
    }
}

pub(crate) fn router() -> Router<House> {
    Router::new(House)
        .channel_with("room:first", |_, _, _: &mut Context<'_, House>| {
            Ok((Room::default(), Reply::ok(json!({ "route": "first" }))))
        })
        .channel::<Room>("room:*")
}

/// A room. Its clients' events are orders.
#[derive(Default)]
pub(crate) struct Room {
    on_terminate: Option<String>,
    bomb: Option<Bomb>,
}

impl Channel<House> for Room {
    fn join(_: &str, payload: Payload<'_>, ctx: &mut Context<'_, House>) -> JoinResult<Self> {
        let orders: Value = payload.decode().unwrap_or_default();
        if let Some(value) = orders.get("push") {
            ctx.push("hello", value);
        }
        if let Some(value) = orders.get("announce") {
            ctx.broadcast("joined", value);
        }
        if let Some(topic) = orders["elsewhere"].as_str() {
            ctx.broadcast_to(topic, "shout", json!({ "from": ctx.topic() }));
        }
        if let Some(id) = orders["disconnect"].as_str() {
            ctx.disconnect(id);
        }
        if let Some(value) = orders.get("refuse") {
            return Err(Reply::error(value));
        }
        assert!(orders.get("panic").is_none(), "join was told to");
        let bytes = || Payload::binary(&b"bytes"[..]);
        match orders["bytes"].as_str() {
            Some("ok") => {
                let bomb = orders.get("arm").map(|_| Bomb);
                let room = Self {
                    bomb,
                    ..Self::default()
                };
                return Ok((room, Reply::ok(bytes())));
            }
            Some(_) => return Err(Reply::error(bytes())),
            None => {}
        }
        let reply = orders.get("reply").map_or_else(Reply::empty, Reply::ok);
        let on_terminate = orders["on_terminate"].as_str().map(str::to_owned);
        Ok((
            Self {
                on_terminate,
                bomb: None,
            },
            reply,
        ))
    }

    fn handle_in(
        &mut self,
        event: &str,
        payload: Payload<'_>,
        ctx: &mut Context<'_, House>,
    ) -> Outcome {
        match event {
            "echo" => return Reply::ok(payload).into(),
            "refuse" => return Reply::error(payload).into(),
            "maybe" => return Reply::new("maybe", payload).into(),
            "reverse" => {
                let mut bytes = payload.as_bytes().to_vec();
                bytes.reverse();
                return Reply::ok(Payload::binary(bytes)).into();
            }
            "push" => ctx.push("pushed", payload),
            "push_bytes" => ctx.push("pushed", Payload::binary(payload.as_bytes().to_vec())),
            "broadcast" => ctx.broadcast("shout", payload),
            "broadcast_bytes" => {
                ctx.broadcast("shout", Payload::binary(payload.as_bytes().to_vec()));
            }
            "broadcast_from" => ctx.broadcast_from("shout", payload),
            "broadcast_to" => {
                let topic: String = payload.decode().unwrap();
                ctx.broadcast_to(&topic, "shout", json!({ "from": ctx.topic() }));
            }
            "both" => {
                ctx.push("pushed", json!({ "nr": 1 }));
                ctx.broadcast("shout", json!({ "nr": 2 }));
                ctx.push("pushed", json!({ "nr": 3 }));
                return Reply::ok(json!({ "nr": 4 })).into();
            }
            "later" => ctx
                .assigns()
                .table
                .reply_refs
                .lock()
                .unwrap()
                .push_back(ctx.reply_ref()),
            "handle" => {
                ctx.assigns()
                    .table
                    .channel_refs
                    .lock()
                    .unwrap()
                    .push_back(ctx.channel_ref());
            }
            "name" => ctx.assigns_mut().name = Some(payload.decode().unwrap()),
            "disconnect" => {
                let id: String = payload.decode().unwrap();
                ctx.disconnect(&id);
            }
            "arm" => self.bomb = Some(Bomb),
            "arm_the_connection" => ctx.assigns_mut().bomb = Some(Rc::new(Bomb)),
            "stop" => return Outcome::Stop,
            "stop_with_reply" => return Outcome::StopWithReply(Reply::ok(payload)),
            "give_up" => return Outcome::Crash,
            "panic" => {
                ctx.push("pushed", json!({ "before": "panic" }));
                panic!("handle_in was told to");
            }
            "unwritable" => ctx.push("pushed", std::collections::BTreeMap::from([((1, 2), 3)])),
            _ => {}
        }
        Outcome::NoReply
    }

    fn handle_info(&mut self, message: Info, ctx: &mut Context<'_, House>) -> Outcome {
        match message.downcast::<&'static str>() {
            Ok("panic") => panic!("handle_info was told to"),
            Ok("reply") => Outcome::Reply(Reply::empty()),
            Ok("stop") => Outcome::Stop,
            Ok(text) => {
                ctx.push("info", json!({ "text": text }));
                Outcome::NoReply
            }
            Err(_) => Outcome::NoReply,
        }
    }

    fn terminate(&mut self, reason: StopReason, ctx: &mut Context<'_, House>) {
        let end = (ctx.topic().to_owned(), reason);
        ctx.assigns().table.ends.lock().unwrap().push(end);
        match self.on_terminate.as_deref() {
            None => {}
            Some("panic") => panic!("terminate was told to"),
            Some("speak") => {
                ctx.push("bye", json!({}));
                ctx.broadcast("left", json!({}));
            }
            Some(id) => ctx.disconnect(id),
        }
    }
}
