//! [`Alphabet`]: a set of bytes, to be asked for each byte of a head.

/// Letters and digits of ASCII, and some more.
pub(crate) struct Alphabet([bool; 256]);

/// RFC 9110 §5.6.2: `tchar`, of which a token consists.
const TOKEN: Alphabet = Alphabet::alphanumeric_and(b"!#$%&'*+-.^_`|~");

impl Alphabet {
    pub(crate) const fn alphanumeric_and(others: &[u8]) -> Self {
        let mut set = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            set[byte] = (byte as u8).is_ascii_alphanumeric();
            byte += 1;
        }
        let mut n = 0;
        while n < others.len() {
            set[others[n] as usize] = true;
            n += 1;
        }
        Self(set)
    }

    pub(crate) fn contains(&self, byte: u8) -> bool {
        self.0[usize::from(byte)]
    }
}

/// RFC 9110 §5.6.2: `token = 1*tchar`.
pub(crate) fn is_token(token: &[u8]) -> bool {
    !token.is_empty() && token.iter().all(|byte| TOKEN.contains(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_no_delimiter_no_space_no_control_and_nothing_beyond_ascii() {
        for byte in 0..=u8::MAX {
            let is_delimiter = b"\"(),/:;<=>?@[\\]{}".contains(&byte);
            assert_eq!(is_token(&[byte]), byte.is_ascii_graphic() && !is_delimiter, "{byte}");
            assert_eq!(is_token(&[b'a', byte]), is_token(&[byte]), "{byte}");
        }
        assert!(!is_token(b""));
    }
}
