//! The benchmark's driver: runs other programs on packets of many sources, sends floods and ends virtual cables. It is never
//! pinned, and what it attaches goes when it is dropped.

use aya::{
    maps::{Array, MapData, ProgramArray},
    programs::{ProgramFd, ProgramInfo},
};
use netguard_common::{drive::Drive, shared::Field as _};

use super::{
    AttachMode, Attachment, BpfError, Pins, ProgramUnderTest, TestObject, load::XDP_PROGRAM, raw::Raw,
    testrun::refused_run,
};

/// Live frames that the kernel keeps under way at once.
const BATCH: u32 = 64;

/// A loaded program that a driver can run. Its maps live as long as it does.
pub struct Target {
    program: ProgramFd,
    linear: bool,
}

/// A program in the table of a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enlisted {
    index: u32,
    linear: bool,
}

/// A loaded driver.
pub struct Driver {
    object: TestObject,
    next: u32,
    parked: Option<Attachment>,
}

impl Target {
    /// The pinned filter of an instance.
    ///
    /// # Errors
    /// When nothing is pinned.
    pub fn pinned(pins: &Pins) -> Result<Self, BpfError> {
        let program = ProgramInfo::from_pin(pins.program(XDP_PROGRAM))
            .and_then(|info| info.fd())
            .map_err(refused_run)?;
        Ok(Self {
            program,
            linear: false,
        })
    }

    /// The program of `object`; `linear` when it was built without knowledge of fragments.
    ///
    /// # Errors
    /// When there is no such program, or the verifier refuses it.
    pub fn of(object: &mut TestObject, name: &'static str, linear: bool) -> Result<Self, BpfError> {
        let program = object.program(name)?;
        let program = program
            .xdp()
            .fd()
            .and_then(|fd| fd.try_clone().map_err(Into::into))
            .map_err(refused_run)?;
        Ok(Self { program, linear })
    }
}

impl Driver {
    /// Loads the driver's object.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn load(object: &[u8]) -> Result<Self, BpfError> {
        Ok(Self {
            object: TestObject::foreign(object, &[], None)?,
            next: 0,
            parked: None,
        })
    }

    /// Makes `target` one of the programs that this driver can run.
    ///
    /// # Errors
    /// When the kernel keeps the two apart, or the table is full.
    pub fn enlist(&mut self, target: &Target) -> Result<Enlisted, BpfError> {
        let name = if target.linear {
            "LINEAR_PROGRAMS"
        } else {
            "PROGRAMS"
        };
        // The kernel takes the first user of a table for its kind.
        self.program(target.linear)?;
        let mut table: ProgramArray<&mut MapData> = self.object.map(name)?;
        let index = self.next;
        table
            .set(index, &target.program, 0)
            .map_err(BpfError::map(name, 0))?;
        self.next += 1;
        Ok(Enlisted {
            index,
            linear: target.linear,
        })
    }

    /// What this driver does next.
    ///
    /// # Errors
    /// When the kernel refuses the write.
    pub fn set(&mut self, drive: &Drive) -> Result<(), BpfError> {
        let mut map: Array<&mut MapData, Raw<Drive>> = self.object.map("DRIVE")?;
        map.set(0, Raw(*drive), 0).map_err(BpfError::map("DRIVE", 1))
    }

    /// How far it has got.
    ///
    /// # Errors
    /// When the kernel refuses the read.
    pub fn drive(&mut self) -> Result<Drive, BpfError> {
        let map: Array<&mut MapData, Raw<Drive>> = self.object.map("DRIVE")?;
        Ok(map.get(&0, 0).map_err(BpfError::map("DRIVE", 1))?.0)
    }

    /// Runs `program` on `packets` packets of the sources that were [set](Self::set); answers what it returned last.
    ///
    /// # Errors
    /// When the kernel refuses the frame.
    pub fn run(&mut self, program: Enlisted, frame: &[u8], packets: u32) -> Result<u32, BpfError> {
        let drive = Drive {
            program: program.index,
            ..self.drive()?
        };
        self.set(&drive)?;
        self.program(program.linear)?.run(frame, packets)
    }

    /// Attaches one of the driver's own programs to an interface of the calling thread's network namespace.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn attach(
        &mut self,
        program: &'static str,
        interface: u32,
        mode: AttachMode,
    ) -> Result<Attachment, BpfError> {
        self.object.program(program)?.attach(interface, mode)
    }

    /// Sends `packets` (or, paced, turns) as live frames from the calling thread's network namespace.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn send(&mut self, packets: u32) -> Result<(), BpfError> {
        let drive = self.drive()?;
        let frame = drive
            .frame
            .get(..drive.frame_len as usize)
            .unwrap_or(&drive.frame);
        self.object.program("flood")?.run_live(frame, packets, BATCH)
    }

    /// Keeps the kernel's XDP dispatcher prepared for test runs, each of which would otherwise wait some 25 ms for it (Linux
    /// 6.18): the programs are attached to an interface on which nothing arrives.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn park(&mut self, program: &'static str, interface: u32) -> Result<(), BpfError> {
        self.parked = Some(self.attach(program, interface, AttachMode::Generic)?);
        Ok(())
    }

    fn program(&mut self, linear: bool) -> Result<ProgramUnderTest<'_>, BpfError> {
        self.object
            .program(if linear { "scatter_linear" } else { "scatter" })
    }
}

/// A driver that sends `frame` from all of `sources` sources (a power of two), the first being number `first`.
#[must_use]
pub fn drive(frame: &[u8], ipv6: bool, first: u32, sources: u32) -> Drive {
    let mut drive = Drive {
        frame_len: frame.len() as u32,
        ipv6: u32::from(ipv6),
        state: 1,
        first,
        mask: sources.saturating_sub(1),
        ..Drive::ZERO
    };
    let len = frame.len().min(drive.frame.len());
    drive.frame[..len].copy_from_slice(&frame[..len]);
    drive
}
