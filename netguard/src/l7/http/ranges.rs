//! Ranges of bytes that a request asks for: many small ones or ones that overlap cost a server far more than they are worth (RFC 9110, 17.15).

/// So many ranges are no use, and more than two that overlap.
const MANY: usize = 64;
const OVERLAPPING: usize = 2;

/// Whether the value of a header Range asks for what is no use.
pub(super) fn are_abusive(value: &[u8]) -> bool {
    let Some(list) = value.strip_prefix(b"bytes=") else {
        return false;
    };
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    let mut count = 0;
    for range in list.split(|byte| *byte == b',') {
        count += 1;
        if count > MANY {
            return true;
        }
        ranges.extend(bounds(range.trim_ascii()));
    }
    ranges.sort_unstable();
    let mut reach = None;
    let mut overlapping = 0;
    for (from, to) in ranges {
        overlapping += usize::from(reach.is_some_and(|reach| from <= reach));
        reach = reach.max(Some(to));
    }
    overlapping > OVERLAPPING
}

/// First and last byte; what counts from the end, or cannot be read, has none that are known.
fn bounds(range: &[u8]) -> Option<(u64, u64)> {
    let range = str::from_utf8(range).ok()?;
    let (from, to) = range.split_once('-')?;
    let from = from.parse().ok()?;
    let to = if to.is_empty() { u64::MAX } else { to.parse().ok()? };
    Some((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_players_and_readers_ask_for_is_none() {
        let pages: Vec<String> = (0..40)
            .map(|page| format!("{}-{}", page * 1000, page * 1000 + 99))
            .collect();
        let many: Vec<String> = (0..65).map(|page| format!("{page}-{page}")).collect();
        let slow: Vec<String> = (0..40).map(|at| format!("5-{at}")).collect();
        for (value, abusive) in [
            ("bytes=0-".to_owned(), false),
            ("bytes=0-1023".to_owned(), false),
            ("bytes=-500".to_owned(), false),
            ("bytes=0-99, 50-149".to_owned(), false),
            (format!("bytes={}", pages.join(",")), false),
            ("pages=1-2,1-2,1-2,1-2".to_owned(), false),
            ("bytes=what".to_owned(), false),
            ("bytes=0-,0-,0-,0-".to_owned(), true),
            (format!("bytes={}", many.join(",")), true),
            (format!("bytes=0-,{}", slow.join(",")), true),
        ] {
            assert_eq!(are_abusive(value.as_bytes()), abusive, "{value}");
        }
    }
}
