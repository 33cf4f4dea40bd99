//! The opening handshake (RFC 6455 §4.2), judged from header values.

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{GeneralPurpose, GeneralPurposeConfig},
};
use sha1_smol::Sha1;

/// The parts of a request that the opening handshake is made of. A field that is absent is None; the values of a
/// repeated field are joined by `, `.
#[derive(Clone, Copy, Debug)]
pub struct Handshake<'a> {
    /// The request method.
    pub method: &'a [u8],
    /// HTTP/1.1, where false means 1.0.
    pub http_11: bool,
    /// `Connection`.
    pub connection: Option<&'a [u8]>,
    /// `Upgrade`.
    pub upgrade: Option<&'a [u8]>,
    /// `Sec-WebSocket-Key`.
    pub key: Option<&'a [u8]>,
    /// `Sec-WebSocket-Version`.
    pub version: Option<&'a [u8]>,
}

/// A request for a WebSocket whose handshake is not valid: it is answered with [`status`](Self::status) and the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The method is not GET.
    #[error("a WebSocket is opened with GET: use that method")]
    Method,
    /// HTTP/1.0 has no upgrades.
    #[error("a WebSocket needs HTTP/1.1: let the proxy in front use it (nginx: proxy_http_version 1.1)")]
    Http10,
    /// No `Upgrade: websocket`.
    #[error("the header \"Upgrade: websocket\" is missing: add it, and let the proxy in front pass it on")]
    NoUpgrade,
    /// No `Connection: Upgrade`.
    #[error("the header \"Connection: Upgrade\" is missing: add it, and let the proxy in front pass it on")]
    NoConnectionUpgrade,
    /// Another version than 13. The answer names ours: `Sec-WebSocket-Version: 13` (§4.4).
    #[error("only WebSocket version 13 is spoken: send \"Sec-WebSocket-Version: 13\"")]
    Version,
    /// The key is missing, or is not 16 bytes in base64.
    #[error("Sec-WebSocket-Key must be 16 random bytes in base64")]
    Key,
}

impl HandshakeError {
    /// The status of the response.
    pub fn status(self) -> u16 {
        match self {
            Self::Method => 405,
            Self::Version => 426,
            _ => 400,
        }
    }
}

/// Whether the `Upgrade` field names WebSocket among its protocols.
pub fn is_upgrade(upgrade: Option<&[u8]>) -> bool {
    has_token(upgrade, b"websocket")
}

impl Handshake<'_> {
    /// The value of `Sec-WebSocket-Accept` that accepts the handshake.
    ///
    /// # Errors
    /// [`HandshakeError`] when it is not a valid one.
    pub fn accept(&self) -> Result<[u8; 28], HandshakeError> {
        // RFC 6455 §4.2.1: "1. An HTTP/1.1 or higher GET request"; no. 2, Host, is for the HTTP side.
        if self.method != b"GET" {
            return Err(HandshakeError::Method);
        }
        if !self.http_11 {
            return Err(HandshakeError::Http10);
        }
        // "3. An |Upgrade| header field containing the value "websocket", treated as an ASCII case-insensitive value."
        if !is_upgrade(self.upgrade) {
            return Err(HandshakeError::NoUpgrade);
        }
        // "4. A |Connection| header field that includes the token "Upgrade", treated as an ASCII case-insensitive value."
        if !has_token(self.connection, b"upgrade") {
            return Err(HandshakeError::NoConnectionUpgrade);
        }
        // "6. A |Sec-WebSocket-Version| header field, with a value of 13." Judged before the key, which other versions
        // may not have.
        if self.version.map(<[u8]>::trim_ascii) != Some(b"13") {
            return Err(HandshakeError::Version);
        }
        // "5. A |Sec-WebSocket-Key| header field with a base64-encoded value that, when decoded, is 16 bytes in length."
        let key = self.key.map(<[u8]>::trim_ascii).ok_or(HandshakeError::Key)?;
        // The decoder wants room for what 24 characters may be at most.
        let mut raw = [0; 18];
        if key.len() != 24 || BASE64.decode_slice(key, &mut raw) != Ok(16) {
            return Err(HandshakeError::Key);
        }
        Ok(accept_value(key))
    }
}

/// Clients that draw 22 random characters set bits that stand for nothing. The key is no secret, so they may.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// §4.2.2: the key with the GUID behind it, through SHA-1, in base64.
fn accept_value(key: &[u8]) -> [u8; 28] {
    let mut sha1 = Sha1::new();
    sha1.update(key);
    sha1.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let mut accept = [0; 28];
    BASE64.encode_slice(sha1.digest().bytes(), &mut accept).expect("20 bytes are 28 characters of base64");
    accept
}

/// Whether a comma-separated list has the token; case does not matter (RFC 9110 §5.6.1).
fn has_token(list: Option<&[u8]>, token: &[u8]) -> bool {
    list.is_some_and(|list| list.split(|&b| b == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(token)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: Handshake<'_> = Handshake {
        method: b"GET",
        http_11: true,
        connection: Some(b"Upgrade"),
        upgrade: Some(b"websocket"),
        key: Some(b"dGhlIHNhbXBsZSBub25jZQ=="),
        version: Some(b"13"),
    };

    #[test]
    fn accept_is_that_of_the_rfc() {
        assert_eq!(VALID.accept(), Ok(*b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    }

    #[test]
    fn fields_may_be_lists_in_any_case() {
        let browser =
            Handshake { connection: Some(b"keep-alive,\tUpGrade"), upgrade: Some(b"h2c, WebSocket"), ..VALID };
        assert!(browser.accept().is_ok());
    }

    #[test]
    fn whitespace_around_key_and_version_is_not_theirs() {
        let padded = Handshake { key: Some(b" dGhlIHNhbXBsZSBub25jZQ== "), version: Some(b"13\t"), ..VALID };
        assert_eq!(padded.accept(), VALID.accept());
    }

    #[test]
    fn key_of_22_random_characters_is_accepted() {
        assert!(Handshake { key: Some(b"abcdefghijklmnopqrstuv=="), ..VALID }.accept().is_ok());
    }

    #[test]
    fn faults_are_told_apart() {
        use HandshakeError::*;
        for (handshake, error, status) in [
            (Handshake { method: b"POST", ..VALID }, Method, 405),
            // Methods are case-sensitive (RFC 9110 §9.1).
            (Handshake { method: b"get", ..VALID }, Method, 405),
            (Handshake { http_11: false, ..VALID }, Http10, 400),
            (Handshake { upgrade: None, ..VALID }, NoUpgrade, 400),
            (Handshake { upgrade: Some(b"websockets"), ..VALID }, NoUpgrade, 400),
            (Handshake { connection: None, ..VALID }, NoConnectionUpgrade, 400),
            (Handshake { connection: Some(b"keep-alive"), ..VALID }, NoConnectionUpgrade, 400),
            (Handshake { version: None, ..VALID }, Version, 426),
            (Handshake { version: Some(b"8"), ..VALID }, Version, 426),
            // Sent twice.
            (Handshake { version: Some(b"13, 13"), ..VALID }, Version, 426),
            (Handshake { key: None, ..VALID }, Key, 400),
            (Handshake { key: Some(b""), ..VALID }, Key, 400),
            // 15 and 17 bytes.
            (Handshake { key: Some(b"AAAAAAAAAAAAAAAAAAAA"), ..VALID }, Key, 400),
            (Handshake { key: Some(b"AAAAAAAAAAAAAAAAAAAAAAA="), ..VALID }, Key, 400),
            // Padding missing, and not the alphabet.
            (Handshake { key: Some(b"dGhlIHNhbXBsZSBub25jZQ"), ..VALID }, Key, 400),
            (Handshake { key: Some(b"dGhlIHNhbXBsZSBub25jZ-=="), ..VALID }, Key, 400),
            // Sent twice.
            (Handshake { key: Some(b"dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ=="), ..VALID }, Key, 400),
        ] {
            assert_eq!(handshake.accept(), Err(error), "{handshake:?}");
            assert_eq!(error.status(), status);
        }
    }
}
