//! Writes the trail on a thread of its own, so that nobody else waits for the disk. What cannot be written waits in bounded
//! memory, is counted beyond that, and is told in the trail when it can be written again.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use serde::Serialize;
use tracing::{info, warn};

use super::{
    AuditError, AuditState, Author, Head, Left, Place, Record, Trail, Worth, about::About, queue::Queue,
};
use crate::clock::monotonic_ns;

/// Records that are taken from the queue at once.
const PORTION: usize = 256;
/// How often the disk is waited for, and a trail that failed is tried again.
const PACE: Duration = Duration::from_secs(1);
/// How long the end of the daemon may take for its last lines.
const FAREWELL: Duration = Duration::from_secs(3);
/// A portion that takes longer is a disk that hangs.
const SLOW_NS: u64 = 5_000_000_000;

/// The way into the trail, for any thread.
#[derive(Clone, Debug)]
pub struct Recorder(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    file: PathBuf,
    queue: Mutex<Queue>,
    told: Mutex<Written>,
    ending: Mutex<bool>,
    /// With `queue`: there is something to write. With `ending`: the last line was written.
    wake: Condvar,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Written {
    head: Option<Head>,
    fault: Option<String>,
    /// Taken from the queue, and not written yet.
    under_way: usize,
    /// Since when a portion is under way.
    busy_since_ns: Option<u64>,
}

impl Recorder {
    /// Begins to write at `place`, or to try. Nothing is waited for.
    pub fn begin(place: Place) -> Self {
        let shared = Arc::new(Shared {
            file: place.file.clone(),
            queue: Mutex::default(),
            told: Mutex::default(),
            ending: Mutex::default(),
            wake: Condvar::new(),
            ended: Condvar::new(),
        });
        let writer = Writer::new(place, Arc::clone(&shared));
        let spawned = thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run());
        if let Err(error) = spawned {
            let fault = format!("no thread could be made for it: {error}");
            warn!("the audit trail is not written: {fault}");
            lock(&shared.told).fault = Some(fault);
        }
        Self(shared)
    }

    /// Has `event` by `author` written.
    pub fn record(&self, at: String, author: Author, event: &impl Serialize, worth: Worth) {
        let now_ns = monotonic_ns();
        let record = Record::new(at, now_ns, author, event);
        lock(&self.0.queue).push(record, worth, now_ns);
        self.0.wake.notify_one();
    }

    /// How the trail stands.
    pub fn state(&self) -> AuditState {
        let told = lock(&self.0.told);
        let queue = lock(&self.0.queue);
        let slow = told
            .busy_since_ns
            .map(|since_ns| monotonic_ns().saturating_sub(since_ns))
            .filter(|busy_ns| *busy_ns > SLOW_NS)
            .map(|busy_ns| format!("the disk has not answered for {} s", busy_ns / 1_000_000_000));
        AuditState {
            file: self.0.file.clone(),
            seq: told.head.map(|head| head.seq),
            hash: told.head.map(|head| head.hash),
            waiting: queue.len() + told.under_way,
            lost: queue.lost_ever(),
            fault: slow.or_else(|| told.fault.clone()),
        }
    }

    /// Waits until all is written, a few seconds at the most: a disk that hangs keeps no daemon from ending.
    pub fn finish(&self) {
        lock(&self.0.queue).end();
        self.0.wake.notify_one();
        let ended = lock(&self.0.ending);
        let waited = self.0.ended.wait_timeout_while(ended, FAREWELL, |ended| !*ended);
        if waited.is_ok_and(|(_, waited)| waited.timed_out()) {
            let state = self.state();
            warn!(
                "{} events are not in the audit trail, which cannot be written",
                state.waiting
            );
        }
    }
}

/// The thread.
struct Writer {
    place: Place,
    shared: Arc<Shared>,
    trail: Option<Trail>,
    /// How this process left the trail.
    known: Option<Left>,
    /// Taken from the queue, and not written yet.
    portion: VecDeque<Record>,
    outage: Option<Outage>,
    /// Since when lines are not known to be on the disk.
    unsynced_ns: Option<u64>,
}

struct Outage {
    why: String,
    since_ns: u64,
    /// When the last attempt failed.
    tried_ns: u64,
}

impl Writer {
    fn new(place: Place, shared: Arc<Shared>) -> Self {
        Self {
            place,
            shared,
            trail: None,
            known: None,
            portion: VecDeque::new(),
            outage: None,
            unsynced_ns: None,
        }
    }

    fn run(mut self) {
        loop {
            let ending = self.wait();
            self.busy(true);
            let written = self.write();
            self.busy(false);
            let failed = written.is_err();
            if let Err(error) = written {
                self.fail(&error);
            }
            let left = !self.portion.is_empty() || lock(&self.shared.queue).len() > 0;
            if ending && (failed || !left) {
                *lock(&self.shared.ending) = true;
                self.shared.ended.notify_all();
                return;
            }
        }
    }

    /// Waits until there is something to do; tells whether the end has come.
    fn wait(&mut self) -> bool {
        let mut queue = lock(&self.shared.queue);
        loop {
            let ending = queue.is_ending();
            let nothing = queue.len() == 0 && self.portion.is_empty();
            let patience = match (&self.outage, self.unsynced_ns) {
                _ if ending => Duration::ZERO,
                (Some(outage), _) => PACE.saturating_sub(since(outage.tried_ns)),
                (None, _) if !nothing => Duration::ZERO,
                // The first line is written at once, or the fault is known.
                (None, _) if self.trail.is_none() => Duration::ZERO,
                (None, Some(since_ns)) => PACE.saturating_sub(since(since_ns)),
                (None, None) => Duration::MAX,
            };
            let slept = if patience.is_zero() {
                true
            } else if patience == Duration::MAX {
                queue = self
                    .shared
                    .wake
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
                false
            } else {
                let waited = self.shared.wake.wait_timeout(queue, patience);
                let (waited, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                queue = waited;
                timeout.timed_out()
            };
            if slept {
                if self.portion.is_empty() {
                    self.portion = queue.take(PORTION);
                }
                return ending;
            }
        }
    }

    fn write(&mut self) -> Result<(), AuditError> {
        let before = self.portion.len();
        if let Some(outage) = &self.outage {
            let for_ms = monotonic_ns().saturating_sub(outage.since_ns) / 1_000_000;
            let why = outage.why.clone();
            self.portion.push_front(About::Outage { why, for_ms }.record());
        }
        let mut written = self.append();
        if matches!(written, Err(AuditError::Changed(_))) {
            // That is told by who opens it anew; nothing need wait for that.
            written = self.append();
        }
        if let Err(error) = written {
            if self.portion.len() > before {
                // It is told again, with the whole time.
                self.portion.pop_front();
            } else {
                self.outage = None;
            }
            return Err(error);
        }
        if self.outage.take().is_some() {
            info!("the audit trail is written again");
            lock(&self.shared.told).fault = None;
        }
        let due = self.unsynced_ns.is_some_and(|since_ns| since(since_ns) >= PACE);
        if due || lock(&self.shared.queue).is_ending() {
            if let Some(trail) = &self.trail {
                trail.sync()?;
            }
            self.unsynced_ns = None;
        }
        Ok(())
    }

    fn append(&mut self) -> Result<(), AuditError> {
        let mut trail = match self.trail.take() {
            Some(trail) => trail,
            None => Trail::open(&self.place, self.known)?,
        };
        let any = !self.portion.is_empty();
        let written = trail.append(&mut self.portion);
        self.known = Some(trail.left());
        lock(&self.shared.told).head = Some(trail.head());
        written?;
        if any {
            self.unsynced_ns.get_or_insert_with(monotonic_ns);
        }
        self.trail = Some(trail);
        Ok(())
    }

    /// The trail is opened anew for the next attempt.
    fn fail(&mut self, error: &AuditError) {
        let why = error.to_string();
        (self.trail, self.unsynced_ns) = (None, None);
        if self.outage.as_ref().is_none_or(|outage| outage.why != why) {
            warn!("the audit trail is not written: {why}");
        }
        let tried_ns = monotonic_ns();
        let since_ns = self.outage.as_ref().map_or(tried_ns, |outage| outage.since_ns);
        lock(&self.shared.told).fault = Some(why.clone());
        self.outage = Some(Outage {
            why,
            since_ns,
            tried_ns,
        });
    }

    fn busy(&self, busy: bool) {
        let mut told = lock(&self.shared.told);
        told.busy_since_ns = busy.then(monotonic_ns);
        told.under_way = self.portion.len();
    }
}

fn since(since_ns: u64) -> Duration {
    Duration::from_nanos(monotonic_ns().saturating_sub(since_ns))
}

/// A panic elsewhere leaves these values whole: each is replaced or changed in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Instant};

    use serde_json::json;

    use super::*;
    use crate::audit::{files, verify};

    fn place(file: PathBuf) -> Place {
        Place {
            file,
            max_bytes: 1 << 20,
            keep: 3,
            on: true,
        }
    }

    fn record(recorder: &Recorder, number: usize) {
        let event = json!({"event": "rule-removed", "number": number});
        recorder.record(String::new(), Author::Daemon, &event, Worth::Decision);
    }

    fn wait_for(recorder: &Recorder, what: impl Fn(&AuditState) -> bool) {
        let begun = Instant::now();
        while !what(&recorder.state()) {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "{:?}",
                recorder.state()
            );
            thread::yield_now();
        }
    }

    #[test]
    fn all_that_was_recorded_is_there_in_the_end() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("audit.jsonl");
        let recorder = Recorder::begin(place(file.clone()));
        for number in 0..1_000 {
            record(&recorder, number);
        }
        recorder.finish();
        let report = verify(&files(&file).expect("files"), true, &[]).expect("read");
        assert!(report.findings.is_empty(), "{:?}", report.findings);
        assert_eq!(report.last.map(|head| head.seq), Some(1_001));
        let state = recorder.state();
        assert_eq!(
            (state.seq, state.waiting, state.lost, state.fault),
            (Some(1_001), 0, 0, None)
        );
    }

    #[test]
    fn what_cannot_be_written_is_kept_counted_and_told_later() {
        let directory = tempfile::tempdir().expect("a directory");
        let blocked = directory.path().join("audit");
        // Not even root makes a directory where a file stands.
        fs::write(&blocked, "").expect("a file");
        let file = blocked.join("audit.jsonl");
        let recorder = Recorder::begin(place(file.clone()));
        wait_for(&recorder, |state| state.fault.is_some());
        for number in 0..5_000 {
            record(&recorder, number);
        }
        let state = recorder.state();
        assert!(
            state.lost > 0 && state.waiting > 0 && state.seq.is_none(),
            "{state:?}"
        );
        fs::remove_file(&blocked).expect("removed");
        wait_for(&recorder, |state| state.fault.is_none() && state.waiting == 0);
        record(&recorder, 5_000);
        recorder.finish();
        let text = fs::read_to_string(&file).expect("a file");
        assert!(text.contains("\"audit-outage\"") && text.contains("\"audit-lost\""));
        assert!(text.contains("\"number\":0,") && text.contains("\"number\":5000,"));
        let report = verify(&files(&file).expect("files"), true, &[]).expect("read");
        assert!(report.findings.is_empty(), "{:?}", report.findings);
        assert_eq!(report.told["audit-lost"], 1);
    }

    #[test]
    fn an_end_without_a_disk_does_not_wait_for_it() {
        let recorder = Recorder::begin(place("/proc/nothing/audit.jsonl".into()));
        record(&recorder, 0);
        let begun = Instant::now();
        recorder.finish();
        assert!(begun.elapsed() < FAREWELL * 2);
        assert_eq!(recorder.state().seq, None);
    }
}
