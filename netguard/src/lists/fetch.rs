//! Fetches a feed from its server once, by https, with a bound on time and size. It keeps nothing and judges nothing.

mod agent;
mod events;

use std::{
    fs, io,
    io::Read as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use ureq::{
    RequestBuilder,
    http::{HeaderName, HeaderValue, StatusCode, header},
    typestate::WithoutBody,
};

use super::misp;
use crate::config::bare;
use agent::agent;
use events::{beside, joined};

/// No header is longer.
const MAX_HEADER: u64 = 64 << 10;

/// What to ask of whom.
#[derive(Clone, Debug)]
pub struct Request {
    pub url: String,
    /// Who vouches for the server; the system's list if `None`.
    pub ca: Option<PathBuf>,
    /// A file with a header for the server.
    pub header_file: Option<PathBuf>,
    /// For all of it.
    pub timeout: Duration,
    /// Of the answer, unpacked.
    pub max_bytes: u64,
    /// Of what is there already.
    pub validators: Validators,
}

/// By what a server tells whether somebody has the newest already (RFC 9110 section 8.8).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validators {
    pub etag: Option<String>,
    pub last_modified: Option<String>,
}

/// What a server answered.
#[derive(Debug)]
pub enum Fetched {
    /// What the validators are of is the newest.
    Unchanged,
    New {
        bytes: Vec<u8>,
        validators: Validators,
    },
}

/// Why a feed was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("{url} cannot be fetched: {source}")]
    Failed { url: String, source: Box<ureq::Error> },
    #[error("{url} answers {status}: {next}")]
    Status {
        url: String,
        status: StatusCode,
        next: &'static str,
    },
    #[error("{url} sends more than {mib} MiB: if that is as it should be, write a higher `max_mib`")]
    TooLong { url: String, mib: u64 },
    #[error("{url} is no event of MISP: {source}")]
    NoEvent { url: String, source: serde_json::Error },
    #[error("{} cannot be read: {source}", .file.display())]
    Unreadable { file: PathBuf, source: io::Error },
    #[error("{} is no header: write one line such as `Authorization: Bearer TOKEN`", .0.display())]
    Header(PathBuf),
    #[error("{} has no certificate: it is to be a PEM file", .0.display())]
    NoCertificate(PathBuf),
    #[error("the thread that fetches ended before its time: it is started again")]
    Died,
    #[error("no thread to fetch with: {0}")]
    NoThread(io::Error),
    #[error(
        "this system has no list of certificate authorities: install ca-certificates, or name a file in `ca`"
    )]
    NoAuthorities,
}

/// Asks once; of a manifest of MISP for each of its events, too, which are one document then. Blocks for as long as `timeout`.
///
/// # Errors
/// When there is no whole answer.
pub fn fetch(request: &Request) -> Result<Fetched, FetchError> {
    let agent = agent(request)?;
    let end = Instant::now() + request.timeout;
    let mut asked = agent.get(&request.url);
    let validators = &request.validators;
    for (name, value) in [
        (header::IF_NONE_MATCH, &validators.etag),
        (header::IF_MODIFIED_SINCE, &validators.last_modified),
    ] {
        if let Some(value) = value {
            asked = asked.header(name, value);
        }
    }
    let answer = answer(request, asked, &request.url, request.max_bytes)?;
    let Fetched::New { bytes, validators } = answer else {
        return Ok(answer);
    };
    let events = std::str::from_utf8(&bytes).ok().and_then(misp::events);
    let bytes = match events {
        None => bytes,
        Some(events) => {
            let urls = events
                .iter()
                .map(|event| beside(&request.url, &misp::file(event)));
            joined(&agent, request, urls, end)?
        }
    };
    Ok(Fetched::New { bytes, validators })
}

/// What the server answers to `asked`, which is about `url`; no more than `max_bytes`.
fn answer(
    request: &Request,
    mut asked: RequestBuilder<WithoutBody>,
    url: &str,
    max_bytes: u64,
) -> Result<Fetched, FetchError> {
    let url = || bare(url).to_owned();
    let failed = |source| FetchError::Failed {
        url: url(),
        source: Box::new(source),
    };
    if let Some(file) = &request.header_file {
        let (name, value) = secret(file)?;
        asked = asked.header(name, value);
    }
    let answer = asked.call().map_err(failed)?;
    let (parts, body) = answer.into_parts();
    match parts.status {
        StatusCode::OK => {}
        StatusCode::NOT_MODIFIED => return Ok(Fetched::Unchanged),
        status => {
            let next = next_step(status);
            return Err(FetchError::Status {
                url: url(),
                status,
                next,
            });
        }
    }
    let mut bytes = Vec::new();
    // The reader's own bound would be an error that is hard to tell from others.
    let reader = body.into_with_config().limit(u64::MAX).reader();
    let read = reader.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|source| failed(source.into()))?;
    if bytes.len() as u64 > max_bytes {
        return Err(FetchError::TooLong {
            url: url(),
            mib: request.max_bytes >> 20,
        });
    }
    let text = |name| Some(parts.headers.get(name)?.to_str().ok()?.to_owned());
    Ok(Fetched::New {
        bytes,
        validators: Validators {
            etag: text(header::ETAG),
            last_modified: text(header::LAST_MODIFIED),
        },
    })
}

fn next_step(status: StatusCode) -> &'static str {
    match status.as_u16() {
        300..=399 => {
            "redirects are followed to https only, and not with a `header_file`: write the address it points to"
        }
        401 | 403 => "it wants to know who asks: see `header_file`",
        404 | 410 => "there is no such list any more: look for its new address",
        429 => "it is asked too often: write a longer `refresh`",
        _ => "it is asked again",
    }
}

/// The header in `file`. No error repeats it.
fn secret(file: &Path) -> Result<(HeaderName, HeaderValue), FetchError> {
    let mut text = String::new();
    fs::File::open(file)
        .and_then(|file| file.take(MAX_HEADER).read_to_string(&mut text))
        .map_err(|source| FetchError::Unreadable {
            file: file.to_owned(),
            source,
        })?;
    let parsed = text.trim().split_once(':').and_then(|(name, value)| {
        let mut value: HeaderValue = value.trim().parse().ok()?;
        value.set_sensitive(true);
        Some((name.trim().parse().ok()?, value))
    });
    parsed.ok_or_else(|| FetchError::Header(file.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write as _,
        net::TcpListener,
        thread::{self, JoinHandle},
    };

    use super::*;

    /// A server that answers once with `answer`, and what it was asked.
    fn server(answer: &'static [u8]) -> (String, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/list?token=s3cret", listener.local_addr().unwrap());
        let asked = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut asked, mut buffer) = (Vec::new(), [0; 1024]);
            while !asked.ends_with(b"\r\n\r\n") {
                let read = stream.read(&mut buffer).unwrap();
                asked.extend_from_slice(&buffer[..read]);
            }
            stream.write_all(answer).unwrap();
            String::from_utf8(asked).unwrap()
        });
        (url, asked)
    }

    fn request(url: String) -> Request {
        Request {
            url,
            ca: None,
            header_file: None,
            timeout: Duration::from_secs(5),
            max_bytes: 1 << 20,
            validators: Validators::default(),
        }
    }

    #[test]
    fn what_is_new_comes_with_its_validators_and_what_is_not_does_not() {
        let (url, asked) = server(b"HTTP/1.1 200 OK\r\nETag: \"7\"\r\nContent-Length: 10\r\n\r\n192.0.2.1\n");
        let Fetched::New { bytes, validators } = fetch(&request(url)).unwrap() else {
            panic!("not new")
        };
        assert_eq!(
            (bytes.as_slice(), validators.etag.as_deref()),
            (b"192.0.2.1\n".as_slice(), Some("\"7\""))
        );
        assert!(!asked.join().unwrap().to_lowercase().contains("if-none-match"));

        let (url, asked) = server(b"HTTP/1.1 304 Not Modified\r\n\r\n");
        let directory = tempfile::tempdir().unwrap();
        let header_file = directory.path().join("header");
        fs::write(&header_file, "X-Token: s3cret\n").unwrap();
        let again = Request {
            validators,
            header_file: Some(header_file),
            ..request(url)
        };
        assert!(matches!(fetch(&again).unwrap(), Fetched::Unchanged));
        let asked = asked.join().unwrap().to_lowercase();
        assert!(
            asked.contains("if-none-match: \"7\"") && asked.contains("x-token: s3cret"),
            "{asked}"
        );
    }

    #[test]
    fn a_failure_says_what_to_do_and_no_secret() {
        for (answer, told) in [
            (
                b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n".as_slice(),
                "answers 500",
            ),
            (
                b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n",
                "see `header_file`",
            ),
            (
                b"HTTP/1.1 302 There\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
                "to https only",
            ),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n192.0.2.1\n",
                "cannot be fetched",
            ),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n192.0.2.1\n",
                "cannot be fetched",
            ),
            (b"nonsense\r\n\r\n", "cannot be fetched"),
        ] {
            let (url, _asked) = server(answer);
            let error = fetch(&request(url)).unwrap_err().to_string();
            assert!(error.contains(told) && !error.contains("s3cret"), "{error}");
        }
        let (url, _asked) = server(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n192.0.2.1\n");
        let short = Request {
            max_bytes: 9,
            ..request(url)
        };
        assert!(fetch(&short).unwrap_err().to_string().contains("sends more than"));
    }

    #[test]
    fn a_server_that_is_silent_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let impatient = Request {
            timeout: Duration::from_millis(200),
            ..request(url)
        };
        assert!(fetch(&impatient).unwrap_err().to_string().contains("timeout"));
    }

    #[test]
    fn files_beside_the_feed_are_checked() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "s3cret").unwrap();
        let url = || "https://127.0.0.1:1/".to_owned();
        let header = Request {
            header_file: Some(file.clone()),
            ca: None,
            ..request("http://127.0.0.1:1/".to_owned())
        };
        let error = fetch(&header).unwrap_err().to_string();
        assert!(
            error.contains("is no header") && !error.contains("s3cret"),
            "{error}"
        );
        let ca = Request {
            ca: Some(file),
            ..request(url())
        };
        assert!(fetch(&ca).unwrap_err().to_string().contains("has no certificate"));
        let gone = Request {
            ca: Some(directory.path().join("gone")),
            ..request(url())
        };
        assert!(fetch(&gone).unwrap_err().to_string().contains("cannot be read"));
    }
}
