//! The built-in channel: rooms without code, by the rules of the configuration.

use std::sync::Arc;

use hub::{
    Channel, ConnectError, ConnectRequest, Context, JoinResult, Outcome, Payload, Reply, Router,
    Socket,
};
use proto::phoenix::is_reserved_event;

use crate::config::{Config, Join, Push, Rule};

/// The socket of the built-in channel: everybody may connect, and one param may be their id.
#[derive(Debug)]
pub struct RelaySocket {
    id_param: Option<String>,
}

/// One member of one topic; all it keeps is the rule of the topic.
pub(crate) struct Relay(Arc<Rule>);

/// The routes that a configuration describes.
pub fn relay(config: &Config) -> Router<RelaySocket> {
    let socket = RelaySocket {
        id_param: config.socket.id_param.clone(),
    };
    config
        .channels
        .iter()
        .fold(Router::new(socket), |router, rule| {
            let rule = Arc::new(rule.clone());
            router.channel_with(&rule.topic.clone(), move |topic, _, ctx| {
                join(&rule, topic, ctx)
            })
        })
}

impl Socket for RelaySocket {
    /// The socket's id.
    type Assigns = Option<Box<str>>;

    fn connect(&self, request: &ConnectRequest<'_>) -> Result<Self::Assigns, ConnectError> {
        let id = self
            .id_param
            .as_deref()
            .and_then(|name| request.param(name));
        Ok(id.filter(|id| !id.is_empty()).map(Box::from))
    }

    fn id(&self, id: &Self::Assigns) -> Option<String> {
        id.as_deref().map(str::to_owned)
    }
}

fn join(rule: &Arc<Rule>, topic: &str, ctx: &Context<'_, RelaySocket>) -> JoinResult<Relay> {
    let allowed = match rule.join {
        Join::All => true,
        Join::None => false,
        Join::SocketId => rule.matched_part(topic) == ctx.assigns().as_deref(),
    };
    if allowed {
        Ok((Relay(Arc::clone(rule)), Reply::empty()))
    } else {
        Err(Reply::reason("unauthorized"))
    }
}

impl Channel<RelaySocket> for Relay {
    fn handle_in(
        &mut self,
        event: &str,
        payload: Payload<'_>,
        ctx: &mut Context<'_, RelaySocket>,
    ) -> Outcome {
        let Self(rule) = self;
        // In the name of the protocol one member could close the channels of all.
        if is_reserved_event(event) || !rule.allows_event(event) {
            return Reply::reason("event not allowed").into();
        }
        // Phoenix sends objects only, and its stricter clients take nothing else.
        if payload.as_json().is_some_and(|json| !json.starts_with('{')) {
            return Reply::reason("payload must be an object").into();
        }
        let bytes_max = rule.payload_bytes_max.unwrap_or(u64::MAX);
        if payload.as_bytes().len() as u64 > bytes_max {
            return Reply::reason("payload too large").into();
        }
        match rule.push {
            Push::Broadcast => ctx.broadcast(event, payload),
            Push::BroadcastFrom => ctx.broadcast_from(event, payload),
            Push::Reply => return Reply::ok(payload).into(),
            Push::Refuse => return Reply::reason("pushes are not allowed").into(),
        }
        if rule.reply {
            Reply::empty().into()
        } else {
            Outcome::NoReply
        }
    }
}
