//! What a Host field may be (RFC 9112 §3.2, RFC 3986 §3.2.2).

use std::net::Ipv6Addr;

use crate::alphabet::Alphabet;

/// `unreserved / sub-delims`.
const NAME: Alphabet = Alphabet::alphanumeric_and(b"-._~!$&'()*+,;=");

/// Whether the value is `host` or `host:port`. It may be empty: targets without an authority have no host (§3.2).
pub(super) fn is_valid(value: &[u8]) -> bool {
    let (host_is_valid, port) = if let Some(rest) = value.strip_prefix(b"[") {
        let Some(end) = rest.iter().position(|&b| b == b']') else { return false };
        (is_ipv6(&rest[..end]), &rest[end + 1..])
    } else {
        let end = value.iter().position(|&b| b == b':').unwrap_or(value.len());
        (is_name(&value[..end]), &value[end..])
    };
    host_is_valid && (port.is_empty() || port.strip_prefix(b":").is_some_and(is_port))
}

/// RFC 3986's other kind of address in brackets, IPvFuture, has no version that exists.
fn is_ipv6(address: &[u8]) -> bool {
    std::str::from_utf8(address).is_ok_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

/// `reg-name = *( unreserved / pct-encoded / sub-delims )`; IPv4 addresses are among them.
fn is_name(name: &[u8]) -> bool {
    let mut bytes = name.iter();
    while let Some(byte) = bytes.next() {
        let valid = match byte {
            b'%' => (0..2).all(|_| bytes.next().is_some_and(u8::is_ascii_hexdigit)),
            byte => NAME.contains(*byte),
        };
        if !valid {
            return false;
        }
    }
    true
}

/// `port = *DIGIT`, and no port is above 65535.
fn is_port(port: &[u8]) -> bool {
    port.iter().all(u8::is_ascii_digit)
        && port
            .iter()
            .try_fold(0u16, |port, digit| port.checked_mul(10)?.checked_add(u16::from(digit - b'0')))
            .is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_the_grammar_are_valid() {
        for host in [
            "",
            "a",
            "example.com",
            "example.com:",
            "example.com:80",
            "EXAMPLE.com.:65535",
            "127.0.0.1:9292",
            "[::1]",
            "[::1]:9292",
            "[2001:db8::ffff:1.2.3.4]:0080",
            "under_score",
            "%41.example",
            "a!$&'()*+,;=~-b",
            ":80",
        ] {
            assert!(is_valid(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn other_hosts_are_not() {
        for host in [
            "a b",
            "a/b",
            "a?b",
            "a#b",
            "user@host",
            "a\\b",
            "a\"b",
            "<a>",
            "a|b",
            "a, b",
            "a:b",
            "a:80:80",
            "a:-1",
            "a:65536",
            "a:99999999999999999999",
            "::1",
            "[::1",
            "::1]",
            "[]",
            "[::1]x",
            "[::1]80",
            "[1.2.3.4]",
            "[fe80::1%25eth0]",
            "[v1.a]",
            "%",
            "%4",
            "%4g",
            "a\0b",
            "a\tb",
            "\u{e9}.example",
            "http://a",
        ] {
            assert!(!is_valid(host.as_bytes()), "{host}");
        }
    }
}
