//! The mask of a client's payload (RFC 6455 §5.3).

/// Takes the mask off `payload`, or puts it on. `key` must be turned so that it starts with the byte for `payload[0]`.
pub(super) fn apply(payload: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    // Eight bytes at a time without a dependency between them: the compiler makes vector instructions of it.
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, tail) = payload.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_masked_byte_by_byte() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for len in 0..100 {
            let plain: Vec<u8> = (0..len).collect();
            let mut masked = plain.clone();
            apply(&mut masked, key);
            for (i, (masked, plain)) in masked.iter().zip(&plain).enumerate() {
                assert_eq!(*masked, plain ^ key[i % 4]);
            }
        }
    }
}
