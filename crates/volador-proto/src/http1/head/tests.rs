use super::*;

fn judge(head: &str) -> Result<Framing, HeadFault> {
    Judged::new(head.as_bytes(), 0).1
}

#[test]
fn framing_follows_the_fields() {
    for (fields, framing) in [
        ("", Framing::Length(0)),
        ("Content-Length: 5\r\n", Framing::Length(5)),
        ("content-LENGTH:\t 0005 \t\r\n", Framing::Length(5)),
        ("Content-Length: 18446744073709551615\r\n", Framing::Length(u64::MAX)),
        ("Transfer-Encoding: chunked\r\n", Framing::Chunked),
        ("transfer-encoding:Chunked\r\n", Framing::Chunked),
        // Names that only look like them.
        ("Content_Length: 5\r\nX-Transfer-Encoding: gzip\r\nContent-Length2: x\r\n", Framing::Length(0)),
    ] {
        assert_eq!(judge(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")), Ok(framing), "{fields:?}");
    }
}

#[test]
fn fields_that_others_may_read_otherwise_are_refused() {
    use HeadFault::*;
    for (fields, fault) in [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", LengthWithEncoding),
        ("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", LengthWithEncoding),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", LengthRepeated),
        ("Content-Length: 5\r\ncontent-length: 6\r\n", LengthRepeated),
        ("Content-Length: 5, 5\r\n", LengthRepeated),
        ("Content-Length: 5,6\r\n", LengthRepeated),
        ("Content-Length:\r\n", LengthInvalid),
        ("Content-Length: +5\r\n", LengthInvalid),
        ("Content-Length: -5\r\n", LengthInvalid),
        ("Content-Length: 0x5\r\n", LengthInvalid),
        ("Content-Length: 5 5\r\n", LengthInvalid),
        ("Content-Length: 5.0\r\n", LengthInvalid),
        ("Content-Length: 18446744073709551616\r\n", LengthInvalid),
        ("Transfer-Encoding: gzip\r\n", UnknownCoding),
        ("Transfer-Encoding:\r\n", UnknownCoding),
        ("Transfer-Encoding: identity\r\n", UnknownCoding),
        ("Transfer-Encoding: gzip, chunked\r\n", UnknownCoding),
        ("Transfer-Encoding: chunked, chunked\r\n", UnknownCoding),
        ("Transfer-Encoding: chunked, identity\r\n", UnknownCoding),
        ("Transfer-Encoding: \"chunked\"\r\n", UnknownCoding),
        ("Transfer-Encoding: xchunked\r\n", UnknownCoding),
        ("Transfer-Encoding: chunked;a=b\r\n", UnknownCoding),
        ("Transfer-Encoding: \u{b}chunked\r\n", UnknownCoding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", UnknownCoding),
        ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", UnknownCoding),
        ("Transfer-Encoding : chunked\r\n", SpaceBeforeColon),
        ("Content-Length\t: 5\r\n", SpaceBeforeColon),
        (" Content-Length: 5\r\n", Folded),
        ("X: a\r\n\tb\r\n", Folded),
        ("X: a\r\n \r\n", Folded),
        ("Transfer-Encoding:\r\n chunked\r\n", UnknownCoding),
        ("no colon\r\n", FieldName),
        (": empty\r\n", FieldName),
        ("a b: c\r\n", FieldName),
        ("Content-Length\0: 5\r\n", FieldName),
        ("caf\u{e9}: c\r\n", FieldName),
        ("Host: b\r\n", HostRepeated),
        ("host: a\r\n", HostRepeated),
        ("X: a\n", BareLf),
        ("X: a\nTransfer-Encoding: chunked\r\n", BareLf),
        ("X: a\rb\r\n", BareCr),
        ("X: a\r\r\n", BareCr),
        ("X: a\rTransfer-Encoding: chunked\r\n", BareCr),
    ] {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        assert_eq!(judge(&head), Err(fault), "{fields:?}");
        assert_eq!(fault.status(), 400);
    }
}

#[test]
fn request_line_version_and_host_are_judged() {
    use HeadFault::*;
    for (head, expected) in [
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", Ok(())),
        ("GET http://a/ HTTP/1.1\r\nHost: a:80\r\n\r\n", Ok(())),
        ("OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", Ok(())),
        ("GET / HTTP/1.0\r\n\r\n", Ok(())),
        ("GET / HTTP/1.0\r\nHost: a\r\n\r\n", Ok(())),
        ("\r\n\r\nGET / HTTP/1.0\r\n\r\n", Ok(())),
        ("GET / HTTP/1.1\r\n\r\n", Err(HostMissing)),
        ("GET / HTTP/1.1\r\nX-Host: a\r\n\r\n", Err(HostMissing)),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Err(HostInvalid)),
        ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", Err(HostInvalid)),
        ("GET / HTTP/1.0\r\nHost: a/b\r\n\r\n", Err(HostInvalid)),
        ("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", Err(HostRepeated)),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Err(CodingInHttp10)),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", Err(RequestLine)),
        ("GET / x HTTP/1.1\r\nHost: a\r\n\r\n", Err(RequestLine)),
        ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", Err(Fragment)),
        ("GET http://b:80?c=d HTTP/1.1\r\nHost: a\r\n\r\n", Ok(())),
        ("GET /a://:b HTTP/1.1\r\nHost: a\r\n\r\n", Ok(())),
        ("GET http://b:x/ HTTP/1.1\r\nHost: a\r\n\r\n", Err(TargetHost)),
        ("GET http://b:99999/ HTTP/1.1\r\nHost: a\r\n\r\n", Err(TargetHost)),
        ("GET http://u:p@b/ HTTP/1.1\r\nHost: a\r\n\r\n", Err(TargetHost)),
        ("GET http://:80/ HTTP/1.1\r\nHost: a\r\n\r\n", Err(TargetHost)),
        ("GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n", Err(TargetHost)),
        ("GET /\r\nHost: a\r\n\r\n", Err(RequestLine)),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", Err(RequestLine)),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", Err(RequestLine)),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", Err(RequestLine)),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", Err(RequestLine)),
        (" / HTTP/1.1\r\nHost: a\r\n\r\n", Err(RequestLine)),
        ("\nGET / HTTP/1.0\r\n\r\n", Err(BareLf)),
        ("GET / HTTP/1.0\n\r\n", Err(BareLf)),
        ("GET / HTTP/1.0\r\n\n", Err(BareLf)),
        ("GET /\r HTTP/1.0\r\n\r\n", Err(BareCr)),
    ] {
        assert_eq!(judge(head).map(drop), expected, "{head:?}");
    }
}

#[test]
fn target_is_measured_before_its_line_is_complete() {
    for (line, len) in
        [("", 0), ("GET", 0), ("GET ", 0), ("GET /ab", 3), ("GET /ab HTTP", 3), ("GET /ab\r\nx y", 4), ("G\nx y", 0)]
    {
        assert_eq!(target_len(line.as_bytes()), len, "{line:?}");
    }
}
