//! What the engine tells a shard of users, and what of the cast hears it.

use std::{net::SocketAddr, sync::Arc};

use engine::{Answer, App, Closed, ConnId, Io, Message};
use proto::{
    http,
    ws::handshake::{ClientKey, HandshakeError, Upgrade, encode_upgrade, verify},
};

use super::{ACTS_PER_TICK, Cast, LATER, Order, State, User, scene};
use crate::{failure::Failure, script::program::Dialect, source::Rest};

impl App for Cast {
    type Mail = Order;

    fn handle_request(
        &mut self,
        _: ConnId,
        _: &http::Request<'_>,
        _: SocketAddr,
        response: &mut Vec<u8>,
        _: &mut Io<'_, Order>,
    ) -> Answer {
        // The crowd does not listen, so nobody asks it anything.
        http::encode_response(response, 404, &[], b"");
        Answer::Refuse
    }

    fn handle_connected(
        &mut self,
        conn: ConnId,
        request: &mut Vec<u8>,
        io: &mut Io<'_, Order>,
    ) -> ClientKey {
        let key = io.client_key();
        let plan = Arc::clone(&self.plan);
        let Some(user) = self.users.find(conn.index) else {
            return key;
        };
        user.state = State::Upgrading;
        let program = plan.program(user.program);
        let wanted = match self.asked.remove(&conn.index) {
            Some(wanted) => wanted,
            None => {
                let mut scene = scene(&plan, user, &mut self.random);
                // A URL that is none asks for a path that no server has, and the user fails with its answer.
                let wanted = program.connect.request(program.dialect, &mut scene);
                Box::new(wanted.unwrap_or_default())
            }
        };
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
        let asked = self.asked.remove(&conn.index).unwrap_or_default();
        let offered = &asked.protocols;
        let offered: Vec<_> = offered.iter().map(String::as_str).collect();
        let chosen = verify(response, key, &offered)?;
        // A client that asks for protocols ends a connection that speaks none of them.
        if chosen.is_none() && !offered.is_empty() {
            let failure = "the server chose none of the subprotocols";
            self.fail(conn.index, Failure::HandshakeInvalid(failure.to_owned()));
            return Err(HandshakeError::ProtocolNotOffered);
        }
        Ok(())
    }

    fn handle_open(&mut self, conn: ConnId, io: &mut Io<'_, Order>) {
        let now = self.watch.now(io.now());
        let Some(user) = self.users.find(conn.index) else {
            return;
        };
        if user.state != State::Upgrading {
            return;
        }
        self.figures.connect.record(now.since(user.began));
        user.state = State::Acting;
        user.due = now;
        if let Dialect::Phoenix(_, heartbeat) = self.plan.program(user.program).dialect {
            user.channels = Some(Box::default());
            self.start_heartbeats(heartbeat, io.now());
        }
        self.act(conn.index, io);
    }

    fn handle_message(&mut self, conn: ConnId, message: Message<'_>, io: &mut Io<'_, Order>) {
        self.hear(conn.index, message, io);
    }

    fn handle_close(&mut self, conn: ConnId, closed: &Closed, io: &mut Io<'_, Order>) {
        io.tick_at(io.now().after(LATER));
        if self.retries_elsewhere(conn.index, closed, io.now()) {
            return;
        }
        self.fail(conn.index, Failure::of_closed(closed));
        self.asked.remove(&conn.index);
        if let Some(program) = self.program_of(conn.index)
            && let Some(user) = self.users.find(conn.index)
        {
            let tuple = std::mem::take(user).tuple;
            let server = self.plan.servers[usize::from(program)];
            self.tuples[server].give_back(tuple, Rest::after(&closed.cause), io.now());
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
                let Some(conn) = self.ready.pop_front() else {
                    break;
                };
                // The slot may have another user by now.
                let is_same = |user: &mut User| user.generation == conn.generation;
                if self.users.find(conn.index).is_some_and(is_same) {
                    self.act(conn.index, io);
                }
            }
            self.hear_functions(io);
            self.beat(io);
        }
        self.end_if_over(io);
        let next = self.next_look(io);
        io.tick_at(next);
    }
}
