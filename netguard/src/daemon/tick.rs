//! The tick: collect, observe, detect, decide, enforce; and the housekeeping that needs no hurry.

use std::{net::IpAddr, sync::Arc, time::Duration};

use netguard_common::{Action as PacketAction, Judgement, layout::Cookies};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tracing::{debug, warn};

use super::{
    CookieState, EventKind, ReflectionState, State, Stop, act, attacks, begin_fetches, blocks, campaigns,
    configured::Configured,
    connections, decision, normal, own,
    rates::Rates,
    reach, reflection, reputation, respond, segments,
    setup::{Inputs, guard, spared_by_lists, waiting},
    tls,
    traffic::TrafficWatch,
    unconfirmed,
};
use crate::{
    bpf::{BpfError, List, Pins},
    clock::{monotonic_ns, wall_clock_s},
    engine::{Account, Chain, Dropped, Features, FlooderSettings, Readings, TrafficWindow, Window},
    host::{self, Peers, Ports},
    prefix::Prefix,
};

pub(crate) const TICK: Duration = Duration::from_millis(50);
/// Samples taken per tick at the most: bounded work under any flood.
pub(crate) const SAMPLES_PER_TICK: usize = 20_000;
pub(crate) const HEADS_PER_TICK: usize = 8_192;
/// Ticks between summaries and looks at the interfaces, and between sweeps of expired rules and refreshes of the guard list.
const SUMMARY_TICKS: u64 = 20;
pub(crate) const SWEEP_TICKS: u64 = 200;
/// How long a source counts as proven after it was seen with an established connection.
pub(crate) const PROVEN_FOR_NS: u64 = 600_000_000_000;

const LOST: &str = "the interface loses the answers (a veth, unless its other end has generic-receive-offload or runs an XDP program, too)";

/// Ticks until the daemon is stopped.
pub(super) async fn run(state: &Arc<State>, mut inputs: Inputs, stopped: &mut watch::Receiver<Option<Stop>>) {
    let mut ticker = interval(TICK);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut ticking = Ticking::new(inputs.flooder);
    let due = state.try_lists().map(|mut lists| lists.due(false, None));
    begin_fetches(state, due.unwrap_or_default());
    for tick in 1_u64.. {
        tokio::select! {
            _ = ticker.tick() => {}
            _ = stopped.changed() => break,
        }
        let began_ns = monotonic_ns();
        inputs.databases.follow(state);
        inputs.known.places.follow(&inputs.databases);
        inputs.ground.follow(&inputs.databases);
        if let Err(error) = ticking.step(state, &mut inputs).await {
            warn!("a tick failed: {error}");
        }
        if tick.is_multiple_of(SUMMARY_TICKS) {
            inputs.opened.look();
            inputs.traffic.count().await;
            if let Some(traffic) = inputs.traffic.look(state) {
                ticking.learn(state, &traffic, &inputs.traffic);
            }
            reputation::second(state, &ticking.second);
            reputation::throttle(state, &mut inputs.throttled, &mut ticking.chain);
            ticking.summarise(state);
            inputs.databases.ask();
            let has_tls = tls::is_wanted(state);
            let watch = has_tls || reflection::wanted(&inputs.config) != ReflectionState::Off;
            inputs.attachment.want_watch(watch);
            decision::follow_places(state, &inputs.config, &inputs.databases);
            if let Some(looked) = inputs.attachment.check(state).await {
                if inputs
                    .cookies
                    .undelivered(ticking.chain.answered(), looked.unsent)
                {
                    stop_answering(state, LOST);
                }
                if let Some(vlan) = looked.vlan {
                    let why =
                        format!("most cards take tags off, and answers without one would not reach {vlan}");
                    stop_answering(state, &why);
                }
                segments::follow(state, looked.segments);
                let gives_up = reflection::follow(state, &inputs.config, &looked.watched);
                if gives_up && has_tls {
                    inputs.attachment.watch_later();
                } else if gives_up || (!watch && inputs.attachment.is_watching()) {
                    inputs.attachment.watch_nothing();
                }
                tls::follow(state, has_tls, inputs.attachment.is_watching(), &looked.watched);
            }
        }
        if tick.is_multiple_of(SWEEP_TICKS) {
            sweep(state, &mut inputs).await;
        }
        unconfirmed::tick(state);
        let tick_ns = TICK.as_nanos() as u64;
        state.figures.ticked(began_ns, monotonic_ns(), tick_ns);
    }
    respond::stop(state, &mut inputs.stands, &inputs.known);
}

/// The chain, and the windows since the last summary.
struct Ticking {
    chain: Chain,
    second: Vec<Window>,
    /// Connections that were opened since the last summary; `None` where that is not known.
    opened: Option<u64>,
}

impl Ticking {
    fn new(flooder: FlooderSettings) -> Self {
        Self {
            chain: Chain::new(flooder),
            second: Vec::new(),
            opened: Some(0),
        }
    }

    async fn step(&mut self, state: &Arc<State>, inputs: &mut Inputs) -> Result<(), BpfError> {
        let readings = Readings {
            at_ns: monotonic_ns(),
            counters: inputs.counters.read()?,
            sampler: inputs.counters.sampler()?,
            samples: inputs.samples.drain(SAMPLES_PER_TICK),
            telemetry: inputs.traffic.read(),
            opened: inputs.opened.in_all(),
        };
        let now_ns = readings.at_ns;
        let step = self.chain.step(readings, &|source| inputs.opened.by(source));
        inputs.cookies.look(step.cookies_wanted, state);
        if let Some(traffic) = step.traffic {
            self.opened = self.opened.zip(traffic.opened).map(|(sum, more)| sum + more);
            let features = Features {
                wall_s: wall_clock_s(),
                ..Features::of(now_ns, &traffic, [&step.window], &inputs.traffic.services())
            };
            let features = of_carpet(state, inputs.traffic.complete(features));
            let seen = respond::seen(&inputs.heads.drain(HEADS_PER_TICK));
            let matched = {
                let (controller, responder) = (state.controller(), state.responder());
                responder.matched(controller.tracker().attacks())
            };
            let changes = state.controller().tick(&features, &step.window, &matched);
            attacks::tell(state, &changes);
            respond::tick(state, &mut inputs.stands, &features, &seen, &inputs.known);
            let good = &inputs.known.good;
            campaigns::tick(state, &mut inputs.ground, &changes, &seen, good, &step.window);
        }
        inputs.refusals.tick(state, now_ns);
        self.second.push(step.window);
        let mut findings = step.findings;
        findings.extend(state.found().take());
        if !findings.is_empty() {
            act::act(state, findings, now_ns).await;
            state.figures.decided(monotonic_ns().saturating_sub(now_ns));
        }
        Ok(())
    }

    /// Has what is normal learnt from the second that is over, which was like `traffic`.
    fn learn(&mut self, state: &State, traffic: &TrafficWindow, watch: &TrafficWatch) {
        let at_ns = self.second.last().map_or(0, |window| window.at_ns);
        let traffic = TrafficWindow {
            opened: self.opened.replace(0),
            ..traffic.clone()
        };
        let second = Features {
            wall_s: wall_clock_s(),
            ..Features::of(at_ns, &traffic, &self.second, &watch.services())
        };
        let second = of_carpet(state, watch.complete(second));
        let shifted = state.controller().second(&second);
        normal::tell(state, &shifted);
    }

    /// Tells what was dropped since the last summary.
    fn summarise(&mut self, state: &State) {
        let windows = std::mem::take(&mut self.second);
        let length_ns: u64 = windows.iter().map(|window| window.length_ns).sum();
        let whole = Window {
            length_ns,
            ..Window::default()
        };
        let mut sums: Vec<(Judgement, u64)> = Vec::new();
        for (judgement, counter) in windows.iter().flat_map(|window| &window.verdicts) {
            match sums.iter_mut().find(|(known, _)| known == judgement) {
                Some((_, packets)) => *packets = packets.saturating_add(counter.packets),
                None => sums.push((*judgement, counter.packets)),
            }
        }
        let sampler = self.chain.sampler();
        let mut rates = Rates {
            samples_sent: sampler.sent,
            samples_lost: sampler.lost,
            ..Rates::default()
        };
        for (judgement, packets) in sums {
            let packets_per_s = whole.per_second(packets);
            match judgement.action() {
                PacketAction::Pass => rates.passed_per_s += packets_per_s,
                PacketAction::Drop => rates.dropped_per_s += packets_per_s,
                PacketAction::Answer => rates.answered_per_s += packets_per_s,
            }
            if judgement.verdict.action() != PacketAction::Pass {
                state.journal.record(EventKind::Dropped {
                    verdict: judgement.verdict.name().to_owned(),
                    action: match (judgement.shadow, judgement.verdict.action()) {
                        (true, _) => "shadow",
                        (false, action) => action.name(),
                    }
                    .to_owned(),
                    packets_per_s,
                    top_source: top_source(&windows, judgement),
                });
            }
        }
        *state.rates() = rates;
        let count: u64 = windows.iter().map(|window| window.samples_lost).sum();
        if count > 0 {
            state.journal.record(EventKind::SamplesLost { count });
        }
    }
}

/// `features`, with what is done about a carpet told from what else is refused.
fn of_carpet(state: &State, features: Features) -> Features {
    let (controller, responder) = (state.controller(), state.responder());
    let refused_of_carpet = responder.refused_of_carpet(controller.tracker().attacks(), &features);
    Features {
        refused_of_carpet,
        ..features
    }
}

/// Better the server's own answers than none.
fn stop_answering(state: &State, why: &str) {
    match switch_off(state) {
        Ok(true) => {}
        Ok(false) => return,
        Err(error) => {
            warn!("packets are still answered, although {why}: {error}");
            return;
        }
    }
    *state.cookies() = CookieState::Undelivered;
    warn!("SYN cookies and answers to DNS queries are switched off until the next start: {why}");
    state
        .journal
        .record(EventKind::CookiesOff { why: why.to_owned() });
}

/// Tells whether anything was on.
fn switch_off(state: &State) -> Result<bool, BpfError> {
    let mut map = state.settings();
    let mut settings = map.read()?;
    if settings.cookies == Cookies::Off as u32 && settings.levels.dns_ports == [0; 4] {
        return Ok(false);
    }
    settings.cookies = Cookies::Off as u32;
    settings.levels.dns_ports = [0; 4];
    map.write(&settings)?;
    Ok(true)
}

/// The source that most packets with this judgement came from.
fn top_source(windows: &[Window], judgement: Judgement) -> Option<String> {
    windows
        .iter()
        .flat_map(|window| &window.accounts)
        .filter_map(|(_, activity)| {
            let is_meant = |dropped: &Dropped| {
                dropped.verdict == judgement.verdict && dropped.shadow == judgement.shadow
            };
            Some((activity.sum(is_meant)?.packets, activity.source))
        })
        .max_by_key(|(packets, _)| *packets)
        .map(|(_, source)| source.to_string())
}

/// Removes rules that ended (the kernel ignores them already), and looks what must not be blocked now.
async fn sweep(state: &Arc<State>, inputs: &mut Inputs) {
    reach::look(state, &inputs.config);
    connections::count_again(&inputs.config, &Pins::of(&state.instance), &mut inputs.attachment);
    for list in [List::Allow, List::Block] {
        let ended = state.rules().remove_expired(list, monotonic_ns());
        match ended {
            Ok(ended) => {
                for prefix in ended {
                    state.journal.record(EventKind::RuleExpired {
                        list: list.name().to_owned(),
                        prefix: prefix.to_string(),
                    });
                }
            }
            Err(error) => warn!("expired rules stay listed: {error}"),
        }
    }
    let ended = state.signatures().remove_ended(monotonic_ns());
    match ended {
        Ok(ended) => {
            for id in ended {
                state.journal.record(EventKind::SignatureExpired { id });
            }
        }
        Err(error) => warn!("expired signatures stay: {error}"),
    }
    prove(state, inputs).await;
    reputation::sweep(state);
    let waiting = tokio::task::spawn_blocking(waiting).await.ok().flatten();
    inputs.traffic.follow(waiting.as_ref()).await;
    match host::facts().await {
        Ok(facts) => {
            inputs.known.sessions.extend(&facts.session_ports);
            own::follow(state, &mut inputs.own, &facts.own);
            look_around(state, inputs, facts.own.clone(), waiting).await;
            follow_lists(state, spared_by_lists(&facts, &inputs.configured));
            review(state, facts, &mut inputs.configured);
            blocks::follow(state);
        }
        Err(error) => warn!("the guard list is not refreshed: {error}"),
    }
}

/// Looks what this machine serves, beside the thread that answers.
async fn look_around(state: &State, inputs: &mut Inputs, own: Vec<IpAddr>, waiting: Option<Ports>) {
    let mut ground = std::mem::take(&mut inputs.ground);
    let looked = tokio::task::spawn_blocking(move || {
        ground.look(
            &own,
            waiting.as_ref(),
            wall_clock_s().unwrap_or(0),
            monotonic_ns(),
        );
        ground
    });
    inputs.ground = looked.await.unwrap_or_default();
    state.served().clone_from(inputs.ground.served());
}

/// Puts lists that have changed in force and has those fetched that are due, beside the tick: a million lines take a second.
fn follow_lists(state: &Arc<State>, spared: Vec<Prefix>) {
    let (state, following) = (Arc::clone(state), Arc::clone(state));
    tokio::spawn(async move {
        let followed = tokio::task::spawn_blocking(move || {
            // Whoever reads them now has the newest.
            let mut lists = following.try_lists()?;
            following.follow_lists(&mut lists, spared, false);
            Some(lists.due(false, None))
        });
        if let Ok(Some(due)) = followed.await {
            begin_fetches(&state, due);
        }
    });
}

/// Who has an established connection has proven its address.
async fn prove(state: &State, inputs: &mut Inputs) {
    let Ok(Ok(peers)) = tokio::task::spawn_blocking(host::established_peers).await else {
        // `doctor` says what is missing.
        return;
    };
    let Peers { all: peers, clients } = peers;
    inputs.traffic.connected(clients.values().max().copied());
    let now_ns = monotonic_ns();
    state.reputation().connect(clients, now_ns);
    let until_ns = now_ns.saturating_add(PROVEN_FOR_NS);
    inputs.known.good = peers.keys().copied().map(Account::of).collect();
    match inputs.proven.refresh(peers.into_keys(), now_ns, until_ns) {
        Ok(0) => {}
        Ok(without) => debug!("{without} connected sources found no room among the proven ones"),
        Err(error) => warn!("connected sources are not all told from strangers: {error}"),
    }
}

/// The guard list first: it protects against new rules, whatever becomes of those that stand.
fn review(state: &State, facts: host::Facts, configured: &mut Configured) {
    let outdated = configured.judge_again(&facts, &state.journal);
    *state.spared() = configured.spared().cloned().collect();
    let allowed = state.rules().list(List::Allow, monotonic_ns());
    let allowed = allowed.unwrap_or_else(|error| {
        warn!("the guard list lacks the allowlist: {error}");
        Vec::new()
    });
    let never_block = state.never_block().prefixes.clone();
    *state.guard() = guard(facts, &allowed, configured, &never_block);
    // While somebody writes, the next time will do.
    if let (true, Some(_writing)) = (outdated, state.try_write())
        && let Err(error) = configured.follow(&mut state.rules())
    {
        warn!("the blocks of the configuration are not all in force: {error}");
        state.rule_refused("blocks of the configuration".to_owned(), error.to_string());
    }
}
