//! Random streams of frames, and what they mean.

use fourtuple_proto::ws::Role;
use proptest::{collection::vec, prelude::*, sample::Index};

use crate::{
    frames::{BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, TEXT, frame},
    script::Heard,
};

/// A legal stream.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) bytes: Vec<u8>,
    pub(crate) means: Vec<Heard>,
}

/// A data message and the places where its sender cuts it.
#[derive(Clone, Debug)]
struct Message {
    content: Heard,
    cuts: Vec<Index>,
    /// A control frame after each fragment but the last.
    between: Option<Heard>,
}

/// Legal streams towards an endpoint of this role.
pub(crate) fn valid(role: Role) -> impl Strategy<Value = Stream> {
    let part = prop_oneof![3 => message().prop_map(Ok), 1 => control().prop_map(Err)];
    let close = prop_oneof![3 => Just(None), 1 => close().prop_map(Some)];
    (vec(part, 0..6), close, any::<[u8; 4]>()).prop_map(move |(parts, close, key)| {
        let mask = (role == Role::Server).then_some(key);
        let mut stream = Stream {
            bytes: Vec::new(),
            means: Vec::new(),
        };
        for part in parts {
            match part {
                Ok(message) => stream.push_message(&message, mask),
                Err(control) => stream.push_control(control, mask),
            }
        }
        if let Some(close) = close {
            stream.push_control(close, mask);
        }
        stream
    })
}

/// Streams that were legal before some of their bytes were changed, taken away or added.
pub(crate) fn mutated(role: Role) -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<Index>(), any::<u8>(), 0..5_u8);
    (valid(role), vec(edit, 0..4)).prop_map(|(stream, edits)| {
        let mut bytes = stream.bytes;
        for (index, value, kind) in edits {
            let at = index.index(bytes.len() + 1);
            match kind {
                0 => bytes.insert(at, value),
                _ if at == bytes.len() => bytes.push(value),
                1 => drop(bytes.remove(at)),
                2 => bytes[at] = value,
                3 => bytes[at] ^= 1 << (value % 8),
                _ => bytes.truncate(at),
            }
        }
        bytes
    })
}

/// Cuts bytes into pieces at random places.
pub(crate) fn pieces<'b>(bytes: &'b [u8], cuts: &[Index]) -> Vec<&'b [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

fn message() -> impl Strategy<Value = Message> {
    // Lengths on both sides of each form of the length field, and most of them short.
    let len = prop_oneof![8 => 0..40_usize, 2 => 120..135_usize, 1 => 65_530..65_545_usize];
    let binary = (len, any::<u8>()).prop_map(|(len, byte)| Heard::Binary(vec![byte; len]));
    let text = vec(any::<char>(), 0..50).prop_map(|text| Heard::Text(text.into_iter().collect()));
    let cuts = prop_oneof![2 => Just(Vec::new()), 1 => vec(any::<Index>(), 1..5)];
    let between = proptest::option::of(control());
    (prop_oneof![text, binary], cuts, between).prop_map(|(content, cuts, between)| Message {
        content,
        cuts,
        between,
    })
}

fn control() -> impl Strategy<Value = Heard> {
    let payload = vec(any::<u8>(), 0..=125);
    (payload, any::<bool>()).prop_map(|(bytes, ping)| {
        if ping {
            Heard::Ping(bytes)
        } else {
            Heard::Pong(bytes)
        }
    })
}

fn close() -> impl Strategy<Value = Heard> {
    let code = prop_oneof![1000..=1003_u16, 1007..=1013_u16, 3000..=4999_u16];
    // At most four bytes a character.
    let reason = vec(any::<char>(), 0..=30).prop_map(String::from_iter);
    proptest::option::of((code, reason)).prop_map(Heard::Close)
}

impl Stream {
    fn push_message(&mut self, message: &Message, mask: Option<[u8; 4]>) {
        let (opcode, content) = match &message.content {
            Heard::Text(text) => (TEXT, text.as_bytes()),
            Heard::Binary(bytes) => (BINARY, bytes.as_slice()),
            other => unreachable!("{other:?} is no message"),
        };
        let fragments = pieces(content, &message.cuts);
        let last = fragments.len() - 1;
        for (number, fragment) in fragments.into_iter().enumerate() {
            let opcode = if number == 0 { opcode } else { CONTINUATION };
            let fin = if number == last { FIN } else { 0 };
            self.bytes.extend(frame(fin | opcode, fragment, mask));
            if let Some(control) = message.between.clone().filter(|_| number < last) {
                self.push_control(control, mask);
            }
        }
        self.means.push(message.content.clone());
    }

    fn push_control(&mut self, control: Heard, mask: Option<[u8; 4]>) {
        let (opcode, payload) = match &control {
            Heard::Ping(bytes) => (PING, bytes.clone()),
            Heard::Pong(bytes) => (PONG, bytes.clone()),
            Heard::Close(None) => (CLOSE, Vec::new()),
            Heard::Close(Some((code, reason))) => {
                (CLOSE, [&code.to_be_bytes(), reason.as_bytes()].concat())
            }
            other => unreachable!("{other:?} is no control frame"),
        };
        self.bytes.extend(frame(FIN | opcode, &payload, mask));
        self.means.push(control);
    }
}
