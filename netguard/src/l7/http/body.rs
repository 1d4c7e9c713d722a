//! Where the body of a message ends: known by its length, or chunk by chunk. What it carries is not read.

use httparse::{Status, parse_chunk_size};

use crate::l7::stream::Stream;

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::l7) enum Body {
    None,
    Length(u64),
    Chunked,
    /// As long as the connection, or a matter of opinion.
    Unknown,
}

/// How far a chunked body was followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::l7) enum Chunks {
    /// A chunk begins.
    Chunk,
    /// The lines behind the last chunk.
    Trailer,
}

/// A line with the length of a chunk, or of a trailer, that is longer is none.
const LINE: usize = 1_024;
/// Beyond, the end of a body cannot be told by the numbers of TCP.
pub(in crate::l7) const LONGEST: u64 = 1 << 30;

/// Follows the chunks that `stream` has. `Some(true)`: the body has ended; `Some(false)`: these are no chunks.
pub(in crate::l7) fn chunks(stream: &mut Stream, at: &mut Chunks) -> Option<bool> {
    loop {
        let ready = stream.ready();
        match at {
            Chunks::Chunk => match parse_chunk_size(ready) {
                Ok(Status::Complete((line, 0))) => {
                    stream.take(line);
                    *at = Chunks::Trailer;
                }
                Ok(Status::Complete((line, length))) => {
                    // With the line end behind it.
                    let Some(skipped) = u32::try_from(length).ok().filter(|_| length < LONGEST) else {
                        return Some(false);
                    };
                    stream.take(line);
                    stream.skip(skipped + 2);
                }
                Ok(Status::Partial) if ready.len() < LINE => return None,
                Ok(Status::Partial) | Err(_) => return Some(false),
            },
            Chunks::Trailer => match ready.iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    let is_empty = matches!(&ready[..end], [] | [b'\r']);
                    stream.take(end + 1);
                    if is_empty {
                        return Some(true);
                    }
                }
                None if ready.len() < LINE => return None,
                None => return Some(false),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn followed(body: &[u8], step: usize) -> (Option<bool>, usize) {
        let (mut stream, mut at) = (Stream::default(), Chunks::Chunk);
        stream.turn(0);
        for (index, part) in body.chunks(step).enumerate() {
            stream.put((index * step) as u32, part, part.len() as u32, 4_096);
            if let Some(ended) = chunks(&mut stream, &mut at) {
                let left = stream.ready().len() + body.len() - (index * step + part.len());
                return (Some(ended), left);
            }
        }
        (None, 0)
    }

    #[test]
    fn chunked_bodies_end_where_they_end() {
        for (body, ended) in [
            (&b"4\r\nwiki\r\n0\r\n\r\nGET"[..], (Some(true), 3)),
            (
                b"4;a=b\r\nwiki\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\nGET",
                (Some(true), 3),
            ),
            (b"0\r\n\r\n", (Some(true), 0)),
            (b"4\r\nwiki\r\n0\r\n", (None, 0)),
            (b"ffffffff\r\n", (Some(false), 10)),
        ] {
            for step in [1, 3, body.len()] {
                let told = followed(body, step);
                assert_eq!(told.0, ended.0, "{body:?} {step}");
                assert!(ended.0 != Some(true) || told == ended, "{body:?} {step}");
            }
        }
        assert_eq!(followed(b"GET / HTTP/1.1", 14).0, Some(false));
        assert_eq!(followed(&[b'0'; 2_000], 100).0, Some(false));
    }
}
