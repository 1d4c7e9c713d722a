//! Countries and autonomous systems that are held because of attacks. They stand among the lists, whose tables are compiled as a whole:
//! that takes too long for a tick, so what came of it is heard later. They end by themselves a quarter of an hour after the daemon last
//! asked for them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use super::Report;
use crate::{
    bpf::{Pins, Ranges},
    config::Place,
    daemon::{Hold, Lists, State},
    engine::response::{Measure, Mode, Standing, Taken},
    lists::Atlas,
    prefix::Prefix,
};

/// How often what is held is asked for again, how long nothing is after that failed, and how often what it was against is read.
const RENEWED_NS: u64 = 300_000_000_000;
const AGAIN_NS: u64 = 1_000_000_000;
const READ_NS: u64 = 100_000_000;

/// How long the end of the daemon waits for lists that are being read, and how often it asks.
const PATIENCE: Duration = Duration::from_secs(1);
const TURN: Duration = Duration::from_millis(20);

/// Where places are held.
pub(crate) trait Holder {
    /// Begins to hold exactly these.
    fn hold(&mut self, holds: Vec<Hold>, now_ns: u64);

    /// What came of it, once: a sentence where it failed.
    fn outcome(&mut self) -> Option<Result<(), String>>;

    /// Packets that each place was refused since it is held; `None` while nobody can say.
    fn packets(&mut self) -> Option<Vec<(Hold, u64)>>;
}

/// What was asked for.
#[derive(Default)]
pub(super) struct Held {
    asked: Vec<Hold>,
    /// What is held, as far as anybody said.
    held: Vec<Hold>,
    asked_ns: u64,
    /// When it failed last: whatever the reason is, it is none that goes within a tick.
    failed_ns: Option<u64>,
    /// Nobody has said yet what came of it.
    is_waiting: bool,
    read_ns: u64,
    packets: BTreeMap<Place, u64>,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.asked.is_empty() && self.held.is_empty() && !self.is_waiting
    }

    pub(super) fn follow(&mut self, wanted: &[Taken], holder: &mut dyn Holder, now_ns: u64) -> Vec<Report> {
        let mut reports = Vec::new();
        let holds = holds(wanted);
        if holds.is_empty() && self.is_empty() {
            return reports;
        }
        if self.is_waiting
            && let Some(outcome) = holder.outcome()
        {
            self.is_waiting = false;
            match outcome {
                Ok(()) => {
                    self.held.clone_from(&self.asked);
                    self.failed_ns = None;
                }
                Err(why) => {
                    // What was held before still is, and must be let go some day.
                    let asked = std::mem::replace(&mut self.asked, self.held.clone());
                    let is_held = |hold: &Hold| self.held.iter().any(|held| held.place == hold.place);
                    let failed: Vec<Hold> = asked.into_iter().filter(|hold| !is_held(hold)).collect();
                    let failed = of(wanted, &failed).map(|taken| taken.number);
                    reports
                        .extend(failed.map(|number| Report::Standing(number, Standing::Failed(why.clone()))));
                    (self.asked_ns, self.failed_ns) = (now_ns, Some(now_ns));
                    return reports;
                }
            }
        }
        if self.is_waiting {
            return reports;
        }
        let is_due = now_ns.saturating_sub(self.asked_ns) >= RENEWED_NS && !holds.is_empty();
        let is_early = |failed_ns| now_ns.saturating_sub(failed_ns) < AGAIN_NS;
        if (holds != self.asked || is_due) && !self.failed_ns.is_some_and(is_early) {
            holder.hold(holds.clone(), now_ns);
            self.packets
                .retain(|place, _| holds.iter().any(|hold| hold.place == *place));
            (self.asked, self.asked_ns, self.is_waiting) = (holds, now_ns, true);
            return reports;
        }
        let new = of(wanted, &self.asked).filter(|taken| taken.standing == Standing::Wanted);
        reports.extend(new.map(|taken| Report::Standing(taken.number, Standing::InForce)));
        reports.extend(self.read(wanted, holder, now_ns));
        reports
    }

    fn read(&mut self, wanted: &[Taken], holder: &mut dyn Holder, now_ns: u64) -> Vec<Report> {
        let ns = now_ns.saturating_sub(self.read_ns);
        if ns < READ_NS {
            return Vec::new();
        }
        let Some(counted) = holder.packets() else {
            return Vec::new();
        };
        self.read_ns = now_ns;
        let mut reports = Vec::new();
        for (hold, packets) in counted {
            let before = self.packets.insert(hold.place, packets).unwrap_or(0);
            let fitted = packets.checked_sub(before).unwrap_or(packets);
            let held = of(wanted, &[hold]).map(|taken| taken.number).collect::<Vec<_>>();
            reports.extend(held.into_iter().map(|number| Report::Fitted(number, fitted, ns)));
        }
        reports
    }
}

/// What to hold: of a place that several attacks come from, the least that one of them asks for.
fn holds(wanted: &[Taken]) -> Vec<Hold> {
    let mut holds = BTreeMap::<Place, Hold>::new();
    for taken in wanted {
        let Measure::Geo { place, rate_per_s } = taken.measure else {
            continue;
        };
        let shadow = taken.mode != Mode::Enforce;
        let hold = holds.entry(place).or_insert(Hold {
            place,
            rate_per_s,
            shadow,
        });
        hold.rate_per_s = hold.rate_per_s.min(rate_per_s);
        hold.shadow &= shadow;
    }
    holds.into_values().collect()
}

/// The measures that ask for any of `holds`.
fn of<'a>(wanted: &'a [Taken], holds: &'a [Hold]) -> impl Iterator<Item = &'a Taken> {
    wanted.iter().filter(|taken| {
        let place = taken.measure.place();
        holds.iter().any(|hold| Some(hold.place) == place)
    })
}

/// Holds places in the lists of a daemon, on a thread of its own.
pub(super) struct InLists<'a> {
    pub(super) state: &'a Arc<State>,
    pub(super) desk: &'a Desk,
    pub(super) atlas: Option<Arc<Atlas>>,
}

/// What the thread and the tick share: the number of the last order, and what came of it.
#[derive(Clone, Default)]
pub(super) struct Desk(Arc<Mutex<Order>>);

/// The number of an order, and what came of it.
type Order = (u64, Option<Result<(), String>>);

impl Desk {
    /// A new order, which makes those before void.
    fn order(&self) -> u64 {
        let mut desk = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *desk = (desk.0 + 1, None);
        desk.0
    }

    fn is_newest(&self, order: u64) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 == order
    }

    fn put(&self, order: u64, outcome: Result<(), String>) {
        let mut desk = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if desk.0 == order {
            desk.1 = Some(outcome);
        }
    }

    fn take(&self) -> Option<Result<(), String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.take()
    }

    /// Lets all places go, and waits for it: nobody will later. For good, since whoever reads the lists just now may never come to an
    /// end (a file on a server that does not answer), and is not waited for longer than [`PATIENCE`].
    pub(super) fn let_go(&self, state: &State, now_ns: u64) -> Result<(), String> {
        let _void = self.order();
        state.holds_over.store(true, Ordering::SeqCst);
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(mut lists) = state.try_lists() {
                return lists.let_go(now_ns);
            }
            if Instant::now() >= end {
                break;
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "a lock of std cannot be waited for with an end"
            )]
            thread::sleep(TURN);
        }
        let ended = Ranges::open(&Pins::of(&state.instance)).and_then(|table| table.end_sparing());
        ended.map(drop).map_err(|error| error.to_string())
    }
}

impl Holder for InLists<'_> {
    fn hold(&mut self, holds: Vec<Hold>, now_ns: u64) {
        let (state, desk, atlas) = (Arc::clone(self.state), self.desk.clone(), self.atlas.clone());
        let order = desk.order();
        let carry_out = {
            let desk = desk.clone();
            move || {
                // A large database takes a second, for which nobody is to wait who asks the lists.
                let missing = unheld(&state.lists(), &holds);
                let found = addresses(atlas.as_deref(), &missing);
                let mut lists = state.lists();
                if desk.is_newest(order) {
                    let held = found.and_then(|found| lists.hold(&holds, &found, now_ns));
                    desk.put(order, held);
                }
            }
        };
        // Not a thread of the runtime, which would not end before it.
        if let Err(error) = thread::Builder::new().name("holds".to_owned()).spawn(carry_out) {
            desk.put(order, Err(error.to_string()));
        }
    }

    fn outcome(&mut self) -> Option<Result<(), String>> {
        self.desk.take()
    }

    fn packets(&mut self) -> Option<Vec<(Hold, u64)>> {
        Some(self.state.try_lists()?.held_packets())
    }
}

/// Those places of `holds` that `lists` do not hold yet.
pub(crate) fn unheld(lists: &Lists, holds: &[Hold]) -> Vec<Place> {
    let places = holds.iter().map(|hold| hold.place);
    places.filter(|place| !lists.holds(*place)).collect()
}

/// The addresses of `places`, by what is known of them.
pub(crate) fn addresses(
    atlas: Option<&Atlas>,
    places: &[Place],
) -> Result<HashMap<Place, Vec<Prefix>>, String> {
    match atlas {
        Some(atlas) if !places.is_empty() => atlas
            .prefixes_of(|place| places.contains(&place))
            .map_err(|error| error.to_string()),
        _ => Ok(HashMap::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Memory {
        held: Vec<Vec<Hold>>,
        outcome: Option<Result<(), String>>,
        packets: Vec<(Hold, u64)>,
    }

    impl Holder for Memory {
        fn hold(&mut self, holds: Vec<Hold>, _now_ns: u64) {
            self.held.push(holds);
        }

        fn outcome(&mut self) -> Option<Result<(), String>> {
            self.outcome.take()
        }

        fn packets(&mut self) -> Option<Vec<(Hold, u64)>> {
            Some(self.packets.clone())
        }
    }

    const SECOND: u64 = 1_000_000_000;

    fn place() -> Place {
        Place::Country("AQ".parse().unwrap())
    }

    fn taken(number: u64, rate_per_s: u64, mode: Mode) -> Taken {
        let place = place();
        Taken::wanted(number, Measure::Geo { place, rate_per_s }, mode)
    }

    fn told(reports: Vec<Report>) -> Vec<String> {
        let told = |report| match report {
            Report::Standing(number, standing) => format!("{number} {standing:?}"),
            Report::Fitted(number, packets, ns) => format!("{number} {packets} in {ns}"),
        };
        reports.into_iter().map(told).collect()
    }

    #[test]
    fn what_came_of_it_is_heard_later_and_what_is_not_wanted_is_let_go() {
        let (mut held, mut holder) = (Held::default(), Memory::default());
        let wanted = [taken(1, 50, Mode::Shadow), taken(2, 90, Mode::Enforce)];
        let mut follow =
            |wanted: &[Taken], holder: &mut Memory, now_ns| told(held.follow(wanted, holder, now_ns));
        assert_eq!(follow(&wanted, &mut holder, SECOND), [""; 0]);
        assert_eq!(
            follow(&wanted, &mut holder, SECOND + 1),
            [""; 0],
            "nobody has said"
        );
        let hold = Hold {
            place: place(),
            rate_per_s: 50,
            shadow: false,
        };
        assert_eq!(holder.held, [vec![hold]]);
        (holder.outcome, holder.packets) = (Some(Ok(())), vec![(hold, 40)]);
        let reports = follow(&wanted, &mut holder, SECOND + 2);
        assert_eq!(reports[..2], ["1 InForce", "2 InForce"]);
        assert_eq!(reports[2..].len(), 2, "{reports:?}");
        follow(&wanted, &mut holder, SECOND + RENEWED_NS);
        assert_eq!(holder.held.len(), 2, "it is asked for again");
        holder.outcome = Some(Ok(()));
        follow(&[], &mut holder, 2 * RENEWED_NS);
        assert_eq!(holder.held.last(), Some(&Vec::new()));
        holder.outcome = Some(Ok(()));
        follow(&[], &mut holder, 2 * RENEWED_NS + 1);
        assert!(held.is_empty());
    }

    #[test]
    fn what_fails_is_told_to_all_who_want_it() {
        let (mut held, mut holder) = (Held::default(), Memory::default());
        let wanted = [taken(1, 50, Mode::Enforce), taken(2, 90, Mode::Enforce)];
        held.follow(&wanted, &mut holder, SECOND);
        holder.outcome = Some(Err("no room".to_owned()));
        let reports = told(held.follow(&wanted, &mut holder, SECOND));
        assert_eq!(reports, ["1 Failed(\"no room\")", "2 Failed(\"no room\")"]);
        assert!(held.is_empty());
    }

    /// Found in review: an order that failed was given again in each second tick, as long as the reason stood.
    #[test]
    fn what_failed_is_not_ordered_again_for_a_second() {
        let (mut held, mut holder) = (Held::default(), Memory::default());
        let wanted = [taken(1, 50, Mode::Enforce)];
        held.follow(&wanted, &mut holder, SECOND);
        holder.outcome = Some(Ok(()));
        held.follow(&wanted, &mut holder, SECOND);
        for begun_s in [10, 20] {
            let at_ns = begun_s * SECOND;
            let before = holder.held.len();
            // It is to be let go, or held at another rate.
            let other = [taken(1, 40, Mode::Enforce)];
            let wanted = if begun_s == 10 { &other[..] } else { &[] };
            held.follow(wanted, &mut holder, at_ns);
            holder.outcome = Some(Err("no memory".to_owned()));
            for tick in 0..20 {
                held.follow(wanted, &mut holder, at_ns + tick * SECOND / 20);
            }
            assert_eq!(holder.held.len(), before + 1, "{begun_s}");
            held.follow(wanted, &mut holder, at_ns + SECOND);
            assert_eq!(holder.held.len(), before + 2, "{begun_s}");
            holder.outcome = Some(Ok(()));
            held.follow(wanted, &mut holder, at_ns + SECOND);
        }
        assert!(held.is_empty());
    }
}
