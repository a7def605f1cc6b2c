//! The target of a request: which resource it means.
//!
//! Source: RFC 9112 §3.2.

/// The path and the query of a target that a WebSocket or a plain `GET` can have: origin-form
/// (`/path?query`) or absolute-form (`http://host/path?query`). `None` for `*`, for `host:port`,
/// and for anything with a fragment.
pub(super) fn split(target: &str) -> Option<(&str, Option<&str>)> {
    // RFC 6455 §3: fragment identifiers MUST NOT be used on WebSocket URIs.
    if target.contains('#') {
        return None;
    }
    let path = if target.starts_with('/') {
        target
    } else {
        after_authority(target)?
    };
    match path.split_once('?') {
        Some((path, query)) => Some((path, Some(query))),
        None => Some((path, None)),
    }
}

/// What follows the host in an absolute URL; an empty path means the root.
fn after_authority(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    if !["http", "https", "ws", "wss"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known))
    {
        return None;
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    match rest.split_at(end) {
        ("", _) => None,
        (_, "") => Some("/"),
        (_, path) => Some(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_path_or_an_absolute_url() {
        let cases = [
            ("/", Some(("/", None))),
            ("/a/b", Some(("/a/b", None))),
            ("/a?", Some(("/a", Some("")))),
            ("/a?b=c?d", Some(("/a", Some("b=c?d")))),
            ("//a", Some(("//a", None))),
            ("http://host", Some(("/", None))),
            ("HTTPS://host:1/a?b", Some(("/a", Some("b")))),
            ("ws://host/a/", Some(("/a/", None))),
            ("http://host?b", Some(("", Some("b")))),
            ("http:///a", None),
            ("ftp://host/a", None),
            ("host:443", None),
            ("*", None),
            ("", None),
            ("a/b", None),
            ("/a#b", None),
        ];
        for (target, expected) in cases {
            assert_eq!(split(target), expected, "{target}");
        }
    }
}
