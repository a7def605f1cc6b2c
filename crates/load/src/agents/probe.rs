//! What tests outside of this crate need to see of the wire, and nobody else: what any bytes are taken for.

use serde::{Serialize, de::DeserializeOwned};

use super::{
    message::{FromAgent, ToAgent},
    wire::{Direction, Inbox, Seal},
};

/// Greetings in bytes that come in pieces of this length, and why there are no more of them, if they end badly.
pub fn greetings(bytes: &[u8], piece: usize) -> (Vec<Vec<u8>>, Option<String>) {
    let (mut inbox, mut found) = (Inbox::default(), Vec::new());
    for piece in bytes.chunks(piece.max(1)) {
        inbox.feed(piece);
        loop {
            match inbox.next(None) {
                Ok(Some(content)) => found.push(content),
                Ok(None) => break,
                Err(error) => return (found, Some(error.to_string())),
            }
        }
    }
    (found, None)
}

/// How many frames of a session there are in bytes that were made without its key.
pub fn sealed(bytes: &[u8]) -> usize {
    let mut inbox = Inbox::default();
    inbox.feed(bytes);
    let mut seal = Seal::new(&[9; 32], Direction::ToAgent);
    std::iter::from_fn(|| inbox.next(Some(&mut seal)).ok().flatten()).count()
}

/// A message to an agent, written again.
pub fn to_agent(bytes: &[u8]) -> Option<Vec<u8>> {
    let message = again::<ToAgent>(bytes)?;
    if let Ok(ToAgent::Prepare { part, .. }) = serde_json::from_slice(bytes)
        && part.is_possible()
    {
        // Whatever shares it was told of, it knows its own.
        let all = (0..u64::from(part.connections()).min(10)).map(|place| part.number(place));
        assert!(all.is_sorted());
        assert!(part.topics(5).count() <= 5);
    }
    Some(message)
}

/// A message to a coordinator, written again.
pub fn to_coordinator(bytes: &[u8]) -> Option<Vec<u8>> {
    again::<FromAgent>(bytes)
}

fn again<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Option<Vec<u8>> {
    let message: T = serde_json::from_slice(bytes).ok()?;
    Some(serde_json::to_vec(&message).expect("what was read can be written"))
}
