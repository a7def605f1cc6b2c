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

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    // RFC 6455 §5.7: "Hello" and its masked form.
    #[test]
    fn hello_is_masked_and_unmasked() {
        let mut bytes = *b"Hello";
        let key = [0x37, 0xFA, 0x21, 0x3D];
        apply(key, 0, &mut bytes);
        assert_eq!(bytes, [0x7F, 0x9F, 0x4D, 0x51, 0x58]);
        apply(key, 0, &mut bytes);
        assert_eq!(&bytes, b"Hello");
    }

    proptest! {
        // RFC 6455 §5.3: transformed octet i is original octet i XOR key octet i MOD 4.
        #[test]
        fn words_do_what_single_bytes_would(
            key: [u8; 4],
            offset in prop_oneof![0..100_u64, u64::MAX - 200..u64::MAX - 100],
            bytes in vec(any::<u8>(), 0..100),
        ) {
            let expected: Vec<u8> = (offset..)
                .zip(&bytes)
                .map(|(i, byte)| byte ^ key[(i % 4) as usize])
                .collect();
            let mut masked = bytes;
            apply(key, offset, &mut masked);
            prop_assert_eq!(masked, expected);
        }
    }
}
