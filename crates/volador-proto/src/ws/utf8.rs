//! UTF-8 that arrives in pieces (RFC 6455 §8.1).

/// Validates a text piece by piece, and refuses it at the first byte that no valid text can have there.
#[derive(Debug, Default)]
pub(super) struct Utf8 {
    /// The bytes of a character whose rest has not arrived.
    pending: [u8; 4],
    /// How many of `pending` there are, 0 to 3: a fourth byte completes any character.
    len: u8,
}

impl Utf8 {
    /// Takes the next piece. False when the text is invalid, whatever follows.
    #[must_use]
    pub(super) fn push(&mut self, mut piece: &[u8]) -> bool {
        while self.len > 0 {
            let Some((&byte, rest)) = piece.split_first() else { return true };
            piece = rest;
            self.pending[usize::from(self.len)] = byte;
            self.len += 1;
            match std::str::from_utf8(&self.pending[..usize::from(self.len)]) {
                Ok(_) => self.len = 0,
                // The standard library calls a sequence incomplete only while some next byte could make it valid.
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return false,
            }
        }
        match simdutf8::compat::from_utf8(piece) {
            Ok(_) => true,
            Err(error) if error.error_len().is_some() => false,
            Err(error) => {
                let tail = &piece[error.valid_up_to()..];
                self.pending[..tail.len()].copy_from_slice(tail);
                self.len = tail.len() as u8;
                true
            }
        }
    }

    /// Whether the text may end here: not inside of a character.
    pub(super) fn is_complete(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The number of bytes after which the text is refused; None when it may go on.
    fn refused_at(bytes: &[u8]) -> Option<usize> {
        let mut utf8 = Utf8::default();
        bytes.iter().position(|&byte| !utf8.push(&[byte])).map(|at| at + 1)
    }

    #[test]
    fn invalid_text_is_refused_at_its_first_impossible_byte() {
        for (bytes, at) in [
            (&b"\xc0\xaf"[..], 1),      // overlong: c0 begins nothing
            (b"\xe0\x80", 2),           // overlong in three bytes
            (b"\xed\xa0", 2),           // a surrogate
            (b"\xf4\x90", 2),           // above U+10FFFF
            (b"\xf5", 1),               // far above
            (b"ok\x80", 3),             // a continuation byte alone
            (b"\xce\xba\xe1\xbd\"", 5), // a character cut short
        ] {
            assert_eq!(refused_at(bytes), Some(at), "{bytes:x?}");
        }
    }

    proptest! {
        #[test]
        fn pieces_are_judged_as_their_whole(text: String, noise in prop::option::of((any::<prop::sample::Index>(), any::<u8>())), cuts: Vec<prop::sample::Index>) {
            let mut bytes = text.into_bytes();
            if let Some((at, byte)) = noise && !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).chain([0, bytes.len()]).collect();
            cuts.sort_unstable();
            let mut utf8 = Utf8::default();
            let valid = cuts.windows(2).all(|cut| utf8.push(&bytes[cut[0]..cut[1]])) && utf8.is_complete();
            prop_assert_eq!(valid, std::str::from_utf8(&bytes).is_ok());
        }
    }
}
