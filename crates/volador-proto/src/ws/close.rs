//! The payload of a Close frame (RFC 6455 §5.5.1, §7.4).

use super::{Event, ProtocolError};

/// Reads the payload of a client's Close frame.
pub(super) fn parse(payload: &[u8]) -> Result<Event<'_>, ProtocolError> {
    let (code, reason) = match payload {
        [] => return Ok(Event::Close { code: None, reason: "" }),
        // §5.5.1: "If there is a body, the first two bytes of the body MUST be a 2-byte unsigned integer".
        [_] => return Err(ProtocolError::BadCloseCode),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
    };
    if !may_be_sent(code) {
        return Err(ProtocolError::BadCloseCode);
    }
    let reason = std::str::from_utf8(reason).map_err(|_| ProtocolError::BadUtf8)?;
    Ok(Event::Close { code: Some(code), reason })
}

/// §7.4: 1004 to 1006 and 1015 "MUST NOT be set as a status code in a Close control frame by an endpoint"; others below
/// 3000 only where they are registered (1012 to 1014 were after the RFC).
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_must_not_be_sent_are_refused() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535u16] {
            assert_eq!(parse(&code.to_be_bytes()), Err(ProtocolError::BadCloseCode), "{code}");
        }
        for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999u16]
        {
            assert_eq!(parse(&code.to_be_bytes()), Ok(Event::Close { code: Some(code), reason: "" }), "{code}");
        }
    }

    #[test]
    fn reason_follows_the_code() {
        assert_eq!(parse(b"\x03\xe8bye\xc3\xa9"), Ok(Event::Close { code: Some(1000), reason: "byeé" }));
        assert_eq!(parse(b"\x03\xe8\xc3"), Err(ProtocolError::BadUtf8));
        assert_eq!(parse(b""), Ok(Event::Close { code: None, reason: "" }));
        assert_eq!(parse(b"\x03"), Err(ProtocolError::BadCloseCode));
    }
}
