//! The connections of a shard and the channels that each has joined.

use proto::phoenix::{Ref, Serializer};

use crate::{
    Channel, ConnId, ConnectError, ConnectRequest, Socket,
    blocks::Blocks,
    ids::JoinId,
    stored_ref::StoredRef,
    topics::{Membership, TopicId},
};

/// The connections of one shard, by the index that whoever runs the hub gave them.
pub(crate) struct Conns<S: Socket>(Blocks<Conn<S>>);

/// What a connection costs with one channel or none, without its assigns and without what its channel
/// keeps. Two channels or more are in a list besides, of 48 bytes each, of which a quarter may be spare.
pub const CONNECTION_BYTES: usize = 64;

/// A connection. One channel is inside; more go to a list.
pub(crate) struct Conn<S: Socket> {
    pub(crate) channels: Channels<S>,  // 48
    pub(crate) id: Option<Membership>, // 8: under its socket id
    pub(crate) generation: u32,        // 4
    pub(crate) serializer: Serializer, // 1
    pub(crate) assigns: S::Assigns,
}

/// What a connection has joined, in the order of the joins. A list of them grows by a quarter, and
/// shrinks when less than half of it is used.
pub(crate) enum Channels<S: Socket> {
    None,
    One(Joined<S>),
    Many(Vec<Joined<S>>),
}

/// A joined channel. 48 bytes, and what the channel keeps.
pub(crate) struct Joined<S: Socket> {
    pub(crate) state: Box<dyn Channel<S>>, // 16
    /// The join's `join_ref`; when the client gave none, its `ref`.
    own_ref: StoredRef, // 16
    pub(crate) membership: Membership,     // 8
    pub(crate) join: JoinId,               // 4
    /// Whether `own_ref` is the `join_ref` that the client gave.
    is_given: bool, // 1
}

/// A socket without assigns, to measure by.
enum Bare {}

impl Socket for Bare {
    type Assigns = ();

    fn connect(&self, _: &ConnectRequest<'_>) -> Result<(), ConnectError> {
        match *self {}
    }
}

const _: () = assert!(size_of::<Joined<Bare>>() == 48);
const _: () = assert!(size_of::<Channels<Bare>>() == 48);
const _: () = assert!(size_of::<Option<Conn<Bare>>>() == CONNECTION_BYTES);

impl<S: Socket> Conns<S> {
    pub(crate) const fn new() -> Self {
        Self(Blocks::new())
    }

    pub(crate) fn insert(&mut self, id: ConnId, conn: Conn<S>) {
        self.0.insert(id.index, conn);
    }

    pub(crate) fn remove(&mut self, id: ConnId) -> Option<Conn<S>> {
        self.get(id)?;
        self.0.remove(id.index)
    }

    pub(crate) fn get(&self, id: ConnId) -> Option<&Conn<S>> {
        self.0
            .get(id.index)
            .filter(|conn| conn.generation == id.generation)
    }

    pub(crate) fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn<S>> {
        self.0
            .get_mut(id.index)
            .filter(|conn| conn.generation == id.generation)
    }

    /// Who has this place in the table.
    pub(crate) fn at(&self, index: u32) -> Option<ConnId> {
        self.0.get(index).map(|conn| ConnId {
            index,
            generation: conn.generation,
        })
    }

    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ConnId, &Conn<S>)> {
        self.0.iter().map(|(index, conn)| {
            let generation = conn.generation;
            (ConnId { index, generation }, conn)
        })
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let channels: usize = self
            .iter()
            .map(|(_, conn)| conn.channels.heap_bytes())
            .sum();
        self.0.heap_bytes() + channels
    }
}

impl<S: Socket> Channels<S> {
    pub(crate) fn as_slice(&self) -> &[Joined<S>] {
        match self {
            Self::None => &[],
            Self::One(joined) => std::slice::from_ref(joined),
            Self::Many(list) => list,
        }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [Joined<S>] {
        match self {
            Self::None => &mut [],
            Self::One(joined) => std::slice::from_mut(joined),
            Self::Many(list) => list,
        }
    }

    /// Where the channel of a topic is.
    pub(crate) fn position(&self, topic: TopicId) -> Option<usize> {
        self.as_slice()
            .iter()
            .position(|joined| joined.membership.topic == topic)
    }

    pub(crate) fn push(&mut self, joined: Joined<S>) {
        match std::mem::replace(self, Self::None) {
            Self::None => *self = Self::One(joined),
            Self::One(first) => *self = Self::Many(vec![first, joined]),
            Self::Many(mut list) => {
                if list.len() == list.capacity() {
                    list.reserve_exact((list.len() / 4).max(1));
                }
                list.push(joined);
                *self = Self::Many(list);
            }
        }
    }

    /// Takes a channel out and keeps the others in order.
    pub(crate) fn remove(&mut self, position: usize) -> Option<Joined<S>> {
        match std::mem::replace(self, Self::None) {
            Self::None => None,
            Self::One(joined) => Some(joined),
            Self::Many(mut list) => {
                let joined = list.remove(position);
                if list.len() < list.capacity() / 2 {
                    list.shrink_to(list.len() + list.len() / 4);
                }
                *self = match (list.len(), list.pop()) {
                    (1, Some(last)) => Self::One(last),
                    (_, last) => {
                        list.extend(last);
                        Self::Many(list)
                    }
                };
                Some(joined)
            }
        }
    }

    /// The channels one by one, first joined first.
    pub(crate) fn into_iter(self) -> impl Iterator<Item = Joined<S>> {
        let (one, many) = match self {
            Self::None => (None, Vec::new()),
            Self::One(joined) => (Some(joined), Vec::new()),
            Self::Many(list) => (None, list),
        };
        one.into_iter().chain(many)
    }

    fn heap_bytes(&self) -> usize {
        let list = match self {
            Self::None | Self::One(_) => 0,
            Self::Many(list) => list.capacity() * size_of::<Joined<S>>(),
        };
        let inside = |joined: &Joined<S>| size_of_val(&*joined.state) + joined.own_ref.heap_bytes();
        list + self.as_slice().iter().map(inside).sum::<usize>()
    }
}

impl<S: Socket> Joined<S> {
    pub(crate) fn new(
        state: Box<dyn Channel<S>>,
        membership: Membership,
        join: JoinId,
        join_ref: Option<&Ref<'_>>,
        reference: Option<&Ref<'_>>,
    ) -> Self {
        Self {
            state,
            own_ref: StoredRef::new(join_ref.or(reference)),
            membership,
            join,
            is_given: join_ref.is_some(),
        }
    }

    /// The `join_ref` of the channel's replies and pushes: the client's, or the ref of its join.
    pub(crate) fn own_ref(&self) -> Option<Ref<'_>> {
        self.own_ref.as_ref()
    }

    /// The `join_ref` that the client gave.
    pub(crate) fn given_ref(&self) -> Option<Ref<'_>> {
        if self.is_given {
            self.own_ref.as_ref()
        } else {
            None
        }
    }

    /// Whether a message belongs to this join: without a `join_ref` any does.
    pub(crate) fn takes(&self, join_ref: Option<&Ref<'_>>) -> bool {
        join_ref.is_none() || join_ref == self.given_ref().as_ref()
    }

    /// The state, and the ref that goes with it into a callback.
    pub(crate) fn split(&mut self) -> (&mut dyn Channel<S>, Option<Ref<'_>>) {
        (&mut *self.state, self.own_ref.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use proto::phoenix::Payload;

    use super::*;
    use crate::{Context, Outcome, topics::Topics};

    struct Silent;

    impl Channel<Bare> for Silent {
        fn handle_in(&mut self, _: &str, _: Payload<'_>, _: &mut Context<'_, Bare>) -> Outcome {
            Outcome::NoReply
        }
    }

    fn joined(topics: &mut Topics, name: &str, join_ref: Option<&str>) -> Joined<Bare> {
        let conn = ConnId {
            index: 0,
            generation: 0,
        };
        let membership = topics.subscribe(&name.into(), conn, Serializer::V2);
        let join_ref = join_ref.map(Ref::string);
        Joined::new(
            Box::new(Silent),
            membership,
            JoinId(0),
            join_ref.as_ref(),
            Some(&Ref::string("9")),
        )
    }

    #[test]
    fn channels_stay_in_the_order_of_their_joins() {
        let mut topics = Topics::new(None);
        let mut channels = Channels::None;
        for name in ["a", "b", "c", "d"] {
            channels.push(joined(&mut topics, name, None));
        }
        let names = |channels: &Channels<Bare>| -> String {
            let name = |joined: &Joined<Bare>| {
                topics
                    .topic(joined.membership.topic)
                    .unwrap()
                    .name()
                    .to_string()
            };
            channels.as_slice().iter().map(name).collect()
        };
        assert_eq!(names(&channels), "abcd");
        channels.remove(1);
        assert_eq!(names(&channels), "acd");
        channels.remove(2);
        channels.remove(0);
        assert_eq!(names(&channels), "c");
        assert!(matches!(channels, Channels::One(_)));
        channels.remove(0);
        assert!(matches!(channels, Channels::None));
    }

    #[test]
    fn at_most_a_quarter_is_spare_while_growing_and_half_while_shrinking() {
        let mut topics = Topics::new(None);
        let mut channels = Channels::None;
        let list_bytes = |channels: &Channels<Bare>| match channels {
            Channels::Many(list) => list.capacity() * size_of::<Joined<Bare>>(),
            Channels::None | Channels::One(_) => 0,
        };
        for number in 0..500 {
            channels.push(joined(&mut topics, &number.to_string(), None));
            let needed = size_of_val(channels.as_slice());
            assert!(list_bytes(&channels) <= needed + needed / 4 + 48);
        }
        for _ in 0..500 {
            channels.remove(0);
            let needed = size_of_val(channels.as_slice());
            assert!(list_bytes(&channels) <= 2 * needed + 48);
        }
        assert_eq!(channels.heap_bytes(), 0);
    }

    #[test]
    fn a_message_without_join_ref_belongs_to_any_join() {
        let mut topics = Topics::new(None);
        let given = joined(&mut topics, "a", Some("1"));
        assert!(given.takes(None) && given.takes(Some(&Ref::string("1"))));
        assert!(!given.takes(Some(&Ref::string("2"))));
        let not_given = joined(&mut topics, "b", None);
        assert!(not_given.takes(None) && !not_given.takes(Some(&Ref::string("9"))));
        assert_eq!(not_given.own_ref(), Some(Ref::string("9")));
        assert_eq!(not_given.given_ref(), None);
    }
}
