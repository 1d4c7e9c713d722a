//! Writing to the maps of an instance whose daemon is dead.

use std::time::Duration;

use super::{CliError, Context};
use crate::daemon::{DaemonError, Lock, lock_instance};

/// How often a command that is under way is waited for, and how long.
const TURNS: u32 = 40;
const TURN: Duration = Duration::from_millis(50);

/// Keeps daemons and other commands away until it is dropped: what two write at once can be lost.
///
/// # Errors
/// When somebody else writes, or the lock cannot be taken: nothing was changed then.
pub(super) async fn alone(context: &Context) -> Result<Lock, CliError> {
    let mut turns = 1..TURNS;
    loop {
        match lock_instance(&context.instance) {
            Err(DaemonError::AlreadyRunning { .. }) if turns.next().is_some() => {
                tokio::time::sleep(TURN).await
            }
            locked => return locked.map_err(|error| CliError::Failed(told(&error))),
        }
    }
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
