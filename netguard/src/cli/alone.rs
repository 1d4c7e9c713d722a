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
    for _ in 1..TURNS {
        match lock_instance(&context.instance) {
            Ok(lock) => return Ok(lock),
            Err(DaemonError::AlreadyRunning { .. }) => tokio::time::sleep(TURN).await,
            Err(other) => return Err(CliError::Failed(other.to_string())),
        }
    }
    lock_instance(&context.instance).map_err(|error| match error {
        DaemonError::AlreadyRunning { pid, .. } => {
            let kill = pid.map_or_else(String::new, |pid| format!(" with `kill {pid}`"));
            CliError::Failed(format!(
                "a daemon runs and cannot be asked, since it starts just now or its control socket is gone, or another command \
                 is under way: try again, or end it{kill}; nothing was changed"
            ))
        }
        other => CliError::Failed(other.to_string()),
    })
}
