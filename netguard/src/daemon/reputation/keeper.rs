//! Keeps reputation on disk from a thread of its own, so that no tick waits for it. What cannot be written stays in memory, is told, and is
//! tried again as a whole.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{self, Receiver, SyncSender, TrySendError},
    },
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{Kept, Store, StoreError};
use crate::{
    clock::monotonic_ns,
    engine::{Account, reputation::Record},
};

/// How often changes are written, and how often a file that failed is tried again.
const PACE_NS: u64 = 3_000_000_000;
const AGAIN_NS: u64 = 30_000_000_000;
/// Portions that may wait for the disk.
const WAITING: usize = 4;
/// How long the end of the daemon may take for it.
const FAREWELL: Duration = Duration::from_secs(3);

/// Told once a portion is on the disk, or why it is not.
pub(super) type Done = oneshot::Sender<Result<(), String>>;

type Changes = Vec<(Account, Option<Record>)>;

/// How the store stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreState {
    pub file: PathBuf,
    /// Why it cannot be written, as a sentence.
    pub fault: Option<String>,
    /// Where a file that was damaged was put at the start.
    pub damaged: Option<PathBuf>,
    /// Entries that could not be read at the start.
    pub unreadable: usize,
    /// Records that found no room at the start: more were kept than `reputation.sources`.
    #[serde(default)]
    pub without_room: usize,
}

impl StoreState {
    /// What is wrong with it, if something is.
    pub fn sentence(&self) -> Option<String> {
        if let Some(fault) = &self.fault {
            return Some(format!("reputation: {fault}"));
        }
        if let Some(damaged) = &self.damaged {
            return Some(format!(
                "reputation: the file was damaged and began anew; what it was is {}",
                damaged.display()
            ));
        }
        if self.without_room > 0 {
            return Some(format!(
                "reputation: {} sources of {} found no room and are forgotten, those with the lowest scores \
                 (`reputation.sources`)",
                self.without_room,
                self.file.display()
            ));
        }
        (self.unreadable > 0).then(|| {
            format!(
                "reputation: {} entries of {} could not be read and are left out",
                self.unreadable,
                self.file.display()
            )
        })
    }
}

/// The way to the thread.
#[derive(Debug)]
pub(in crate::daemon) struct Keeper {
    sender: SyncSender<Message>,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    state: StoreState,
    /// What was told last of the fault.
    told: Option<String>,
    /// Something was lost on the way to the disk: all has to be written.
    wants_whole: bool,
    /// When something was handed over last.
    handed_ns: u64,
}

#[derive(Debug)]
enum Message {
    Write {
        changes: Changes,
        is_whole: bool,
        saved_ns: u64,
        done: Option<Done>,
    },
    End(SyncSender<()>),
}

impl Keeper {
    /// Begins to keep in `file`, which was `opened`, and of which so many records found no room in memory.
    pub(super) fn begin(
        file: PathBuf,
        opened: Result<(Store, Kept), StoreError>,
        without_room: usize,
    ) -> Self {
        let (sender, receiver) = mpsc::sync_channel(WAITING);
        let mut state = StoreState {
            file,
            fault: None,
            damaged: None,
            unreadable: 0,
            without_room,
        };
        let store = match opened {
            Ok((store, kept)) => {
                (state.damaged, state.unreadable) = (kept.damaged, kept.unreadable);
                Some(store)
            }
            Err(error) => {
                state.fault = Some(error.to_string());
                None
            }
        };
        let shared = Arc::new(Mutex::new(Shared {
            state,
            told: None,
            wants_whole: false,
            handed_ns: 0,
        }));
        let thread = Thread {
            was_open: store.is_some(),
            store,
            shared: Arc::clone(&shared),
        };
        let spawned = thread::Builder::new()
            .name("reputation".to_owned())
            .spawn(move || thread.run(&receiver));
        if let Err(error) = spawned {
            lock(&shared).state.fault = Some(format!("no thread could be made to keep it: {error}"));
        }
        Self { sender, shared }
    }

    /// How the store stands.
    pub(super) fn state(&self) -> StoreState {
        lock(&self.shared).state.clone()
    }

    /// The fault, or that there is none any more, unless that was told before.
    pub(super) fn news(&self) -> Option<Option<String>> {
        let mut shared = lock(&self.shared);
        if shared.told == shared.state.fault {
            return None;
        }
        let fault = shared.state.fault.clone();
        shared.told.clone_from(&fault);
        Some(fault)
    }

    /// Whether it is time to write again.
    pub(super) fn is_due(&self, now_ns: u64) -> bool {
        let shared = lock(&self.shared);
        let pace_ns = if shared.state.fault.is_some() {
            AGAIN_NS
        } else {
            PACE_NS
        };
        now_ns.saturating_sub(shared.handed_ns) >= pace_ns
    }

    /// Whether all has to be written, since something was lost on the way.
    pub(super) fn wants_whole(&self) -> bool {
        lock(&self.shared).wants_whole
    }

    /// The next time all is written, so that nothing else stays in the file.
    pub(super) fn write_whole(&self) {
        lock(&self.shared).wants_whole = true;
    }

    /// Hands `changes` over.
    ///
    /// # Errors
    /// The changes, when the disk does not keep up.
    pub(super) fn write(
        &self,
        changes: Changes,
        is_whole: bool,
        saved_ns: u64,
        done: Option<Done>,
    ) -> Result<(), Changes> {
        let message = Message::Write {
            changes,
            is_whole,
            saved_ns,
            done,
        };
        lock(&self.shared).handed_ns = monotonic_ns();
        match self.sender.try_send(message) {
            Ok(()) => Ok(()),
            Err(refused) => {
                if matches!(refused, TrySendError::Disconnected(_)) {
                    let mut shared = lock(&self.shared);
                    let gone = || "the thread that keeps it has ended: restart the daemon".to_owned();
                    shared.state.fault.get_or_insert_with(gone);
                }
                match refused {
                    TrySendError::Full(message) | TrySendError::Disconnected(message) => match message {
                        Message::Write { changes, .. } => Err(changes),
                        Message::End(_) => Err(Vec::new()),
                    },
                }
            }
        }
    }

    /// Waits until all that was handed over is written, a few seconds at the most; tells whether it is.
    pub(super) fn finish(&self) -> bool {
        let (ended, end) = mpsc::sync_channel(1);
        let sent = self.sender.try_send(Message::End(ended)).is_ok();
        sent && end.recv_timeout(FAREWELL).is_ok() && self.state().fault.is_none()
    }
}

struct Thread {
    store: Option<Store>,
    /// Whether what the file says was read.
    was_open: bool,
    shared: Arc<Mutex<Shared>>,
}

impl Thread {
    fn run(mut self, receiver: &Receiver<Message>) {
        while let Ok(message) = receiver.recv() {
            match message {
                Message::Write {
                    changes,
                    is_whole,
                    saved_ns,
                    done,
                } => {
                    let written = self.write(&changes, is_whole, saved_ns);
                    let fault = written.err().map(|error| error.to_string());
                    self.tell(fault.clone(), is_whole);
                    if let Some(done) = done {
                        // Who asked may be gone.
                        let _told = done.send(fault.map_or(Ok(()), Err));
                    }
                }
                Message::End(ended) => {
                    // Closed before it is told.
                    self.store = None;
                    let _told = ended.try_send(());
                    return;
                }
            }
        }
    }

    fn write(
        &mut self,
        changes: &[(Account, Option<Record>)],
        is_whole: bool,
        saved_ns: u64,
    ) -> Result<(), StoreError> {
        let file = lock(&self.shared).state.file.clone();
        let mut store = match self.store.take() {
            Some(store) => store,
            // The library wants a file opened anew after a fault.
            None => {
                let (store, kept) = Store::open(&file)?;
                if kept.damaged.is_some() {
                    lock(&self.shared).state.damaged = kept.damaged;
                }
                store
            }
        };
        // What another daemon wrote and this one could not read stays for the next.
        let written = store.write(changes, is_whole && self.was_open, saved_ns);
        match written {
            Ok(()) => self.store = Some(store),
            Err(_) => store.close(),
        }
        written
    }

    fn tell(&self, fault: Option<String>, is_whole: bool) {
        let mut shared = lock(&self.shared);
        match &fault {
            Some(_) => shared.wants_whole = true,
            None if is_whole => shared.wants_whole = false,
            None => {}
        }
        shared.state.fault = fault;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn change(host: u8) -> Changes {
        vec![(Account::of([192, 0, 2, host].into()), Some(Record::default()))]
    }

    fn written(keeper: &Keeper, changes: Changes, is_whole: bool) -> Result<(), String> {
        let (done, mut told) = oneshot::channel();
        keeper.write(changes, is_whole, 9, Some(done)).expect("room");
        loop {
            match told.try_recv() {
                Ok(told) => return told,
                Err(oneshot::error::TryRecvError::Empty) => thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn what_fails_is_told_and_made_good_as_a_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        let (in_the_way, file) = (directory.path().join("x"), directory.path().join("x/r.redb"));
        fs::write(&in_the_way, "a file").expect("a file");
        let keeper = Keeper::begin(file.clone(), Store::open(&file), 0);
        assert!(keeper.news().flatten().is_some_and(|why| why.contains("r.redb")));
        assert!(keeper.news().is_none(), "once");
        assert!(written(&keeper, change(1), false).is_err() && keeper.wants_whole());
        assert!(keeper.state().sentence().is_some());
        fs::remove_file(&in_the_way).expect("it goes");
        let both = [change(1), change(2)].concat();
        written(&keeper, both, true).expect("written");
        assert_eq!(keeper.news(), Some(None));
        assert!(!keeper.wants_whole() && keeper.state().sentence().is_none());
        assert!(keeper.finish());
        let (_store, kept) = Store::open(&file).expect("it was closed");
        assert_eq!(kept.records.len(), 2);
        assert_eq!(
            keeper.write(change(3), false, 9, None),
            Err(change(3)),
            "it has ended"
        );
        let told = keeper.state().sentence();
        assert!(
            told.is_some_and(|told| told.contains("has ended")),
            "and that is told"
        );
    }
}
