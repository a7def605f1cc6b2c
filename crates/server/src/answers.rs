//! A shard's answers to the control plane, each a bounded piece of work between two messages.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use engine::{Io, View};
use hub::{Known, Serializer, Socket};

use crate::{
    census::Pass,
    question::{Brief, Closed, Detail, Facts, ITEMS_MAX, Look, Page, Pattern, Question, Search},
    shard::{Shard, ShardMail, carry_out, to_engine, to_hub},
};

/// Places of a table that one question looks at.
const PLACES_PER_QUESTION: u32 = 16_384;
/// Connections that one order closes.
const CLOSED_MAX: usize = 1_000;

impl<S: Socket> Shard<S> {
    pub(crate) fn answer(&mut self, question: Question, io: &mut Io<'_, ShardMail>) {
        // A shard that stood still finds many questions that nobody waits for any more.
        if question.is_void() {
            return;
        }
        match question {
            Question::Facts(asked, reply) => {
                let _ = reply.send(self.facts(asked, io));
            }
            Question::Look(reply) => {
                let _ = reply.send(Look {
                    busiest: self.hub.take_busiest(),
                    taken: Instant::now(),
                });
            }
            Question::Slice(reply) => {
                let _ = reply.send(self.slice(io));
            }
            Question::Conn(conn, reply) => {
                let _ = reply.send(self.detail(conn, io));
            }
            Question::Briefs(conns, reply) => {
                let conns = conns.into_iter().take(ITEMS_MAX);
                let briefs = conns.filter_map(|conn| self.brief(conn, io));
                let _ = reply.send(briefs.collect());
            }
            Question::Conns(search, from, max, reply) => {
                let _ = reply.send(self.page_of_conns(&search, from, max, io));
            }
            Question::Topics(pattern, from, max, reply) => {
                let _ = reply.send(self.page_of_topics(&pattern, from, max));
            }
            Question::Members(topics, reply) => {
                let counts = topics.iter().map(|topic| self.hub.members_count(topic));
                let _ = reply.send(counts.collect());
            }
            Question::Close(search, from, reply) => {
                let _ = reply.send(self.close(&search, from, io));
            }
        }
    }

    fn slice(&mut self, io: &Io<'_, ShardMail>) -> Option<Arc<Pass>> {
        if let Some(pass) = self.census.step(&self.hub, io) {
            self.last_pass = Some(pass.into());
        }
        self.last_pass.clone()
    }

    fn facts(&self, asked: Instant, io: &Io<'_, ShardMail>) -> Facts {
        let tally = &self.tally;
        Facts {
            waited: asked.elapsed(),
            cpu: io.cpu_time(),
            hub: *self.hub.counters(),
            channels_count: self.hub.channels_count(),
            topics_count: self.hub.topics_count(),
            closes: tally.closes.clone(),
            refusals: tally.refusals.clone(),
            joins: tally.joins.distribution(),
            handlers: tally.handlers.distribution(),
            fanouts: tally.fanouts.distribution(),
            fanout_members: tally.fanout_members.distribution(),
        }
    }

    fn detail(&self, conn: hub::ConnId, io: &Io<'_, ShardMail>) -> Option<Detail> {
        Some(Detail {
            brief: self.brief(conn, io)?,
            topics: self.hub.topics_of(conn).map(str::to_owned).collect(),
        })
    }

    fn page_of_topics(&self, pattern: &Pattern, from: u32, max: usize) -> Page<(String, usize)> {
        let max = max.min(ITEMS_MAX);
        let places = self.hub.topic_places_count();
        let to = from.saturating_add(PLACES_PER_QUESTION).min(places);
        let mut items = Vec::new();
        for place in from..to {
            let topic = self.hub.topics_at(place..place + 1).next();
            let Some((topic, members)) = topic.filter(|(topic, _)| pattern.matches(topic)) else {
                continue;
            };
            if items.len() == max {
                return Page {
                    items,
                    next: Some(place),
                };
            }
            items.push((topic.to_owned(), members));
        }
        Page {
            items,
            next: (to < places).then_some(to),
        }
    }

    fn page_of_conns(
        &self,
        search: &Search,
        from: u32,
        max: usize,
        io: &Io<'_, ShardMail>,
    ) -> Page<Brief> {
        let (conns, next) = self.find(search, from, max.min(ITEMS_MAX), io);
        let items = conns.into_iter().filter_map(|conn| self.brief(conn, io));
        Page {
            items: items.collect(),
            next,
        }
    }

    fn close(&mut self, search: &Search, from: u32, io: &mut Io<'_, ShardMail>) -> Closed {
        // Members and connections of a socket id are gone from their list once closed, so the next are
        // at its beginning again.
        let (conns, next) = self.find(search, from, CLOSED_MAX, io);
        let count = self.hub.disconnect(conns, &mut carry_out(io));
        let is_list = matches!(search, Search::SocketId(_) | Search::Topic(_));
        let next = if is_list { next.and(Some(0)) } else { next };
        Closed { count, next }
    }

    /// The connections that a search finds from a place on, at most `max`, and where the next begin.
    fn find(
        &self,
        search: &Search,
        from: u32,
        max: usize,
        io: &Io<'_, ShardMail>,
    ) -> (Vec<hub::ConnId>, Option<u32>) {
        let skip = from as usize;
        match search {
            Search::Conn(conn) => (vec![*conn], None),
            Search::SocketId(id) => slice(self.hub.conns_of(id, skip), from, max),
            Search::Topic(topic) => slice(self.hub.members(topic, skip), from, max),
            Search::All => self.scan(|_| true, from, max, io),
            Search::Address(ip, port) => {
                let is_meant = |peer: SocketAddr| {
                    peer.ip() == *ip && port.is_none_or(|port| peer.port() == port)
                };
                self.scan(|view| is_meant(view.peer), from, max, io)
            }
        }
    }

    fn scan(
        &self,
        is_meant: impl Fn(&View) -> bool,
        from: u32,
        max: usize,
        io: &Io<'_, ShardMail>,
    ) -> (Vec<hub::ConnId>, Option<u32>) {
        let places = io.places_count();
        let to = from.saturating_add(PLACES_PER_QUESTION).min(places);
        let mut found = Vec::new();
        for (conn, view) in io.views(from..to) {
            if view.is_open && is_meant(&view) {
                if found.len() == max {
                    return (found, Some(conn.index));
                }
                found.push(to_hub(conn));
            }
        }
        (found, (to < places).then_some(to))
    }

    fn brief(&self, conn: hub::ConnId, io: &Io<'_, ShardMail>) -> Option<Brief> {
        let Known {
            serializer,
            socket_id,
            channels_count,
        } = self.hub.known(conn)?;
        let view = io.view(to_engine(conn))?;
        Some(Brief {
            conn,
            peer: view.peer,
            age: view.age,
            silence: view.silence,
            socket_id: socket_id.map(str::to_owned),
            vsn: match serializer {
                Serializer::V1 => "1.0.0",
                Serializer::V2 => "2.0.0",
            },
            channels_count,
            outbox_bytes: view.outbox_bytes,
            outbox_frames: view.outbox_frames,
        })
    }
}

/// At most `max` of what is left of a list, and where the rest begins.
fn slice(
    list: impl Iterator<Item = hub::ConnId>,
    from: u32,
    max: usize,
) -> (Vec<hub::ConnId>, Option<u32>) {
    let mut items: Vec<_> = list.take(max + 1).collect();
    let has_more = items.len() > max;
    items.truncate(max);
    let end = from.saturating_add(u32::try_from(items.len()).unwrap_or(u32::MAX));
    (items, has_more.then_some(end))
}

#[cfg(test)]
mod tests;
