//! What a joined connection costs in the hub, as the hub itself counts it.

use std::sync::Arc;

use fourtuple_hub::{
    Channel, ConnId, ConnectError, ConnectRequest, Context, Full, Hub, Incoming, Interest,
    JoinResult, Limits, Mail, Outcome, Payload, Post, Reply, Router, Serializer, ShardIndex,
    Socket,
};

struct Anyone;

impl Socket for Anyone {
    type Assigns = ();

    fn connect(&self, _: &ConnectRequest<'_>) -> Result<(), ConnectError> {
        Ok(())
    }
}

/// A channel that keeps eight bytes.
struct Counting(u64);

impl Channel<Anyone> for Counting {
    fn join(_: &str, _: Payload<'_>, _: &mut Context<'_, Anyone>) -> JoinResult<Self> {
        Ok((Self(0), Reply::empty()))
    }

    fn handle_in(&mut self, _: &str, _: Payload<'_>, _: &mut Context<'_, Anyone>) -> Outcome {
        self.0 += 1;
        Outcome::NoReply
    }
}

struct Nowhere;

impl Post for Nowhere {
    fn post(&self, _: ShardIndex, _: Mail) -> Result<(), Full> {
        Err(Full)
    }
}

/// Bytes per connection between five and fifteen thousand of them.
fn slope(topic: impl Fn(u32) -> String) -> usize {
    let router = Arc::new(Router::new(Anyone).channel::<Counting>("room:*"));
    let (interest, post) = (Arc::new(Interest::new(2, 0)), Arc::new(Nowhere));
    let mut hub = Hub::new(router, ShardIndex(0), interest, post, Limits::default());
    let mut bytes = [0; 2];
    for index in 0..15_000 {
        let conn = ConnId {
            index,
            generation: 0,
        };
        hub.handle_open(conn, Serializer::V2, (), &mut |_| {});
        let join = format!(r#"["1","1","{}","phx_join",{{}}]"#, topic(index));
        hub.handle_message(conn, Incoming::Text(&join), &mut |_| {});
        match index + 1 {
            5_000 => bytes[0] = hub.heap_bytes(),
            15_000 => bytes[1] = hub.heap_bytes(),
            _ => {}
        }
    }
    assert_eq!(hub.channels_count(), 15_000);
    hub.invariants();
    let slope = (bytes[1] - bytes[0]) / 10_000;
    for index in 0..15_000 {
        hub.handle_close(
            ConnId {
                index,
                generation: 0,
            },
            &mut |_| {},
        );
    }
    assert!(
        hub.heap_bytes() < 20_000,
        "{} bytes stay behind",
        hub.heap_bytes()
    );
    slope
}

#[test]
fn in_one_topic_with_all_others_it_takes_85_bytes() {
    // 64 for the connection and its channel, 8 for its state, 8 for its membership, an eighth of
    // that to spare, and the last block's empty slots.
    let slope = slope(|_| "room:lobby".to_owned());
    assert!(slope <= 85, "{slope} bytes");
}

#[test]
fn in_a_topic_of_its_own_it_takes_170_bytes() {
    // The topic itself comes on top: 48 with its only member, its name with 16 for the counts, its place
    // in a table that doubles, and on a node of so few shards now and then a shared row of interest.
    let slope = slope(|index| format!("room:{index:08}"));
    assert!(slope <= 170, "{slope} bytes");
}
