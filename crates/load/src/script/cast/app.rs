//! What the engine tells a shard of users, and what of the cast hears it.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use engine::{App, Cause, Closed, ConnId, Io, Message, Phase};
use proto::{
    http,
    ws::handshake::{ClientKey, HandshakeError, Upgrade, encode_upgrade, verify},
};

use super::{ACTS_PER_TICK, Cast, LATER, Order, State, User, scene};
use crate::{
    failure::Failure,
    script::{
        connect::Request,
        links::{Links, Stage},
    },
};

impl App for Cast {
    type Mail = Order;

    fn handle_connected(
        &mut self,
        conn: ConnId,
        request: &mut Vec<u8>,
        io: &mut Io<'_, Order>,
    ) -> ClientKey {
        let key = io.client_key();
        let plan = Arc::clone(&self.plan);
        let Some((index, socket)) = self.holder(conn) else {
            return key;
        };
        let Some(user) = self.users.find(index) else {
            return key;
        };
        if user.state == State::Dialling {
            user.state = State::Upgrading;
        }
        if let Some(links) = &mut self.links {
            links.socket(index, socket).stage = Stage::Upgrading;
        }
        let program = plan.program(user.program);
        let asked = self.asked.remove(&conn.index);
        let wanted = match asked.or_else(|| asked_before(&mut self.links, index, socket)) {
            Some(wanted) => wanted,
            None => {
                let mut scene = scene(&plan, user, &mut self.random);
                // A URL that is none asks for a path that no server has, and the user fails with its answer.
                let dialect = program.dialect_of(socket);
                let wanted = program.connect_of(socket).request(dialect, &mut scene);
                Box::new(wanted.unwrap_or_default())
            }
        };
        if let Some(links) = &mut self.links
            && program.reconnect.is_some()
            && !program.connect_of(socket).is_constant()
        {
            // Who comes back asks for the same.
            let kept = &mut links.socket(index, socket).kept;
            let request = &mut kept.get_or_insert_default().request;
            request.get_or_insert_with(|| (*wanted).clone());
        }
        let protocols: Vec<_> = wanted.protocols.iter().map(String::as_str).collect();
        let headers: Vec<_> = wanted
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let upgrade = Upgrade {
            host: &wanted.host,
            target: &wanted.target,
            key: &key,
            protocols: &protocols,
            origin: None,
            headers: &headers,
        };
        encode_upgrade(request, &upgrade);
        if !wanted.protocols.is_empty() {
            self.asked.insert(conn.index, wanted);
        }
        key
    }

    fn handle_response(
        &mut self,
        conn: ConnId,
        response: &http::Response<'_>,
        key: &ClientKey,
    ) -> Result<(), HandshakeError> {
        let Some(asked) = self.asked.remove(&conn.index) else {
            return verify(response, key, &[]).map(drop);
        };
        let offered: Vec<_> = asked.protocols.iter().map(String::as_str).collect();
        let chosen = verify(response, key, &offered)?;
        // A client that asks for protocols ends a connection that speaks none of them.
        if chosen.is_none() && !offered.is_empty() {
            // What was asked for stays until the end of the connection, which says so.
            self.asked.insert(conn.index, asked);
            return Err(HandshakeError::ProtocolNotOffered);
        }
        Ok(())
    }

    fn handle_open(&mut self, conn: ConnId, io: &mut Io<'_, Order>) {
        self.open += 1;
        self.plan.open.fetch_add(1, Relaxed);
        if let Some((index, socket)) = self.holder(conn) {
            self.enter(index, socket, conn, io);
        }
    }

    fn handle_message(&mut self, conn: ConnId, message: Message<'_>, io: &mut Io<'_, Order>) {
        self.hear(conn, message, io);
    }

    fn handle_close(&mut self, conn: ConnId, closed: &Closed, io: &mut Io<'_, Order>) {
        io.tick_at(io.now().after(LATER));
        self.live -= 1;
        if closed.phase == Phase::Open {
            self.open -= 1;
            self.plan.open.fetch_sub(1, Relaxed);
        }
        let holder = self.holder(conn);
        self.return_tuple(conn, closed, io.now());
        let Some((index, socket)) = holder else {
            // Its user has parted with it.
            self.busy.remove(&conn.index);
            return;
        };
        if self.retries_elsewhere((index, socket), conn, closed) {
            return;
        }
        let failure = match (self.asked.remove(&conn.index), &closed.cause) {
            (Some(_), Cause::Handshake(HandshakeError::ProtocolNotOffered)) => {
                let text = "the server chose none of the subprotocols";
                Failure::HandshakeInvalid(text.to_owned())
            }
            // Nothing but a storm or a step of the script does that.
            (_, Cause::Aborted) => Failure::Dropped,
            _ => Failure::of_closed(closed),
        };
        self.lose(index, socket, failure, io);
        if self.links.is_none()
            && let Some(user) = self.users.find(index)
        {
            // Its slot is its connection's, which is over.
            *user = User::default();
        }
    }

    fn handle_mail(&mut self, order: Order, io: &mut Io<'_, Order>) {
        match order {
            Order::Start => {
                self.watch.set(io.now());
                self.started = Some(io.now());
            }
            Order::Close => {
                self.is_closing = true;
                self.close_all(io);
            }
        }
        io.tick_at(io.now());
    }

    fn handle_tick(&mut self, io: &mut Io<'_, Order>) {
        let now = io.now();
        self.close_periods(now);
        if !self.is_closing {
            self.arrive(io);
            for _ in 0..ACTS_PER_TICK {
                let Some(index) = self.alarms.take(now) else {
                    break;
                };
                self.wake(index, io);
            }
            for _ in 0..self.ready.len().min(ACTS_PER_TICK as usize) {
                let Some(who) = self.ready.pop_front() else {
                    break;
                };
                if self.is_same(who) {
                    self.act(who.slot, io);
                }
            }
            self.hear_functions(io);
            self.beat(io);
            self.sweep_sessions(io);
            // Both end connections, so nobody is dialled after them in this tick.
            self.try_returns(io);
            self.storm(io);
        }
        self.end_if_over(io);
        let next = self.next_look(io);
        io.tick_at(next);
    }
}

/// What a socket that comes back has asked for the first time, where that is not the same for all.
fn asked_before(links: &mut Option<Box<Links>>, user: u32, socket: u8) -> Option<Box<Request>> {
    let kept = links.as_mut()?.socket(user, socket).kept.as_ref()?;
    kept.request.clone().map(Box::new)
}
