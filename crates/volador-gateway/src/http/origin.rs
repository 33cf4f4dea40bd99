//! Who may open a WebSocket (RFC 6455 §10.2). A browser sends cookies along with a handshake from any page, and no
//! same-origin rule holds it back: the server has to look at Origin.

use http::{HeaderMap, HeaderValue, header};

/// Whether the page behind a handshake may connect.
///
/// `allowed` are origins, or `*`; None compares the origin's host with Host, so that it also works
/// behind a proxy that ends TLS.
///
/// # Errors
/// The origin that may not.
pub(crate) fn check<'h>(headers: &'h HeaderMap, allowed: Option<&[String]>) -> Result<(), &'h HeaderValue> {
    // No Origin: not a browser, so nobody's cookies are at stake.
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let Some(given) = origins.next() else { return Ok(()) };
    // RFC 6454 §7.3: "The user agent MUST NOT include more than one Origin header field".
    let (Ok(origin), None) = (given.to_str(), origins.next()) else { return Err(given) };
    let ok = match allowed {
        Some(allowed) => allowed.iter().any(|a| a == "*" || same(a, origin)),
        None => {
            let host = headers.get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or_default();
            same_host(origin, host)
        }
    };
    if ok { Ok(()) } else { Err(given) }
}

/// Whether two origins are the same one: by scheme, host and port.
fn same(one: &str, other: &str) -> bool {
    let (Some((scheme, rest)), Some((other_scheme, other_rest))) = (one.split_once("://"), other.split_once("://"))
    else {
        return one.eq_ignore_ascii_case(other);
    };
    scheme.eq_ignore_ascii_case(other_scheme) && same_authority(scheme, rest, other_rest)
}

/// Whether the origin names this host. Of a proxy's scheme the server knows nothing, so the origin's counts for both.
fn same_host(origin: &str, host: &str) -> bool {
    // "null", and schemes that have no host, are nobody's.
    let Some((scheme, rest)) = origin.split_once("://") else { return false };
    !rest.is_empty() && same_authority(scheme, rest, host)
}

/// RFC 6454 §4: "If there is no port component of the URI: Let uri-port be the default port for the protocol given by
/// uri-scheme". So it may be spelled out, or not, on either side.
fn same_authority(scheme: &str, one: &str, other: &str) -> bool {
    let default_port = match scheme {
        _ if scheme.eq_ignore_ascii_case("https") => ":443",
        _ if scheme.eq_ignore_ascii_case("http") => ":80",
        _ => "",
    };
    let bare = |authority: &str| authority.strip_suffix(default_port).unwrap_or(authority).to_ascii_lowercase();
    bare(one) == bare(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(origin: Option<&str>, allowed: Option<&[&str]>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert("host", "app.example:8080".parse().unwrap());
        if let Some(origin) = origin {
            headers.insert("origin", origin.parse().unwrap());
        }
        let allowed: Option<Vec<String>> = allowed.map(|a| a.iter().map(|&s| s.to_owned()).collect());
        check(&headers, allowed.as_deref()).is_ok()
    }

    #[test]
    fn two_origins_are_nobodys() {
        let mut headers = HeaderMap::new();
        headers.insert("host", "app.example".parse().unwrap());
        headers.append("origin", "http://app.example".parse().unwrap());
        assert!(check(&headers, None).is_ok());
        headers.append("origin", "http://app.example".parse().unwrap());
        assert!(check(&headers, None).is_err());
    }

    #[test]
    fn only_the_same_host_or_a_listed_origin_may_connect() {
        assert!(result(None, None));
        assert!(result(None, Some(&[])));
        assert!(result(Some("http://app.example:8080"), None));
        assert!(result(Some("https://APP.example:8080"), None));
        assert!(!result(Some("http://app.example"), None));
        assert!(!result(Some("http://evil.example:8080"), None));
        assert!(!result(Some("http://app.example:8080.evil.example"), None));
        assert!(!result(Some("null"), None));
        assert!(result(Some("https://other.example"), Some(&["https://other.example"])));
        assert!(!result(Some("http://app.example:8080"), Some(&["https://other.example"])));
        assert!(result(Some("null"), Some(&["*"])));
    }

    #[test]
    fn a_default_port_may_be_left_out_on_either_side() {
        assert!(same_host("https://a.example", "a.example:443"));
        assert!(same_host("http://a.example:80", "a.example"));
        assert!(same_host("HTTPS://[::1]:443", "[::1]"));
        assert!(!same_host("http://a.example", "a.example:443"));
        assert!(!same_host("http://a.example", "a.example:8080"));
    }

    #[test]
    fn a_listed_origin_is_the_same_with_and_without_its_default_port() {
        for (one, other, are_same) in [
            ("https://a.example", "https://a.example:443", true),
            ("http://A.example", "http://a.example:80", true),
            ("HTTP://[::1]", "http://[::1]:80", true),
            ("https://a.example:80", "https://a.example", false),
            ("http://a.example:443", "http://a.example", false),
            ("http://a.example:80", "https://a.example:443", false),
            ("http://a.example", "http://a.example:8080", false),
            ("https://a.example:4443", "https://a.example:443", false),
            ("app://a.example", "app://a.example:80", false),
            ("null", "https://null:443", false),
        ] {
            for (listed, sent) in [(one, other), (other, one)] {
                assert_eq!(result(Some(sent), Some(&[listed])), are_same, "{listed} is listed, {sent} is sent");
            }
        }
    }
}
