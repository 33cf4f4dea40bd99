//! The offers of `Sec-WebSocket-Extensions` and the answer to them (RFC 6455 §9.1, RFC 7692 §7.1).

use std::{fmt, num::NonZeroU8};

use crate::ws::handshake::parameter_value;

/// The base-2 logarithm of the largest distance that our compressor may refer back: 8 to 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowBits(NonZeroU8);

impl WindowBits {
    /// 32 KiB, what every client can do that does not say otherwise.
    pub const MAX: Self = Self(NonZeroU8::new(15).unwrap());

    /// None outside of 8 to 15.
    pub fn new(bits: u8) -> Option<Self> {
        NonZeroU8::new(bits).filter(|bits| (8..=15).contains(&bits.get())).map(Self)
    }

    /// The number.
    pub fn get(self) -> u8 {
        self.0.get()
    }
}

/// permessage-deflate as client and server use it: without context takeover in either direction.
///
/// It displays as the value of `Sec-WebSocket-Extensions` that accepts the offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The limit that the client has set to our window.
    server_max_window_bits: Option<WindowBits>,
}

impl Agreement {
    /// The window of our compressor.
    pub fn window_bits(self) -> WindowBits {
        self.server_max_window_bits.unwrap_or(WindowBits::MAX)
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // §7.1.1: a server may put both into its answer whether or not they were offered. client_max_window_bits is
        // left out: our inflater takes every window (§7.1.2.2).
        f.write_str("permessage-deflate; server_no_context_takeover; client_no_context_takeover")?;
        match self.server_max_window_bits {
            // §7.1.2.1: "A server accepts an extension negotiation offer with this parameter by including" it.
            Some(bits) => write!(f, "; server_max_window_bits={}", bits.get()),
            None => Ok(()),
        }
    }
}

/// The first offer that can be accepted. `offers` is the value of `Sec-WebSocket-Extensions`, in the client's order of
/// preference; the values of a repeated field are joined by commas.
pub fn negotiate(offers: &[u8]) -> Option<Agreement> {
    // No comma or semicolon can be inside of a value: see `parameter_value`.
    offers.split(|&byte| byte == b',').find_map(offer)
}

/// §7.1: an offer with a parameter that is unknown, has a bad value or comes twice must be declined.
fn offer(offer: &[u8]) -> Option<Agreement> {
    let mut parameters = offer.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    if parameters.next() != Some(b"permessage-deflate") {
        return None;
    }
    let mut agreement = Agreement { server_max_window_bits: None };
    let mut seen = [false; 4];
    for parameter in parameters {
        let mut parts = parameter.splitn(2, |&byte| byte == b'=').map(<[u8]>::trim_ascii);
        let (name, value) = (parts.next()?, parts.next());
        let number = match (name, value) {
            (b"server_no_context_takeover", None) => 0,
            (b"client_no_context_takeover", None) => 1,
            (b"server_max_window_bits", Some(value)) => {
                agreement.server_max_window_bits = Some(window_bits(value)?);
                2
            }
            // A hint that the client could do with less; it need not be answered (§7.1.2.2).
            (b"client_max_window_bits", None) => 3,
            (b"client_max_window_bits", Some(value)) => {
                window_bits(value)?;
                3
            }
            _ => return None,
        };
        if std::mem::replace(&mut seen[number], true) {
            return None;
        }
    }
    Some(agreement)
}

/// §7.1.2: "a decimal integer value without leading zeroes between 8 to 15, inclusive".
fn window_bits(value: &[u8]) -> Option<WindowBits> {
    match *parameter_value(value)? {
        [digit @ b'8'..=b'9'] => WindowBits::new(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => WindowBits::new(10 + digit - b'0'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAIN: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    #[test]
    fn the_first_offer_that_can_be_accepted_is() {
        for (offers, answer, bits) in [
            ("permessage-deflate", PLAIN.to_owned(), 15),
            // Chromium, Safari; Firefox.
            ("permessage-deflate; client_max_window_bits", PLAIN.to_owned(), 15),
            ("permessage-deflate;client_no_context_takeover;server_no_context_takeover", PLAIN.to_owned(), 15),
            ("permessage-deflate; client_max_window_bits=10", PLAIN.to_owned(), 15),
            ("permessage-deflate; server_max_window_bits=10", format!("{PLAIN}; server_max_window_bits=10"), 10),
            ("permessage-deflate ;\tserver_max_window_bits=\"15\" ", format!("{PLAIN}; server_max_window_bits=15"), 15),
            ("permessage-deflate; server_max_window_bits=\"1\\0\"", format!("{PLAIN}; server_max_window_bits=10"), 10),
            ("permessage-deflate; client_max_window_bits=\"\\1\\0\"", PLAIN.to_owned(), 15),
            ("permessage-deflate; server_max_window_bits=8", format!("{PLAIN}; server_max_window_bits=8"), 8),
            // The second, as the first is unknown or has something that is.
            ("x-webkit-deflate-frame, permessage-deflate", PLAIN.to_owned(), 15),
            (
                "permessage-deflate; mode=fast; server_max_window_bits=9, permessage-deflate; server_max_window_bits=12",
                format!("{PLAIN}; server_max_window_bits=12"),
                12,
            ),
        ] {
            let agreement = negotiate(offers.as_bytes()).unwrap_or_else(|| panic!("declined: {offers}"));
            assert_eq!((agreement.to_string(), agreement.window_bits().get()), (answer, bits), "{offers}");
        }
    }

    #[test]
    fn offers_that_must_be_declined_are() {
        for offers in [
            "",
            ",",
            "deflate",
            "permessage-deflates",
            "permessage-deflate;",
            "permessage-deflate; unknown",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover=true",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=08",
            "permessage-deflate; server_max_window_bits=010",
            "permessage-deflate; server_max_window_bits=\"10",
            "permessage-deflate; server_max_window_bits=1\\0",
            "permessage-deflate; server_max_window_bits=\"10\\\"",
            "permessage-deflate; server_max_window_bits=\"1\\6\"",
            "permessage-deflate; server_max_window_bits=\"\\\"",
            "permessage-deflate; client_max_window_bits=16",
            "permessage-deflate; client_max_window_bits=",
            "permessage-deflate; server_max_window_bits=9; server_max_window_bits=10",
            "permessage-deflate; server_max_window_bits=9; server_max_window_bits=9",
            "permessage-deflate; client_max_window_bits; client_max_window_bits=9",
            "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
        ] {
            assert_eq!(negotiate(offers.as_bytes()), None, "{offers}");
        }
    }

    proptest! {
        #[test]
        fn a_value_may_be_quoted_and_each_of_its_characters_escaped(
            value in "[0-9a]|1[0-9]", escaped in prop::collection::vec(any::<bool>(), 2),
        ) {
            let quoted: String = value.chars().zip(escaped)
                .flat_map(|(char, is_escaped)| is_escaped.then_some('\\').into_iter().chain([char]))
                .collect();
            let [plain, quoted] = [value, format!("\"{quoted}\"")]
                .map(|value| negotiate(format!("permessage-deflate; server_max_window_bits={value}").as_bytes()));
            prop_assert_eq!(plain, quoted);
        }

        #[test]
        fn any_value_is_answered_within_the_rules(
            parts in prop::collection::vec(prop::sample::select(vec![
                "permessage-deflate", ";", ",", " ", "=", "\"", "\\", "8", "15", "9", "server_max_window_bits",
                "client_max_window_bits", "server_no_context_takeover", "x",
            ]), 0..20),
        ) {
            let offers = parts.concat();
            if let Some(agreement) = negotiate(offers.as_bytes()) {
                prop_assert!((8..=15).contains(&agreement.window_bits().get()));
                let answers_limit = agreement.to_string().contains("server_max_window_bits");
                prop_assert!(!answers_limit || offers.contains("server_max_window_bits="));
            }
        }
    }
}
