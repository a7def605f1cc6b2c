//! An application with everything that a channel can do; the events of its clients are orders.

use std::sync::{Arc, Mutex};

use hub::{
    Channel, ChannelRef, ConnectError, ConnectRequest, Context, Info, JoinResult, Outcome, Payload,
    Reply, ReplyRef, Router, Socket, StopReason,
};

/// Handles that wait on the table at most; a new one takes the place of the oldest.
const HANDLES_MAX: usize = 8;

/// Everybody may come in.
#[derive(Default)]
pub(crate) struct Hall(Table);

/// Handles that channels have left for any other to use, on whichever shard it is.
type Table = Arc<Mutex<Handles>>;

#[derive(Default)]
pub(crate) struct Handles {
    replies: Vec<ReplyRef>,
    channels: Vec<ChannelRef>,
}

/// What is remembered about a client.
pub(crate) struct Guest {
    id: Option<String>,
    table: Table,
}

struct Room;

/// The hall's channels.
pub(crate) fn hall() -> Router<Hall> {
    Router::new(Hall::default())
        .channel::<Room>("room:*")
        .channel::<Room>("echo:*")
        .channel::<Room>("own:*")
}

impl Socket for Hall {
    type Assigns = Guest;

    fn connect(&self, request: &ConnectRequest<'_>) -> Result<Guest, ConnectError> {
        Ok(Guest {
            id: request.param("id").map(str::to_owned),
            table: Arc::clone(&self.0),
        })
    }

    fn id(&self, guest: &Guest) -> Option<String> {
        guest.id.clone()
    }
}

impl Channel<Hall> for Room {
    fn join(_: &str, _: Payload<'_>, ctx: &mut Context<'_, Hall>) -> JoinResult<Self> {
        ctx.push("welcome", Payload::EMPTY);
        ctx.broadcast_from("came", Payload::EMPTY);
        let handle = ctx.channel_ref();
        leave(&mut lock(ctx).channels, handle);
        Ok((Self, Reply::empty()))
    }

    fn handle_in(
        &mut self,
        event: &str,
        payload: Payload<'_>,
        ctx: &mut Context<'_, Hall>,
    ) -> Outcome {
        match event {
            "echo" => return Reply::ok(payload).into(),
            "push" => ctx.push("pushed", payload),
            "others" => ctx.broadcast_from("msg", payload),
            "bytes" => ctx.broadcast("msg", Payload::binary(payload.as_bytes().to_vec())),
            "later" => {
                let handle = ctx.reply_ref();
                leave(&mut lock(ctx).replies, handle);
            }
            "answer" => {
                // A full mailbox loses the answer, which is the application's affair.
                for handle in std::mem::take(&mut lock(ctx).replies) {
                    let _ = handle.reply(&Reply::ok(payload.borrowed()));
                }
            }
            "info" => {
                for handle in &lock(ctx).channels {
                    let _ = handle.send(payload.as_bytes().len());
                }
            }
            "elsewhere" => ctx.broadcast_to("room:b", "msg", payload),
            "kick" => ctx.disconnect("me"),
            "stop" => return Outcome::StopWithReply(Reply::empty()),
            "give up" => return Outcome::Crash,
            _ => ctx.broadcast("msg", payload),
        }
        Outcome::NoReply
    }

    fn handle_info(&mut self, message: Info, ctx: &mut Context<'_, Hall>) -> Outcome {
        match message.downcast::<usize>() {
            // As many as there are lengths of payloads: some messages end their channel.
            Ok(4) => Outcome::Stop,
            Ok(len) => {
                ctx.push("info", len);
                Outcome::NoReply
            }
            Err(_) => Outcome::Crash,
        }
    }

    fn terminate(&mut self, _: StopReason, ctx: &mut Context<'_, Hall>) {
        ctx.broadcast_from("went", Payload::EMPTY);
    }
}

fn lock<'c>(ctx: &'c Context<'_, Hall>) -> std::sync::MutexGuard<'c, Handles> {
    ctx.assigns().table.lock().expect("nobody panics with it")
}

fn leave<T>(handles: &mut Vec<T>, handle: T) {
    if handles.len() == HANDLES_MAX {
        handles.remove(0);
    }
    handles.push(handle);
}
