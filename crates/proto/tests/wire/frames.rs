//! Frames written by hand, the legal and the illegal, without the encoder that is under test.

use fourtuple_proto::ws::Role;

pub(crate) const FIN: u8 = 0x80;
pub(crate) const RSV1: u8 = 0x40;
pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xA;

/// A frame as an endpoint of this role expects it: masked towards a server.
pub(crate) fn frame_to(role: Role, first: u8, payload: &[u8]) -> Vec<u8> {
    match role {
        Role::Server => frame(first, payload, Some([0x37, 0xFA, 0x21, 0x3D])),
        Role::Client => frame(first, payload, None),
    }
}

/// A frame with the shortest length that can say how long it is.
pub(crate) fn frame(first: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let len = payload.len();
    let length = match len {
        0..=125 => vec![len as u8],
        126..=0xFFFF => [&[126][..], &(len as u16).to_be_bytes()].concat(),
        _ => [&[127][..], &(len as u64).to_be_bytes()].concat(),
    };
    frame_of_length(first, &length, payload, mask)
}

/// A frame whose length field is given as it is, true or not.
pub(crate) fn frame_of_length(
    first: u8,
    length: &[u8],
    payload: &[u8],
    mask: Option<[u8; 4]>,
) -> Vec<u8> {
    let mut bytes = vec![first];
    bytes.extend_from_slice(length);
    let Some(key) = mask else {
        bytes.extend_from_slice(payload);
        return bytes;
    };
    bytes[1] |= 0x80;
    bytes.extend_from_slice(&key);
    bytes.extend(
        payload
            .iter()
            .zip(key.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    bytes
}
