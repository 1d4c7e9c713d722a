//! The route of a request: its path, with what names one thing of many folded.

use crate::decision::{is_id, normal_path};

/// Segments of a route.
const SEGMENTS: usize = 8;
/// Bytes of a route.
const BYTES: usize = 128;
/// Bytes of a target that are looked at.
const LOOKED_AT: usize = 1_024;
/// Stands for what is folded.
const FOLDED: &str = "{id}";
/// Letters and digits from which on a part of a file's name is taken for a hash.
const HASH: usize = 8;

/// The route of the request for `target`.
pub(super) fn of(target: &str) -> String {
    let target = &target[..target.floor_char_boundary(LOOKED_AT)];
    // What servers read differently is told as it was sent.
    let end = target.find(['?', '#']).unwrap_or(target.len());
    let path = normal_path(target).unwrap_or(target[..end].into());
    let mut route = String::new();
    for segment in path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .take(SEGMENTS)
    {
        route.push('/');
        fold(segment, &mut route);
    }
    if route.is_empty() {
        route.push('/');
    }
    // It is shown on terminals.
    let is_plain = |c: char| c.is_ascii_graphic() || c.is_alphanumeric();
    let mut route = route.replace(|c: char| !is_plain(c), "?");
    route.truncate(route.floor_char_boundary(BYTES));
    route
}

/// Appends `segment`, folded: a file keeps its extension, and its name but for a hash in it.
fn fold(segment: &str, route: &mut String) {
    let Some((stem, extension)) = file(segment) else {
        route.push_str(if is_id(segment) { FOLDED } else { segment });
        return;
    };
    match stem.rsplit_once('.') {
        _ if is_id(stem) => route.push_str(FOLDED),
        Some((name, hash)) if hash.len() >= HASH && is_id(hash) => {
            route.push_str(name);
            route.push('.');
            route.push_str(FOLDED);
        }
        _ => route.push_str(stem),
    }
    route.push('.');
    route.push_str(extension);
}

/// The name and the extension of a file.
fn file(segment: &str) -> Option<(&str, &str)> {
    let (stem, extension) = segment.rsplit_once('.')?;
    let is_extension = (1..=5).contains(&extension.len())
        && extension.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && extension.bytes().any(|byte| byte.is_ascii_alphabetic());
    (is_extension && !stem.is_empty()).then_some((stem, extension))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_one_of_many_is_folded() {
        for (target, route) in [
            ("/", "/"),
            ("/?x=1", "/"),
            ("/user/17", "/user/{id}"),
            ("/user/17/posts/2024-01-07?page=3", "/user/{id}/posts/{id}"),
            ("/u/5f2b6c1e-0b6f-4a57-9e2a-0c6a3d9ef001", "/u/{id}"),
            ("/blob/deadbeef01", "/blob/{id}"),
            ("/s/eyJhbGciOiJIUzI1NiIsInR5cCI6", "/s/{id}"),
            ("/static/app.3f9a2b1c7d.js", "/static/app.{id}.js"),
            ("/img/12345.png", "/img/{id}.png"),
            ("/jquery-3.6.0.min.js", "/jquery-3.6.0.min.js"),
            ("/api/v1/users", "/api/v1/users"),
            ("/%61pi//v1/./users/", "/api/v1/users"),
            ("/a/1/b/2/c/3/d/4/e/5", "/a/{id}/b/{id}/c/{id}/d/{id}"),
            ("http://example.org/a/1", "/a/{id}"),
            ("*", "/*"),
            ("/a%2F..%2Fb/c", "/a%2F..%2Fb/c"),
            ("/\u{202e}x\u{7}", "/?x?"),
            ("/\u{fc}ber", "/\u{fc}ber"),
        ] {
            assert_eq!(of(target), route, "{target}");
        }
        assert_eq!(of(&format!("/{}", "x".repeat(5_000))).len(), BYTES);
        assert!(of(&"/\u{fc}".repeat(5_000)).len() <= BYTES);
    }
}
