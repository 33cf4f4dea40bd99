//! The head watch: any bytes come to the same judgements, however they are cut, and whenever the heads are taken.

use volador_proto::http1::{HeadFault, HeadLimits, HeadWatch};

const LIMITS: HeadLimits = HeadLimits { head_max_bytes: 300, target_max_bytes: 60 };

/// Watches all bytes but the first, which says how long the pieces are.
pub fn check(data: &[u8]) {
    let Some((&piece_len, bytes)) = data.split_first() else { return };
    let mut whole = HeadWatch::new();
    whole.feed(bytes);
    let mut split = HeadWatch::new();
    bytes.chunks(usize::from(piece_len).max(1)).for_each(|piece| split.feed(piece));
    assert_eq!(split.is_empty(), whole.is_empty());
    assert_eq!(split.overflow(&LIMITS), whole.overflow(&LIMITS));
    assert_eq!(take_all(&mut split), take_all(&mut whole));

    // Byte by byte, and each head is taken as soon as it is there.
    let (mut watch, mut heads) = (HeadWatch::new(), 0);
    for byte in bytes {
        assert!(watch.overflow(&LIMITS).is_none_or(|fault| fault.status() >= 400));
        watch.feed(&[*byte]);
        heads += usize::from(watch.take_head(&LIMITS).is_ok());
    }
    let mut again = HeadWatch::new();
    again.feed(bytes);
    assert_eq!(heads, good(&mut again));
}

/// The judgements up to the first fault.
fn take_all(watch: &mut HeadWatch) -> (usize, HeadFault) {
    let mut heads = 0;
    loop {
        match watch.take_head(&LIMITS) {
            Ok(()) => heads += 1,
            Err(fault) => return (heads, fault),
        }
    }
}

/// The number of good heads, also behind one that only breaks a limit.
fn good(watch: &mut HeadWatch) -> usize {
    let mut heads = 0;
    loop {
        match watch.take_head(&LIMITS) {
            Ok(()) => heads += 1,
            Err(HeadFault::TargetTooLong { .. } | HeadFault::HeadTooLarge { .. }) => {}
            Err(_) => return heads,
        }
    }
}
