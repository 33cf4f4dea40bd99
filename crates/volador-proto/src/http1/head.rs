//! One complete request head, judged by its raw bytes (RFC 9112 §2.2, §3, §5, §6).

use super::{HeadFault, HeadLimits, host};
use crate::alphabet::is_token;

/// How the body after a head is framed (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes. No body is one of none.
    Length(u64),
    /// Chunked transfer coding.
    Chunked,
}

/// A complete head that has been judged and forgotten.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged {
    /// Bytes of the head, from the first empty line before the request line to the empty line after the fields.
    len: usize,
    /// Bytes of the request target.
    target_len: usize,
    fault: Option<HeadFault>,
}

impl Judged {
    /// Judges `head`, a complete one whose request line begins at `request_line`, and tells what follows it.
    pub(super) fn new(head: &[u8], request_line: usize) -> (Self, Result<Framing, HeadFault>) {
        let framing =
            framing(head).map_err(|fault| if is_http_2(&head[request_line..]) { HeadFault::Http2 } else { fault });
        let target_len = target_len(&head[request_line..]);
        (Self { len: head.len(), target_len, fault: framing.err() }, framing)
    }

    /// The fault with regard to the limits alone, or to a client that does not speak HTTP/1.
    pub(super) fn overflow(&self, limits: &HeadLimits) -> Option<HeadFault> {
        let other = self.fault.filter(|fault| *fault == HeadFault::Http2);
        overflow(self.len, self.target_len, limits).or(other)
    }

    pub(super) fn verdict(&self, limits: &HeadLimits) -> Result<(), HeadFault> {
        self.overflow(limits).or(self.fault).map_or(Ok(()), Err)
    }
}

/// Whether a request line, which need not be complete, is the beginning of RFC 9113 §3.4: what a client begins with that
/// speaks HTTP/2 without asking. It is chosen so that no server of HTTP/1 goes on behind it.
pub(super) fn is_http_2(from_request_line: &[u8]) -> bool {
    from_request_line.starts_with(b"PRI * HTTP/2")
}

/// What a head of this length, or one that has come this far, breaks of the limits.
pub(super) fn overflow(len: usize, target_len: usize, limits: &HeadLimits) -> Option<HeadFault> {
    let HeadLimits { head_max_bytes, target_max_bytes } = *limits;
    if target_len > target_max_bytes {
        Some(HeadFault::TargetTooLong { max: target_max_bytes })
    } else if len > head_max_bytes {
        Some(HeadFault::HeadTooLarge { max: head_max_bytes })
    } else {
        None
    }
}

/// Bytes of the target in a request line that need not be complete.
pub(super) fn target_len(from_request_line: &[u8]) -> usize {
    let Some(method_end) = memchr::memchr2(b' ', b'\n', from_request_line) else { return 0 };
    if from_request_line[method_end] == b'\n' {
        return 0;
    }
    let target = &from_request_line[method_end + 1..];
    memchr::memchr2(b' ', b'\n', target).unwrap_or(target.len())
}

/// The fields that decide about framing and routing, as far as they have been read.
#[derive(Default)]
struct Seen {
    host: bool,
    length: Option<u64>,
    chunked: bool,
}

fn framing(head: &[u8]) -> Result<Framing, HeadFault> {
    let mut lines = Lines(head);
    // §2.2: "a server that is expecting to receive and parse a request-line SHOULD ignore at least one empty line (CRLF)
    // received prior to the request-line."
    let request_line = loop {
        match lines.next()? {
            Some(b"") => {}
            Some(line) => break line,
            None => return Err(HeadFault::RequestLine),
        }
    };
    let http_11 = is_http_11(request_line)?;
    let mut seen = Seen::default();
    while let Some(line) = lines.next()?.filter(|line| !line.is_empty()) {
        let (name, value) = field(line)?;
        seen.field(name, value)?;
    }
    seen.framing(http_11)
}

/// The lines of a head, of which each must end with CR LF.
struct Lines<'h>(&'h [u8]);

impl<'h> Lines<'h> {
    fn next(&mut self) -> Result<Option<&'h [u8]>, HeadFault> {
        let Some(end) = memchr::memchr2(b'\r', b'\n', self.0) else { return Ok(None) };
        let (line, rest) = self.0.split_at(end);
        match rest {
            [b'\r', b'\n', rest @ ..] => {
                self.0 = rest;
                Ok(Some(line))
            }
            // §2.2: "A recipient of such a bare CR MUST consider that element to be invalid".
            [b'\r', ..] => Err(HeadFault::BareCr),
            // §2.2 lets a recipient take LF alone for a line end. Not each one in front of us does, so where a head ends
            // would depend on who reads it.
            _ => Err(HeadFault::BareLf),
        }
    }
}

/// Whether a request line says HTTP/1.1, where false means 1.0.
fn is_http_11(line: &[u8]) -> Result<bool, HeadFault> {
    // §3: "request-line = method SP request-target SP HTTP-version", with exactly these spaces.
    let mut parts = line.split(|&b| b == b' ');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        // §3.2: no form of a target has a fragment. The parser would cut it off without a word.
        (_, Some(target), _, _) if target.contains(&b'#') => Err(HeadFault::Fragment),
        (_, Some(target), _, _) if !has_valid_host(target) => Err(HeadFault::TargetHost),
        (Some([_, ..]), Some([_, ..]), Some(b"HTTP/1.1"), None) => Ok(true),
        (Some([_, ..]), Some([_, ..]), Some(b"HTTP/1.0"), None) => Ok(false),
        _ => Err(HeadFault::RequestLine),
    }
}

/// Whether a target in absolute form, `scheme://host[:port]/...`, has a host that could stand in a Host field, which it
/// replaces (§3.2.2). Of other forms there is nothing to say.
fn has_valid_host(target: &[u8]) -> bool {
    if target.starts_with(b"/") {
        return true;
    }
    let Some(scheme_end) = memchr::memmem::find(target, b"://") else { return true };
    let authority = &target[scheme_end + 3..];
    let end = memchr::memchr2(b'/', b'?', authority).unwrap_or(authority.len());
    let authority = &authority[..end];
    // RFC 9110 §4.2.1: a recipient that processes a URI with an empty host "MUST reject it as invalid". §4.2.4: a userinfo
    // is to be treated "as an error"; no Host has one.
    !matches!(authority, [] | [b':', ..]) && host::is_valid(authority)
}

/// Cuts a field line into its name and its value without the whitespace around it.
fn field(line: &[u8]) -> Result<(&[u8], &[u8]), HeadFault> {
    // §5.2: "A server that receives an obs-fold in a request message [...] MUST either reject the message by sending a
    // 400". Whitespace before the first field is none, but as ambiguous (§2.2).
    if matches!(line, [b' ' | b'\t', ..]) {
        return Err(HeadFault::Folded);
    }
    let colon = memchr::memchr(b':', line).ok_or(HeadFault::FieldName)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    // §5.1: "A server MUST reject, with a response status code of 400 (Bad Request), any received request message that
    // contains whitespace between a header field name and colon."
    if matches!(name, [.., b' ' | b'\t']) {
        return Err(HeadFault::SpaceBeforeColon);
    }
    if !is_token(name) {
        return Err(HeadFault::FieldName);
    }
    let is_space = |b: &u8| matches!(b, b' ' | b'\t');
    let start = value.iter().position(|b| !is_space(b)).unwrap_or(value.len());
    let end = value.iter().rposition(|b| !is_space(b)).map_or(start, |last| last + 1);
    Ok((name, &value[start..end]))
}

impl Seen {
    fn field(&mut self, name: &[u8], value: &[u8]) -> Result<(), HeadFault> {
        if name.eq_ignore_ascii_case(b"host") {
            // §3.2: 400 "to any request message that contains more than one Host header field line or a Host header field
            // with an invalid field value."
            if std::mem::replace(&mut self.host, true) {
                return Err(HeadFault::HostRepeated);
            }
            if !host::is_valid(value) {
                return Err(HeadFault::HostInvalid);
            }
        } else if name.eq_ignore_ascii_case(b"content-length") {
            // RFC 9110 §8.6 lets a recipient take "5, 5" for 5. Nobody honest sends it.
            if self.length.is_some() || value.contains(&b',') {
                return Err(HeadFault::LengthRepeated);
            }
            self.length = Some(decimal(value).ok_or(HeadFault::LengthInvalid)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            // §6.1: "A sender MUST NOT apply the chunked transfer coding more than once to a message body."
            if std::mem::replace(&mut self.chunked, true) || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(HeadFault::UnknownCoding);
            }
        }
        Ok(())
    }

    fn framing(&self, http_11: bool) -> Result<Framing, HeadFault> {
        // §3.2: "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request message that lacks a
        // Host header field".
        if http_11 && !self.host {
            return Err(HeadFault::HostMissing);
        }
        match (self.length, self.chunked) {
            // §6.3: "Such a message might indicate an attempt to perform request smuggling [...] and ought to be handled
            // as an error."
            (Some(_), true) => Err(HeadFault::LengthWithEncoding),
            // §6.1: a server "that receives an HTTP/1.0 message containing a Transfer-Encoding header field MUST treat the
            // message as if the framing is faulty".
            (None, true) if !http_11 => Err(HeadFault::CodingInHttp10),
            (None, true) => Ok(Framing::Chunked),
            (length, false) => Ok(Framing::Length(length.unwrap_or(0))),
        }
    }
}

/// `Content-Length = 1*DIGIT`.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |n, digit| {
        digit.is_ascii_digit().then_some(())?;
        n.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests;
