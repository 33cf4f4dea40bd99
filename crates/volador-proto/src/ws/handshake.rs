//! The opening handshake (RFC 6455 §4.2), judged from header values.

use std::borrow::Cow;

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{GeneralPurpose, GeneralPurposeConfig},
};
use sha1_smol::Sha1;

use crate::alphabet::is_token;

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
    /// `Sec-WebSocket-Protocol`.
    pub protocols: Option<&'a [u8]>,
    /// `Sec-WebSocket-Extensions`.
    pub extensions: Option<&'a [u8]>,
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
    /// `Sec-WebSocket-Protocol` is no list of tokens.
    #[error("Sec-WebSocket-Protocol must be a list of names, separated by commas, without spaces or quotes in them")]
    Protocols,
    /// `Sec-WebSocket-Extensions` is no list of extensions with their parameters.
    #[error("Sec-WebSocket-Extensions is not of the form \"name; parameter=value, name\"")]
    Extensions,
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
        // "9. Optionally, a |Sec-WebSocket-Protocol| header field", and "10. Optionally, a |Sec-WebSocket-Extensions| header
        // field". §4.2.1: over "any violations of the ABNF grammar specified for the components of the handshake" the server
        // MUST answer with an error.
        if !self.protocols.is_none_or(|list| is_list(list, is_token)) {
            return Err(HandshakeError::Protocols);
        }
        if !self.extensions.is_none_or(|list| is_list(list, is_extension)) {
            return Err(HandshakeError::Extensions);
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

/// Whether the list offers the subprotocol; here case matters (RFC 6455 §11.3.4).
pub fn offers_protocol(offered: &[u8], protocol: &[u8]) -> bool {
    is_token(protocol) && offered.split(|&b| b == b',').any(|item| item.trim_ascii() == protocol)
}

/// RFC 9110 §5.6.1: elements separated by commas, of which some may be empty, but not all.
fn is_list(list: &[u8], is_element: impl Fn(&[u8]) -> bool) -> bool {
    let mut elements = list.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|item| !item.is_empty()).peekable();
    elements.peek().is_some() && elements.all(is_element)
}

/// RFC 6455 §9.1: `extension = extension-token *( ";" extension-param )`.
fn is_extension(extension: &[u8]) -> bool {
    let mut parts = extension.split(|&b| b == b';').map(<[u8]>::trim_ascii);
    parts.next().is_some_and(is_token) && parts.all(is_parameter)
}

/// `extension-param = token [ "=" (token | quoted-string) ]`.
fn is_parameter(parameter: &[u8]) -> bool {
    let mut halves = parameter.splitn(2, |&b| b == b'=').map(<[u8]>::trim_ascii);
    halves.next().is_some_and(is_token) && halves.next().is_none_or(|value| parameter_value(value).is_some())
}

/// What is meant by the value of a parameter. RFC 6455 §9.1: "When using the quoted-string syntax variant, the value after
/// quoted-string unescaping MUST conform to the 'token' ABNF." So no comma and no semicolon is inside, escaped or not, and
/// lists can be split at them. RFC 9110 §5.6.4: a quoted-pair stands for "the octet following the backslash".
pub(super) fn parameter_value(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let value = match value.strip_prefix(b"\"") {
        None => Cow::Borrowed(value),
        Some(quoted) => {
            let mut bytes = quoted.strip_suffix(b"\"")?.iter();
            let mut unescaped = Vec::with_capacity(bytes.len());
            while let Some(&byte) = bytes.next() {
                unescaped.push(if byte == b'\\' { *bytes.next()? } else { byte });
            }
            Cow::Owned(unescaped)
        }
    };
    is_token(&value).then_some(value)
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
        protocols: None,
        extensions: None,
    };

    #[test]
    fn lists_of_protocols_and_extensions_are_held_to_the_grammar() {
        for (list, is_valid) in [
            ("chat", true),
            ("chat, superchat", true),
            (", chat,,", true),
            ("chat, chat", true),
            ("", false),
            (",", false),
            ("a b", false),
            ("{}", false),
            ("a;b", false),
            ("\"a\"", false),
        ] {
            let handshake = Handshake { protocols: Some(list.as_bytes()), ..VALID };
            let expected = if is_valid { VALID.accept() } else { Err(HandshakeError::Protocols) };
            assert_eq!(handshake.accept(), expected, "{list:?}");
        }
        for (list, is_valid) in [
            ("permessage-deflate", true),
            ("permessage-deflate; client_max_window_bits; server_max_window_bits=\"10\", foo", true),
            ("foo;bar = baz", true),
            ("permessage-deflate; client_max_window_bits=\"1\\0\"", true),
            ("foo; a=\"\\b\\c\", bar", true),
            ("foo; a=1\\0", false),
            ("foo; a=\"b\\\"", false),
            ("foo; a=\"b\\\\\"", false),
            ("foo; a=\"b\\\"c\"", false),
            ("foo; a=\"b\\ c\"", false),
            ("foo; a=\"b\\,c\"", false),
            ("foo; a=\"b\\;c\"", false),
            ("foo; a=\"", false),
            ("", false),
            (";;;=,", false),
            ("a b c", false),
            ("foo=\"unterminated", false),
            ("foo; a=\"unterminated", false),
            ("foo; a=\"b, permessage-deflate", false),
            ("foo; a=\"\"", false),
            ("permessage-deflate; =1", false),
            ("permessage-deflate; a=", false),
            ("permessage-deflate;", false),
        ] {
            let handshake = Handshake { extensions: Some(list.as_bytes()), ..VALID };
            let expected = if is_valid { VALID.accept() } else { Err(HandshakeError::Extensions) };
            assert_eq!(handshake.accept(), expected, "{list:?}");
        }
    }

    #[test]
    fn a_protocol_is_one_of_the_offered() {
        for (protocol, is_offered) in
            [("chat", true), ("b", true), ("Chat", false), ("cha", false), ("chat, b", false), ("", false)]
        {
            assert_eq!(offers_protocol(b"chat, b", protocol.as_bytes()), is_offered, "{protocol}");
        }
    }

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
