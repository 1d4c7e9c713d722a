//! `netguard detach`: the way back.

use std::time::Duration;

use hyper::Method;
use serde::Serialize;

use super::{
    CliError, Context,
    alone::{alone, record},
};
use crate::{
    control::{Client, ClientError, remove_socket, socket_path},
    daemon::{EventKind, restore_sysctls, withdraw_cookies},
};

/// How long a daemon may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Serialize)]
struct Detached {
    /// Interfaces that are no longer filtered.
    interfaces: Vec<String>,
    /// Whether a daemon was stopped.
    daemon_stopped: bool,
}

pub(super) async fn run(context: &Context) -> Result<(), CliError> {
    let mut interfaces = context.pins.interfaces();
    let daemon_stopped = stop_daemon(context).await?;
    // After a crash there is nobody to ask; after a clean end this finds nothing. Under the lock no daemon begins meanwhile,
    // and none runs whose socket is gone: it would not notice that it protects nothing any more.
    let restored = if context.pins.root().exists() {
        let _lock = alone(context).await?;
        // In this order no cookie is made that nobody takes. A filter that cannot be told goes all the same.
        let _told = withdraw_cookies(&context.pins);
        let restored = restore_sysctls(&context.instance);
        let removed = context.pins.remove().map_err(|error| match &restored {
            Ok(()) => CliError::from(error),
            Err(other) => CliError::Failed(format!("{error}; and {other}")),
        });
        let removed = removed?;
        let event = EventKind::Detached {
            interfaces: removed.clone(),
        };
        record(context, [event]);
        interfaces.extend(removed);
        remove_socket(&context.instance);
        restored
    } else {
        // Also where an earlier attempt could not, or somebody removed the pins by hand.
        restore_sysctls(&context.instance)
    };
    restored.map_err(|error| CliError::Failed(format!("nothing is filtered any more, but {error}")))?;
    interfaces.sort();
    interfaces.dedup();
    context.output.print(
        &Detached {
            interfaces,
            daemon_stopped,
        },
        |detached| {
            let daemon = if detached.daemon_stopped {
                "the daemon ended; "
            } else {
                ""
            };
            match detached.interfaces.as_slice() {
                [] => format!("{daemon}nothing was attached"),
                interfaces => format!("{daemon}{} is no longer protected", interfaces.join(", ")),
            }
        },
    )
}

/// Ends the daemon, if one runs; false if none does.
async fn stop_daemon(context: &Context) -> Result<bool, CliError> {
    let mut client = match Client::connect(&context.instance).await {
        Ok(client) => client,
        Err(ClientError::NotRunning) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let () = client.request(Method::POST, "/v1/detach", None::<&()>).await?;
    wait_for_end(context).await?;
    Ok(true)
}

async fn wait_for_end(context: &Context) -> Result<(), CliError> {
    let gone = async {
        while socket_path(&context.instance).exists() || context.pins.root().exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.map_err(|_| {
        CliError::Failed("the daemon was asked to detach and has not ended yet: see its log".to_owned())
    })
}
