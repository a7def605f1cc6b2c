//! The key of a client and the digest by which a server proves that it read it.

use base64::{
    Engine as _, alphabet,
    engine::{GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use sha1::{Digest as _, Sha1};

/// What RFC 6455 §1.3 appends to a key before it is hashed.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Characters of a key and of a digest in base64: 16 and 20 bytes.
const KEY_CHARS: usize = 24;
const DIGEST_CHARS: usize = 28;

/// Reads keys of clients that chose 24 characters at random, whose last bits are not zero.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Sixteen random bytes that a client chooses for each connection.
///
/// They are no secret: they only keep a cache or a server of another protocol from answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientKey([u8; 16]);

impl ClientKey {
    /// A key of these bytes, which must be newly random for each connection.
    pub const fn new(random: [u8; 16]) -> Self {
        Self(random)
    }

    /// The value of `Sec-WebSocket-Key`.
    pub(super) fn encode(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// The value of `Sec-WebSocket-Accept` that answers this key.
    pub(super) fn digest(&self) -> [u8; DIGEST_CHARS] {
        digest(&self.encode())
    }
}

/// The value of `Sec-WebSocket-Accept` that answers the value of a `Sec-WebSocket-Key`, if that is
/// one.
pub(super) fn answer(key: &str) -> Option<[u8; DIGEST_CHARS]> {
    // RFC 6455 §4.2.1 (5): the value, decoded as base64, is 16 bytes long.
    let mut bytes = [0; 18];
    let len = (key.len() == KEY_CHARS).then(|| LENIENT.decode_slice(key, &mut bytes).ok())??;
    (len == 16).then(|| digest(key))
}

/// RFC 6455 §4.2.2 (5.4): the key as it is in the header, the GUID, SHA-1, base64.
fn digest(key: &str) -> [u8; DIGEST_CHARS] {
    let hash = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut digest = [0; DIGEST_CHARS];
    let encoded = STANDARD.encode_slice(hash, &mut digest);
    debug_assert_eq!(encoded, Ok(DIGEST_CHARS), "20 bytes are 28 characters");
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6455 §1.3: the example.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const DIGEST: &[u8; 28] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    #[test]
    fn the_example_of_the_rfc_has_its_digest() {
        let key = ClientKey::new(*b"the sample nonce");
        assert_eq!(key.encode(), KEY);
        assert_eq!(&key.digest(), DIGEST);
        assert_eq!(answer(KEY).as_ref(), Some(DIGEST));
    }

    // RFC 6455 §4.2.1 (5): 16 bytes, no fewer, no more, in base64.
    #[test]
    fn a_key_is_sixteen_bytes_in_base64() {
        assert_eq!(answer(""), None);
        assert_eq!(answer("dGhlIHNhbXBsZSBub25jZQ"), None, "no padding");
        assert_eq!(answer("dGhlIHNhbXBsZSBub25jZS4="), None, "17 bytes");
        assert_eq!(answer("dGhlIHNhbXBsZSBub25jZS4u"), None, "18 bytes");
        assert_eq!(answer("dGhlIHNhbXBsZSBub25j"), None, "15 bytes");
        assert_eq!(answer("dGhlIHNhbXBsZSBub25*ZQ=="), None, "not the alphabet");
    }

    #[test]
    fn a_key_with_stray_last_bits_is_hashed_as_it_came() {
        let stray = "dGhlIHNhbXBsZSBub25jZR==";
        assert!(answer(stray).is_some());
        assert_ne!(answer(stray), answer(KEY));
    }
}
