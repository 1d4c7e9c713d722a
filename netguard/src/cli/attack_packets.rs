//! `netguard attacks packets`: packets of an attack, shown or written as a capture that other tools read.

use std::{
    fs::OpenOptions,
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use clap::Args;
use hyper::Method;
use pcap_parser::{Linktype, PcapHeader, ToVec as _};
use tabled::Tabled;

use super::{CliError, Context, output::table};
use crate::{control::Client, daemon::PacketReport, signature::unhex};

#[derive(Args, Debug)]
pub(super) struct PacketArgs {
    /// The number of the attack, as `list` shows it.
    id: u64,
    /// Write them to this file, which must not exist, as a capture (pcap) instead of showing them.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

#[derive(Tabled)]
struct Row {
    #[tabled(rename = "AT")]
    at: String,
    #[tabled(rename = "VERDICT")]
    verdict: String,
    #[tabled(rename = "BYTES")]
    length: u32,
    #[tabled(rename = "BEHIND THE ETHERNET HEADER")]
    bytes: String,
}

/// Bytes of a packet that are shown, from behind its Ethernet header on.
const SHOWN: std::ops::Range<usize> = 28..76;

pub(super) async fn run(context: &Context, args: PacketArgs) -> Result<(), CliError> {
    let mut client = Client::connect(&context.instance).await?;
    let path = format!("/v1/attacks/{}/packets", args.id);
    let packets: Option<Vec<PacketReport>> = client.request(Method::GET, &path, None::<&()>).await?;
    let packets = packets.ok_or_else(|| {
        CliError::Failed(format!(
            "no packets of an attack {} are kept (`netguard attacks list` shows attacks since the daemon began; of old ones, and of crowds, there are none)",
            args.id
        ))
    })?;
    match args.write {
        None => context.output.print(&packets, |packets| list(packets)),
        Some(file) => {
            write(&file, &packets)?;
            let written = serde_json::json!({ "file": file, "packets": packets.len() });
            context.output.print(&written, |_| {
                format!(
                    "{} packets are in {}, their first bytes each",
                    packets.len(),
                    file.display()
                )
            })
        }
    }
}

fn list(packets: &[PacketReport]) -> String {
    if packets.is_empty() {
        return "none of its packets was looked at yet".to_owned();
    }
    let rows = packets.iter().map(|packet| Row {
        at: packet.at.clone(),
        verdict: packet.verdict.clone(),
        length: packet.length,
        bytes: packet
            .bytes
            .get(SHOWN.start..SHOWN.end.min(packet.bytes.len()))
            .unwrap_or("")
            .to_owned(),
    });
    table(rows, &[2])
}

fn write(path: &Path, packets: &[PacketReport]) -> Result<(), CliError> {
    let failed = |error: std::io::Error| CliError::Failed(format!("{}: {error}", path.display()));
    let capture = capture(packets).map_err(|why| CliError::Failed(format!("{}: {why}", path.display())))?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(failed)?;
    file.write_all(&capture)
        .and_then(|()| file.sync_all())
        .map_err(failed)
}

/// `packets` as a pcap file.
fn capture(packets: &[PacketReport]) -> Result<Vec<u8>, String> {
    let header = PcapHeader {
        magic_number: 0xa1b2_c3d4,
        version_major: 2,
        version_minor: 4,
        thiszone: 0,
        sigfigs: 0,
        snaplen: 65_535,
        network: Linktype::ETHERNET,
    };
    let mut file = header.to_vec_raw().map_err(|error| error.to_string())?;
    for packet in packets {
        let at = humantime::parse_rfc3339(&packet.at).map_err(|error| error.to_string())?;
        let since = at
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        let bytes = unhex(&packet.bytes).ok_or_else(|| format!("{:?} are no bytes", packet.bytes))?;
        let block = pcap_parser::LegacyPcapBlock {
            ts_sec: since.as_secs() as u32,
            ts_usec: since.subsec_micros(),
            caplen: bytes.len() as u32,
            origlen: packet.length,
            data: &bytes,
        };
        file.extend(block.to_vec_raw().map_err(|error| error.to_string())?);
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use pcap_parser::{LegacyPcapReader, PcapBlockOwned, traits::PcapReaderIterator as _};

    use super::*;

    fn packet(bytes: &str) -> PacketReport {
        PacketReport {
            at: "2026-01-01T00:00:01.250Z".to_owned(),
            length: 1_400,
            verdict: "limit-udp".to_owned(),
            bytes: bytes.to_owned(),
        }
    }

    #[test]
    fn a_capture_can_be_read_back() {
        let file = capture(&[packet("00ff10"), packet("")]).expect("a capture");
        let mut reader = LegacyPcapReader::new(65_536, file.as_slice()).expect("it is one");
        let mut blocks = Vec::new();
        while let Ok((used, block)) = reader.next() {
            if let PcapBlockOwned::Legacy(block) = block {
                blocks.push((block.ts_sec, block.ts_usec, block.origlen, block.data.to_vec()));
            }
            reader.consume(used);
        }
        let at = 1_767_225_601;
        assert_eq!(
            blocks,
            [
                (at, 250_000, 1_400, vec![0, 0xff, 0x10]),
                (at, 250_000, 1_400, Vec::new())
            ]
        );
        assert!(capture(&[packet("0g")]).is_err());
    }

    #[test]
    fn what_exists_is_not_written_over() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let error = write(file.path(), &[packet("00")])
            .expect_err("it is there")
            .to_string();
        assert!(error.contains("exists"), "{error}");
    }

    #[test]
    fn a_table_shows_headers() {
        let text = list(&[packet(&"ab".repeat(128)), packet("ab")]);
        assert!(text.lines().all(|line| line.len() <= 110), "{text}");
        assert!(list(&[]).contains("none"));
    }
}
