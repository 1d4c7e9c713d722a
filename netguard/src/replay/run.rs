//! A replay: each frame is judged at its time, and between frames the chain ticks as it does in the daemon.

use std::collections::BTreeMap;

use netguard_common::{
    Action as PacketAction, Packet, egress::leave, layout::Question, shared::Shared as _, view::SliceView,
};

use super::{
    Options, ReplayError,
    answers::Answers,
    asked::Asked,
    attacks::{Attacks, Beside, SourceCount},
    capture,
    capture::Record,
    clock::{BEGIN_NS, Clock},
    found::tell,
    frame::restore,
    handshakes::Handshakes,
    kinds::Kinds,
    link::{self, Skip},
    normal,
    prepare::{Prepared, prepare},
    refusals::Refusals,
    report::{Honest, Known, LinkCount, Report, Servers, SkipCount},
    response::Response,
    sandbox::Sandbox,
    servers::{Directions, Way, address},
    services::Services,
    tally::Tally,
    throttle::Limits,
    told,
};
use crate::{
    bpf::{Counters, Judge, List, Proven, ROOM_FOR_TIME, Ready, Samples, Telemetry},
    daemon::{
        act::KernelSink,
        database::Databases,
        setup::{flooder, sizes},
        tick::{PROVEN_FOR_NS, SAMPLES_PER_TICK, SWEEP_TICKS, TICK},
    },
    engine::{
        Account, Chain, Learnt, Readings, Reputation, Step, campaign::CampaignKind, conclude,
        reputation::Settings,
    },
    prefix::Prefix,
};

const TICK_NS: u64 = TICK.as_nanos() as u64;
const SWEEP_NS: u64 = SWEEP_TICKS * TICK_NS;
/// Ticks that run although nothing arrives: whatever looks back over some seconds sees them empty. Longer silence is skipped.
const IDLE_TICKS: u64 = 100;

/// Replays the capture of `options` in `sandbox`, with what is `known` to be normal.
pub(super) fn run(
    options: &Options,
    known: Option<(Learnt, Known)>,
    servers: &Directions,
    sandbox: &Sandbox,
) -> Result<Report, ReplayError> {
    let config = &options.config;
    let counts_services = known.is_some() || options.learn.is_some();
    let (learnt, normal) = known.unzip();
    let mut judge = Judge::load(&sandbox.pins, sizes(config))?;
    let (mut prepared, lists) = prepare(config, servers, sandbox, counts_services)?;
    let pins = &sandbox.pins;
    let mut databases = Databases::of(config);
    prepared.notes.extend(databases.read());
    let response = Response::begin(config, pins, lists, &databases)?;
    let attacks = Attacks::new(response, config, &databases, learnt);
    let services = counts_services.then(|| Services::new(config, attacks.controller().baselines()));
    let mut run = Run {
        servers,
        honest: &options.honest,
        ready: judge.ready()?,
        chain: Chain::new(flooder(config)),
        attacks,
        services,
        asked: Asked::default(),
        answers: Answers::default(),
        counters: Counters::open(pins)?,
        samples: Samples::open(pins)?,
        telemetry: Telemetry::open(pins)?,
        proven: Proven::open(pins)?,
        limits: Limits::open(pins)?,
        prepared,
        // Nothing is known of anybody, and lengths are drawn the same each time.
        reputation: Reputation::new(Settings::from(config), 0, 0),
        clock: Clock::new(options.speed),
        tally: Tally::new(),
        handshakes: Handshakes::default(),
        refusals: Refusals::default(),
        refused_before: Refusals::default(),
        next_tick_ns: BEGIN_NS,
        next_sweep_ns: BEGIN_NS + SWEEP_NS,
        sources: SourceCount::default(),
        idle_ticks: 0,
        frames: 0,
        links: BTreeMap::new(),
        skipped: BTreeMap::new(),
        kinds: Kinds::default(),
        report: Report {
            normal,
            ..Report::default()
        },
    };
    let mut buffer = Vec::new();
    let damaged = capture::each_of(&options.file, |record| run.take(&record, &mut buffer))?;
    run.end(options, damaged)
}

struct Run<'a> {
    servers: &'a Directions,
    honest: &'a [Prefix],
    ready: Ready<'a>,
    chain: Chain,
    attacks: Attacks,
    services: Option<Services>,
    asked: Asked,
    answers: Answers,
    counters: Counters,
    samples: Samples,
    telemetry: Telemetry,
    proven: Proven,
    limits: Limits,
    prepared: Prepared,
    reputation: Reputation,
    clock: Clock,
    tally: Tally,
    handshakes: Handshakes,
    refusals: Refusals,
    refused_before: Refusals,
    next_tick_ns: u64,
    next_sweep_ns: u64,
    sources: SourceCount,
    idle_ticks: u64,
    frames: u64,
    links: BTreeMap<i32, u64>,
    skipped: BTreeMap<Skip, u64>,
    kinds: Kinds,
    /// What is told as it happens.
    report: Report,
}

impl Run<'_> {
    fn take(&mut self, record: &Record<'_>, buffer: &mut Vec<u8>) -> Result<(), ReplayError> {
        self.frames += 1;
        *self.links.entry(record.link).or_default() += 1;
        let now_ns = self.clock.at(record.at_ns);
        self.tick_until(now_ns)?;
        if let Err(skip) = self.frame(record, buffer, now_ns)? {
            *self.skipped.entry(skip).or_default() += 1;
        }
        Ok(())
    }

    fn frame(
        &mut self,
        record: &Record<'_>,
        buffer: &mut Vec<u8>,
        now_ns: u64,
    ) -> Result<Result<(), Skip>, ReplayError> {
        let frame = match restore(record, buffer) {
            Ok(frame) => frame,
            Err(skip) => return Ok(Err(skip)),
        };
        // Nobody can say whom a frame is for whose IP header is broken: the server's card would take it.
        let way = frame
            .packet
            .as_ref()
            .map_or(Way::In, |packet| self.servers.way(packet));
        match (way, &frame.packet) {
            (Way::Elsewhere, _) => return Ok(Err(Skip::Elsewhere)),
            (Way::Out, Some(packet)) => {
                self.leave(packet, &buffer[ROOM_FOR_TIME..], now_ns)?;
                return Ok(Err(Skip::Outgoing));
            }
            _ => {}
        }
        let judgement = self
            .ready
            .judge(buffer, now_ns)
            .map_err(|source| ReplayError::Frame {
                frame: self.frames,
                source,
            })?;
        self.idle_ticks = 0;
        self.report.cut += u64::from(frame.cut);
        let source = frame
            .packet
            .as_ref()
            .map(|packet| address(packet.source.octets()));
        let account = source.map(Account::of);
        let len = buffer.len() - ROOM_FOR_TIME;
        self.tally.count(judgement, len, now_ns - BEGIN_NS, account);
        if let Some(packet) = &frame.packet {
            self.asked.count(packet, len, judgement.action());
        }
        let dropped = judgement.action() == PacketAction::Drop;
        if let Some(source) = source
            && (self.handshakes.is_proven(source) || self.honest.iter().any(|prefix| prefix.contains(source)))
        {
            self.report.honest.packets += 1;
            self.report.honest.dropped += u64::from(dropped);
        }
        if let Some(packet) = &frame.packet
            && !dropped
            && !self.servers.all
        {
            self.handshakes.arrived(packet, &buffer[ROOM_FOR_TIME..]);
        }
        Ok(Ok(()))
    }

    /// The server sent this: what it asks may be answered, and whom it answers may prove to be real.
    fn leave(&mut self, packet: &Packet, frame: &[u8], now_ns: u64) -> Result<(), ReplayError> {
        self.handshakes.sent(packet, frame);
        self.refusals.sent(packet);
        self.answers.sent(packet, frame);
        let asking = &self.prepared.asking;
        asking.now_ns.set(now_ns);
        leave(&SliceView(frame), asking);
        let mut questions: Vec<Vec<u8>> = asking
            .questions
            .borrow_mut()
            .drain()
            .map(|(key, _)| key)
            .collect();
        questions.sort_unstable();
        for question in questions.iter().filter_map(|bytes| Question::from_bytes(bytes)) {
            self.ready.ask(question, now_ns)?;
        }
        Ok(())
    }

    /// Runs the ticks that are due by `now_ns`.
    fn tick_until(&mut self, now_ns: u64) -> Result<(), ReplayError> {
        while self.next_tick_ns <= now_ns {
            if self.idle_ticks >= IDLE_TICKS {
                self.next_tick_ns += (now_ns - self.next_tick_ns) / TICK_NS * TICK_NS;
            }
            self.idle_ticks += 1;
            self.tick(self.next_tick_ns)?;
            self.next_tick_ns += TICK_NS;
        }
        Ok(())
    }

    fn tick(&mut self, now_ns: u64) -> Result<(), ReplayError> {
        if let Some(services) = &mut self.services {
            services.follow(&self.answers, &mut self.telemetry)?;
        }
        let step = self.read(now_ns)?;
        if !step.window.verdicts.is_empty() {
            self.sources.look(&mut self.telemetry, now_ns)?;
        }
        self.conclude(step, now_ns)?;
        if now_ns >= self.next_sweep_ns {
            self.next_sweep_ns = now_ns + SWEEP_NS;
            self.sweep(now_ns)?;
        }
        Ok(())
    }

    fn read(&mut self, now_ns: u64) -> Result<Step, ReplayError> {
        let readings = Readings {
            at_ns: now_ns,
            counters: self.tally.readings(),
            sampler: self.counters.sampler()?,
            samples: self.samples.drain(SAMPLES_PER_TICK),
            telemetry: Some(self.telemetry.read()?),
            opened: Some(self.handshakes.opened()),
        };
        let opened = |source| Some(self.handshakes.opened_by(source));
        Ok(self.chain.step(readings, &opened))
    }

    fn conclude(&mut self, step: Step, now_ns: u64) -> Result<(), ReplayError> {
        let good = self.handshakes.established().map(Account::of).collect();
        let refused = self.refusals.since(self.refused_before);
        self.refused_before = self.refusals;
        let beside = Beside {
            wall_s: self.clock.wall_s(now_ns),
            services: self.services.as_ref().map_or(&[], Services::named),
            sources: self.sources.number(),
            refused,
        };
        let begun = self.answers.begun();
        let second = self
            .attacks
            .tick(&step, now_ns, beside, &good, &self.answers, &begun);
        if let Some((windows, attacked)) = second {
            self.reputation.connect(self.handshakes.connections(), now_ns);
            for account in self.attacks.cleared() {
                self.reputation.clear_of_campaigns(account, now_ns);
            }
            for account in self.attacks.suspects() {
                let kind = CampaignKind::Probing.name();
                self.reputation.campaigning(account, kind, now_ns);
            }
            self.reputation.second(&windows, &attacked, now_ns);
            let (guard, chain) = (&self.prepared.guard, &mut self.chain);
            self.limits.follow(&mut self.reputation, guard, chain, now_ns)?;
        }
        if let Some(traffic) = &step.traffic {
            self.kinds.add(traffic);
        }
        if step.findings.is_empty() {
            return Ok(());
        }
        self.reputation.connect(self.handshakes.connections(), now_ns);
        let mut sink = KernelSink {
            rules: &mut self.prepared.rules,
            now_ns,
        };
        let guard = &self.prepared.guard;
        for (decision, outcome) in conclude(step.findings, guard, &mut self.reputation, now_ns, &mut sink) {
            let at_ms = (now_ns - BEGIN_NS) / 1_000_000;
            tell(&mut self.report, &decision, &outcome, at_ms);
        }
        Ok(())
    }

    /// As the daemon does every ten seconds.
    fn sweep(&mut self, now_ns: u64) -> Result<(), ReplayError> {
        self.prepared.rules.remove_expired(List::Block, now_ns)?;
        let until_ns = now_ns.saturating_add(PROVEN_FOR_NS);
        self.proven
            .refresh(self.handshakes.established(), now_ns, until_ns)?;
        Ok(())
    }

    fn end(mut self, options: &Options, damaged: Option<String>) -> Result<Report, ReplayError> {
        let last_ns = self.next_tick_ns;
        let step = self.read(last_ns)?;
        self.sources.look(&mut self.telemetry, last_ns)?;
        self.conclude(step, last_ns)?;
        let (timeline_step_s, timeline) = self.tally.timeline();
        let skipped = self.skipped.iter().map(|(skip, frames)| SkipCount {
            reason: skip.name().to_owned(),
            frames: *frames,
        });
        let links = self.links.iter().map(|(link, frames)| LinkCount {
            name: link::name(*link).into_owned(),
            frames: *frames,
        });
        let mut notes = std::mem::take(&mut self.prepared.notes);
        if !self.skipped.contains_key(&Skip::Outgoing) && !self.servers.all && self.tally.packets > 0 {
            notes.push(
                "no frame from the server is in the capture: nobody proves an address, and whatever answers a question of the \
                 server counts as a reflection"
                    .to_owned(),
            );
        }
        let learnt = match &options.learn {
            None => None,
            Some(path) => {
                let wall_s = self.clock.wall_s(last_ns).unwrap_or(0);
                Some(normal::write(path, &self.attacks.learnt(), wall_s)?)
            }
        };
        notes.extend(link::unknown(self.links.keys().copied()));
        notes.extend(normal::sentences(self.report.normal.as_ref(), learnt.as_ref()));
        Ok(Report {
            packets: self.tally.packets,
            verdicts: self.tally.verdicts(),
            attacks: self.attacks.told(),
            campaigns: self.attacks.campaigns(),
            file: told(&options.file),
            frames: self.frames,
            duration_ms: self.clock.elapsed_ns() / 1_000_000,
            link_types: links.collect(),
            servers: Servers {
                addresses: self.servers.own(),
                guessed: self.servers.guessed,
                all: self.servers.all,
            },
            skipped: skipped.collect(),
            backwards: self.clock.backwards,
            untimed: self.clock.untimed,
            damaged,
            kinds: self.kinds.told(),
            timeline_step_s,
            timeline,
            top_sources: self.tally.top_sources(),
            services: self.asked.told(&self.answers),
            learnt,
            honest: Honest {
                sources: self.handshakes.ever(),
                ..self.report.honest
            },
            notes,
            ..self.report
        })
    }
}
