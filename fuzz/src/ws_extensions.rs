//! The offers of WebSocket extensions: any value is answered within what was offered.

use volador_proto::ws::deflate::negotiate;

/// Negotiates on a value of `Sec-WebSocket-Extensions`.
pub fn check(offers: &[u8]) {
    let agreement = negotiate(offers);
    if let Some(agreement) = agreement {
        let answer = agreement.to_string();
        // An answer has the form of an offer with the same terms.
        assert_eq!(negotiate(answer.as_bytes()), Some(agreement));
        let limited = offers.windows(23).any(|window| window.starts_with(b"server_max_window_bits"));
        assert!(limited || !answer.contains("server_max_window_bits"), "answers what was not offered");
    }
    // What comes later is only looked at when nothing before it could be accepted.
    let more = negotiate(&[offers, b", permessage-deflate"].concat());
    assert_eq!(more.map(|more| agreement.unwrap_or(more)), more);
    assert!(more.is_some());
}
