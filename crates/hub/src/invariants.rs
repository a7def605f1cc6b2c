//! What must be true of a hub between two inputs.

use proto::phoenix::Serializer;

use crate::{Hub, Socket, topics::Topics};

impl<S: Socket> Hub<S> {
    /// Checks every promise between the tables. For tests: visits everything.
    ///
    /// # Panics
    ///
    /// When a promise is broken.
    pub fn invariants(&self) {
        self.topics.invariants();
        self.ids.invariants();
        assert!(self.effects.list.is_empty(), "effects are left over");
        assert!(self.disconnects.is_empty(), "disconnects are left over");

        let mut channels_count = 0;
        let mut ids_count = 0;
        for (conn, own) in self.conns.iter() {
            channels_count += own.channels.as_slice().len();
            ids_count += usize::from(own.id.is_some());
            assert!(own.channels.as_slice().len() <= self.limits.channels_max);
            let ids = own.id.iter().map(|id| (&self.ids, *id));
            let channels = own.channels.as_slice().iter();
            let topics = channels.map(|joined| (&self.topics, joined.membership));
            for (table, membership) in ids.chain(topics) {
                let topic = table
                    .topic(membership.topic)
                    .expect("a membership has a topic");
                let member = topic.members(own.serializer).get(membership.place as usize);
                assert_eq!(
                    member,
                    Some(&conn),
                    "{} knows where its member is",
                    topic.name()
                );
            }
        }
        // Every membership is known to its member, so equal counts leave no other.
        assert_eq!(members_count(&self.topics), channels_count);
        assert_eq!(members_count(&self.ids), ids_count);
        assert_eq!(self.channels_count, channels_count);
    }
}

fn members_count(table: &Topics) -> usize {
    let count = |serializer| {
        table
            .iter()
            .map(|(_, topic)| topic.members(serializer).len())
            .sum()
    };
    let (v1, v2): (usize, usize) = (count(Serializer::V1), count(Serializer::V2));
    v1 + v2
}
