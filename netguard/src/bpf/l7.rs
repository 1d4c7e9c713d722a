//! Listens to conversations between clients and the services of this machine: the program that hands on what they say, the ports that it minds, and
//! the segments that it handed on. What is said in them is not looked at here.

mod record;
mod socket;

use std::collections::BTreeMap;

use aya::{
    maps::{Array, HashMap, MapData, PerCpuArray, RingBuf},
    programs::SocketFilter,
};
use netguard_common::{
    l7::{Counts, Hearing, Talk, TalkKey},
    maps::{PIECES_BYTES, PORT_WORDS},
    shared::Field as _,
};

use super::{
    BpfError, Loaded, Pins,
    attach::root_cause,
    load::{L7_PROGRAM, refused_program, socket_filter},
    raw::Raw,
    storage::missing,
};
use crate::l7::{Ends, Segment};

use socket::PacketSocket;

/// Why a machine or an interface is not listened to.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error(
        "{interface} cannot be listened to, for which packet sockets are needed (CONFIG_PACKET, CAP_NET_RAW): {reason}"
    )]
    Refused { interface: String, reason: String },
    #[error(transparent)]
    Bpf(#[from] BpfError),
}

/// Who listens: as long as this lives. There must be one only in an instance, since what was handed on is taken, not copied.
pub struct Listening {
    program: SocketFilter,
    /// By the number of the interface.
    sockets: BTreeMap<u32, PacketSocket>,
    pieces: RingBuf<MapData>,
    ports: Array<MapData, u64>,
    talks: HashMap<MapData, Raw<TalkKey>, Raw<Talk>>,
    hearing: PerCpuArray<MapData, Raw<Hearing>>,
}

impl Listening {
    /// Loads the program; nothing is listened to yet. Conversations that an earlier listener followed begin anew: nobody heard what was said in them
    /// meanwhile.
    ///
    /// # Errors
    /// When the kernel refuses the program, or nothing is pinned.
    pub fn open(loaded: &mut Loaded, pins: &Pins) -> Result<Self, ListenError> {
        let failed = |error: &dyn std::error::Error| BpfError::Load(root_cause(error));
        let program = socket_filter(&mut loaded.ebpf)?;
        if program.fd().is_err() {
            program
                .load()
                .map_err(|error| refused_program(L7_PROGRAM, &error))?;
        }
        let info = program.info().map_err(|error| failed(&error))?;
        let program =
            SocketFilter::from_program_info(info, L7_PROGRAM.into()).map_err(|error| failed(&error))?;
        let pieces = pins.open(PIECES)?;
        let (ports, talks, hearing) = (pins.open(PORTS)?, pins.open(TALKS)?, pins.open(HEARING)?);
        let mut listening = Self {
            program,
            sockets: BTreeMap::new(),
            pieces: pieces
                .try_into()
                .map_err(BpfError::map(PIECES, PIECES_BYTES as u32))?,
            ports: ports
                .try_into()
                .map_err(BpfError::map(PORTS, PORT_WORDS as u32))?,
            talks: talks.try_into().map_err(BpfError::map(TALKS, 0))?,
            hearing: hearing.try_into().map_err(BpfError::map(HEARING, 1))?,
        };
        listening.begin_anew()?;
        Ok(listening)
    }

    fn begin_anew(&mut self) -> Result<(), BpfError> {
        let failed = BpfError::map(TALKS, 0);
        let talks: Vec<_> = self.talks.keys().collect::<Result<_, _>>().map_err(&failed)?;
        for key in &talks {
            match self.talks.remove(key) {
                Err(error) if !missing(&error) => return Err(failed(error)),
                _ => {}
            }
        }
        self.drain(usize::MAX, |_| {});
        Ok(())
    }

    /// Listens to the interface number `index`, called `name`, of the calling thread's network namespace; nothing happens when it is listened to
    /// already.
    ///
    /// # Errors
    /// When the kernel refuses the socket.
    pub fn listen(&mut self, index: u32, name: &str) -> Result<(), ListenError> {
        if self.sockets.contains_key(&index) {
            return Ok(());
        }
        let refused = |error: &dyn std::error::Error| ListenError::Refused {
            interface: name.to_owned(),
            reason: root_cause(error),
        };
        let socket = PacketSocket::new().map_err(|error| refused(&error))?;
        // Before it is bound: until then nothing reaches it.
        self.program.attach(&socket).map_err(|error| refused(&error))?;
        socket.bind(index).map_err(|error| refused(&error))?;
        self.sockets.insert(index, socket);
        Ok(())
    }

    /// Listens to nothing any more but interfaces whose number is `kept`. One that was made anew has another number.
    pub fn forget(&mut self, kept: impl Fn(u32) -> bool) {
        self.sockets.retain(|index, _| kept(*index));
    }

    /// Minds the services at these TCP ports, and no others.
    ///
    /// # Errors
    /// When the kernel refuses the write.
    pub fn watch_ports(&mut self, ports: &[u16]) -> Result<(), BpfError> {
        let mut words = [0_u64; PORT_WORDS];
        for port in ports {
            words[usize::from(port / 64)] |= 1 << (port % 64);
        }
        for (index, word) in (0..).zip(words) {
            self.ports
                .set(index, word, 0)
                .map_err(BpfError::map(PORTS, PORT_WORDS as u32))?;
        }
        Ok(())
    }

    /// Takes what was handed on, at most `limit` segments, in the order in which they passed; tells how many there were. Never blocks. Their bytes lie
    /// in the ring buffer itself, which has room for as many again only when `take` has come back.
    pub fn drain(&mut self, limit: usize, mut take: impl FnMut(Segment<'_>)) -> usize {
        let mut taken = 0;
        while taken < limit {
            let Some(item) = self.pieces.next() else {
                break;
            };
            taken += 1;
            if let Some(segment) = record::read(&item) {
                take(segment);
            }
        }
        taken
    }

    /// Hears nothing more of the conversation between `ends` but its end: nobody can read it, or it is long enough. One that is not known is no
    /// matter. What the kernel notes of it in the same moment may be lost, which is none either.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn hush(&mut self, ends: &Ends) -> Result<(), BpfError> {
        /// The entry must be there.
        const EXISTING: u64 = 2;
        let key = Raw(record::key(ends));
        let failed = BpfError::map(TALKS, 0);
        let mut talk = match self.talks.get(&key, 0) {
            Ok(talk) => talk,
            Err(error) if missing(&error) => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        talk.0.flags |= Talk::QUIET;
        match self.talks.insert(key, talk, EXISTING) {
            Err(error) if !missing(&error) => Err(failed(error)),
            _ => Ok(()),
        }
    }

    /// What became of what was said since the maps were made, over all CPUs.
    ///
    /// # Errors
    /// When the kernel refuses the read.
    pub fn counts(&self) -> Result<Counts, BpfError> {
        let cpus = self.hearing.get(&0, 0).map_err(BpfError::map(HEARING, 1))?;
        Ok(cpus.iter().fold(Counts::ZERO, |sum, cpu| {
            let counts = cpu.0.counts;
            Counts {
                turns: sum.turns.wrapping_add(counts.turns),
                skipped: sum.skipped.wrapping_add(counts.skipped),
                pieces: sum.pieces.wrapping_add(counts.pieces),
                broken: sum.broken.wrapping_add(counts.broken),
                lost: sum.lost.wrapping_add(counts.lost),
            }
        }))
    }
}

const PIECES: &str = "PIECES";
const PORTS: &str = "L7_PORTS";
const TALKS: &str = "TALKS";
const HEARING: &str = "HEARING";
