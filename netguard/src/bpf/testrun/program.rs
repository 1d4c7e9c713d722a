//! A program of an object under test: runs on frames that it is given, and what the verifier said about it.

use aya::{
    TestRun as _, TestRunOptions,
    programs::{ProgramError, ProgramInfo, TestRunAttrs, Xdp, XdpMode, xdp::XdpLink},
};

use crate::bpf::{AttachMode, BpfError};

/// A loaded program and what the verifier said about it.
pub struct ProgramUnderTest<'a> {
    pub(super) program: &'a mut Xdp,
}

/// A program that is attached to an interface, until this is dropped.
pub struct Attachment {
    _link: XdpLink,
}

impl ProgramUnderTest<'_> {
    pub(in crate::bpf) fn xdp(&self) -> &Xdp {
        self.program
    }

    /// Attaches the program to an interface of the calling thread's network namespace.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn attach(&mut self, interface: u32, mode: AttachMode) -> Result<Attachment, BpfError> {
        let mode = match mode {
            AttachMode::Native => XdpMode::Driver,
            AttachMode::Generic => XdpMode::Skb,
        };
        self.program
            .attach_to_if_index(interface, mode)
            .and_then(|link| self.program.take_link(link))
            .map(|link| Attachment { _link: link })
            .map_err(refused_run)
    }

    /// Runs the program `repeat` times on `frame` (14 bytes to a page; the kernel refuses others) and answers
    /// its return value.
    ///
    /// # Errors
    /// When the kernel refuses the frame.
    pub fn run(&self, frame: &[u8], repeat: u32) -> Result<u32, BpfError> {
        let options = TestRunOptions {
            data_in: Some(frame),
            repeat,
            ..TestRunOptions::default()
        };
        match self.program.test_run(options) {
            Ok(result) => Ok(result.return_value),
            Err(error) => Err(refused_run(error)),
        }
    }

    /// Runs the program once on `frame`; its return value, and what it made of the frame.
    ///
    /// # Errors
    /// When the kernel refuses the frame.
    pub fn rewrite(&self, frame: &[u8]) -> Result<(u32, Vec<u8>), BpfError> {
        let mut made = vec![0; frame.len()];
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut made),
            ..TestRunOptions::default()
        };
        let done = self.program.test_run(options);
        let done = done.map_err(|error| BpfError::Load(format!("test run: {error}")))?;
        made.truncate(done.data_size_out as usize);
        Ok((done.return_value, made))
    }

    /// Runs the program on `repeat` frames that go where it sends them, `batch` at once.
    ///
    /// # Errors
    /// When the kernel refuses the frame.
    pub(in crate::bpf) fn run_live(&self, frame: &[u8], repeat: u32, batch: u32) -> Result<(), BpfError> {
        let options = TestRunOptions {
            data_in: Some(frame),
            repeat,
            attrs: TestRunAttrs::new().xdp_live_frames(batch),
            ..TestRunOptions::default()
        };
        self.program.test_run(options).map(|_| ()).map_err(refused_run)
    }

    /// Instructions that the verifier walked to prove the program safe (the kernel allows a million).
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn verified_instructions(&self) -> Result<u32, BpfError> {
        verified_instructions(self.program.info().ok())
    }
}

pub(in crate::bpf) fn refused_run(error: ProgramError) -> BpfError {
    BpfError::Run(match error {
        ProgramError::SyscallError(error) => format!("{}: {}", error.call, error.io_error),
        other => other.to_string(),
    })
}

pub(super) fn verified_instructions(info: Option<ProgramInfo>) -> Result<u32, BpfError> {
    info.and_then(|info| info.verified_instruction_count())
        .ok_or_else(|| BpfError::Load("the kernel does not count verified instructions".to_owned()))
}
