//! Test runs of the program that listens to conversations. The kernel has what it is given arrive: what a service says cannot be run.

use std::time::Duration;

use aya::{
    TestRun as _, TestRunOptions,
    maps::{Array, MapData, RingBuf},
    programs::SocketFilter,
};
use netguard_common::{l7::Piece, maps::PORT_WORDS, shared::Shared as _};

use super::{TestObject, program::verified_instructions, refused_run};
use crate::bpf::{
    BpfError,
    load::{L7_PROGRAM, refused_program, socket_filter},
};

impl TestObject {
    /// Has `frame` arrive `repeat` times; tells how long each took.
    ///
    /// # Errors
    /// When the kernel refuses the program or the frame.
    pub fn hear(&mut self, frame: &[u8], repeat: u32) -> Result<Duration, BpfError> {
        let options = TestRunOptions {
            data_in: Some(frame),
            repeat,
            ..TestRunOptions::default()
        };
        let run = self.listener()?.test_run(options);
        run.map(|result| result.duration).map_err(refused_run)
    }

    /// Minds the services at ports for which `minds` says so.
    ///
    /// # Errors
    /// When the kernel refuses the write.
    pub fn mind_ports(&mut self, minds: impl Fn(u16) -> bool) -> Result<(), BpfError> {
        let mut words = [0_u64; PORT_WORDS];
        for port in (0..=u16::MAX).filter(|port| minds(*port)) {
            words[usize::from(port / 64)] |= 1 << (port % 64);
        }
        let mut map: Array<&mut MapData, u64> = self.map("L7_PORTS")?;
        for (index, word) in (0..).zip(words) {
            map.set(index, word, 0).map_err(BpfError::map("L7_PORTS", 0))?;
        }
        Ok(())
    }

    /// Takes every piece that was handed on, with its bytes.
    ///
    /// # Errors
    /// When the map is missing.
    pub fn heard(&mut self) -> Result<Vec<(Piece, Vec<u8>)>, BpfError> {
        let mut ring: RingBuf<&mut MapData> = self.map("PIECES")?;
        let mut pieces = Vec::new();
        while let Some(record) = ring.next() {
            let read = record
                .split_at_checked(size_of::<Piece>())
                .and_then(|(head, rest)| {
                    let piece = Piece::from_bytes(head)?;
                    Some((piece, rest.get(..usize::from(piece.len))?.to_vec()))
                });
            pieces.extend(read);
        }
        Ok(pieces)
    }

    /// Instructions that the verifier walked to prove the program safe.
    ///
    /// # Errors
    /// When the kernel refuses the program or does not say.
    pub fn l7_verified_instructions(&mut self) -> Result<u32, BpfError> {
        verified_instructions(self.listener()?.info().ok())
    }

    fn listener(&mut self) -> Result<&mut SocketFilter, BpfError> {
        let program = socket_filter(&mut self.ebpf)?;
        if program.fd().is_err() {
            program
                .load()
                .map_err(|error| refused_program(L7_PROGRAM, &error))?;
        }
        Ok(program)
    }
}
