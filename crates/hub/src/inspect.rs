//! What a hub tells of its connections and topics to whoever steers the server. Nothing here visits
//! everything: a table is read a range of places at a time.

use std::{ops::Range, sync::Arc};

use proto::phoenix::Serializer;

use crate::{
    ConnId, Hub, Socket,
    busiest::{Busiest, Frequent},
    hub::Sink,
    topics::Topic,
};

/// One connection as its hub knows it.
#[derive(Debug)]
pub struct Known<'a> {
    /// Which serializer it chose when it connected.
    pub serializer: Serializer,
    /// Its socket id, if it has one.
    pub socket_id: Option<&'a str>,
    /// How many channels it has joined.
    pub channels_count: usize,
}

impl<S: Socket> Hub<S> {
    /// What is known of a connection; none when it is gone.
    pub fn known(&self, conn: ConnId) -> Option<Known<'_>> {
        let own = self.conns.get(conn)?;
        let topic = own.id.and_then(|id| self.ids.topic(id.topic));
        Some(Known {
            serializer: own.serializer,
            socket_id: topic.map(|topic| &**topic.name()),
            channels_count: own.channels.as_slice().len(),
        })
    }

    /// The topics that a connection has joined, in the order of the joins.
    pub fn topics_of(&self, conn: ConnId) -> impl Iterator<Item = &str> {
        let joined = self
            .conns
            .get(conn)
            .map_or(&[][..], |own| own.channels.as_slice());
        joined.iter().filter_map(|joined| {
            let topic = self.topics.topic(joined.membership.topic)?;
            Some(&**topic.name())
        })
    }

    /// Members of a topic on this shard: those from `skip` on, in the order of their places.
    pub fn members(&self, topic: &str, skip: usize) -> impl Iterator<Item = ConnId> {
        members(self.topics.find(topic).and_then(|id| self.topics.topic(id))).skip(skip)
    }

    /// The connections of a socket id on this shard: those from `skip` on.
    pub fn conns_of(&self, socket_id: &str, skip: usize) -> impl Iterator<Item = ConnId> {
        members(self.ids.find(socket_id).and_then(|id| self.ids.topic(id))).skip(skip)
    }

    /// The topics in a range of places of this shard's table, of which there are
    /// [`Hub::topic_places_count`], each with how many members it has.
    pub fn topics_at(&self, places: Range<u32>) -> impl Iterator<Item = (&str, usize)> {
        places.filter_map(|place| {
            let topic = self.topics.at(place)?;
            Some((&**topic.name(), topic.members_count()))
        })
    }

    /// How many places the table of topics has, taken or free.
    pub fn topic_places_count(&self) -> u32 {
        self.topics.places_count()
    }

    /// The topics that most was sent to since the last call, each with how many broadcasts reached members
    /// here and how many members these reached. The first call begins the count.
    pub fn take_busiest(&mut self) -> Vec<Frequent<Arc<str>>> {
        self.busiest.get_or_insert_with(Busiest::default).take()
    }

    /// Closes connections by an operator's decision, with the code and the words by which Phoenix closes
    /// those of a socket id. All leave before any says its last words. Returns how many there were.
    pub fn disconnect(
        &mut self,
        conns: impl IntoIterator<Item = ConnId>,
        out: &mut Sink<'_>,
    ) -> usize {
        let batch: Vec<_> = conns
            .into_iter()
            .filter_map(|conn| self.detach(conn))
            .collect();
        let closed_count = batch.len();
        self.counters.disconnects += closed_count as u64;
        self.close_detached(batch, crate::departure::DISCONNECT, out);
        self.run_disconnects(out);
        closed_count
    }
}

fn members(topic: Option<&Topic>) -> impl Iterator<Item = ConnId> {
    let of = move |serializer| topic.map_or(&[][..], |topic| topic.members(serializer));
    of(Serializer::V2).iter().chain(of(Serializer::V1)).copied()
}
