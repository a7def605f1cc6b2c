//! Where hub and engine meet: one shard's app.
//!
//! ```text
//!  engine ── request head ──► gatekeeper ── 101 ──► engine
//!  engine ── message ───────► hub ── Send, Close, Publish ──► engine's outboxes and mailboxes
//! ```
//!
//! What waits between shards is bounded. A mailbox holds `limits.mailbox_max` pieces of mail and no more.
//! What finds one full waits with its sender, who from then on takes nothing in from its sockets: at
//! most what one read of 64 KiB has caused, or the mail of one turn, for each shard that has members. The
//! pieces are references to frames that all shards share, so a storm of broadcasts to many shards costs
//! its frames once.

use std::{net::SocketAddr, sync::Arc};

use engine::{Answer, App, Closed, ConnId, Io, Message, Remote, Time, Trouble};
use hub::{Hub, Incoming, Mail, Output, Serializer, Socket};
use proto::{http::Request, ws::handshake::ClientKey};

use crate::{
    census::{Census, Pass},
    drain::Drain,
    question::Question,
    tally::{Before, Tally},
    trouble::Troubles,
    upgrade::{Admission, Gatekeeper},
};

/// The app of one shard.
pub(crate) struct Shard<S: Socket> {
    pub(crate) hub: Hub<S>,
    gatekeeper: Gatekeeper<S>,
    /// What the gatekeeper admitted, from the 101 to the open socket; the engine does both in one go.
    admitted: Option<(Serializer, S::Assigns)>,
    drain: Option<Drain>,
    pub(crate) tally: Tally,
    pub(crate) census: Census,
    /// The last whole look through the tables, if anybody asked for one.
    pub(crate) last_pass: Option<Arc<Pass>>,
    troubles: Arc<Troubles>,
}

/// What shards of a server are told.
#[derive(Debug)]
pub(crate) enum ShardMail {
    /// Something for the hub.
    Hub(Mail),
    /// Close everything in order, then end.
    Drain(Drain),
    /// Answer the control plane.
    Ask(Box<Question>),
}

// What each mail that waits in a mailbox takes there.
const _: () = assert!(size_of::<ShardMail>() == 88);

/// How the hub's handles reach a shard's mailbox.
pub(crate) struct Post(pub(crate) Remote<ShardMail>);

impl<S: Socket> Shard<S> {
    pub(crate) fn new(hub: Hub<S>, gatekeeper: Gatekeeper<S>, troubles: Arc<Troubles>) -> Self {
        Self {
            hub,
            gatekeeper,
            admitted: None,
            drain: None,
            tally: Tally::default(),
            census: Census::default(),
            last_pass: None,
            troubles,
        }
    }

    pub(crate) const fn hub(&self) -> &Hub<S> {
        &self.hub
    }

    /// Counts what an input has come to.
    fn count(&mut self, before: Before, io: &mut Io<'_, ShardMail>) {
        if self.tally.after(before, self.hub.counters(), io.now()) {
            io.tell_written();
        }
    }

    /// Closes the batch that is due, and ends the shard when nothing is left to close.
    fn go_on_draining(&mut self, io: &mut Io<'_, ShardMail>) {
        let Some(drain) = &mut self.drain else { return };
        if let Some(batch) = drain.poll_batch(io.now()) {
            self.hub.handle_drain(batch, &mut carry_out(io));
        }
        if io.conns_count() == 0 || drain.is_over(io.now()) {
            io.stop();
        } else {
            io.tick_at(drain.deadline(io.now()));
        }
    }
}

/// Does at once what a hub puts out.
pub(crate) fn carry_out<'a, 'b>(io: &'a mut Io<'b, ShardMail>) -> impl FnMut(Output) + use<'a, 'b> {
    |output| match output {
        Output::Send { conn, frame } => io.send(to_engine(conn), frame),
        Output::Publish { shard, publication } => {
            let mail = ShardMail::Hub(Mail::Publish(publication));
            io.post(engine::ShardIndex(shard.0), mail);
        }
        Output::Close { conn, code, reason } => io.close(to_engine(conn), code, reason),
    }
}

impl<S: Socket> App for Shard<S> {
    type Mail = ShardMail;

    fn handle_request(
        &mut self,
        _: ConnId,
        request: &Request<'_>,
        peer: SocketAddr,
        response: &mut Vec<u8>,
        _: &mut Io<'_, ShardMail>,
    ) -> Answer {
        match self.gatekeeper.admit(request, peer, self.drain.is_some()) {
            Ok(admission) => {
                admission.encode(response);
                let Admission {
                    serializer,
                    assigns,
                    ..
                } = admission;
                self.admitted = Some((serializer, assigns));
                Answer::Upgrade
            }
            Err(refusal) => {
                self.tally.count_refusal(refusal.label());
                refusal.encode(response);
                Answer::Refuse
            }
        }
    }

    fn handle_connected(
        &mut self,
        _: ConnId,
        _: &mut Vec<u8>,
        _: &mut Io<'_, ShardMail>,
    ) -> ClientKey {
        unreachable!("a server dials nobody")
    }

    fn handle_open(&mut self, conn: ConnId, io: &mut Io<'_, ShardMail>) {
        let (serializer, assigns) = self
            .admitted
            .take()
            .expect("the engine opens what was just admitted");
        self.hub
            .handle_open(to_hub(conn), serializer, assigns, &mut carry_out(io));
    }

    fn handle_message(&mut self, conn: ConnId, message: Message<'_>, io: &mut Io<'_, ShardMail>) {
        let incoming = match message {
            Message::Text(text) => Incoming::Text(text),
            Message::Binary(bytes) => Incoming::Binary(bytes),
        };
        let before = self.tally.before_message(self.hub.counters(), io.now());
        self.hub
            .handle_message(to_hub(conn), incoming, &mut carry_out(io));
        self.count(before, io);
    }

    fn handle_close(&mut self, conn: ConnId, closed: &Closed, io: &mut Io<'_, ShardMail>) {
        self.gatekeeper.give_back();
        self.tally.count_close(closed.cause.label());
        self.hub.handle_close(to_hub(conn), &mut carry_out(io));
    }

    fn handle_mail(&mut self, mail: ShardMail, io: &mut Io<'_, ShardMail>) {
        match mail {
            ShardMail::Hub(mail) => {
                let before = Tally::before_mail(self.hub.counters());
                self.hub.handle_mail(mail, &mut carry_out(io));
                self.count(before, io);
            }
            ShardMail::Ask(question) => self.answer(*question, io),
            ShardMail::Drain(drain) => {
                io.stop_listening();
                // A second word to go changes nothing.
                self.drain.get_or_insert(drain);
                self.go_on_draining(io);
            }
        }
    }

    fn handle_tick(&mut self, io: &mut Io<'_, ShardMail>) {
        self.go_on_draining(io);
    }

    fn handle_written(&mut self, now: Time) {
        self.tally.handle_written(now);
    }

    fn handle_trouble(&mut self, trouble: Trouble, io: &mut Io<'_, ShardMail>) {
        self.troubles.handle(trouble, io.now());
    }
}

impl hub::Post for Post {
    fn post(&self, shard: hub::ShardIndex, mail: Mail) -> Result<(), hub::Full> {
        let shard = engine::ShardIndex(shard.0);
        self.0
            .post(shard, ShardMail::Hub(mail))
            .map_err(|_| hub::Full)
    }
}

/// The hub's word for a connection of the engine: the same two numbers.
pub(crate) const fn to_hub(conn: ConnId) -> hub::ConnId {
    hub::ConnId {
        index: conn.index,
        generation: conn.generation,
    }
}

pub(crate) const fn to_engine(conn: hub::ConnId) -> ConnId {
    ConnId {
        index: conn.index,
        generation: conn.generation,
    }
}
