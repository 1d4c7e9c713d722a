//! Captures as files: pcap and pcapng, record by record, in either byte order and any resolution of time. What a record holds is
//! not looked at.

use std::{
    fs::File,
    io::{Read, Seek as _},
    path::Path,
};

use pcap_parser::{
    Block, InterfaceDescriptionBlock, PcapBlockOwned, PcapError, create_reader,
    traits::{PcapNGPacketBlock as _, PcapReaderIterator},
};

use super::ReplayError;

/// Room for the longest block: a jumbo frame of the largest segmentation offload, with options, many times over.
const BUFFER: usize = 4 << 20;
const SECOND_NS: u64 = 1_000_000_000;
/// What a file of blocks (pcapng) begins with.
const SECTION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
/// Type, and length twice.
const SHORTEST_BLOCK: u32 = 12;
/// RFC 1952 section 2.3.1: how a compressed file begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A frame of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Nanoseconds since 1970; `None` where the file does not say.
    pub at_ns: Option<u64>,
    /// The `LINKTYPE_` number of what it begins with.
    pub link: i32,
    /// How long it was; `bytes` are the first of it, or all.
    pub original_len: u32,
    pub bytes: &'a [u8],
}

/// Hands the records of the file at `path` to `take`, in their order. Tells what is wrong with the rest of the file, if something is:
/// what came before was handed over.
///
/// # Errors
/// When it cannot be read, or is no capture; and whatever `take` answers.
pub fn each_of(
    path: &Path,
    take: impl FnMut(Record<'_>) -> Result<(), ReplayError>,
) -> Result<Option<String>, ReplayError> {
    let unreadable = |source| ReplayError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(unreadable)?;
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(not_a_capture(path, "it is no file, and is read twice"));
    }
    let mut begin = Vec::new();
    Read::by_ref(&mut file)
        .take(GZIP.len() as u64)
        .read_to_end(&mut begin)
        .map_err(unreadable)?;
    if begin == GZIP {
        return Err(not_a_capture(path, "it is compressed: unpack it first (gunzip)"));
    }
    file.rewind().map_err(unreadable)?;
    each(file, take)?.map_err(|why| not_a_capture(path, why))
}

/// [`each_of`] for what `input` has; inside the answer, why it is no capture at all.
///
/// # Errors
/// Whatever `take` answers.
pub fn each(
    input: impl Read + Send,
    mut take: impl FnMut(Record<'_>) -> Result<(), ReplayError>,
) -> Result<Result<Option<String>, &'static str>, ReplayError> {
    let mut reader = match begin(input) {
        Ok(reader) => reader,
        Err(why) => return Ok(Err(why)),
    };
    let mut interfaces = Interfaces::default();
    let mut frames = 0_u64;
    let in_blocks = reader.data().starts_with(&SECTION);
    loop {
        if in_blocks && is_too_short(reader.data()) {
            return Ok(Ok(Some(format!("after {frames} frames a block is damaged"))));
        }
        let fault = match reader.next() {
            Ok((used, block)) => {
                if let Some(record) = interfaces.record(&block) {
                    frames += 1;
                    take(record)?;
                }
                reader.consume(used);
                continue;
            }
            Err(PcapError::Eof) => return Ok(Ok(None)),
            Err(PcapError::Incomplete(_)) => match reader.refill() {
                Ok(()) => continue,
                Err(_) => "it cannot be read any further",
            },
            Err(PcapError::UnexpectedEof) => "it ends in the middle of a frame",
            Err(PcapError::BufferTooSmall) => "a block is longer than any frame",
            Err(_) => "a block is damaged",
        };
        return Ok(Ok(Some(format!("after {frames} frames {fault}"))));
    }
}

/// Whether the block that `data` begins with says that it is shorter than any can be, in either byte order: pcap-parser 0.17
/// subtracts that much without a look.
fn is_too_short(data: &[u8]) -> bool {
    let Some(length) = data.get(4..8).and_then(|bytes| bytes.first_chunk()) else {
        return false;
    };
    u32::from_le_bytes(*length).min(u32::from_be_bytes(*length)) < SHORTEST_BLOCK
}

/// The first read has to give the whole header, as that of a file does.
fn begin<'a>(input: impl Read + Send + 'a) -> Result<Box<dyn PcapReaderIterator + Send + 'a>, &'static str> {
    create_reader(BUFFER, input).map_err(|error| match error {
        PcapError::Eof => "it is empty",
        PcapError::Incomplete(_) => "it ends in its header",
        PcapError::ReadError => "it cannot be read",
        _ => "it is neither pcap nor pcapng",
    })
}

fn not_a_capture(path: &Path, why: &str) -> ReplayError {
    ReplayError::NotACapture {
        path: path.to_owned(),
        why: why.to_owned(),
    }
}

/// What the file says about where its frames were seen.
#[derive(Default)]
struct Interfaces {
    all: Vec<Interface>,
    /// The byte order of the section.
    big_endian: bool,
}

struct Interface {
    link: i32,
    /// The longest part of a frame that was kept; 0: all.
    snap_len: u32,
    units_per_s: u128,
    offset_s: i64,
}

impl Interfaces {
    /// The frame that `block` holds, if it holds one.
    fn record<'a>(&mut self, block: &'a PcapBlockOwned<'a>) -> Option<Record<'a>> {
        match block {
            PcapBlockOwned::LegacyHeader(header) => {
                let fine = header.is_nanosecond_precision();
                self.all.push(Interface {
                    // The upper bits say how long the checksum is that ends each frame.
                    link: header.network.0 & 0xffff,
                    snap_len: 0,
                    units_per_s: if fine { 1_000_000_000 } else { 1_000_000 },
                    offset_s: 0,
                });
                None
            }
            PcapBlockOwned::Legacy(packet) => {
                let interface = self.all.first()?;
                let part = u128::from(packet.ts_usec) * u128::from(SECOND_NS) / interface.units_per_s;
                let at_ns = u64::from(packet.ts_sec) * SECOND_NS + u64::try_from(part).ok()?;
                Some(record(interface, Some(at_ns), packet.origlen, packet.data))
            }
            PcapBlockOwned::NG(Block::SectionHeader(section)) => {
                self.all.clear();
                self.big_endian = section.big_endian();
                None
            }
            PcapBlockOwned::NG(Block::InterfaceDescription(description)) => {
                self.all.push(Interface::of(description, self.big_endian));
                None
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                let interface = self.all.get(packet.if_id as usize)?;
                let units = u128::from(packet.ts_high) << 32 | u128::from(packet.ts_low);
                let bytes = packet.packet_data();
                let bytes = bytes.get(..packet.caplen as usize).unwrap_or(bytes);
                Some(record(interface, interface.at_ns(units), packet.origlen, bytes))
            }
            PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
                let interface = self.all.first()?;
                let kept = match interface.snap_len {
                    0 => packet.origlen,
                    snap_len => packet.origlen.min(snap_len),
                };
                let bytes = packet.data.get(..kept as usize).unwrap_or(packet.data);
                Some(record(interface, None, packet.origlen, bytes))
            }
            PcapBlockOwned::NG(_) => None,
        }
    }
}

fn record<'a>(interface: &Interface, at_ns: Option<u64>, original_len: u32, bytes: &'a [u8]) -> Record<'a> {
    Record {
        at_ns,
        link: interface.link,
        original_len: original_len.max(bytes.len() as u32),
        bytes,
    }
}

impl Interface {
    /// The option `if_tsresol` is a negative power of ten, or of two where its upper bit is set; the library knows only the former.
    /// `if_tsoffset` it reads as little-endian, whatever the section is (pcap-parser 0.17).
    fn of(description: &InterfaceDescriptionBlock<'_>, big_endian: bool) -> Self {
        let power = u32::from(description.if_tsresol & 0x7f);
        let base: u128 = if description.if_tsresol & 0x80 == 0 { 10 } else { 2 };
        Self {
            link: description.linktype.0,
            snap_len: description.snaplen,
            units_per_s: base.checked_pow(power).unwrap_or(u128::MAX),
            offset_s: if big_endian {
                description.if_tsoffset.swap_bytes()
            } else {
                description.if_tsoffset
            },
        }
    }

    fn at_ns(&self, units: u128) -> Option<u64> {
        // A resolution so fine that this overflows is none.
        let since = units.checked_mul(u128::from(SECOND_NS))? / self.units_per_s;
        let offset = i128::from(self.offset_s) * i128::from(SECOND_NS);
        u64::try_from(i128::try_from(since).ok()?.checked_add(offset)?).ok()
    }
}
