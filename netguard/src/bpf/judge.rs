//! The datapath without an interface, for replay: frames are judged by `BPF_PROG_TEST_RUN`, each at the time that it brings along.
//! The maps are pinned as those of a daemon, so all that writes to these works here, too. The caller's network namespace
//! must be one that nothing arrives in.

use aya::{
    Ebpf, TestRun as _, TestRunOptions,
    maps::{HashMap, MapData},
    programs::{Xdp, XdpMode},
};
use netguard_common::{Judgement, layout::Question};

use super::{
    BpfError, Pins, TableSizes, embedded_object,
    load::{loader, refused_load, refused_program, write_layout, xdp},
    raw::Raw,
    testrun::refused_run,
    verify_object,
};

const PROGRAM: &str = "netguard_judge";
/// Index of `lo` in every network namespace.
const LOOPBACK: u32 = 1;

/// Room before a frame, for the time.
pub const ROOM: usize = size_of::<u64>();
/// `struct xdp_md`: six words, of which the first three are where data, its end and metadata lie.
const CONTEXT: usize = 24;

/// The longest frame, room included, that is surely taken: the linear part and the fragments of a test run have a page each.
pub const LONGEST: usize = 17 * 4096;

/// A loaded object whose maps are pinned.
pub struct Judge {
    ebpf: Ebpf,
    questions: HashMap<MapData, Raw<Question>, u64>,
}

impl Judge {
    /// Loads the embedded object and pins its maps, of which there must be none yet.
    ///
    /// # Errors
    /// When rights or bpffs are missing, or the kernel refuses.
    pub fn load(pins: &Pins, sizes: TableSizes) -> Result<Self, BpfError> {
        verify_object(embedded_object())?;
        pins.create()?;
        let mut ebpf = loader(sizes, Some(pins))
            .load(embedded_object())
            .map_err(refused_load)?;
        write_layout(&mut ebpf)?;
        let program = xdp(&mut ebpf, PROGRAM)?;
        program.load().map_err(|error| refused_program(PROGRAM, &error))?;
        // Where a program is attached nowhere, each test run takes it up into the XDP dispatcher and waits for all CPUs (25 ms
        // on Linux 6.18).
        program
            .attach_to_if_index(LOOPBACK, XdpMode::Skb)
            .map_err(refused_run)?;
        let questions = pins.open("QUESTIONS")?;
        let questions = questions.try_into().map_err(BpfError::map("QUESTIONS", 0))?;
        Ok(Self { ebpf, questions })
    }

    /// The program, to judge many frames by.
    ///
    /// # Errors
    /// When the object lacks it, which no verified object does.
    pub fn ready(&mut self) -> Result<Ready<'_>, BpfError> {
        Ok(Ready {
            program: xdp(&mut self.ebpf, PROGRAM)?,
            questions: &mut self.questions,
        })
    }
}

/// A program to judge frames by.
pub struct Ready<'a> {
    program: &'a Xdp,
    questions: &'a mut HashMap<MapData, Raw<Question>, u64>,
}

impl Ready<'_> {
    /// The judgement on a frame behind [`ROOM`] at `now_ns`, which is not 0.
    ///
    /// # Errors
    /// When the kernel refuses the frame.
    pub fn judge(&self, frame: &mut [u8], now_ns: u64) -> Result<Judgement, BpfError> {
        let (room, _) = frame
            .split_first_chunk_mut::<ROOM>()
            .ok_or_else(|| BpfError::Run("a frame without room for its time".to_owned()))?;
        *room = now_ns.to_ne_bytes();
        let mut context = [0; CONTEXT];
        context[..4].copy_from_slice(&(ROOM as u32).to_ne_bytes());
        context[4..8].copy_from_slice(&(frame.len() as u32).to_ne_bytes());
        let options = TestRunOptions {
            data_in: Some(frame),
            ctx_in: Some(&context),
            ..TestRunOptions::default()
        };
        let counter = self.program.test_run(options).map_err(refused_run)?.return_value;
        Judgement::from_counter(counter)
            .ok_or_else(|| BpfError::Run(format!("no judgement has the number {counter}")))
    }

    /// Remembers that `question` was asked at `asked_ns`, as the program on egress does.
    ///
    /// # Errors
    /// When the kernel refuses the entry.
    pub fn ask(&mut self, question: Question, asked_ns: u64) -> Result<(), BpfError> {
        self.questions
            .insert(Raw(question), asked_ns, 0)
            .map_err(BpfError::map("QUESTIONS", 0))
    }
}
