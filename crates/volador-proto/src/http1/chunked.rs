//! Follows a chunked body to its end (RFC 9112 §7.1). It keeps none of it: the HTTP parser decodes the body.
//!
//! ```text
//!  1*HEX [ws] [;ext] CR LF  data  CR LF   ...   0 CR LF  *( trailer CR LF )  CR LF
//!  Start Size Space  Ext   SizeLf Data DataCr DataLf          LineStart Line LineLf   EndLf
//! ```
//!
//! What it accepts is what the parser accepts, less what a proxy in front could read otherwise: LF alone as a line end.

/// Where in a chunked body we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunked {
    /// Before the first digit of a chunk's size.
    Start,
    /// In the size, which has come so far.
    Size(u64),
    /// In whitespace after the size.
    Space(u64),
    /// In the extensions.
    Extension(u64),
    /// Before the LF of the size's line.
    SizeLf(u64),
    /// In the data, of which so many bytes are left; never 0.
    Data(u64),
    /// Before the CR after the data.
    DataCr,
    /// Before the LF after the data.
    DataLf,
    /// At the start of a line of the trailer section.
    LineStart,
    /// In a line of the trailer section.
    Line,
    /// Before the LF of such a line.
    LineLf,
    /// Before the LF that ends the body.
    EndLf,
    /// After the body.
    End,
}

/// The framing is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Invalid;

impl Chunked {
    /// Takes the next bytes. What is left of them when the body has ended; None when it goes on.
    pub(super) fn follow<'b>(&mut self, mut bytes: &'b [u8]) -> Result<Option<&'b [u8]>, Invalid> {
        while let Some((&byte, rest)) = bytes.split_first() {
            if let Self::Data(left) = *self {
                let skip = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                bytes = &bytes[skip..];
                *self = match left - skip as u64 {
                    0 => Self::DataCr,
                    left => Self::Data(left),
                };
                continue;
            }
            bytes = rest;
            *self = self.step(byte)?;
            if *self == Self::End {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    fn step(self, byte: u8) -> Result<Self, Invalid> {
        Ok(match (self, byte) {
            (Self::Start, byte) => Self::Size(digit(byte)?),
            (Self::Size(size), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                Self::Size(size.checked_mul(16).and_then(|size| size.checked_add(digit(byte).ok()?)).ok_or(Invalid)?)
            }
            (Self::Size(size) | Self::Space(size), b' ' | b'\t') => Self::Space(size),
            (Self::Size(size) | Self::Space(size), b';') => Self::Extension(size),
            (Self::Size(size) | Self::Space(size) | Self::Extension(size), b'\r') => Self::SizeLf(size),
            (Self::Extension(_), b'\n') => return Err(Invalid),
            (Self::Extension(size), _) => Self::Extension(size),
            (Self::SizeLf(0), b'\n') => Self::LineStart,
            (Self::SizeLf(size), b'\n') => Self::Data(size),
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::Start,
            (Self::LineStart, b'\r') => Self::EndLf,
            (Self::LineStart | Self::Line, b'\n') => return Err(Invalid),
            (Self::Line, b'\r') => Self::LineLf,
            (Self::LineStart | Self::Line, _) => Self::Line,
            (Self::LineLf, b'\n') => Self::LineStart,
            (Self::EndLf, b'\n') => Self::End,
            _ => return Err(Invalid),
        })
    }
}

fn digit(byte: u8) -> Result<u64, Invalid> {
    char::from(byte).to_digit(16).map(u64::from).ok_or(Invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left after the body, at every split.
    fn follow(bytes: &[u8]) -> Result<Option<Vec<u8>>, Invalid> {
        let whole = Chunked::Start.follow(bytes).map(|rest| rest.map(<[u8]>::to_vec));
        for cut in 0..bytes.len() {
            let (first, second) = bytes.split_at(cut);
            let mut chunked = Chunked::Start;
            let parts = match chunked.follow(first) {
                Ok(Some(rest)) => Ok(Some([rest, second].concat())),
                Ok(None) => chunked.follow(second).map(|rest| rest.map(<[u8]>::to_vec)),
                Err(invalid) => Err(invalid),
            };
            assert_eq!(parts, whole, "{bytes:?} cut at {cut}");
        }
        whole
    }

    #[test]
    fn end_of_the_body_is_found() {
        for body in [
            "0\r\n\r\n",
            "000\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "A\r\n0\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n",
            "1;a=b\r\nx\r\n1 ; c=\"\t\"\r\ny\r\n0;last\r\n\r\n",
            "1 \r\nx\r\n0\r\n\r\n",
            "0\r\nX-Sum: 1\r\nY:\r\n\r\n",
            "00000000000000000000001\r\nx\r\n0\r\n\r\n",
        ] {
            assert_eq!(follow(format!("{body}GET").as_bytes()), Ok(Some(b"GET".into())), "{body:?}");
            assert_eq!(follow(&body.as_bytes()[..body.len() - 1]), Ok(None), "{body:?}");
        }
    }

    #[test]
    fn framing_that_is_not_valid_is_refused() {
        for body in [
            "\r\n",
            ";a\r\n",
            " 1\r\n",
            "g\r\n",
            "0x1\r\n",
            "+1\r\n",
            "-1\r\n",
            "1g\r\n",
            "1 1\r\n",
            "1\n",
            "1\rx",
            "1;a\nb\r\n",
            "1;a\rb",
            "1\r\nxy\r\n",
            "1\r\nx\n",
            "1\r\nx\rz",
            "0\r\n\n",
            "0\r\n\rx",
            "0\r\nX: a\n\r\n",
            "0\r\nX: a\rb",
            "10000000000000000\r\n",
        ] {
            assert_eq!(follow(body.as_bytes()), Err(Invalid), "{body:?}");
        }
    }
}
