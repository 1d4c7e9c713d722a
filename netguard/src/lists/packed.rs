//! Lists that are packed with gzip, known by how they begin and not by their names. It packs nothing.

use std::io::{self, Read as _, Write};

use flate2::bufread::GzDecoder;

use super::ListError;

/// How all of them begin: the magic number, and the only way to pack that there is (RFC 1952 section 2.3.1).
const BEGINNING: [u8; 3] = [0x1f, 0x8b, 8];

/// Parts, each packed by itself, that one may have. Programs that pack by several processors at once make one for each 64 KiB or more
/// (`bgzip`, `pigz -i`): so this is enough for some GiB, and takes a quarter of a second where there is nothing in them.
const PARTS: usize = 65_536;

/// `bytes`, as they were before they were packed if they are; no more than `max_bytes`.
pub(super) fn unpacked(name: &str, bytes: Vec<u8>, max_bytes: u64) -> Result<Vec<u8>, ListError> {
    let file = || name.to_owned();
    if !bytes.starts_with(&BEGINNING) {
        if bytes.len() as u64 > max_bytes {
            return Err(ListError::TooLong {
                file: file(),
                mib: max_bytes >> 20,
            });
        }
        return Ok(bytes);
    }
    // Counted first, and kept only when it is known to be whole and how long it is.
    let length = unpack_into(&mut io::sink(), name, &bytes, max_bytes)?;
    let mut text = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    unpack_into(&mut text, name, &bytes, max_bytes)?;
    Ok(text)
}

/// Writes what is packed in all parts of `bytes`; tells how long it is.
fn unpack_into(to: &mut impl Write, name: &str, mut bytes: &[u8], max_bytes: u64) -> Result<u64, ListError> {
    let file = || name.to_owned();
    let mut length = 0;
    for _ in 0..PARTS {
        let left = max_bytes.saturating_sub(length).saturating_add(1);
        let mut part = GzDecoder::new(bytes).take(left);
        length += io::copy(&mut part, to).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => ListError::CutShort {
                file: file(),
                why: "it is packed with gzip, and ends in the midst".to_owned(),
            },
            _ => ListError::Packed { file: file(), source },
        })?;
        if length > max_bytes {
            return Err(ListError::Bomb {
                file: file(),
                mib: max_bytes >> 20,
            });
        }
        bytes = part.into_inner().into_inner();
        if bytes.is_empty() {
            return Ok(length);
        }
    }
    Err(ListError::Parts {
        file: file(),
        most: PARTS,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    const MAX: u64 = 4 << 20;

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut packing = GzEncoder::new(Vec::new(), Compression::best());
        packing.write_all(text).unwrap();
        packing.finish().unwrap()
    }

    fn unpack(bytes: &[u8]) -> Result<Vec<u8>, String> {
        unpacked("f.gz", bytes.to_vec(), MAX).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_packed_is_unpacked_and_all_else_left_as_it_is() {
        let text = b"192.0.2.1\n2001:db8::/32\n".repeat(9_999);
        assert_eq!(unpack(&packed(&text)).unwrap(), text);
        // As `cat a.gz b.gz` makes one.
        let both = [packed(b"192.0.2.1\n"), packed(b""), packed(b"192.0.2.2\n")].concat();
        assert_eq!(unpack(&both).unwrap(), b"192.0.2.1\n192.0.2.2\n");
        for other in [
            &b"192.0.2.1\n"[..],
            b"",
            b"\x1f\x8b",
            b"\x1f\x8b\x07x",
            b"PK\x03\x04",
        ] {
            assert_eq!(unpack(other).unwrap(), other);
        }
    }

    /// Found in review: to unpack nothing again and again took as long as there was room for it.
    #[test]
    fn so_many_parts_and_no_more() {
        let most = packed(b"").repeat(PARTS - 1);
        let list = packed(b"192.0.2.1\n");
        assert_eq!(unpack(&[&most[..], &list].concat()).unwrap(), b"192.0.2.1\n");
        let error = unpack(&[&most[..], &list, &list].concat()).unwrap_err();
        assert!(error.contains("more than 65536 parts"), "{error}");
        let error = unpack(&packed(b"").repeat(1_000_000)).unwrap_err();
        assert!(error.contains("more than 65536 parts"), "{error}");
    }

    #[test]
    fn what_is_damaged_is_refused() {
        let whole = packed(&b"192.0.2.1\n".repeat(99));
        for length in 3..whole.len() {
            let error = unpack(&whole[..length]).unwrap_err();
            assert!(error.contains("cut short: it is packed"), "{length}: {error}");
        }
        for behind in [&b"x"[..], b"<html>too many requests</html>", &[0; 512]] {
            let error = unpack(&[&whole, behind].concat()).unwrap_err();
            assert!(
                error.contains("invalid gzip header") || error.contains("cut short"),
                "{error}"
            );
        }
        let mut wrong = whole.clone();
        let sum = wrong.len() - 8;
        wrong[sum] ^= 1;
        let error = unpack(&wrong).unwrap_err();
        assert!(error.contains("damaged") && error.contains("checksum"), "{error}");
    }

    #[test]
    fn what_is_too_long_is_refused_before_it_is_kept() {
        let bomb = packed(&vec![b'1'; 64 << 20]);
        assert!(bomb.len() < 100_000);
        let error = unpack(&bomb).unwrap_err();
        assert!(error.contains("more than 4 MiB when it is unpacked"), "{error}");
        for fits in [packed(&vec![b'1'; MAX as usize]), vec![b'1'; MAX as usize]] {
            assert_eq!(unpack(&fits).unwrap().len(), MAX as usize);
        }
        let error = unpack(&vec![b'1'; MAX as usize + 1]).unwrap_err();
        assert!(error.contains("longer than 4 MiB"), "{error}");
    }
}
