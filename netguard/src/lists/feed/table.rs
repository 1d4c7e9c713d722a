//! Feeds that are tables (CSV): which column has the addresses is found out. Those of abuse.ch and CrowdSec say more than
//! addresses, which is honoured.

use std::net::{IpAddr, SocketAddr};

use csv::StringRecord;

use super::{Gathered, ListError, json::Decision, json::decide, whole};
use crate::prefix::Prefix;

/// Rows by which the columns are judged.
const JUDGED: usize = 200;

/// Which column means what.
struct Columns {
    address: usize,
    /// With the last address of a range.
    last: Option<usize>,
    /// What an entry of ThreatFox is.
    ioc_type: Option<usize>,
    /// Scope, type and duration of a decision of CrowdSec.
    decision: Option<[usize; 3]>,
    /// How many there are.
    count: usize,
}

pub(super) fn csv(text: &str, gathered: &mut Gathered<'_>) -> Result<(), ListError> {
    // ThreatFox writes a space behind each comma, which would keep a quote from being one.
    let close = text.contains("\", \"").then(|| text.replace("\", \"", "\",\""));
    let text = close.as_deref().unwrap_or(text);
    let broken = |source: csv::Error| ListError::Csv {
        file: gathered.name.to_owned(),
        line: source.position().map_or(0, csv::Position::line),
        why: source.to_string(),
    };
    let delimiter = delimiter(text);
    let rows: Vec<StringRecord> = reader(text, delimiter)
        .into_records()
        .collect::<Result<_, _>>()
        .map_err(broken)?;
    let width = rows.first().map_or(0, StringRecord::len);
    let heads = heads(text, delimiter).filter(|heads| heads.len() == width);
    // A first row without an address names the columns, unless a comment did: then it is about a domain or the like.
    let has_head = heads.is_none()
        && rows
            .first()
            .is_some_and(|row| row.iter().all(|field| address(field).is_none()));
    let names = if has_head { rows.first().map(fields) } else { heads };
    let rows = rows.get(usize::from(has_head)..).unwrap_or_default();
    let columns = columns(gathered.name, names.as_deref().unwrap_or_default(), rows)?;
    for (index, row) in rows.iter().enumerate() {
        let line = row.position().map_or(0, |position| position.line() as usize);
        if row.len() < columns.count && index + 1 == rows.len() {
            return Err(ListError::CutShort {
                file: gathered.name.to_owned(),
                why: format!(
                    "its last row, line {line}, has {} of {} columns",
                    row.len(),
                    columns.count
                ),
            });
        }
        entry(line, row, &columns, gathered);
    }
    if let Some(told) = told(text).filter(|told| *told != rows.len()) {
        return Err(ListError::count(gathered.name, told, rows.len()));
    }
    whole(text, gathered.name, rows.len())
}

fn entry(line: usize, row: &StringRecord, columns: &Columns, gathered: &mut Gathered<'_>) {
    let field = |index: usize| row.get(index).map(bare).unwrap_or_default();
    let value = field(columns.address);
    if let Some([scope, kind, duration]) = columns.decision {
        let text = |index| Some(field(index).to_owned());
        let decision = Decision {
            scope: text(scope),
            value: text(columns.address),
            kind: text(kind),
            duration: text(duration).filter(|duration| !duration.is_empty()),
        };
        return decide(line, &decision, gathered);
    }
    if columns
        .ioc_type
        .is_some_and(|kind| !field(kind).starts_with("ip"))
    {
        return gathered.pass_over();
    }
    match (columns.last, without_port(value)) {
        (Some(last), _) => gathered.add(line, &format!("{value}-{}", field(last))),
        (None, Some(address)) => gathered.add(line, &address.to_string()),
        (None, None) => gathered.add(line, value),
    }
}

fn reader(text: &str, delimiter: u8) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .comment(Some(b'#'))
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes())
}

/// What most tables are parted by, told by the first row.
fn delimiter(text: &str) -> u8 {
    let row = text
        .lines()
        .find(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let count = |delimiter: char| row.unwrap_or_default().matches(delimiter).count();
    let most = [',', ';', '\t']
        .into_iter()
        .max_by_key(|delimiter| (count(*delimiter), *delimiter == ','));
    most.map_or(b',', |delimiter| delimiter as u8)
}

/// The names of the columns where abuse.ch has them: in the last comment before the rows.
fn heads(text: &str, delimiter: u8) -> Option<Vec<String>> {
    let comments = text
        .lines()
        .take_while(|line| line.starts_with('#') || line.trim().is_empty());
    let last = comments
        .filter(|line| line.contains(char::from(delimiter)))
        .last()?;
    let row = reader(last.trim_start_matches('#').trim_start(), delimiter)
        .into_records()
        .next()?
        .ok()?;
    Some(fields(&row))
}

fn fields(row: &StringRecord) -> Vec<String> {
    row.iter().map(|field| bare(field).to_ascii_lowercase()).collect()
}

/// How many rows a table of abuse.ch says that it has: `# END 5 entries` or `# END (5) entries`.
fn told(text: &str) -> Option<usize> {
    let end = text
        .lines()
        .rev()
        .take(5)
        .find_map(|line| line.strip_prefix("# END"))?;
    end.trim()
        .trim_matches('(')
        .split([')', ' '])
        .next()?
        .parse()
        .ok()
}

fn columns(name: &str, heads: &[String], rows: &[StringRecord]) -> Result<Columns, ListError> {
    let judged = rows.get(..rows.len().min(JUDGED)).unwrap_or_default();
    let count = judged.first().map_or(0, StringRecord::len);
    let named = |names: &[&str]| heads.iter().position(|head| names.contains(&head.as_str()));
    let hits = |column: usize| {
        judged
            .iter()
            .filter(|row| row.get(column).and_then(address).is_some())
            .count()
    };
    let mut by_hits: Vec<(usize, usize)> = (0..count).map(|column| (hits(column), column)).collect();
    by_hits.sort_by_key(|(hits, column)| (usize::MAX - hits, *column));
    let decision = [named(&["scope"]), named(&["type"]), named(&["duration"])];
    let decision = match (decision, named(&["value"])) {
        ([Some(scope), Some(kind), Some(duration)], Some(value)) => Some((value, [scope, kind, duration])),
        _ => None,
    };
    let chosen = |address, last| Columns {
        address,
        last,
        ioc_type: named(&["ioc_type"]),
        decision: decision.map(|(_, columns)| columns),
        count,
    };
    if let Some((value, _)) = decision {
        return Ok(chosen(value, None));
    }
    let first = named(&[
        "start",
        "first",
        "begin",
        "start_ip",
        "ip_start",
        "first_ip",
        "range_start",
        "from",
    ]);
    let last = named(&[
        "end",
        "last",
        "stop",
        "end_ip",
        "ip_end",
        "last_ip",
        "range_end",
        "to",
    ]);
    match (by_hits.first(), by_hits.get(1)) {
        (Some((0, _)) | None, _) => Err(ListError::Empty(name.to_owned())),
        (Some((most, _)), Some((second, _))) if second * 10 >= most * 9 => match (first, last) {
            (Some(first), Some(last)) => Ok(chosen(first, Some(last))),
            // Two ends of a connection, and only one of them is bad.
            _ => Err(ListError::Columns {
                file: name.to_owned(),
                first: by_hits[0].1 + 1,
                second: by_hits[1].1 + 1,
            }),
        },
        (Some((_, column)), _) => Ok(chosen(*column, None)),
    }
}

/// A field without the quotes that a space before them kept.
fn bare(field: &str) -> &str {
    field
        .strip_prefix('"')
        .and_then(|field| field.strip_suffix('"'))
        .unwrap_or(field)
        .trim()
}

/// Whether a field is an address, a prefix, a range, or an address with a port.
fn address(field: &str) -> Option<()> {
    let field = bare(field);
    let range = |(first, last): (&str, &str)| {
        first.trim().parse::<IpAddr>().is_ok() && last.trim().parse::<IpAddr>().is_ok()
    };
    let is = without_port(field).is_some()
        || field.split_once('-').is_some_and(range)
        || field.parse::<Prefix>().is_ok();
    is.then_some(())
}

fn without_port(field: &str) -> Option<IpAddr> {
    field.parse::<SocketAddr>().ok().map(|address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{parse, shown};
    use crate::config::FeedFormat;

    const FEODO: &str = "# abuse.ch Feodo Tracker, terms, of use #\n#\n\"first_seen_utc\",\"dst_ip\",\"dst_port\",\"malware\"\n\
        \"2021-01-17 07:30:05\",\"192.0.2.1\",\"443\",\"Dridex, \"\"x\"\"\"\n\"2021-01-17 07:44:46\",\"10.1.2.3\",\"4643\",\"QakBot\"\n\
        \"2021-01-17 07:44:46\",\"2001:db8::1\",\"4643\",\"QakBot\"\n# END 3 entries\n";

    #[test]
    fn tables_of_abuse_ch_are_read() {
        let feed = parse(FEODO).unwrap();
        assert_eq!(
            (feed.format, shown(&feed)),
            (
                FeedFormat::Csv,
                vec!["192.0.2.1/32".to_owned(), "2001:db8::1/128".to_owned()]
            )
        );
        assert_eq!(
            feed.trimmed.first,
            ["line 5: 10.1.2.3/32 is private or special address space"]
        );
        let sslbl = "# SSLBL\n# Firstseen,DstIP,DstPort\n2021-01-17,192.0.2.1,443\n2021-01-18,192.0.2.2,80\n# END (2) entries\n";
        assert_eq!(shown(&parse(sslbl).unwrap()).len(), 2);
        let threatfox = "# \"first_seen_utc\", \"ioc_value\", \"ioc_type\", \"tags\"\n\
            \"2021-01-17\", \"b.example\", \"domain\", \"a\"\n\"2021-01-17\", \"192.0.2.1:443\", \"ip:port\", \"a,b\"\n\"2021-01-17\", \"a.example\", \"domain\", \"a\"\n\
            \"2021-01-17\", \"[2001:db8::1]:443\", \"ip:port\", \"a\"\n# Number of entries: 4\n";
        let feed = parse(threatfox).unwrap();
        assert_eq!(
            (shown(&feed).len(), feed.passed_over, feed.refused.count),
            (2, 2, 0),
            "{feed:?}"
        );
    }

    #[test]
    fn a_table_that_was_cut_short_is_refused() {
        for (cut, told) in [
            (
                FEODO.replace("# END 3", "# END 4"),
                "says that it has 4 entries, and has 3",
            ),
            (
                "ip,reason\n192.0.2.1,x\n192.0.2.2,x\n192.0.2".to_owned(),
                "line 4, has 1 of 2 columns",
            ),
        ] {
            let error = parse(&cut).unwrap_err();
            assert!(error.contains("cut short") && error.contains(told), "{error}");
        }
    }

    #[test]
    fn other_tables_are_read() {
        for (text, expected) in [
            ("192.0.2.0/24,AQ\n2001:db8::/32,AQ\n", 2),
            ("start,end,why\n192.0.2.0,192.0.2.2,x\n", 2),
            ("range,why\n192.0.2.0-192.0.2.2,x\n", 2),
            (
                "origin,scope,value,reason,type,duration\ncscli,ip,192.0.2.1,x,ban,1h\ncscli,ip,192.0.2.2,x,captcha,1h\ncscli,as,64496,x,ban,1h\n",
                1,
            ),
        ] {
            assert_eq!(shown(&parse(text).unwrap()).len(), expected, "{text}");
        }
        let both = "src,dst\n192.0.2.1,198.51.100.1\n192.0.2.2,198.51.100.1\n";
        assert!(
            parse(both)
                .unwrap_err()
                .contains("columns 1 and 2 have addresses")
        );
        assert!(parse("a,b\nc,d\n").unwrap_err().contains("no prefix at all"));
    }
}
