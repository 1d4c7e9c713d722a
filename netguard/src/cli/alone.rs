//! Writing to the maps of an instance whose daemon is dead.

use std::{
    collections::VecDeque,
    io::{self, Write as _},
};

use super::{CliError, Context};
use crate::{
    audit::{Place, Record, Trail, operator},
    clock::{monotonic_ns, wall_clock_text},
    daemon::{DaemonError, EventKind, Lock, lock_instance},
};

/// Keeps daemons and other commands away until it is dropped: what two write at once can be lost.
///
/// # Errors
/// When somebody else writes, or the lock cannot be taken: nothing was changed then.
pub(super) async fn alone(context: &Context) -> Result<Lock, CliError> {
    let locked = lock_instance(&context.instance).await;
    locked.map_err(|error| CliError::Failed(told(&error)))
}

/// Writes what was done to the audit trail, in the name of whoever runs this. Only while one is alone.
pub(super) fn record(context: &Context, events: impl IntoIterator<Item = EventKind>) {
    let place = Place::noted(&context.instance);
    let author = operator(Some(nix::unistd::getuid().as_raw()), Some(std::process::id()));
    let record = |event| Record::new(wall_clock_text(), monotonic_ns(), author.clone(), &event);
    let mut records: VecDeque<Record> = events.into_iter().map(record).collect();
    if !place.on || records.is_empty() {
        return;
    }
    let written = Trail::open(&place, None).and_then(|mut trail| {
        trail.append(&mut records)?;
        trail.sync()
    });
    if let Err(error) = written {
        // It is done all the same, as a daemon would have.
        let told = format!("netguard: this is not in the audit trail: {error}");
        let _told = writeln!(io::stderr(), "{told}");
    }
}

/// Who knows which feeds say never to block whom is the daemon.
pub(super) fn tell_unasked() {
    let told = "netguard: no daemon runs that knows whom feeds say never to block (`action = \"never-block\"`): they were not asked";
    // Beside the answer: it is done all the same.
    let _told = writeln!(io::stderr(), "{told}");
}

fn told(error: &DaemonError) -> String {
    let DaemonError::AlreadyRunning { pid, .. } = error else {
        return error.to_string();
    };
    let kill = pid.map_or_else(String::new, |pid| format!(" with `kill {pid}`"));
    format!(
        "a daemon runs and cannot be asked, since it starts just now or its control socket is gone, or another command \
         is under way: try again, or end it{kill}; nothing was changed"
    )
}
