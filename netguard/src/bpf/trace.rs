//! Log records of a kernel object that was built with `cargo xtask build-ebpf --trace`. Others have none.

use aya_log::EbpfLogger;
use tokio::io::{Interest, unix::AsyncFd};

use super::{BpfError, Loaded};

/// Name of the ring buffer that only a tracing object has.
const LOG_MAP: &str = "AYA_LOGS";

/// Passes the log records of `loaded` on until it is dropped; `None` when the object does not trace.
///
/// # Errors
/// When the object has a log that cannot be read.
pub fn trace_log(loaded: &mut Loaded) -> Result<Option<impl Future<Output = ()> + Send + use<>>, BpfError> {
    if loaded.ebpf.map(LOG_MAP).is_none() {
        return Ok(None);
    }
    let unreadable =
        |error: &dyn std::error::Error| BpfError::Load(format!("its log cannot be read: {error}"));
    let logger = EbpfLogger::init(&mut loaded.ebpf).map_err(|error| unreadable(&error))?;
    // SAFETY: the descriptor is that of the ring buffer inside the logger, which owns it and never exchanges it.
    let logger = unsafe { AsyncFd::register_with_interest(logger, Interest::READABLE) };
    let mut logger = logger.map_err(|error| unreadable(&error))?;
    Ok(Some(async move {
        while let Ok(mut ready) = logger.readable_mut().await {
            ready.get_inner_mut().flush();
            ready.clear_ready();
        }
    }))
}
