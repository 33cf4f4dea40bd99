//! What a server sends after the handshake, as far as a load generator has to understand it. It measures servers and
//! does not test them: a frame is taken for what it says it is, and anything beyond short, whole messages is an error.

use crate::options::Transport;

/// One thing that has arrived.
pub enum Arrival<'a> {
    /// A message or an event's data.
    Message(&'a [u8]),
    /// A ping, to be answered with the same payload.
    Ping(&'a [u8]),
}

/// Hands everything that is complete in `bytes` to `each`, and returns how many bytes that was.
pub fn parse(
    transport: Transport,
    bytes: &[u8],
    each: impl FnMut(Arrival<'_>) -> Result<(), String>,
) -> Result<usize, String> {
    match transport {
        Transport::WebSocket => frames(bytes, each),
        Transport::Sse => events(bytes, each),
    }
}

fn frames(bytes: &[u8], mut each: impl FnMut(Arrival<'_>) -> Result<(), String>) -> Result<usize, String> {
    let mut taken = 0;
    while let [first, length, rest @ ..] = &bytes[taken..] {
        let length = *length as usize;
        if length > 125 {
            return Err(format!("a frame is masked or longer than 125 bytes: {first:#x} {length:#x}"));
        }
        let Some(payload) = rest.get(..length) else { break };
        match first {
            0x81 | 0x82 => each(Arrival::Message(payload))?,
            0x89 => each(Arrival::Ping(payload))?,
            0x8a => {}
            0x88 => return Err(format!("the server closed with {payload:?}")),
            _ => return Err(format!("an unexpected frame: {first:#x}")),
        }
        taken += 2 + length;
    }
    Ok(taken)
}

/// An event ends with an empty line. Chunk sizes, if the stream is chunked, look like fields that are not known and are
/// passed over, as the lines of comments are.
fn events(bytes: &[u8], mut each: impl FnMut(Arrival<'_>) -> Result<(), String>) -> Result<usize, String> {
    let (mut taken, mut at, mut data) = (0, 0, None);
    while let Some(length) = bytes[at..].iter().position(|byte| *byte == b'\n') {
        let line = &bytes[at..at + length];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        at += length + 1;
        if let Some(value) = line.strip_prefix(b"data:") {
            data = Some(value.strip_prefix(b" ").unwrap_or(value));
        } else if line.is_empty()
            && let Some(data) = data.take()
        {
            each(Arrival::Message(data))?;
        }
        // Within an event its data has to stay.
        if data.is_none() {
            taken = at;
        }
    }
    Ok(taken)
}

/// A client's frame: masked, as RFC 6455, 5.3 demands.
pub fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![first, 0x80 | payload.len() as u8];
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(transport: Transport, pieces: &[&[u8]]) -> Vec<String> {
        let (mut unread, mut found) = (Vec::new(), Vec::new());
        for piece in pieces {
            unread.extend_from_slice(piece);
            let taken = parse(transport, &unread, |arrival| {
                if let Arrival::Message(data) = arrival {
                    found.push(String::from_utf8_lossy(data).into_owned());
                }
                Ok(())
            });
            unread.drain(..taken.unwrap());
        }
        found
    }

    #[test]
    fn messages_are_found_at_every_split() {
        let cases: [(Transport, &[u8]); 4] = [
            (Transport::WebSocket, b"\x81\x03one\x89\x00\x82\x03two"),
            (Transport::Sse, b"data: one\n\n: beat\n\nid: 7\ndata:two\n\n"),
            (Transport::Sse, b"data: one\r\n\r\ndata: two\r\n\r\n"),
            (Transport::Sse, b"b\r\ndata: one\n\n\r\nb\r\ndata: two\n\n\r\n"),
        ];
        for (transport, bytes) in cases {
            for split in 0..=bytes.len() {
                let (before, after) = bytes.split_at(split);
                assert_eq!(messages(transport, &[before, after]), ["one", "two"], "split at {split}");
            }
        }
    }

    #[test]
    fn a_close_frame_is_an_error() {
        assert!(parse(Transport::WebSocket, b"\x88\x02\x03\xe8", |_| Ok(())).is_err());
    }
}
