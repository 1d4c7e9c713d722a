//! The events of a MISP feed at a server, after one another over the same connection. What names them is not its business.

use std::time::{Duration, Instant};

use serde::de::IgnoredAny;
use ureq::Agent;

use super::{FetchError, Fetched, Request, answer, bare};

/// What is at all of `urls`, as one JSON document; until `end`.
pub(super) fn joined(
    agent: &Agent,
    request: &Request,
    urls: impl Iterator<Item = String>,
    end: Instant,
) -> Result<Vec<u8>, FetchError> {
    let mut all = vec![b'['];
    for url in urls {
        if all.len() > 1 {
            all.push(b',');
        }
        let left = end.saturating_duration_since(Instant::now());
        // None at all would be no bound.
        let left = left.max(Duration::from_millis(1));
        let asked = agent.get(&url).config().timeout_global(Some(left)).build();
        let room = request.max_bytes.saturating_sub(all.len() as u64 + 1);
        if let Fetched::New { bytes, .. } = answer(request, asked, &url, room)? {
            // Several could be one document that none of them is.
            serde_json::from_slice::<IgnoredAny>(&bytes).map_err(|source| FetchError::NoEvent {
                url: bare(&url).to_owned(),
                source,
            })?;
            all.extend(bytes);
        }
    }
    all.push(b']');
    Ok(all)
}

/// The address of what is called `name` where `url` is, with the same query.
pub(super) fn beside(url: &str, name: &str) -> String {
    let path = bare(url);
    let directory = path.rfind('/').map_or(path, |end| &path[..=end]);
    let query = url[path.len()..].split('#').next().unwrap_or_default();
    format!("{directory}{name}{query}")
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpListener,
        thread,
    };

    use super::{
        super::{Validators, fetch},
        *,
    };

    const ONE: &str = "54f5e5bc-8a20-4bcb-8f61-2f3f950d210f";
    const TWO: &str = "5d8e0d7c-0b2c-4a6f-9d2c-06d2950d210f";

    /// What is fetched of a server that has a manifest of two events, and `event` for each of them, of no more than `max_bytes`.
    fn fetched(event: &'static str, max_bytes: u64) -> Result<Fetched, String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!(
            "http://{}/f/manifest.json?token=s3cret",
            listener.local_addr().unwrap()
        );
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, mut asked, mut buffer) = (stream.unwrap(), Vec::new(), [0; 1024]);
                while !asked.ends_with(b"\r\n\r\n") {
                    let read = stream.read(&mut buffer).unwrap();
                    asked.extend_from_slice(&buffer[..read]);
                }
                let asked = String::from_utf8(asked).unwrap();
                let is = |name: &str| asked.starts_with(&format!("GET /f/{name}.json?token=s3cret "));
                let (status, text) = match asked.as_str() {
                    _ if is("manifest") => ("200 OK", format!("{{\"{TWO}\":{{}},\"{ONE}\":{{}}}}")),
                    _ if is(ONE) => ("200 OK", event.to_owned()),
                    _ if is(TWO) && event != "gone" => ("200 OK", event.to_owned()),
                    _ => ("404 Not Found", String::new()),
                };
                let length = text.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\nETag: \"{length}\"\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
                );
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let request = Request {
            url,
            ca: None,
            header_file: None,
            timeout: Duration::from_secs(5),
            max_bytes,
            validators: Validators::default(),
        };
        fetch(&request).map_err(|error| error.to_string())
    }

    #[test]
    fn a_manifest_is_fetched_with_its_events() {
        let Fetched::New { bytes, validators } = fetched("{\"Event\":{}}", 1 << 20).unwrap() else {
            panic!("not new")
        };
        assert_eq!(bytes, b"[{\"Event\":{}},{\"Event\":{}}]");
        // It is the manifest's: with it the server says whether any event has changed.
        assert_eq!(validators.etag.as_deref(), Some("\"85\""));
    }

    #[test]
    fn an_event_that_is_missing_or_none_is_told() {
        for (event, max_bytes, told) in [
            ("7", 100, None),
            ("gone", 1 << 20, Some("is no event of MISP")),
            (
                "{\"Event\":{}},{\"Event\":{}}",
                1 << 20,
                Some("is no event of MISP"),
            ),
            ("{\"Event\":", 1 << 20, Some("is no event of MISP")),
            (
                "{\"Event\":{\"info\":\"1234567890123456789012345678901234567890\"}}",
                100,
                Some("sends more than"),
            ),
        ] {
            let error = fetched(event, max_bytes).err();
            assert_eq!(error.is_some(), told.is_some(), "{event}: {error:?}");
            let error = error.unwrap_or_default();
            assert!(
                error.contains(told.unwrap_or_default()) && !error.contains("s3cret"),
                "{error}"
            );
        }
    }

    #[test]
    fn an_event_is_beside_its_manifest() {
        for (url, expected) in [
            ("https://x.example/a/manifest.json", "https://x.example/a/e.json"),
            (
                "https://x.example/a/manifest.json?token=a/b#c",
                "https://x.example/a/e.json?token=a/b",
            ),
            (
                "https://x.example:8443/manifest.json",
                "https://x.example:8443/e.json",
            ),
        ] {
            assert_eq!(beside(url, "e.json"), expected);
        }
    }
}
