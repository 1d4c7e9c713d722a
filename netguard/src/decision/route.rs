//! What is asked for: paths in one normal form, so that nobody gets around a limit by writing one otherwise, and routes, in which what looks
//! like an id is folded. It knows no limits.

use std::{borrow::Cow, fmt};

/// Bytes of a path, in its normal form, that make a route; what is behind them belongs to the same one.
const MOST_BYTES: usize = 1_024;
/// Segments of a route.
const MOST_SEGMENTS: usize = 12;
/// Letters and digits from which on a word with some digits in it is taken for a token.
const TOKEN: usize = 20;
/// Hexadecimal digits from which on they are taken for an id.
const HEX: usize = 8;
/// Stands for an id.
const FOLDED: &str = ":id";

/// The path of `target`, without query, in its normal form: what is encoded without need is not, slashes and dots say nothing twice, and none
/// ends it. It begins with a slash. `None`: `..` means one thing to some servers and another to others, so it has no such form.
pub fn normal_path(target: &str) -> Option<Cow<'_, str>> {
    let end = target.find(['?', '#']).unwrap_or(target.len());
    let path = &target[..end];
    // `http://host/path` (RFC 9112, 3.2.2), which proxies may pass on.
    let path = match path.split_once("://") {
        Some((scheme, rest)) if !scheme.is_empty() && !scheme.contains('/') => {
            rest.find('/').map_or("/", |at| &rest[at..])
        }
        _ => path,
    };
    if is_normal(path) {
        return Some(Cow::Borrowed(path));
    }
    let decoded = decoded(path);
    // A backslash and an encoded slash end a segment for some servers only.
    let slashes = |text: &str| text.bytes().filter(|byte| *byte == b'/').count();
    let is_strange = decoded.contains('\\') || slashes(&decoded) != slashes(path);
    let mut segments: Vec<&str> = Vec::new();
    for (index, segment) in decoded.split(['/', '\\']).enumerate() {
        match segment {
            "." => {}
            "" if index == 0 => {}
            // Some take `//` for one slash, and others for an empty segment, which is what goes then.
            ".." if is_strange || segments.last().is_some_and(|last| last.is_empty()) => return None,
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let mut normal = String::with_capacity(decoded.len() + 1);
    for segment in segments.into_iter().filter(|segment| !segment.is_empty()) {
        normal.push('/');
        normal.push_str(segment);
    }
    if normal.is_empty() {
        normal.push('/');
    }
    Some(Cow::Owned(normal))
}

/// Whether `path` is in its normal form already, as most are.
fn is_normal(path: &str) -> bool {
    let bytes = path.as_bytes();
    if bytes == b"/" {
        return true;
    }
    let begins = bytes.first() == Some(&b'/') && bytes.last() != Some(&b'/');
    let strange = |pair: &[u8]| matches!(pair, [b'/', b'/' | b'.'] | [_, b'%' | b'\\']);
    begins && !bytes.windows(2).any(strange)
}

/// `path` with `%41` as `A`, where that is a letter, a digit or a sign that needs no encoding. What is no text is left as it is.
fn decoded(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let bytes = path.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = (byte == b'%')
            .then(|| Some(hex(*bytes.get(at + 1)?)? << 4 | hex(*bytes.get(at + 2)?)?))
            .flatten();
        match escaped {
            // Slashes and dots, too: servers differ in what they make of them. Where no `..` depends on it, the stricter reading is the safer one.
            // But for `%` itself: nothing is decoded twice.
            Some(byte) if byte.is_ascii_graphic() && byte != b'%' => {
                out.push(byte);
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    // Only ASCII was put in the place of ASCII.
    String::from_utf8(out).map_or(Cow::Borrowed(path), Cow::Owned)
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

/// A path whose ids are folded.
#[derive(Clone, Copy, Debug)]
pub struct Route<'a>(&'a str);

impl<'a> Route<'a> {
    /// The route of a path in its normal form.
    pub fn of(path: &'a str) -> Self {
        Self(&path[..path.floor_char_boundary(MOST_BYTES)])
    }

    /// Its segments.
    pub fn segments(self) -> impl Iterator<Item = &'a str> {
        let segments = self.0.split('/').filter(|segment| !segment.is_empty());
        segments
            .take(MOST_SEGMENTS)
            .map(|segment| if is_id(segment) { FOLDED } else { segment })
    }
}

impl fmt::Display for Route<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut segments = self.segments().peekable();
        if segments.peek().is_none() {
            return out.write_str("/");
        }
        segments.try_for_each(|segment| write!(out, "/{segment}"))
    }
}

/// Whether `segment` names one thing of many: a number, a UUID, hexadecimal digits, or a long word with digits in it.
pub(crate) fn is_id(segment: &str) -> bool {
    let (mut digits, mut hexadecimal, mut alphanumeric) = (0, 0, 0);
    for byte in segment.bytes() {
        digits += usize::from(byte.is_ascii_digit());
        hexadecimal += usize::from(byte.is_ascii_hexdigit());
        alphanumeric += usize::from(byte.is_ascii_alphanumeric());
    }
    let length = segment.len();
    let marks = segment.bytes().filter(|byte| matches!(byte, b'-' | b'_')).count();
    let is_number = digits > 0 && digits + marks == length;
    let is_hexadecimal = digits > 0 && hexadecimal >= HEX && hexadecimal + marks == length;
    let is_token =
        length >= TOKEN && 5 * digits >= alphanumeric / 2 && alphanumeric + marks == length && digits > 1;
    is_number || is_hexadecimal || is_token
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_path_has_one_form() {
        for (target, path) in [
            ("/login", "/login"),
            ("/login/", "/login"),
            ("//login", "/login"),
            ("/./login", "/login"),
            ("/x/../login", "/login"),
            ("/x/%2e%2e/login", "/login"),
            ("/%6Cogin", "/login"),
            ("/log%69n?user=1", "/login"),
            ("/x%2Flogin", "/x/login"),
            ("/x\\login%5c", "/x/login"),
            ("/x/..//login", "/login"),
            ("/../login", "/login"),
            ("/login?x=..%2F..\\", "/login"),
            ("http://host/login", "/login"),
            ("http://host", "/"),
            ("login", "/login"),
            ("", "/"),
            ("?x", "/"),
            ("/", "/"),
            ("/a%20b", "/a%20b"),
            ("/a%zz%", "/a%zz%"),
            ("/%256Cogin", "/%256Cogin"),
            ("/%C3%BC", "/%C3%BC"),
            ("/a.b/c", "/a.b/c"),
            ("/.well-known/x", "/.well-known/x"),
        ] {
            assert_eq!(normal_path(target).as_deref(), Some(path), "{target}");
        }
    }

    #[test]
    fn a_path_that_servers_read_differently_has_no_form() {
        for target in [
            "/login.php/\\..\\..\\..\\x",
            "/admin/x%2F..%2F..%2Fpublic",
            "/admin/x%2f../public",
            "/admin%5C..%5Cpublic",
            "/..\\login",
            "/x%2Flogin/..%2F../login",
            // Two of them, or three.
            "/open/x%2Fy/../../admin",
            "/admin//../public",
        ] {
            assert_eq!(normal_path(target), None, "{target}");
        }
    }

    #[test]
    fn nothing_is_too_long_to_be_read() {
        for padding in ["./".repeat(512), "x/../".repeat(4_000), "/".repeat(10_000)] {
            let target = format!("/{padding}admin/x");
            assert_eq!(normal_path(&target).as_deref(), Some("/admin/x"));
        }
        let long = format!("/{}\u{fc}/admin", "a".repeat(MOST_BYTES - 2));
        assert_eq!(normal_path(&long).as_deref(), Some(&*long));
        assert_eq!(Route::of(&long).to_string().len(), MOST_BYTES - 1);
    }

    #[test]
    fn ids_are_folded_and_words_are_not() {
        for (path, route) in [
            ("/users/17/orders/4", "/users/:id/orders/:id"),
            ("/u/5f2b6c1e-0b6f-4a57-9e2a-0c6a3d9ef001", "/u/:id"),
            ("/commit/deadbeef12", "/commit/:id"),
            ("/2024-01-07", "/:id"),
            ("/s/eyJhbGciOiJIUzI1NiIsInR5cCI6", "/s/:id"),
            ("/facade", "/facade"),
            ("/api/v1/users", "/api/v1/users"),
            (
                "/how-to-write-a-good-commit-message",
                "/how-to-write-a-good-commit-message",
            ),
            ("/", "/"),
        ] {
            assert_eq!(Route::of(path).to_string(), route, "{path}");
        }
        let long = "/a".repeat(40);
        assert_eq!(Route::of(&long).segments().count(), MOST_SEGMENTS);
    }
}
