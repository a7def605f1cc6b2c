//! What our client encodes our server reads, and back again.

use fourtuple_proto::ws::{CloseCode, OpCode, Role, encode, encode_close};
use proptest::{collection::vec, prelude::*, sample::Index};

use crate::{
    script::{Heard, WIDE, hear},
    streams::{self, pieces},
};

/// Encodes what was heard, as one frame each.
fn say(all: &[Heard], mask: Option<[u8; 4]>) -> Vec<u8> {
    let mut out = Vec::new();
    for heard in all {
        match heard {
            Heard::Text(text) => encode(&mut out, OpCode::Text, text.as_bytes(), mask),
            Heard::Binary(bytes) => encode(&mut out, OpCode::Binary, bytes, mask),
            Heard::Ping(bytes) => encode(&mut out, OpCode::Ping, bytes, mask),
            Heard::Pong(bytes) => encode(&mut out, OpCode::Pong, bytes, mask),
            Heard::Close(None) => encode_close(&mut out, None, "", mask),
            Heard::Close(Some((code, reason))) => {
                encode_close(&mut out, Some(CloseCode(*code)), reason, mask);
            }
            Heard::Failed(error) => unreachable!("{error}"),
        }
    }
    out
}

proptest! {
    #[test]
    fn there_and_back(
        said in streams::valid(Role::Client).prop_map(|stream| stream.means),
        key in any::<[u8; 4]>(),
        cuts in vec(any::<Index>(), 0..10),
    ) {
        // RFC 6455 §5.1: a client MUST mask its frames and a server MUST NOT.
        let there = say(&said, Some(key));
        let heard = hear(Role::Server, &WIDE, pieces(&there, &cuts));
        prop_assert_eq!(&heard, &said);
        let back = say(&heard, None);
        prop_assert_eq!(&hear(Role::Client, &WIDE, pieces(&back, &cuts)), &said);
    }
}
