//! Masking: every payload byte from a client is XORed with a byte of a four-byte key.
//!
//! Source: RFC 6455 §5.3. Masking and unmasking are the same operation.

/// Masks or unmasks `bytes`, the first of which is number `offset` of its payload.
pub(super) fn apply(key: [u8; 4], offset: u64, bytes: &mut [u8]) {
    // RFC 6455 §5.3: octet i is XORed with octet i MOD 4 of the key.
    let mut key = key;
    key.rotate_left((offset % 4) as usize);

    // Eight bytes at a time; the compiler makes wider steps of it where the machine has them.
    let [a, b, c, d] = key;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for chunk in words {
        *chunk = (u64::from_ne_bytes(*chunk) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip([a, b, c, d, a, b, c, d]) {
        *byte ^= key;
    }
}
