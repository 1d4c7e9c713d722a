//! The first message of a TLS client, across records. Nothing that comes later is read: there is hardly anything in it.

mod ja4;

use tls_parser::{
    TlsExtension, TlsExtensionType, parse_tls_extension_alpn_content,
    parse_tls_extension_signature_algorithms_content, parse_tls_extension_sni_content,
    parse_tls_extension_supported_versions, parse_tls_extension_unknown, parse_tls_handshake_client_hello,
};

use super::Hello;

/// The head of a record, and the longest one (RFC 8446, 5.2).
const RECORD_HEAD: usize = 5;
const LONGEST_RECORD: usize = 16_384 + 256;
/// The head of a message of the handshake.
const MESSAGE_HEAD: usize = 4;
/// Bytes of a name and of a protocol that are kept.
const NAME: usize = 255;
const EXTENSIONS: usize = 256;

/// How far the records of a hello were followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Where the next record begins that is not whole.
    record: usize,
    /// Bytes of the message in those before.
    message: usize,
}

/// What records are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// The message is not whole.
    Partly,
    /// Whole, without its head.
    Whole(Vec<u8>),
    /// No ClientHello, or a longer one than may be.
    None,
}

/// Puts a ClientHello together from the records that `bytes` begin with; at most `most` bytes of it.
pub(super) fn message(bytes: &[u8], progress: &mut Progress, most: usize) -> Message {
    while let Some(&[kind, major, _, high, low]) = bytes.get(progress.record..).and_then(<[u8]>::first_chunk)
    {
        let length = usize::from(u16::from_be_bytes([high, low]));
        if kind != 22 || major != 3 || length == 0 || length > LONGEST_RECORD {
            return Message::None;
        }
        if bytes.len() < progress.record + RECORD_HEAD + length {
            break;
        }
        progress.record += RECORD_HEAD + length;
        progress.message += length;
        let Some(whole) = length_of(bytes, progress) else {
            continue;
        };
        match whole {
            Err(()) => return Message::None,
            Ok(length) if MESSAGE_HEAD + length > most => return Message::None,
            Ok(length) if progress.message < MESSAGE_HEAD + length => {}
            Ok(length) => {
                let message = content(bytes).skip(MESSAGE_HEAD).take(length);
                return Message::Whole(message.collect());
            }
        }
    }
    // Heads of records are the rest: no client cuts a hello into that many.
    if bytes.len() > 2 * most {
        Message::None
    } else {
        Message::Partly
    }
}

/// The length that the message says it has, without its head; an error when it is no ClientHello.
fn length_of(bytes: &[u8], progress: &Progress) -> Option<Result<usize, ()>> {
    if progress.message < MESSAGE_HEAD {
        return None;
    }
    let mut head = content(bytes).take(MESSAGE_HEAD);
    let mut next = || head.next().unwrap_or(0);
    let (kind, length) = (next(), [0, next(), next(), next()]);
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    Some(if kind == 1 { Ok(length) } else { Err(()) })
}

/// What is in the records that `bytes` begin with, without their heads.
fn content(bytes: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = bytes;
    let records = std::iter::from_fn(move || {
        let [_, _, _, high, low] = *rest.first_chunk()?;
        let end = RECORD_HEAD + usize::from(u16::from_be_bytes([high, low]));
        let record = rest.get(RECORD_HEAD..end)?;
        rest = &rest[end..];
        Some(record)
    });
    records.flatten().copied()
}

/// Reads a ClientHello, without the head of its message. `None` when it is broken.
pub(super) fn read(message: &[u8]) -> Option<Hello> {
    let (_, hello) = parse_tls_handshake_client_hello(message).ok()?;
    let mut offered = ja4::Offered {
        version: hello.version.0,
        ciphers: hello.ciphers.iter().map(|cipher| cipher.0).collect(),
        ..ja4::Offered::default()
    };
    let mut name = String::new();
    let mut rest = hello.ext.unwrap_or_default();
    while offered.extensions.len() < EXTENSIONS {
        let before = rest;
        let Ok((after, TlsExtension::Unknown(TlsExtensionType(kind), content))) =
            parse_tls_extension_unknown(rest)
        else {
            break;
        };
        rest = after;
        offered.extensions.push(kind);
        // What cannot be read says nothing; it is there all the same.
        match kind {
            0 => {
                if let Ok((_, TlsExtension::SNI(names))) = parse_tls_extension_sni_content(content) {
                    name = names
                        .first()
                        .map_or_else(String::new, |(_, name)| printable(name).to_lowercase());
                }
            }
            13 => {
                if let Ok((_, TlsExtension::SignatureAlgorithms(algorithms))) =
                    parse_tls_extension_signature_algorithms_content(content)
                {
                    offered.signatures = algorithms;
                }
            }
            16 => {
                if let Ok((_, TlsExtension::ALPN(protocols))) = parse_tls_extension_alpn_content(content) {
                    offered.alpn = protocols
                        .first()
                        .map_or_else(Vec::new, |protocol| protocol.to_vec());
                }
            }
            43 => {
                if let Ok((_, TlsExtension::SupportedVersions(versions))) =
                    parse_tls_extension_supported_versions(before)
                {
                    offered.versions = versions.iter().map(|version| version.0).collect();
                }
            }
            _ => {}
        }
    }
    Some(Hello {
        name,
        alpn: printable(&offered.alpn),
        version: offered.highest(),
        ja4: offered.ja4(),
    })
}

/// Text that can be shown.
fn printable(bytes: &[u8]) -> String {
    let shown = bytes.iter().take(NAME).map(|byte| match byte.is_ascii_graphic() {
        true => char::from(*byte),
        false => '?',
    });
    shown.collect()
}

#[cfg(test)]
mod tests;
